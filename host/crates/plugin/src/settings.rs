//! The settings of a plugin: which component it is, and what it gets.
//!
//! Owns the types and the defaults of the limits. How they are written in `pipeline.toml` is `pipeline`'s.

use std::{path::PathBuf, time::Duration};

use etl_core::model::redact::Mask;

use super::{config_schema::PathPart, grants::Grants};

/// A plugin and what it is loaded with.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// Name of the step in messages: `split`, `map`, `map 2`, `reduce`.
    pub name: String,
    /// Absolute path of the component file.
    pub path: PathBuf,
    /// Shell command that builds the plugin; `etl-host build` and `--build` run it in the pipeline file's directory.
    pub build: Option<String>,
    /// Configuration of the step, a JSON object as text.
    pub config: String,
    /// The texts in `config` that are the value of one variable. They also count as the number or the boolean that they
    /// spell, if the plugin describes one.
    pub variables: Vec<Vec<PathPart>>,
    /// Access to the real world that the step is granted.
    pub grants: Grants,
    /// Limits of one instance.
    pub limits: Limits,
    /// Takes secrets out of the plugin's texts before they are cut.
    pub mask: Mask,
}

/// Limits of one instance of a step. An attempt that exceeds one fails with an error that names the limit.
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
    /// `compile_memory`: bytes of memory that compiling the plugin takes.
    pub compile_memory_bytes: u64,
    /// `log`: bytes of messages, standard output and standard error per attempt; further messages are dropped.
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
            compile_memory_bytes: 1 << 30,
            log_bytes: 1 << 20,
        }
    }
}
