//! Reads from the manifest where etl-host's time went.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

/// The kinds of work in the manifest, except waiting for a worker. Reading counts as work here, since the files are on
/// local disk.
pub(crate) const KINDS: [&str; 12] =
    ["read", "decode", "copy_in", "guest", "copy_out", "check", "sort", "spill", "merge", "write", "commit", "other"];

/// Time that the attempts of a run worked, in microseconds, by kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times(pub(crate) [u64; KINDS.len()]);

impl Times {
    /// Reads the manifest of a run.
    pub(crate) fn read(manifest: &Path) -> Result<Self> {
        let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let manifest: Value = serde_json::from_str(&text)?;
        let mut times = Self([0; KINDS.len()]);
        for stage in ["mapped", "reduced"] {
            for (time, kind) in times.0.iter_mut().zip(KINDS) {
                let found = &manifest[stage]["times"][format!("{kind}_us")];
                *time += found.as_u64().with_context(|| format!("the manifest has no `{kind}_us`"))?;
            }
        }
        Ok(times)
    }
}
