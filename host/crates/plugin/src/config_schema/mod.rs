//! A plugin's description of its configuration: a JSON Schema in a custom section of the component file.
//!
//! Owns the part of JSON Schema that the SDK writes: types, `properties`, `required`, `additionalProperties`, `items`,
//! `enum`, `anyOf`, and bounds of numbers and lengths. All other keywords are ignored: the plugin's `open` has the last
//! word. The plugin module reads the schema and compares a configuration with it; the pipeline module names the line of
//! the field that is wrong.

mod check;
mod words;

use std::fmt;

use etl_core::text::variables::scalar;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::{
    check::Check,
    words::{shown, takes},
};

/// Largest schema that is read, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Number of choices that are compared and listed; further ones are ignored.
const CHOICES_MAX: usize = 50;

/// The JSON Schema with which a plugin describes its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub path: Vec<PathPart>,
    /// Description of the fault, as the end of a sentence that starts with the path.
    pub what: String,
}

/// One part of the path to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    /// Field of an object.
    Field(String),
    /// Item of a list, counted from 0.
    Item(usize),
}

impl fmt::Display for WrongConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`config")?;
        for part in &self.path {
            match part {
                PathPart::Field(name) => write!(f, ".{name}")?,
                PathPart::Item(index) => write!(f, "[{index}]")?,
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

    /// Returns a configuration in which the texts at the paths of `variables` are replaced by the number or the boolean
    /// that they spell, where the schema wants one.
    pub fn typed(&self, mut config: Value, variables: &[Vec<PathPart>]) -> Value {
        let mut left: Vec<&Vec<PathPart>> = variables.iter().collect();
        while let Err(wrong) = self.check(&config) {
            let Some(variable) = left.iter().position(|path| **path == wrong.path) else { break };
            left.swap_remove(variable);
            let mut typed = config.clone();
            let Some(text) = find_mut(&mut typed, &wrong.path) else { break };
            let Some(scalar) = text.as_str().and_then(scalar) else { break };
            *text = scalar;
            // Of a text that spells a value of another type, the message shows the text.
            if self.check(&typed).is_err_and(|still| still.path == wrong.path) {
                break;
            }
            config = typed;
        }
        config
    }

    /// Compares a configuration with the schema.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self, config: &Value) -> Result<(), WrongConfig> {
        Check::default().value(&self.0, config)
    }
}

fn find_mut<'v>(config: &'v mut Value, path: &[PathPart]) -> Option<&'v mut Value> {
    path.iter().try_fold(config, |value, part| match part {
        PathPart::Field(name) => value.get_mut(name),
        PathPart::Item(index) => value.get_mut(*index),
    })
}

fn properties(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn list<'a>(schema: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
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
    fn a_text_of_a_variable_is_what_it_spells_if_the_schema_wants_that() {
        let config =
            json!({ "separator": "7", "at_least": "7", "weights": { "x": "0.5", "y": "1" }, "columns": ["8"] });
        let field = |name: &str| PathPart::Field(name.to_owned());
        let places = ["x", "y"].map(|name| vec![field("weights"), field(name)]);
        let mut variables =
            vec![vec![field("separator")], vec![field("at_least")], vec![field("columns"), PathPart::Item(0)]];
        variables.extend(places);
        let expected = json!({ "separator": "7", "at_least": 7, "weights": { "x": 0.5, "y": 1 }, "columns": ["8"] });
        assert_eq!(schema().typed(config.clone(), &variables), expected);
        assert_eq!(schema().typed(config.clone(), &[]), config, "a text that was written as one stays one");
        for wrong in ["many", "true", "256"] {
            let config = json!({ "separator": ",", "at_least": wrong });
            assert_eq!(schema().typed(config.clone(), &variables), config);
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
