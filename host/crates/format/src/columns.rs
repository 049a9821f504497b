//! Columns that are built from the text of records, field by field.
//!
//! Owns which column types such records can have. Each format owns how its text becomes a [`Value`].

use std::{ops::Range, sync::Arc};

use arrow_array::{
    ArrayRef,
    builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder},
};
use arrow_schema::{DataType, Field};
use etl_core::model::{
    error::{Error, Result},
    schema::{Schema, type_name},
};

/// Checks that records of `format` can have the fields of a schema.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the first field that they cannot have.
pub(crate) fn check_fields(format: &str, schema: &Schema) -> Result<()> {
    match schema.fields.fields().iter().find(|field| Column::new(field, 0).is_none()) {
        None => Ok(()),
        Some(field) => Err(Error::config(format!(
            "field `{}` of a `{format}` source cannot be {} (use boolean, int64, float64 or text)",
            field.name(),
            type_name(field.data_type())
        ))),
    }
}

/// The most characters of a wrong value that a reject's reason shows.
pub(crate) const SHOWN_CHARACTERS_MAX: usize = 60;

/// Returns a wrong value as a reject's reason shows it.
pub(crate) fn shown(value: &str) -> String {
    cut(value, SHOWN_CHARACTERS_MAX)
}

/// Returns a text cut to `max` characters.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value of a record, held until the whole record is known to be valid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Text(&'a str),
    /// Text that is not in the record as such, as a range of a buffer beside the values.
    Unescaped(Range<usize>),
}

/// Builder of one column.
pub(crate) enum Column {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
}

impl Column {
    /// Creates the builder of a column, or returns `None` if records of text cannot have a field of its type.
    pub(crate) fn new(field: &Field, rows: usize) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            DataType::Utf8 => Self::Text(StringBuilder::with_capacity(rows, 0)),
            _ => return None,
        })
    }

    /// Appends a value of the column's type. Any other value can only be null and appends a null.
    pub(crate) fn append(&mut self, value: &Value<'_>, unescaped: &str) {
        match (self, value) {
            (Self::Boolean(column), Value::Boolean(value)) => column.append_value(*value),
            (Self::Boolean(column), _) => column.append_null(),
            (Self::Int64(column), Value::Int64(value)) => column.append_value(*value),
            (Self::Int64(column), _) => column.append_null(),
            (Self::Float64(column), Value::Float64(value)) => column.append_value(*value),
            (Self::Float64(column), _) => column.append_null(),
            (Self::Text(column), Value::Text(value)) => column.append_value(value),
            (Self::Text(column), Value::Unescaped(range)) => column.append_value(&unescaped[range.clone()]),
            (Self::Text(column), _) => column.append_null(),
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut column) => Arc::new(column.finish()),
            Self::Int64(mut column) => Arc::new(column.finish()),
            Self::Float64(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
        }
    }
}
