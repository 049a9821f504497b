//! Columns that are built from the text of records, field by field.
//!
//! Owns which column types such records can have. Each format owns how its text becomes a [`Value`].

use std::{ops::Range, sync::Arc};

use arrow_array::{
    ArrayRef,
    builder::{BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder, StringBuilder},
    make_array,
};
use arrow_buffer::{Buffer, NullBufferBuilder};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field};
use etl_core::model::{
    error::{Error, Result},
    schema::Schema,
    types::type_name,
};

use crate::plain::hex_bytes;

/// Checks that records of `format` can have the fields of a schema.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the first field that they cannot have.
pub(crate) fn check_fields(format: &str, schema: &Schema) -> Result<()> {
    match schema.fields.fields().iter().find(|field| Column::new(field, 0).is_none()) {
        None => Ok(()),
        Some(field) => Err(Error::config(format!(
            "field `{}` of a `{format}` source cannot be {} (use `json`, or a type that is not nested)",
            field.name(),
            type_name(field)
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
    /// Bytes, as hexadecimal digits.
    Hex(&'a str),
    /// A value of any other type, as the bits that Arrow keeps of it.
    Bits(i128),
}

/// Builder of one column.
pub(crate) enum Column {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    FixedBinary(FixedSizeBinaryBuilder),
    Bits(BitsBuilder),
}

impl Column {
    /// Creates the builder of a column, or returns `None` if records of text cannot have a field of its type.
    pub(crate) fn new(field: &Field, rows: usize) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            DataType::Utf8 => Self::Text(StringBuilder::with_capacity(rows, 0)),
            DataType::Binary => Self::Binary(BinaryBuilder::with_capacity(rows, 0)),
            DataType::FixedSizeBinary(bytes) => Self::FixedBinary(FixedSizeBinaryBuilder::with_capacity(rows, *bytes)),
            other => Self::Bits(BitsBuilder::new(other)?),
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
            (Self::Binary(column), Value::Hex(digits)) => column.append_value(hex_bytes(digits)),
            (Self::Binary(column), _) => column.append_null(),
            (Self::FixedBinary(column), Value::Hex(digits)) => {
                column.append_value(hex_bytes(digits)).expect("a value is checked for its length when it is read");
            }
            (Self::FixedBinary(column), _) => column.append_null(),
            (Self::Bits(column), Value::Bits(bits)) => column.append(Some(*bits)),
            (Self::Bits(column), _) => column.append(None),
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut column) => Arc::new(column.finish()),
            Self::Int64(mut column) => Arc::new(column.finish()),
            Self::Float64(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Binary(mut column) => Arc::new(column.finish()),
            Self::FixedBinary(mut column) => Arc::new(column.finish()),
            Self::Bits(mut column) => column.finish(),
        }
    }
}

/// Builder of a column of any type whose values have a fixed number of bits.
pub(crate) struct BitsBuilder {
    data_type: DataType,
    width: usize,
    bytes: Vec<u8>,
    validity: NullBufferBuilder,
}

impl BitsBuilder {
    pub(crate) fn new(data_type: &DataType) -> Option<Self> {
        let width = data_type.primitive_width()?;
        Some(Self { data_type: data_type.clone(), width, bytes: Vec::new(), validity: NullBufferBuilder::new(0) })
    }

    pub(crate) fn append(&mut self, bits: Option<i128>) {
        self.bytes.extend_from_slice(&bits.unwrap_or_default().to_le_bytes()[..self.width]);
        self.validity.append(bits.is_some());
    }

    /// Returns the values, and begins anew.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let values = self.bytes.len() / self.width;
        let buffer = Buffer::from_slice_ref(&self.bytes);
        self.bytes.clear();
        let data = ArrayData::builder(self.data_type.clone()).len(values).add_buffer(buffer);
        let data = data.nulls(self.validity.finish()).build();
        make_array(data.expect("as many values as there is room for"))
    }
}
