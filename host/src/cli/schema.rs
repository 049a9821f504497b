//! `etl-host schema`: prints the JSON Schema of `pipeline.toml`.

use super::print;
use crate::{error::Result, json::to_json_pretty, pipeline};

/// Prints the JSON Schema of `pipeline.toml`.
pub(super) fn schema() -> Result<()> {
    print(&to_json_pretty(&pipeline::json_schema())?);
    Ok(())
}
