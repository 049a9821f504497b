//! Placeholder.

use std::path::Path;

use crate::error::{Error, Result};

/// Placeholder.
#[derive(Debug)]
pub struct Inspection {
    /// Placeholder.
    pub step: String,
    /// Placeholder.
    pub wit_version: String,
    /// Placeholder.
    pub imports: Vec<String>,
    /// Placeholder.
    pub digest: String,
    /// Placeholder.
    pub size_bytes: u64,
}

/// Placeholder.
pub fn inspect(_path: &Path) -> Result<Inspection> {
    Err(Error::internal("placeholder"))
}
