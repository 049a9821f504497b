//! Placeholder.

use crate::{
    error::{Error, Result},
    pipeline::Pipeline,
};

/// Placeholder.
#[derive(Debug)]
pub struct Checked {
    /// Placeholder.
    pub steps: Vec<CheckedStep>,
    /// Placeholder.
    pub source_schema: String,
    /// Placeholder.
    pub objects: u64,
    /// Placeholder.
    pub bytes: u64,
    /// Placeholder.
    pub shards: Option<u64>,
}

/// Placeholder.
#[derive(Debug)]
pub struct CheckedStep {
    /// Placeholder.
    pub name: String,
    /// Placeholder.
    pub plugin: String,
    /// Placeholder.
    pub digest: String,
    /// Placeholder.
    pub output: Option<String>,
}

/// Placeholder.
pub async fn check(_pipeline: &Pipeline) -> Result<Checked> {
    Err(Error::internal("placeholder"))
}
