//! Parser of documents based on `serde_json`, which accepts all of JSON and says what is wrong and where.

use std::fmt;

use arrow_schema::{DataType, Field};
use etl_core::model::types::type_name;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Unexpected, Visitor},
};
use serde_json::value::RawValue;

use super::{JsonColumns, Row};
use crate::{
    columns::{Value, shown},
    numbers,
};

/// Takes the asked-for fields of a document into a row of nulls.
///
/// # Errors
/// Any fault of the document. The row may then hold some of its values.
pub(super) fn parse<'a>(document: &'a [u8], columns: &JsonColumns, row: &mut Row<'a>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    deserializer.deserialize_any(DocumentVisitor { row, columns })?;
    deserializer.end()
}

/// Parses the value of an asked-for field. `None` when the value is malformed, or the field cannot take it.
pub(super) fn value<'a>(text: &'a str, field: &Field, unescaped: &mut String) -> Option<Value<'a>> {
    if is_number(field) {
        return number(text, field).ok();
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { field, unescaped }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

fn is_number(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Int64 | DataType::Float64)
}

/// Returns the value that the text of a JSON value has in a field of numbers, or why the field cannot take it.
fn number(text: &str, field: &Field) -> Result<Value<'static>, String> {
    let value = match (text, field.data_type()) {
        ("null", _) => Some(Value::Null),
        (_, DataType::Int64) => numbers::int64(text).map(Value::Int64),
        ("\"NaN\"", _) => Some(Value::Float64(f64::NAN)),
        ("\"Infinity\"", _) => Some(Value::Float64(f64::INFINITY)),
        ("\"-Infinity\"", _) => Some(Value::Float64(f64::NEG_INFINITY)),
        _ => numbers::float64(text).map(Value::Float64),
    };
    let (name, expected) = (field.name(), type_name(field));
    value.ok_or_else(|| format!("`{}` in field `{name}` is not of type {expected}", shown(text)))
}

struct DocumentVisitor<'r, 'a> {
    row: &'r mut Row<'a>,
    columns: &'r JsonColumns,
}

impl<'a> Visitor<'a> for DocumentVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { row, columns } = self;
        while let Some(column) = map.next_key_seed(KeySeed(columns))? {
            let Some(column) = column else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = columns.schema.field(column);
            row.values[column] = map.next_value_seed(ValueSeed { field, unescaped: &mut row.unescaped })?;
        }
        Ok(())
    }
}

/// Finds the column of a key, if the key is asked for.
struct KeySeed<'r>(&'r JsonColumns);

impl<'a> DeserializeSeed<'a> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.column_of(key))
    }
}

/// Takes one value of the field's type.
struct ValueSeed<'r> {
    field: &'r Field,
    unescaped: &'r mut String,
}

impl ValueSeed<'_> {
    /// Returns `value` if the field has this type, and otherwise an error that says what was found instead.
    fn take<'a, E: serde::de::Error>(
        &self,
        data_type: &DataType,
        value: Value<'a>,
        found: Unexpected<'_>,
    ) -> Result<Value<'a>, E> {
        if self.field.data_type() == data_type { Ok(value) } else { Err(E::invalid_type(found, self)) }
    }
}

impl<'a> DeserializeSeed<'a> for ValueSeed<'_> {
    type Value = Value<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if !is_number(self.field) {
            return deserializer.deserialize_any(self);
        }
        // A number is taken from its text, because serde would hand out a double that may be another number.
        let text = <&RawValue>::deserialize(deserializer)?;
        number(text.get(), self.field).map_err(D::Error::custom)
    }
}

impl<'a> Visitor<'a> for ValueSeed<'_> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for field `{}`", type_name(self.field), self.field.name())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.take(&DataType::Boolean, Value::Boolean(value), Unexpected::Bool(value))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'a str) -> Result<Self::Value, E> {
        self.take(&DataType::Utf8, Value::Text(value), Unexpected::Str(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        let start = self.unescaped.len();
        self.unescaped.push_str(value);
        self.take(&DataType::Utf8, Value::Unescaped(start..self.unescaped.len()), Unexpected::Str(value))
    }
}
