//! What the JSON Schema of `pipeline.toml` says that the types of `file` cannot say by themselves: defaults, ranges,
//! and how sizes and durations are written.

use std::{borrow::Cow, fmt};

use etl_plugin::GRANTS;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, transform::Transform};
use serde_json::{Value, json};

use super::{
    Tolerance,
    bounds::Bounds,
    units::{Period, Size},
};

/// A value with a default and a range.
pub(super) trait Bounded: Copy {
    /// Returns the value as it is written in a file.
    fn written(self) -> Value;
    /// Adds the range to a schema.
    fn describe(schema: &mut Schema, bounds: Bounds<Self>);
}

impl Bounded for Size {
    fn written(self) -> Value {
        self.to_string().into()
    }

    fn describe(schema: &mut Schema, bounds: Bounds<Self>) {
        say(schema, &between(bounds, bounds.min.0 == 0));
    }
}

impl Bounded for Period {
    fn written(self) -> Value {
        self.to_string().into()
    }

    fn describe(schema: &mut Schema, bounds: Bounds<Self>) {
        say(schema, &between(bounds, bounds.min.0.is_zero()));
    }
}

impl Bounded for i64 {
    fn written(self) -> Value {
        self.into()
    }

    fn describe(schema: &mut Schema, bounds: Bounds<Self>) {
        schema.insert("minimum".to_owned(), bounds.min.into());
        if bounds.max < Self::MAX {
            schema.insert("maximum".to_owned(), bounds.max.into());
        }
    }
}

impl Bounded for f64 {
    fn written(self) -> Value {
        self.into()
    }

    fn describe(schema: &mut Schema, bounds: Bounds<Self>) {
        schema.insert("minimum".to_owned(), bounds.min.into());
        schema.insert("maximum".to_owned(), bounds.max.into());
    }
}

/// Returns a range as a sentence; only the upper end if the range starts at zero.
fn between<T: fmt::Display>(Bounds { min, max, .. }: Bounds<T>, from_nothing: bool) -> String {
    if from_nothing { format!("At most {max}.") } else { format!("{min} to {max}.") }
}

/// Returns a transform that adds the default and the range of a key.
pub(super) fn range<T: Bounded>(bounds: Bounds<T>) -> impl Transform {
    move |schema: &mut Schema| {
        T::describe(schema, bounds);
        schema.insert("default".to_owned(), bounds.default.written());
    }
}

/// Returns a transform that adds the default of a key.
pub(super) fn default_value(value: impl Into<Value>) -> impl Transform {
    let value = value.into();
    move |schema: &mut Schema| {
        schema.insert("default".to_owned(), value.clone());
    }
}

/// Describes a table that may hold any values and is empty by default.
pub(super) fn object(schema: &mut Schema) {
    schema.insert("type".to_owned(), "object".into());
    schema.insert("default".to_owned(), json!({}));
}

/// Describes a table whose values are text, whole numbers or booleans.
pub(super) fn scalars(schema: &mut Schema) {
    schema.insert("additionalProperties".to_owned(), json!({ "type": ["string", "integer", "boolean"] }));
}

/// Describes a table that gives the types of the fields of records, and where these are.
pub(super) fn column_types(schema: &mut Schema) {
    schema.insert("type".to_owned(), "object".into());
    let types =
        json!({ "type": "string", "examples": ["text", "int64", "float64", "boolean", "decimal(10,2)", "date"] });
    let table = json!({
        "type": "object",
        "properties": {
            "type": types,
            "column": { "type": "string" },
            "position": { "type": "integer", "minimum": 1 },
            "path": { "type": "string" },
            "optional": { "type": "boolean", "default": false },
        },
        "required": ["type"],
        "additionalProperties": false,
    });
    schema.insert("additionalProperties".to_owned(), json!({ "anyOf": [types, table] }));
}

/// Describes a list of grants: it is empty by default, and the choices are listed.
pub(super) fn grants(schema: &mut Schema) {
    schema.insert("default".to_owned(), json!([]));
    say(schema, &format!("Choices: {GRANTS}."));
}

/// Adds a sentence to the description.
fn say(schema: &mut Schema, sentence: &str) {
    let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{said} {sentence}");
    schema.insert("description".to_owned(), description.trim_start().into());
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "size", "examples": ["64MiB", "1GB"] })
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration", "examples": ["500ms", "30s", "5m"] })
    }
}

impl JsonSchema for Tolerance {
    fn schema_name() -> Cow<'static, str> {
        "tolerance".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": r"^([0-9.]+ *%|\$\{.+\})$", "examples": [5, "1%"] })
    }
}
