//! Loaded plugins: compiled components, each with the step it runs as.
//!
//! Owns what is known of a plugin once it is loaded. The engine loads plugins; instances are made of them.

use std::{path::PathBuf, time::Duration};

use etl_core::model::{event::Event, redact::Mask, times::millis};
use wasmtime::component::InstancePre;

use super::{
    allowance::Allowance,
    bindings::exports::etl::plugin::{mapper, reducer, splitter},
    cache::Miss,
    grants::Grants,
    settings::Limits,
    state::InstanceState,
    symbols::Symbols,
};
use crate::config_schema::{ConfigSchema, WrongConfig};

/// A loaded component and the step it runs as. Any thread can make any number of instances of it.
pub struct Plugin {
    pub(super) step: String,
    pub(super) path: PathBuf,
    pub(super) digest: String,
    pub(super) loading: Loading,
    pub(super) grantable: Vec<&'static str>,
    pub(super) grants: Grants,
    pub(super) limits: Limits,
    pub(super) allowance: Allowance,
    pub(super) mask: Mask,
    pub(super) config: String,
    pub(super) config_schema: Option<ConfigSchema>,
    pub(super) pre: InstancePre<InstanceState>,
    pub(super) exports: Exports,
    pub(super) symbols: Symbols,
}

impl Plugin {
    /// Returns the name of the step in messages: `map 2`.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Returns the component's SHA-256 digest in hexadecimal, which identifies the plugin.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Compares the step's configuration with the schema in the component, if there is one.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check_config(&self) -> Result<(), WrongConfig> {
        let Some(schema) = &self.config_schema else { return Ok(()) };
        // The configuration of a step was made from a TOML document, so it is always valid JSON.
        schema.check(&serde_json::from_str(&self.config).unwrap_or_default())
    }

    /// Returns the limits of an instance.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the grants that affect an import of the component.
    pub fn grantable(&self) -> &[&'static str] {
        &self.grantable
    }

    /// Returns the event that reports how the plugin was loaded.
    pub fn loaded(&self) -> Event {
        Event::PluginLoaded {
            step: self.step.clone(),
            digest: self.digest.clone(),
            compiled: self.loading.compiled.map(|miss| miss.to_string()),
            duration_ms: millis(self.loading.duration),
        }
    }

    /// Returns the names of the step and of the component file, with which messages begin: ``map plugin `a.wasm` ``.
    pub fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str());
        format!("{} plugin `{}`", self.step, file.display())
    }
}

/// How a component was loaded.
pub(super) struct Loading {
    /// Reason why it was compiled; `None` if the cache had it.
    pub(super) compiled: Option<Miss>,
    pub(super) duration: Duration,
}

/// The exported functions of the step that a component implements.
pub(super) enum Exports {
    Splitter(splitter::GuestIndices),
    Mapper(mapper::GuestIndices),
    Reducer(reducer::GuestIndices),
}

impl Exports {
    pub(super) fn splitter(&self) -> wasmtime::Result<&splitter::GuestIndices> {
        if let Self::Splitter(indices) = self { Ok(indices) } else { Err(not_a("splitter")) }
    }

    pub(super) fn mapper(&self) -> wasmtime::Result<&mapper::GuestIndices> {
        if let Self::Mapper(indices) = self { Ok(indices) } else { Err(not_a("mapper")) }
    }

    pub(super) fn reducer(&self) -> wasmtime::Result<&reducer::GuestIndices> {
        if let Self::Reducer(indices) = self { Ok(indices) } else { Err(not_a("reducer")) }
    }
}

fn not_a(interface: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the plugin was not loaded as a {interface}"))
}
