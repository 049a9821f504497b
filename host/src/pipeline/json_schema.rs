//! The JSON Schema of `pipeline.toml`: editors complete keys by it, and the reference is made of it.
//!
//! Reading a file decides whether it is right; the schema does not.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::File;

/// Returns the JSON Schema of `pipeline.toml`.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "pipeline.toml".into());
    schema.to_value()
}
