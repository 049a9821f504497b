//! Operands: the values of a configuration that columns are compared with, read by the column's type.

use std::str::FromStr;

use etl_plugin::{DataType, Date, Duration, Field, OwnedCell, StepError, Timestamp};
use serde_json::Value as Json;

/// Reads an operand as a value of the column. The error names the column, its type and what it takes.
pub(crate) fn read(operand: &Json, operator: &str, field: &Field) -> Result<OwnedCell, StepError> {
    let cell = match operand {
        Json::Bool(value) => matches!(field.data_type, DataType::Boolean).then_some(OwnedCell::Boolean(*value)),
        Json::Number(number) => read_number(&number.to_string(), number.is_f64(), &field.data_type),
        Json::String(text) => read_text(text, &field.data_type),
        _ => None,
    };
    cell.ok_or_else(|| {
        let Field { name, data_type, .. } = field;
        let takes = takes(data_type);
        StepError::InvalidConfig(format!("column `{name}` is {data_type}, not `{operator} = {operand}` ({takes})"))
    })
}

/// Reads a number. One with a point is no decimal, since it may have lost digits already.
fn read_number(number: &str, has_point: bool, data_type: &DataType) -> Option<OwnedCell> {
    match data_type {
        DataType::Duration(unit) => Some(OwnedCell::Duration(Duration::new(number.parse().ok()?, *unit))),
        DataType::Decimal { .. } if has_point => None,
        _ if is_number(data_type) => read_text(number, data_type),
        _ => None,
    }
}

fn read_text(text: &str, data_type: &DataType) -> Option<OwnedCell> {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => parse(text, OwnedCell::Float64),
        DataType::Decimal { .. } => parse(text, OwnedCell::Decimal),
        DataType::Date => parse(text, OwnedCell::Date),
        DataType::Time(_) => parse(text, OwnedCell::Time),
        DataType::Timestamp { zone, .. } => read_timestamp(text, zone.is_some()).map(OwnedCell::Timestamp),
        DataType::Text | DataType::Json => Some(OwnedCell::Text(text.to_owned())),
        DataType::Binary | DataType::FixedBinary(_) => Some(OwnedCell::Binary(text.as_bytes().to_owned())),
        _ if is_number(data_type) => parse(text, OwnedCell::Int64).or_else(|| parse(text, OwnedCell::UInt64)),
        _ => None,
    }
}

/// Reads a point in time: with its offset from UTC if the column has a time zone, otherwise without. A date alone is its
/// first moment.
fn read_timestamp(text: &str, has_zone: bool) -> Option<Timestamp> {
    if let Ok(date) = text.parse::<Date>() {
        return Some(Timestamp::from_seconds(i64::from(date.days()) * 24 * 60 * 60));
    }
    if has_zone { text.parse().ok() } else { format!("{text}Z").parse().ok() }
}

fn parse<T: FromStr>(text: &str, cell: fn(T) -> OwnedCell) -> Option<OwnedCell> {
    text.parse().ok().map(cell)
}

/// Returns what can be compared with values of a type, for messages.
const fn takes(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "it takes `true` or `false`",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "it takes a number",
        DataType::Decimal { .. } => "it takes an integer, or a decimal as text: `\"19.90\"`",
        DataType::Date => "it takes a date as text: `\"2026-11-28\"`",
        DataType::Time(_) => "it takes a time as text: `\"09:30:00\"`",
        DataType::Timestamp { zone: Some(_), .. } => {
            "it takes a date, or a time with its offset, as text: `\"2026-11-28T09:30:00Z\"`"
        }
        DataType::Timestamp { zone: None, .. } => {
            "it takes a date, or a time without an offset, as text: `\"2026-11-28T09:30:00\"`"
        }
        DataType::Duration(_) => "it takes an integer, in the type's unit",
        DataType::Text | DataType::Json | DataType::Binary | DataType::FixedBinary(_) => "it takes text",
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => "it takes `is_null` only",
        _ => "it takes an integer",
    }
}

const fn is_number(data_type: &DataType) -> bool {
    use DataType::{Decimal, Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    let is_integer = matches!(data_type, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64);
    is_integer || matches!(data_type, Float16 | Float32 | Float64 | Decimal { .. })
}
