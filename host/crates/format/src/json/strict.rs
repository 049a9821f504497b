//! Parser of documents based on `serde_json`, which accepts all of JSON and says what is wrong and where.

use std::fmt;

use arrow_schema::{DataType, Field};
use etl_core::model::schema::type_name;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Unexpected, Visitor};

use super::{JsonColumns, Row};
use crate::columns::Value;

/// The largest integer up to which every integer is a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Takes the asked-for fields of a document into a row of nulls.
///
/// # Errors
/// Any fault of the document. The row may then hold some of its values.
pub(super) fn parse<'a>(document: &'a [u8], columns: &JsonColumns, row: &mut Row<'a>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    deserializer.deserialize_any(DocumentVisitor { row, columns })?;
    deserializer.end()
}

/// Parses the value of an asked-for field.
///
/// # Errors
/// When the value is malformed, or the field cannot take it.
pub(super) fn value<'a>(text: &'a str, field: &Field, unescaped: &mut String) -> Result<Value<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { field, unescaped }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
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
        deserializer.deserialize_any(self)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the column types define these casts")]
impl<'a> Visitor<'a> for ValueSeed<'_> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for field `{}`", type_name(self.field.data_type()), self.field.name())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.take(&DataType::Boolean, Value::Boolean(value), Unexpected::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.field.data_type() {
            DataType::Float64 => Ok(Value::Float64(value as f64)),
            _ => self.take(&DataType::Int64, Value::Int64(value), Unexpected::Signed(value)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match (self.field.data_type(), i64::try_from(value)) {
            (DataType::Float64, _) => Ok(Value::Float64(value as f64)),
            (DataType::Int64, Err(_)) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
            (_, signed) => {
                self.take(&DataType::Int64, Value::Int64(signed.unwrap_or_default()), Unexpected::Unsigned(value))
            }
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        match self.field.data_type() {
            DataType::Int64 if value.fract() == 0.0 && value.abs() <= EXACT_MAX => Ok(Value::Int64(value as i64)),
            _ => self.take(&DataType::Float64, Value::Float64(value), Unexpected::Float(value)),
        }
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
