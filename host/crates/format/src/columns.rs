//! Columns that are built from the text of records, field by field.
//!
//! Owns which column types such records can have. Each format owns how its text becomes a [`Value`].

use std::{ops::Range, sync::Arc};

use arrow_array::{
    ArrayRef, ListArray, MapArray, StructArray,
    builder::{BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder, StringBuilder},
    make_array,
};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field};
use etl_core::model::{
    error::{Error, Result},
    schema::Schema,
    types::{parts, type_name},
};

use crate::plain::hex_bytes;

/// Checks that records of `format`, which has no nested values, can have the fields of a schema.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the first field that they cannot have.
pub(crate) fn check_plain(format: &str, schema: &Schema) -> Result<()> {
    match schema.fields.fields().iter().find(|field| field.data_type().is_nested()) {
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

/// Words by which the reason of a reject says that a value is not of the type of its field.
pub(crate) const WRONG_TYPE: [&str; 3] = ["is not of type", "for field `", "is no object, so it has no"];

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
    Bytes(Vec<u8>),
    /// A value of any other type that is not nested, as the bits that Arrow keeps of it.
    Bits(i128),
    /// Text that is not in the record as such.
    Owned(String),
    /// The items of a list.
    Items(Vec<Value<'a>>),
    /// The members of a struct, in the order of its type.
    Members(Vec<Value<'a>>),
    /// The keys and values of a map.
    Entries(Vec<(Value<'a>, Value<'a>)>),
}

impl Value<'_> {
    /// Returns the value with nothing borrowed, of a field that is not nested.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Boolean(value),
            Self::Int64(value) => Value::Int64(value),
            Self::Float64(value) => Value::Float64(value),
            Self::Bits(bits) => Value::Bits(bits),
            Self::Hex(digits) => Value::Bytes(hex_bytes(digits)),
            Self::Text(text) => Value::Owned(text.to_owned()),
            Self::Owned(text) => Value::Owned(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Unescaped(range) => Value::Unescaped(range),
            Self::Items(_) | Self::Members(_) | Self::Entries(_) => unreachable!("the field is not nested"),
        }
    }
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
    Nested(NestedBuilder),
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
            DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => Self::Nested(NestedBuilder::new(field)?),
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
            (Self::Text(column), Value::Owned(value)) => column.append_value(value),
            (Self::Text(column), _) => column.append_null(),
            (Self::Binary(column), Value::Hex(digits)) => column.append_value(hex_bytes(digits)),
            (Self::Binary(column), Value::Bytes(bytes)) => column.append_value(bytes),
            (Self::Binary(column), _) => column.append_null(),
            (Self::FixedBinary(column), Value::Hex(digits)) => {
                column.append_value(hex_bytes(digits)).expect("a value is checked for its length when it is read");
            }
            (Self::FixedBinary(column), Value::Bytes(bytes)) => {
                column.append_value(bytes).expect("a value is checked for its length when it is read");
            }
            (Self::FixedBinary(column), _) => column.append_null(),
            (Self::Bits(column), Value::Bits(bits)) => column.append(Some(*bits)),
            (Self::Bits(column), _) => column.append(None),
            (Self::Nested(column), value) => column.append(value, unescaped),
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
            Self::Bits(column) => column.finish(),
            Self::Nested(column) => column.finish(),
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
    fn new(data_type: &DataType) -> Option<Self> {
        let width = data_type.primitive_width()?;
        Some(Self { data_type: data_type.clone(), width, bytes: Vec::new(), validity: NullBufferBuilder::new(0) })
    }

    fn append(&mut self, bits: Option<i128>) {
        self.bytes.extend_from_slice(&bits.unwrap_or_default().to_le_bytes()[..self.width]);
        self.validity.append(bits.is_some());
    }

    fn finish(mut self) -> ArrayRef {
        let values = self.bytes.len() / self.width;
        let data = ArrayData::builder(self.data_type).len(values).add_buffer(Buffer::from_slice_ref(&self.bytes));
        let data = data.nulls(self.validity.finish()).build();
        make_array(data.expect("as many values as there is room for"))
    }
}

/// Builder of a nested column.
pub(crate) struct NestedBuilder {
    data_type: DataType,
    /// Of lists and maps, the end of each value in the parts, behind a 0.
    offsets: Vec<i32>,
    validity: NullBufferBuilder,
    /// The items of a list, the members of a struct, or the keys and the values of a map.
    parts: Vec<Column>,
}

impl NestedBuilder {
    fn new(field: &Field) -> Option<Self> {
        let parts = match field.data_type() {
            DataType::Map(entries, _) => parts(entries.data_type()),
            other => parts(other),
        };
        let parts = parts.iter().map(|part| Column::new(part, 0)).collect::<Option<_>>()?;
        let data_type = field.data_type().clone();
        Some(Self { data_type, offsets: vec![0], validity: NullBufferBuilder::new(0), parts })
    }

    fn append(&mut self, value: &Value<'_>, unescaped: &str) {
        let mut count = 0;
        let is_valid = match (value, &mut self.parts[..]) {
            (Value::Items(items), [part]) => {
                items.iter().for_each(|item| part.append(item, unescaped));
                count = items.len();
                true
            }
            (Value::Entries(entries), [keys, values]) => {
                for (key, value) in entries {
                    keys.append(key, unescaped);
                    values.append(value, unescaped);
                }
                count = entries.len();
                true
            }
            (Value::Members(members), parts) => {
                parts.iter_mut().zip(members).for_each(|(part, member)| part.append(member, unescaped));
                true
            }
            (_, parts) => {
                if matches!(self.data_type, DataType::Struct(_)) {
                    parts.iter_mut().for_each(|part| part.append(&Value::Null, unescaped));
                }
                false
            }
        };
        self.validity.append(is_valid);
        let end = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(end + i32::try_from(count).expect("a record is smaller than 2 GiB"));
    }

    fn finish(mut self) -> ArrayRef {
        let (nulls, values) = (self.validity.finish(), self.offsets.len() - 1);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let mut parts = self.parts.into_iter().map(Column::finish);
        match self.data_type {
            DataType::List(item) => {
                let items = parts.next().expect("a list has items");
                Arc::new(ListArray::new(item, offsets, items, nulls))
            }
            DataType::Map(entries, ordered) => {
                let DataType::Struct(members) = entries.data_type().clone() else { unreachable!("a map has entries") };
                let pairs = StructArray::new(members, parts.collect(), None);
                Arc::new(MapArray::new(entries, offsets, pairs, nulls, ordered))
            }
            DataType::Struct(members) => {
                let made = StructArray::try_new_with_length(members, parts.collect(), nulls, values);
                Arc::new(made.expect("each member has a value for each struct"))
            }
            other => unreachable!("{other} is not nested"),
        }
    }
}
