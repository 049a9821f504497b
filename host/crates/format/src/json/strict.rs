//! Parser of documents based on `serde_json`, which accepts all of JSON and says what is wrong and where.

use std::fmt;

use arrow_schema::{DataType, Field};
use etl_core::model::types::{is_json, type_name};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Unexpected, Visitor},
};
use serde_json::value::RawValue;

use super::{
    reason,
    row::{DOCUMENT, JsonColumns, Row, Wanted},
    value,
};
use crate::columns::{Value, shown};

/// Takes the asked-for fields of a document into a row of nulls.
///
/// # Errors
/// Any fault of the document. The row may then hold some of its values.
pub(super) fn parse<'a>(document: &'a [u8], columns: &JsonColumns, row: &mut Row<'a>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    deserializer.deserialize_any(ObjectVisitor { row, columns, object: DOCUMENT })?;
    deserializer.end()
}

/// Parses the value of an asked-for field. `None` when the value is malformed, or the field cannot take it.
pub(super) fn value<'a>(text: &'a str, field: &Field, unescaped: &mut String) -> Option<Value<'a>> {
    if !is_visited(field) {
        return value::read(text, field).ok();
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { field, unescaped }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

/// Returns whether serde hands out the values of a field as they are.
fn is_visited(field: &Field) -> bool {
    match field.data_type() {
        DataType::Boolean => true,
        DataType::Utf8 => !is_json(field),
        _ => false,
    }
}

/// Takes the asked-for fields of the document, or of an object in it.
struct ObjectVisitor<'r, 'a> {
    row: &'r mut Row<'a>,
    columns: &'r JsonColumns,
    object: usize,
}

impl<'a> Visitor<'a> for ObjectVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { row, columns, object } = self;
        while let Some(wanted) = map.next_key_seed(KeySeed(columns, object))? {
            match wanted.map(|number| columns.wanted(object, number)) {
                None => _ = map.next_value::<IgnoredAny>()?,
                Some((_, Wanted::Column(column))) => {
                    let field = columns.schema.field(*column);
                    row.values[*column] = map.next_value_seed(ValueSeed { field, unescaped: &mut row.unescaped })?;
                }
                Some((key, wanted)) => {
                    let text = map.next_value::<&RawValue>()?.get();
                    take(text, key, wanted, columns, row).map_err(A::Error::custom)?;
                }
            }
        }
        Ok(())
    }
}

/// Takes what is asked for of the value of a key.
pub(super) fn take<'a>(
    text: &'a str,
    key: &str,
    wanted: &Wanted,
    columns: &JsonColumns,
    row: &mut Row<'a>,
) -> Result<(), String> {
    match wanted {
        Wanted::Column(column) => row.values[*column] = value::read(text, columns.schema.field(*column))?,
        Wanted::Object(object) => {
            columns.clear(*object, row);
            match text.as_bytes() {
                b"null" => {}
                [b'{', ..] => {
                    let mut deserializer = serde_json::Deserializer::from_str(text);
                    let visitor = ObjectVisitor { row, columns, object: *object };
                    deserializer.deserialize_any(visitor).map_err(|error| reason(&error))?;
                }
                _ => {
                    let inner = columns.wanted(*object, 0).0;
                    return Err(format!("`{}` in `{key}` is no object, so it has no `{inner}`", shown(text)));
                }
            }
        }
        Wanted::Several(all) => all.iter().try_for_each(|wanted| take(text, key, wanted, columns, row))?,
    }
    Ok(())
}

/// Finds what is asked for under a key of an object.
struct KeySeed<'r>(&'r JsonColumns, usize);

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
        Ok(self.0.find(self.1, key))
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
        if is_visited(self.field) {
            return deserializer.deserialize_any(self);
        }
        // A number is taken from its text, because serde would hand out a double that may be another number.
        let text = <&RawValue>::deserialize(deserializer)?;
        value::read(text.get(), self.field).map_err(D::Error::custom)
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
