//! The words for a schema and its values, in messages and descriptions.

use etl_core::text::nearest::{did_you_mean, listed};
use serde_json::{Map, Value};

use super::{CHOICES_MAX, list};

/// Longest text that messages show in full, in characters.
const SHOWN_MAX: usize = 50;
/// Word for `null` in messages, since TOML has none.
const NOTHING: &str = "nothing";

/// Returns the values a schema takes, in words: `a whole number, 0 to 255`.
pub(super) fn takes(schema: &Map<String, Value>) -> String {
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let choices = choices.iter().filter_map(Value::as_object).map(takes).filter(|takes| takes != NOTHING);
        return choices.take(CHOICES_MAX).collect::<Vec<_>>().join(" or ");
    }
    let choices: Vec<&Value> = list(schema, "enum").collect();
    if !choices.is_empty() {
        return format!("one of {}", quoted(&choices));
    }
    let bounded = |what: &str, min: &str, max: &str, unit: &str| match (schema.get(min), schema.get(max)) {
        (Some(min), Some(max)) => format!("{what} {min} to {max}{unit}"),
        (Some(min), None) => format!("{what} {min}{unit} or more"),
        (None, Some(max)) => format!("{what} {max}{unit} at most"),
        (None, None) => what.to_owned(),
    };
    let number =
        |what: &str| bounded(what, "minimum", "maximum", "").replacen(&format!("{what} "), &format!("{what}, "), 1);
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => number("a whole number"),
        Some("number") => number("a number"),
        Some("string") => match (schema.get("minLength"), schema.get("maxLength")) {
            (Some(min), Some(max)) if min == 1 && max == 1 => "one character".to_owned(),
            (None, None) => "text".to_owned(),
            _ => bounded("text of", "minLength", "maxLength", " characters"),
        },
        Some("array") => match schema.get("items").and_then(Value::as_object).map(takes) {
            Some(item) => format!("a list of {item}"),
            None => "a list".to_owned(),
        },
        Some("object") => "a table".to_owned(),
        Some("null") => NOTHING.to_owned(),
        _ => "anything".to_owned(),
    }
}

/// Describes a value, without showing text, which may be a secret.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => format!("text of {} characters", text.chars().count()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

/// Returns a default value as [`ConfigField::default`](super::ConfigField::default) shows it.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.is_empty() => return "empty text".to_owned(),
        Value::Array(items) if items.is_empty() => return "an empty list".to_owned(),
        Value::Object(fields) if fields.is_empty() => return "an empty table".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// Says that a field is not one of the `known` ones.
pub(super) fn unknown(name: &str, known: Option<&Map<String, Value>>) -> String {
    let known: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).take(CHOICES_MAX).collect();
    if known.is_empty() {
        return "is not known: the step takes no configuration".to_owned();
    }
    let question = did_you_mean(name, &known);
    format!("is not a field of the step's configuration ({question}fields: {})", listed(&known))
}

/// Says that a value is not one of the choices.
pub(super) fn no_choice(choices: &[&Value], value: &Value) -> String {
    let listed = quoted(choices);
    match value {
        Value::String(text) if text.chars().count() <= SHOWN_MAX => format!("is `{text}` (choices: {listed})"),
        _ => format!("must be one of {listed}, not {}", found(value)),
    }
}

fn quoted(choices: &[&Value]) -> String {
    listed(choices.iter().take(CHOICES_MAX).map(|choice| match choice {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }))
}
