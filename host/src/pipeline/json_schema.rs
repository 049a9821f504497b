//! The JSON Schema of `pipeline.toml`. Editors use it to complete keys, and the reference is made from it.
//!
//! Owns the facts that the types of [`super::file`] do not express: defaults, ranges, and how sizes and durations are
//! written. The host does not validate a file against the schema: [`super::validate`] decides whether it is right.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::File;

/// Returns the JSON Schema of `pipeline.toml`.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "pipeline.toml".into());
    schema.to_value()
}
