//! The schema of what a sink writes.
//!
//! Owns which types have a form in Avro that holds each of their values. A type without one is refused.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use etl_core::model::{
    error::{Error, Result},
    reject::shown,
    schema::Schema,
    types::type_name,
};

/// The name of the record that a row is.
const ROW: &str = "row";

/// Digits of a decimal number that holds any whole number of 64 bits without a sign.
pub(super) const UINT64_DIGITS: u8 = 20;

/// Checks that rows of a schema can be written.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the field and the choices.
pub(super) fn check(schema: &Schema) -> Result<()> {
    schema.fields.fields().iter().try_for_each(|field| check_field(field, field.name()))
}

fn check_field(field: &Field, path: &str) -> Result<()> {
    let refused = |why: String| Err(Error::config(format!("an `avro` sink cannot take field {}, {why}", shown(path))));
    if !is_name(field.name()) {
        return refused("whose name is no name in Avro (those have ASCII letters, digits and `_`)".to_owned());
    }
    let is = |cure: &str| refused(format!("which is {}, which Avro does not have ({cure})", type_name(field)));
    match field.data_type() {
        DataType::Duration(_) => is("use `int64`"),
        // The bits of a value that is not a number would not all come back.
        DataType::Float16 => is("use `float32`"),
        DataType::Time64(TimeUnit::Nanosecond) => is("use `time(us)` or `int64`"),
        DataType::Decimal128(_, ..0) => is("use a scale from 0 on"),
        DataType::List(item) => check_field(item, &format!("{path}.item")),
        DataType::Struct(members) => {
            members.iter().try_for_each(|member| check_field(member, &format!("{path}.{}", member.name())))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) if parts[0].data_type() == &DataType::Utf8 => {
                check_field(&parts[1], &format!("{path}.value"))
            }
            _ => is("keys of maps are text: use a list of structs"),
        },
        _ => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |char: char| char.is_ascii_alphabetic() || char == '_';
    name.starts_with(is_letter) && name.chars().all(|char| is_letter(char) || char.is_ascii_digit())
}

/// Returns the schema of rows that passed [`check`], as JSON.
pub(super) fn json(fields: &Fields) -> String {
    let mut json = String::new();
    write_record(fields, ROW, &mut json);
    json
}

/// Writes a record. Types with names have that of their path, which no other has.
fn write_record(fields: &Fields, path: &str, out: &mut String) {
    // Writing to a `String` cannot fail, and names need no escapes.
    _ = write!(out, r#"{{"type":"record","name":"{path}","fields":["#);
    for (index, field) in fields.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        _ = write!(out, r#"{{"name":"{}","type":"#, field.name());
        write_type(field, path, out);
        out.push('}');
    }
    out.push_str("]}");
}

/// Writes the type of a field of what has a path.
fn write_type(field: &Field, of: &str, out: &mut String) {
    if field.is_nullable() {
        out.push_str(r#"["null","#);
    }
    let path = format!("{of}.{}", field.name());
    match field.data_type() {
        DataType::List(item) => {
            out.push_str(r#"{"type":"array","items":"#);
            write_type(item, &path, out);
            out.push('}');
        }
        DataType::Map(entries, _) => {
            out.push_str(r#"{"type":"map","values":"#);
            if let DataType::Struct(parts) = entries.data_type() {
                write_type(&parts[1], &path, out);
            }
            out.push('}');
        }
        DataType::Struct(members) => write_record(members, &path, out),
        DataType::FixedSizeBinary(bytes) => {
            _ = write!(out, r#"{{"type":"fixed","name":"{path}","size":{bytes}}}"#);
        }
        DataType::Decimal128(digits, scale) => write_decimal(*digits, *scale, out),
        DataType::UInt64 => write_decimal(UINT64_DIGITS, 0, out),
        leaf => write_leaf(leaf, out),
    }
    if field.is_nullable() {
        out.push(']');
    }
}

fn write_decimal(digits: u8, scale: i8, out: &mut String) {
    _ = write!(out, r#"{{"type":"bytes","logicalType":"decimal","precision":{digits},"scale":{scale}}}"#);
}

fn write_leaf(leaf: &DataType, out: &mut String) {
    let (plain, annotation) = match leaf {
        DataType::Boolean => ("boolean", ""),
        DataType::UInt32 | DataType::Int64 => ("long", ""),
        DataType::Float32 => ("float", ""),
        DataType::Float64 => ("double", ""),
        DataType::Utf8 => ("string", ""),
        DataType::Binary => ("bytes", ""),
        DataType::Date32 => ("int", "date"),
        DataType::Time32(_) => ("int", "time-millis"),
        DataType::Time64(_) => ("long", "time-micros"),
        DataType::Timestamp(unit, zone) => ("long", timestamp(*unit, zone.is_some())),
        // Whole numbers of up to 32 bits. Other types are refused.
        _ => ("int", ""),
    };
    _ = match annotation {
        "" => write!(out, r#""{plain}""#),
        annotation => write!(out, r#"{{"type":"{plain}","logicalType":"{annotation}"}}"#),
    };
}

/// Returns the annotation of a timestamp. Avro has no seconds, so these are milliseconds.
fn timestamp(unit: TimeUnit, has_zone: bool) -> &'static str {
    match (unit, has_zone) {
        (TimeUnit::Second | TimeUnit::Millisecond, true) => "timestamp-millis",
        (TimeUnit::Second | TimeUnit::Millisecond, false) => "local-timestamp-millis",
        (TimeUnit::Microsecond, true) => "timestamp-micros",
        (TimeUnit::Microsecond, false) => "local-timestamp-micros",
        (TimeUnit::Nanosecond, true) => "timestamp-nanos",
        (TimeUnit::Nanosecond, false) => "local-timestamp-nanos",
    }
}
