//! `etl-host schema`: prints the JSON Schema of `pipeline.toml`.

use super::print;
use crate::{model::error::Result, pipeline, run_store::document::to_json_pretty};

/// Prints the JSON Schema of `pipeline.toml`.
pub(super) fn schema() -> Result<()> {
    print(&to_json_pretty(&pipeline::json_schema())?);
    Ok(())
}
