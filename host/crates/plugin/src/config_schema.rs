//! A plugin's description of its configuration: a JSON Schema in a custom section of the component file.
//!
//! Owns the part of JSON Schema that the SDK writes: types, `properties`, `required`, `additionalProperties`, `items`,
//! `enum`, `anyOf`, and bounds of numbers and lengths. All other keywords are ignored: the plugin's `open` has the last
//! word. The plugin module reads the schema and compares a configuration with it; the pipeline module names the line of
//! the field that is wrong.

use std::fmt;

use etl_core::text::nearest::{did_you_mean, listed};
use serde_json::{Map, Value};

/// Largest schema that is read, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of a configuration that is checked.
const DEPTH_MAX: usize = 32;
/// Number of choices that are compared and listed; further ones are ignored.
const CHOICES_MAX: usize = 50;
/// Longest text that messages show in full, in characters.
const SHOWN_MAX: usize = 50;

/// The JSON Schema with which a plugin describes its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSchema(Map<String, Value>);

/// A top-level field of a configuration, as the plugin's schema describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigField {
    /// Name of the field.
    pub name: String,
    /// Values the field takes, in words: `a whole number`, ``one of `a`, `b` ``.
    pub takes: String,
    /// Whether the field must be given.
    pub required: bool,
    /// Default value, in words, if the schema states one: `` `,` ``, `empty text`.
    pub default: Option<String>,
    /// Meaning of the field, in the plugin author's words.
    pub description: Option<String>,
}

/// Reason why a configuration does not match its schema. Displays as a sentence that starts with the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongConfig {
    /// Path of the wrong value in the configuration.
    pub place: Vec<Place>,
    /// Description of the fault, as the end of a sentence that starts with the path.
    pub what: String,
}

/// One part of the path to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Field of an object.
    Field(String),
    /// Item of a list, counted from 0.
    Item(usize),
}

impl fmt::Display for WrongConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`config")?;
        for place in &self.place {
            match place {
                Place::Field(name) => write!(f, ".{name}")?,
                Place::Item(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, "` {}", self.what)
    }
}

impl ConfigSchema {
    /// Reads a schema. Returns `None` for more than 64 KiB, and for anything that is not a JSON object.
    pub fn parse(json: &[u8]) -> Option<Self> {
        if json.len() > BYTES_MAX {
            return None;
        }
        serde_json::from_slice(json).ok().map(Self)
    }

    /// Returns the top-level fields, sorted by name.
    pub fn fields(&self) -> Vec<ConfigField> {
        let described = |(name, schema): (&String, &Value)| ConfigField {
            name: name.clone(),
            takes: schema.as_object().map_or_else(|| "anything".to_owned(), takes),
            required: list(&self.0, "required").any(|required| required == name),
            default: schema.get("default").filter(|default| !default.is_null()).map(shown),
            description: schema.get("description").and_then(Value::as_str).map(str::to_owned),
        };
        properties(&self.0).into_iter().flatten().map(described).collect()
    }

    /// Compares a configuration with the schema.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self, config: &Value) -> Result<(), WrongConfig> {
        Check { place: Vec::new() }.value(&self.0, config)
    }
}

/// A comparison in progress, at the value to which `place` leads.
struct Check {
    place: Vec<Place>,
}

impl Check {
    fn value(&mut self, schema: &Map<String, Value>, value: &Value) -> Result<(), WrongConfig> {
        if self.place.len() > DEPTH_MAX {
            return Err(self.wrong(format!("is nested more than {DEPTH_MAX} levels deep")));
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            return self.any_of(choices, value);
        }
        let choices: Vec<&Value> = list(schema, "enum").collect();
        if !choices.is_empty() && !choices.contains(&value) {
            return Err(self.wrong(no_choice(&choices, value)));
        }
        if !fits_type(schema, value) || !within_bounds(schema, value) {
            return Err(self.wrong(format!("must be {}, not {}", takes(schema), found(value))));
        }
        match value {
            Value::Object(fields) => self.object(schema, fields),
            Value::Array(items) => self.array(schema, items),
            _ => Ok(()),
        }
    }

    /// Accepts a value that matches one of the choices. For any other value, returns why it does not match the first.
    fn any_of(&mut self, choices: &[Value], value: &Value) -> Result<(), WrongConfig> {
        let mut first = Ok(());
        for choice in choices.iter().filter_map(Value::as_object).take(CHOICES_MAX) {
            let fits = Self { place: self.place.clone() }.value(choice, value);
            if fits.is_ok() {
                return Ok(());
            }
            first = first.and(fits);
        }
        first
    }

    fn object(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>) -> Result<(), WrongConfig> {
        let known = properties(schema);
        let missing = list(schema, "required").filter_map(Value::as_str).find(|name| !fields.contains_key(*name));
        let others = schema.get("additionalProperties");
        for (name, value) in fields {
            self.place.push(Place::Field(name.clone()));
            match (known.and_then(|known| known.get(name)).and_then(Value::as_object), others) {
                (Some(schema), _) => self.value(schema, value)?,
                (None, Some(Value::Bool(false))) => return Err(self.wrong(unknown(name, known))),
                (None, Some(Value::Object(schema))) => self.value(schema, value)?,
                (None, _) => {}
            }
            self.place.pop();
        }
        let Some(missing) = missing else { return Ok(()) };
        self.place.push(Place::Field(missing.to_owned()));
        let takes = known.and_then(|known| known.get(missing)).and_then(Value::as_object).map(takes);
        Err(self.wrong(format!("is missing (it takes {})", takes.unwrap_or_else(|| "anything".to_owned()))))
    }

    fn array(&mut self, schema: &Map<String, Value>, items: &[Value]) -> Result<(), WrongConfig> {
        let Some(schema) = schema.get("items").and_then(Value::as_object) else { return Ok(()) };
        for (index, item) in items.iter().enumerate() {
            self.place.push(Place::Item(index));
            self.value(schema, item)?;
            self.place.pop();
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> WrongConfig {
        WrongConfig { place: self.place.clone(), what }
    }
}

fn properties(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn list<'a>(schema: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn fits_type(schema: &Map<String, Value>, value: &Value) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => true,
    }
}

fn within_bounds(schema: &Map<String, Value>, value: &Value) -> bool {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let within = |measure: f64, min: &str, max: &str| {
        bound(min).is_none_or(|min| measure >= min) && bound(max).is_none_or(|max| measure <= max)
    };
    match value {
        Value::Number(number) => within(number.as_f64().unwrap_or_default(), "minimum", "maximum"),
        Value::String(text) => within(text.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(items) => within(items.len() as f64, "minItems", "maxItems"),
        _ => true,
    }
}

/// Returns the values a schema takes, in words: `a whole number, 0 to 255`.
fn takes(schema: &Map<String, Value>) -> String {
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

/// Word for `null` in messages, since TOML has none.
const NOTHING: &str = "nothing";

/// Describes a value, without showing text, which may be a secret.
fn found(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => format!("text of {} characters", text.chars().count()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

/// Returns a default value as [`ConfigField::default`] shows it.
fn shown(value: &Value) -> String {
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

fn unknown(name: &str, known: Option<&Map<String, Value>>) -> String {
    let known: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).take(CHOICES_MAX).collect();
    if known.is_empty() {
        return "is not known: the step takes no configuration".to_owned();
    }
    let question = did_you_mean(name, &known);
    format!("is not a field of the step's configuration ({question}fields: {})", listed(&known))
}

fn no_choice(choices: &[&Value], value: &Value) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ConfigSchema {
        let schema = json!({
            "type": "object",
            "properties": {
                "separator": { "type": "string", "minLength": 1, "maxLength": 1, "description": "Between fields." },
                "at_least": { "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 255 }, { "type": "null" }] },
                "columns": { "type": "array", "items": { "type": "string" }, "default": [] },
                "mode": { "enum": ["in-order", "any"], "default": "any" },
                "weights": { "type": "object", "additionalProperties": { "type": "number" } },
                "other": { "default": { "a": "x".repeat(100) } },
            },
            "required": ["separator"],
            "additionalProperties": false,
        });
        ConfigSchema::parse(schema.to_string().as_bytes()).expect("a description")
    }

    fn wrong(config: &Value) -> String {
        schema().check(config).expect_err("it does not fit").to_string()
    }

    #[test]
    fn a_configuration_that_fits_passes() {
        for config in [
            json!({ "separator": "é" }),
            json!({ "separator": ",", "at_least": 255, "columns": ["a"], "mode": "any", "weights": { "x": 1.5 } }),
            json!({ "separator": ",", "at_least": null, "other": [1, {}] }),
        ] {
            assert_eq!(schema().check(&config), Ok(()), "{config}");
        }
    }

    #[test]
    fn the_wrong_field_is_named_with_what_it_takes() {
        let with = |field: &str, value: Value| wrong(&json!({ "separator": ",", field: value }));
        assert_eq!(wrong(&json!({})), "`config.separator` is missing (it takes one character)");
        assert_eq!(
            wrong(&json!({ "separator": "::" })),
            "`config.separator` must be one character, not text of 2 characters"
        );
        assert_eq!(with("at_least", json!(-1)), "`config.at_least` must be a whole number, 0 to 255, not -1");
        assert_eq!(with("at_least", json!(1.5)), "`config.at_least` must be a whole number, 0 to 255, not 1.5");
        assert_eq!(with("columns", json!(["a", 7])), "`config.columns[1]` must be text, not 7");
        assert_eq!(with("mode", json!("Any")), "`config.mode` is `Any` (choices: `in-order`, `any`)");
        assert_eq!(with("weights", json!({ "x": true })), "`config.weights.x` must be a number, not true");
    }

    #[test]
    fn an_unknown_field_is_compared_with_the_known_ones() {
        let error = wrong(&json!({ "seperator": "," }));
        assert!(error.starts_with("`config.seperator` is not a field of the step's configuration (did you mean `separator`? fields: `at_least`"), "{error}");
        let none = ConfigSchema::parse(br#"{"type":"object","properties":{},"additionalProperties":false}"#);
        let error = none.expect("a description").check(&json!({ "a": 1 })).expect_err("unknown").to_string();
        assert_eq!(error, "`config.a` is not known: the step takes no configuration");
    }

    #[test]
    fn fields_are_described() {
        let fields = schema().fields();
        let field = |name: &str| fields.iter().find(|field| field.name == name).expect("it is there");
        let separator = field("separator");
        assert_eq!((separator.takes.as_str(), separator.required), ("one character", true));
        assert_eq!(separator.description.as_deref(), Some("Between fields."));
        assert_eq!((field("at_least").takes.as_str(), field("at_least").required), ("a whole number, 0 to 255", false));
        assert_eq!(field("columns").takes, "a list of text");
        assert_eq!(field("mode").takes, "one of `in-order`, `any`");
        assert_eq!(field("other").takes, "anything");
        let default = |name: &str| field(name).default.clone();
        assert_eq!((default("separator"), default("mode")), (None, Some("`any`".to_owned())));
        assert_eq!(default("columns").as_deref(), Some("an empty list"));
        assert_eq!(default("other"), Some(format!("`{{\"a\":\"{}…`", "x".repeat(44))));
    }

    #[test]
    fn what_is_no_description_says_nothing() {
        for text in ["", "7", "[]", "{", &format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX))] {
            assert_eq!(ConfigSchema::parse(text.as_bytes()), None);
        }
        let odd = ConfigSchema::parse(br#"{"type":7,"properties":[],"required":"x","enum":{},"anyOf":1}"#);
        let odd = odd.expect("an object");
        assert_eq!((odd.check(&json!({ "a": 1 })), odd.fields().len()), (Ok(()), 0));
    }
}
