//! The settings of a plugin: which component it is, and what it gets.
//!
//! Owns the types and the defaults of the limits. How they are written in `pipeline.toml` is `pipeline`'s.

use std::{path::PathBuf, time::Duration};

use super::grants::Grants;

/// A plugin, what it is configured with, and what it may use.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// What messages call its step: `split`, `map`, `map 2`, `reduce`.
    pub name: String,
    /// The component file, absolute.
    pub path: PathBuf,
    /// The shell command that builds it, run by `--build` in the directory of `pipeline.toml`.
    pub build: Option<String>,
    /// Its configuration, a JSON object as text.
    pub config: String,
    /// What it is given of the real world.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
}

/// What one instance of a step may use. Going past a limit fails the attempt and names the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `memory`: bytes of linear memory.
    pub memory_bytes: u64,
    /// `timeout`: time inside the plugin, per attempt.
    pub timeout: Duration,
    /// `batch_timeout`: time inside the plugin, per call.
    pub batch_timeout: Duration,
    /// `output`: bytes emitted per attempt.
    pub output_bytes: u64,
    /// `compile_timeout`: time to compile the plugin.
    pub compile_timeout: Duration,
    /// `log`: bytes of messages and standard output per attempt; more are dropped.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            timeout: Duration::from_secs(300),
            batch_timeout: Duration::from_secs(60),
            output_bytes: 16 << 30,
            compile_timeout: Duration::from_secs(300),
            log_bytes: 1 << 20,
        }
    }
}
