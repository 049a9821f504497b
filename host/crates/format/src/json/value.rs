//! The value that a piece of JSON is in a field of some type.
//!
//! Owns how JSON values map to column types; the module above says how. Used by the fast and by the strict parser, for
//! values that are not plain.

use std::{borrow::Cow, collections::HashMap};

use arrow_schema::{DataType, Field};
use etl_core::model::types::{is_json, parts, type_name};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    columns::{Value, shown},
    numbers, plain,
};

/// The deepest nesting of a value whose parts are looked at.
const DEPTH_MAX: usize = 64;

/// Returns the value that a JSON value is in a field. `text` must be one JSON value without white space around it.
///
/// # Errors
/// Says what is wrong.
pub(super) fn read<'a>(text: &'a str, field: &Field) -> Result<Value<'a>, String> {
    read_at(text, field, DEPTH_MAX)
}

fn read_at<'a>(text: &'a str, field: &Field, depth: usize) -> Result<Value<'a>, String> {
    if text == "null" {
        return Ok(Value::Null);
    }
    let value = match field.data_type() {
        DataType::Utf8 if is_json(field) => Some(Value::Text(text)),
        DataType::Utf8 => string(text)?.map(|text| match text {
            Cow::Borrowed(text) => Value::Text(text),
            Cow::Owned(text) => Value::Owned(text),
        }),
        DataType::Boolean => match text {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            _ => None,
        },
        data_type if data_type.is_nested() => {
            let depth = depth.checked_sub(1).ok_or_else(|| format!("is nested deeper than {DEPTH_MAX} levels"))?;
            nested(text, data_type, depth)?
        }
        _ => plain_value(text, field)?,
    };
    value.ok_or_else(|| wrong(text, field))
}

#[cold]
fn wrong(text: &str, field: &Field) -> String {
    format!("`{}` in field `{}` is not of type {}", shown(text), field.name(), type_name(field))
}

/// Returns the text of a JSON string; `None` if it is another value.
fn string(text: &str) -> Result<Option<Cow<'_, str>>, String> {
    if !text.starts_with('"') {
        return Ok(None);
    }
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match serde_json::from_str::<Text<'_>>(text) {
        Ok(Text(text)) => Ok(Some(text)),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the value of a type that is neither nested nor text.
fn plain_value<'a>(text: &'a str, field: &Field) -> Result<Option<Value<'a>>, String> {
    let data_type = field.data_type();
    if !text.starts_with('"') {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        return Ok(match data_type {
            _ if !is_number => None,
            DataType::Timestamp(..) | DataType::Duration(_) => {
                numbers::int64(text).map(|value| Value::Bits(value.into()))
            }
            other if other.is_numeric() => plain::value(field, text),
            _ => None,
        });
    }
    let Some(text) = string(text)? else { return Ok(None) };
    Ok(match (data_type, &*text) {
        (other, "NaN" | "Infinity" | "-Infinity") if other.is_floating() => {
            plain::value(field, &text.replace("Infinity", "inf")).map(Value::into_owned)
        }
        (DataType::Decimal128(..), _) => plain::value(field, &text).map(Value::into_owned),
        (other, _) if other.is_numeric() => None,
        _ => match text {
            Cow::Borrowed(text) => plain::value(field, text),
            // What is written with escapes is neither a number nor a date, so it is one only by accident.
            Cow::Owned(text) => plain::value(field, &text).map(Value::into_owned),
        },
    })
}

fn nested<'a>(text: &'a str, data_type: &DataType, depth: usize) -> Result<Option<Value<'a>>, String> {
    let told = |error: serde_json::Error| error.to_string();
    match (data_type, text.as_bytes()[0]) {
        (DataType::List(item), b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(told)?;
            let items = items.into_iter().map(|text| read_at(text.get(), item, depth));
            Ok(Some(Value::Items(items.collect::<Result<_, _>>()?)))
        }
        (DataType::Struct(members), b'{') => {
            let found: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).map_err(told)?;
            let member = |member: &std::sync::Arc<Field>| {
                found.get(member.name().as_str()).map_or(Ok(Value::Null), |text| read_at(text.get(), member, depth))
            };
            Ok(Some(Value::Members(members.iter().map(member).collect::<Result<_, _>>()?)))
        }
        (DataType::Map(entries, _), b'{') => {
            let found: Vec<(String, &RawValue)> = serde_json::from_str::<Pairs<'_>>(text).map_err(told)?.0;
            let [key_field, value_field] = parts(entries.data_type()) else { return Ok(None) };
            let entry = |(key, text): (String, &'a RawValue)| {
                let value = read_at(text.get(), value_field, depth)?;
                let read = match key_field.data_type() {
                    DataType::Utf8 => Some(Value::Owned(key.clone())),
                    other if other.is_nested() => None,
                    _ => plain::value(key_field, &key).map(Value::into_owned),
                };
                Ok((read.ok_or_else(|| wrong(&key, key_field))?, value))
            };
            Ok(Some(Value::Entries(found.into_iter().map(entry).collect::<Result<_, String>>()?)))
        }
        _ => Ok(None),
    }
}

/// The keys of an object and their values, in order, each key once.
pub(super) struct Pairs<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> serde::de::Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut pairs, mut places) = (Vec::new(), HashMap::new());
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            // Of two equal keys, the last one counts.
            match places.get(&key) {
                Some(place) => pairs[*place] = (key, value),
                None => {
                    places.insert(key.clone(), pairs.len());
                    pairs.push((key, value));
                }
            }
        }
        Ok(Pairs(pairs))
    }
}
