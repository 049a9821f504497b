//! Values of the types that are not nested, as text: what each text stands for, exactly or not at all.
//!
//! Owns how formats of text read numbers, decimals, dates, times and bytes. What a sink writes for a value is read back
//! as that value. Text itself, and what is null, is up to each format.

use std::str::FromStr;

use arrow_array::{
    timezone::Tz,
    types::{Date32Type, Decimal128Type, DecimalType, Time64NanosecondType},
};
use arrow_cast::parse::{Parser, string_to_datetime};
use arrow_schema::{DataType, Field, TimeUnit};
use etl_core::model::types::is_json;
use half::f16;
use serde::de::IgnoredAny;

use crate::{
    columns::{Column, Value},
    numbers,
};

const NANOS_IN_SECOND: i128 = 1_000_000_000;

/// Returns the value that a text stands for in a field that is not nested. `None` if it stands for none, or if the type
/// cannot hold the value as it is; only floating-point numbers are rounded.
pub(crate) fn value<'a>(field: &Field, text: &'a str) -> Option<Value<'a>> {
    Some(match field.data_type() {
        DataType::Utf8 if is_json(field) => {
            serde_json::from_str::<IgnoredAny>(text).ok()?;
            Value::Text(text)
        }
        DataType::Utf8 => Value::Text(text),
        DataType::Boolean => Value::Boolean(text.parse().ok()?),
        DataType::Int64 => Value::Int64(numbers::int64(text)?),
        DataType::Float64 => Value::Float64(numbers::float64(text)?),
        DataType::Binary => Value::Hex(hex_digits(text)?),
        DataType::FixedSizeBinary(bytes) => {
            let digits = hex_digits(text)?;
            Value::Hex(usize::try_from(*bytes).is_ok_and(|bytes| digits.len() == 2 * bytes).then_some(digits)?)
        }
        other => Value::Bits(bits(other, text)?),
    })
}

/// Appends the value that a text stands for in a field, as [`value`] has it, to the column of that field. Returns whether
/// it stands for one.
pub(crate) fn append(column: &mut Column, field: &Field, text: &str) -> bool {
    match (column, field.data_type()) {
        (Column::Text(column), DataType::Utf8) if !is_json(field) => column.append_value(text),
        (Column::Int64(column), _) => match numbers::int64(text) {
            Some(value) => column.append_value(value),
            None => return false,
        },
        (Column::Float64(column), _) => match numbers::float64(text) {
            Some(value) => column.append_value(value),
            None => return false,
        },
        (column, _) => match value(field, text) {
            Some(value) => column.append(&value, ""),
            None => return false,
        },
    }
    true
}

/// Returns the bits of the value that a text stands for.
fn bits(data_type: &DataType, text: &str) -> Option<i128> {
    match data_type {
        DataType::Int8 => whole::<i8>(text),
        DataType::Int16 => whole::<i16>(text),
        DataType::Int32 => whole::<i32>(text),
        DataType::UInt8 => whole::<u8>(text),
        DataType::UInt16 => whole::<u16>(text),
        DataType::UInt32 => whole::<u32>(text),
        DataType::UInt64 => whole::<u64>(text),
        DataType::Float32 => float32(text).map(|value| value.to_bits().into()),
        DataType::Float16 => {
            let value = float32(text)?;
            let narrow = f16::from_f32(value);
            let is_lost = narrow.is_infinite() != value.is_infinite() || (narrow == f16::ZERO) != (value == 0.0);
            (!is_lost).then(|| narrow.to_bits().into())
        }
        DataType::Decimal128(digits, scale) => {
            let value = numbers::scaled(text, (*scale).into())?;
            Decimal128Type::is_valid_decimal_precision(value, *digits).then_some(value)
        }
        DataType::Date32 => Date32Type::parse(text).map(i128::from),
        DataType::Time32(unit) | DataType::Time64(unit) => in_units(Time64NanosecondType::parse(text)?.into(), *unit),
        DataType::Timestamp(unit, zone) => in_units(timestamp(text, zone.as_deref())?, *unit),
        DataType::Duration(unit) => in_units(duration(text)?, *unit),
        _ => None,
    }
}

fn whole<T: TryFrom<i128> + Into<i128>>(text: &str) -> Option<i128> {
    numbers::scaled(text, 0).and_then(|value| T::try_from(value).ok()).map(T::into)
}

fn float32(text: &str) -> Option<f32> {
    let value: f32 = text.parse().ok()?;
    // What is lost as a double is lost as a single, too; a single loses more.
    let wide = numbers::float64(text)?;
    (wide.is_infinite() == value.is_infinite() && (wide == 0.0) == (value == 0.0)).then_some(value)
}

/// Returns a number of nanoseconds in units, if it is a whole number of 64 bits.
fn in_units(nanos: i128, unit: TimeUnit) -> Option<i128> {
    let nanos_in_unit = match unit {
        TimeUnit::Second => NANOS_IN_SECOND,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    (nanos % nanos_in_unit == 0).then_some(nanos / nanos_in_unit).filter(|value| i64::try_from(*value).is_ok())
}

/// Returns the nanoseconds from 1970 to a time, which is in the given zone, or in UTC, unless it has an offset.
fn timestamp(text: &str, zone: Option<&str>) -> Option<i128> {
    let zone = Tz::from_str(zone.unwrap_or("+00:00")).ok()?;
    let time = string_to_datetime(&zone, text).ok()?;
    Some(i128::from(time.timestamp()) * NANOS_IN_SECOND + i128::from(time.timestamp_subsec_nanos()))
}

/// Returns the nanoseconds of a duration in ISO 8601 of days, hours, minutes and seconds, such as `PT93600.5S`.
fn duration(text: &str) -> Option<i128> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |unsigned| (-1, unsigned));
    let (days, times) = match unsigned.strip_prefix('P')?.split_once('T') {
        Some((days, times)) => (days, times),
        None => (unsigned.strip_prefix('P')?, ""),
    };
    let of_days = amounts(days, &[('D', 86_400)])?;
    let of_times = amounts(times, &[('H', 3600), ('M', 60), ('S', 1)])?;
    of_days.checked_add(of_times)?.checked_mul(sign).filter(|_| !(days.is_empty() && times.is_empty()))
}

/// Returns the nanoseconds of amounts, each with the letter of its unit, whose seconds are given, in this order.
fn amounts(text: &str, units: &[(char, i128)]) -> Option<i128> {
    let (mut rest, mut nanos) = (text, 0_i128);
    for (letter, seconds) in units {
        let Some((amount, behind)) = rest.split_once(*letter) else { continue };
        let is_unsigned = amount.starts_with(|char: char| char.is_ascii_digit());
        let amount = numbers::scaled(amount, 9).filter(|_| is_unsigned)?;
        nanos = nanos.checked_add(amount.checked_mul(*seconds)?)?;
        rest = behind;
    }
    rest.is_empty().then_some(nanos)
}

fn hex_digits(text: &str) -> Option<&str> {
    (text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

/// Returns the bytes that hexadecimal digits stand for, two for each.
pub(crate) fn hex_bytes(digits: &str) -> Vec<u8> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).unwrap_or_default() as u8;
    digits.as_bytes().as_chunks::<2>().0.iter().map(|[high, low]| digit(high) << 4 | digit(low)).collect()
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_cast::display::{ArrayFormatter, FormatOptions};
    use etl_core::model::types::parse;

    use super::*;
    use crate::columns::Column;

    /// Returns what a text becomes in a column, written as Arrow writes it.
    fn read(written: &str, text: &str) -> Option<String> {
        let field = parse("f", written).expect("a type");
        let value = value(&field, text)?;
        let mut column = Column::new(&field, 1).expect("a type of text formats");
        column.append(&value, "");
        let column = column.finish();
        assert_eq!((column.data_type(), column.len()), (field.data_type(), 1));
        let formatter = ArrayFormatter::try_new(&column, &FormatOptions::default()).expect("a type that is shown");
        Some(formatter.value(0).to_string())
    }

    #[test]
    fn texts_are_read_as_values_of_their_type() {
        for (written, text, shown) in [
            ("int8", "-128", "-128"),
            ("uint8", "2.55e2", "255"),
            ("uint64", "18446744073709551615", "18446744073709551615"),
            ("float32", "0.1", "0.1"),
            ("float16", "0.5", "0.5"),
            ("float32", "-inf", "-inf"),
            ("decimal(10,2)", "-12.5", "-12.50"),
            ("decimal(38,38)", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"),
            ("decimal(3,-2)", "12300", "12300"),
            ("date", "2024-02-29", "2024-02-29"),
            ("time(s)", "23:59:59", "23:59:59"),
            ("time(ns)", "00:00:00.000000001", "00:00:00.000000001"),
            ("timestamp(us)", "2024-02-29 12:00:00.25", "2024-02-29T12:00:00.250"),
            ("timestamp(s, UTC)", "2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00Z"),
            ("timestamp(ms, Europe/Zurich)", "2024-07-01T12:00:00", "2024-07-01T12:00:00+02:00"),
            ("timestamp(s)", "9999-12-31T23:59:59", "9999-12-31T23:59:59"),
            ("duration(ms)", "PT1.5S", "PT1.5S"),
            ("duration(s)", "-P1DT1H1M1S", "-PT90061S"),
            ("binary", "00fF", "00ff"),
            ("binary(2)", "0102", "0102"),
            ("json", r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        ] {
            assert_eq!(read(written, text).as_deref(), Some(shown), "{text} as {written}");
            assert_eq!(read(written, shown).as_deref(), Some(shown), "{shown} as {written}, read back");
        }
    }

    #[test]
    fn what_a_type_cannot_hold_as_it_is_stands_for_nothing() {
        for (written, text) in [
            ("int8", "128"),
            ("uint8", "-1"),
            ("uint64", "18446744073709551616"),
            ("int32", "1.5"),
            ("float32", "1e39"),
            ("float32", "1e-60"),
            ("float16", "65536"),
            ("decimal(4,2)", "0.125"),
            ("decimal(4,2)", "100"),
            ("date", "2023-02-29"),
            ("date", "20240229x"),
            ("time(s)", "12:00:00.5"),
            ("time(us)", "24:00:00"),
            ("timestamp(s)", "2024-02-29T12:00:00.5"),
            ("timestamp(ns)", "9999-12-31T23:59:59"),
            ("timestamp(us)", "yesterday"),
            ("duration(s)", "PT1.5S"),
            ("duration(s)", "P"),
            ("duration(s)", "PT1X"),
            ("binary", "0g"),
            ("binary", "0"),
            ("binary(2)", "00"),
            ("json", "{"),
            ("boolean", "yes"),
        ] {
            assert_eq!(read(written, text), None, "{text} as {written}");
        }
    }
}
