//! The JSON Schema of `pipeline.toml`. Editors use it to complete keys, and the reference is made from it.
//!
//! Owns the facts that the types of [`super::file`] do not express: defaults, ranges, and how sizes and durations are
//! written. The host does not validate a file against the schema: [`super::validate`] decides whether it is right.

use schemars::{
    Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::Value;

use super::file::File;

/// A text that is one `${NAME}`, as a regular expression.
const VARIABLE: &str = r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$";

/// Returns the JSON Schema of `pipeline.toml`.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    RecursiveTransform(or_variable).transform(&mut schema);
    schema.insert("title".to_owned(), "pipeline.toml".into());
    schema.to_value()
}

/// Lets a number or a boolean be written as `"${NAME}"`, too.
fn or_variable(schema: &mut Schema) {
    let Some(types) = schema.get_mut("type") else { return };
    let mut choices: Vec<Value> = types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]);
    let is_scalar = choices.iter().any(|name| ["integer", "number", "boolean"].iter().any(|scalar| name == scalar));
    if is_scalar && !choices.iter().any(|name| name == "string") {
        choices.push("string".into());
        *types = choices.into();
        schema.insert("pattern".to_owned(), VARIABLE.into());
    }
}
