//! The comparison of a configuration with its schema.

use serde_json::{Map, Value};

use super::{
    CHOICES_MAX, PathPart, WrongConfig, list, properties,
    words::{found, no_choice, takes, unknown},
};

/// Deepest nesting of a configuration that is checked.
const DEPTH_MAX: usize = 32;

/// A comparison in progress, at the value to which `path` leads.
#[derive(Default)]
pub(super) struct Check {
    path: Vec<PathPart>,
}

impl Check {
    /// Compares a value with its schema.
    pub(super) fn value(&mut self, schema: &Map<String, Value>, value: &Value) -> Result<(), WrongConfig> {
        if self.path.len() > DEPTH_MAX {
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
            let fits = Self { path: self.path.clone() }.value(choice, value);
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
            self.path.push(PathPart::Field(name.clone()));
            match (known.and_then(|known| known.get(name)).and_then(Value::as_object), others) {
                (Some(schema), _) => self.value(schema, value)?,
                (None, Some(Value::Bool(false))) => return Err(self.wrong(unknown(name, known))),
                (None, Some(Value::Object(schema))) => self.value(schema, value)?,
                (None, _) => {}
            }
            self.path.pop();
        }
        let Some(missing) = missing else { return Ok(()) };
        self.path.push(PathPart::Field(missing.to_owned()));
        let takes = known.and_then(|known| known.get(missing)).and_then(Value::as_object).map(takes);
        Err(self.wrong(format!("is missing (it takes {})", takes.unwrap_or_else(|| "anything".to_owned()))))
    }

    fn array(&mut self, schema: &Map<String, Value>, items: &[Value]) -> Result<(), WrongConfig> {
        let Some(schema) = schema.get("items").and_then(Value::as_object) else { return Ok(()) };
        for (index, item) in items.iter().enumerate() {
            self.path.push(PathPart::Item(index));
            self.value(schema, item)?;
            self.path.pop();
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> WrongConfig {
        WrongConfig { path: self.path.clone(), what }
    }
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
