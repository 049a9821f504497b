//! `etl-host schema`: prints the JSON Schema of `pipeline.toml`.

use etl_core::model::error::Result;

use super::print_exact;
use crate::{pipeline, run_store::document::to_json_pretty};

/// Prints the JSON Schema of `pipeline.toml`.
pub(super) fn schema() -> Result<()> {
    print_exact(&to_json_pretty(&pipeline::json_schema())?)
}
