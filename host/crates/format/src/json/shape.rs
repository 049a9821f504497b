//! Shapes of JSON values: what a sample of values has in common, so that a type that fits them all is found.
//!
//! Text stays text, also if it looks like a date: whoever wrote the JSON chose text, and text keeps every value as it
//! is. Values of several kinds are `json`, as are whole numbers that neither int64 nor a double holds exactly, objects
//! that have too many keys to be members of a struct, and values that are nested too deeply.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use etl_core::model::types::{as_json, canonical};

use super::value::Pairs;
use crate::numbers;

/// The most members of a struct. An object of more keys holds data in its keys.
const MEMBERS_MAX: usize = 256;

/// The deepest nesting of a type that is inferred.
const DEPTH_MAX: usize = 12;

/// All whole numbers up to this one are exact doubles.
const EXACT_MAX: u64 = 1 << 53;

/// What values have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Shape {
    /// None of them is more than null.
    #[default]
    Null,
    Boolean,
    /// Whole numbers that are exact doubles.
    Whole,
    /// Whole numbers of 64 bits, of which some are no exact doubles.
    Long,
    Float,
    Text,
    List(Box<Shape>),
    /// Objects: their keys in the order in which they were found.
    Object(Vec<(String, Shape)>),
    /// Anything.
    Json,
}

impl Shape {
    /// Returns the shape of a value, which must be one JSON value without white space around it.
    pub(super) fn of(text: &str) -> Self {
        Self::at(text, DEPTH_MAX)
    }

    fn at(text: &str, depth: usize) -> Self {
        match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => Self::Text,
            Some(b'[' | b'{') if depth == 0 => Self::Json,
            Some(b'[') => Self::of_list(text, depth - 1),
            Some(b'{') => Self::of_object(text, depth - 1),
            _ => Self::of_number(text),
        }
    }

    fn of_number(text: &str) -> Self {
        if text.contains(['.', 'e', 'E']) {
            return if numbers::float64(text).is_some() { Self::Float } else { Self::Json };
        }
        match text.parse::<i64>() {
            Ok(value) if value.unsigned_abs() <= EXACT_MAX => Self::Whole,
            Ok(_) => Self::Long,
            Err(_) => Self::Json,
        }
    }

    fn of_list(text: &str, depth: usize) -> Self {
        let Ok(items) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text) else { return Self::Json };
        let items = items.into_iter().map(|item| Self::at(item.get(), depth));
        Self::List(Box::new(items.fold(Self::Null, Self::with)))
    }

    fn of_object(text: &str, depth: usize) -> Self {
        let Ok(Pairs(pairs)) = serde_json::from_str(text) else { return Self::Json };
        let members = pairs.into_iter().map(|(key, value)| (key, Self::at(value.get(), depth)));
        Self::Object(members.collect())
    }

    /// Returns what values of this shape have in common with others.
    pub(super) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, shape) | (shape, Self::Null) => shape,
            (Self::Whole, shape @ (Self::Long | Self::Float)) | (shape @ (Self::Long | Self::Float), Self::Whole) => {
                shape
            }
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.with(*other))),
            (Self::Object(mut members), Self::Object(others)) => {
                merge(&mut members, others);
                Self::Object(members)
            }
            (one, other) if one == other => one,
            _ => Self::Json,
        }
    }

    /// Returns a field of a type that takes all these values.
    pub(super) fn field(&self, name: &str) -> Field {
        let found = self.data_type().map(|data_type| Field::new(name, data_type, true));
        let fits = found.filter(|field| canonical(field).is_some_and(|canonical| canonical == *field));
        fits.unwrap_or_else(|| self.plain_field(name))
    }

    fn plain_field(&self, name: &str) -> Field {
        let text = Field::new(name, DataType::Utf8, true);
        if matches!(self, Self::Null | Self::Text) { text } else { as_json(text) }
    }

    /// Returns the type, unless it is text or `json`.
    fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Null | Self::Text | Self::Json => return None,
            Self::Boolean => DataType::Boolean,
            Self::Whole | Self::Long => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::List(items) => {
                // Of empty lists, nothing is known about the items.
                let items = if **items == Self::Null { &Self::Json } else { items };
                DataType::List(Arc::new(items.field("item")))
            }
            Self::Object(members) if members.is_empty() || members.len() > MEMBERS_MAX => return None,
            Self::Object(members) => {
                DataType::Struct(members.iter().map(|(key, shape)| Arc::new(shape.field(key))).collect())
            }
        })
    }
}

/// Adds the members of an object to those of others.
pub(super) fn merge(members: &mut Vec<(String, Shape)>, others: Vec<(String, Shape)>) {
    for (place, (key, shape)) in others.into_iter().enumerate() {
        // Most objects have the same keys in the same order.
        let is_there = members.get(place).is_some_and(|(known, _)| *known == key);
        let found = if is_there { Some(place) } else { members.iter().position(|(known, _)| *known == key) };
        match found {
            Some(place) => {
                let known = std::mem::take(&mut members[place].1);
                members[place].1 = known.with(shape);
            }
            None => members.push((key, shape)),
        }
    }
}

#[cfg(test)]
mod tests {
    use etl_core::model::types::type_name;

    use super::*;

    #[test]
    fn a_type_is_found_that_takes_all_values() {
        for (values, expected) in [
            (&["null"][..], "text"),
            (&["true", "null", "false"], "boolean"),
            (&["1", "-9223372036854775808"], "int64"),
            (&["1", "1.0"], "float64"),
            (&["9007199254740993", "1.5"], "json"),
            (&["9223372036854775808"], "json"),
            (&["1e999"], "json"),
            (&["\"2024-01-01\""], "text"),
            (&["1", "\"1\""], "json"),
            (&["{}"], "json"),
            (&["[]"], "list<json>"),
            (&["[]", "[1]", "[null]"], "list<int64>"),
            (&["[1]", "[\"a\"]"], "list<json>"),
            (&["[1]", "1"], "json"),
            (
                &["{\"b\":1,\"a\":null}", "{\"c\":[{\"d\":true}]}"],
                "struct<b: int64, a: text, c: list<struct<d: boolean>>>",
            ),
            (&["{\"a b\":\"x\"}"], "struct<\"a b\": text>"),
            (&["{\"a\":1}", "{\"a\":{}}"], "struct<a: json>"),
        ] {
            let shape = values.iter().map(|value| Shape::of(value)).fold(Shape::Null, Shape::with);
            assert_eq!(type_name(&shape.field("f")), expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_too_deep_or_has_too_many_keys_is_json() {
        let deep = "[".repeat(30) + &"]".repeat(30);
        let lists = "list<".repeat(DEPTH_MAX) + "json" + &">".repeat(DEPTH_MAX);
        assert_eq!(type_name(&Shape::of(&deep).field("f")), lists);
        let keys: Vec<String> = (0..=MEMBERS_MAX).map(|key| format!("\"k{key}\":1")).collect();
        let wide = format!("{{{}}}", keys.join(","));
        assert_eq!(type_name(&Shape::of(&wide).field("f")), "json");
    }
}
