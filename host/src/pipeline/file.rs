//! The tables of `pipeline.toml` as they are typed. What the values mean, and their defaults, is the parent's.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    SinkFormat, Tolerance,
    units::{Period, Size},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct File {
    pub name: String,
    pub source: Source,
    pub split: Option<Split>,
    #[serde(default)]
    pub map: Vec<Map>,
    pub reduce: Option<Reduce>,
    pub sink: Sink,
    #[serde(default)]
    pub run: Run,
    #[serde(default)]
    pub store_options: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Source {
    pub url: String,
    #[serde(default)]
    pub include: Vec<String>,
    #[serde(default)]
    pub format: SourceFormat,
    pub fields: Option<Table>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceFormat {
    #[default]
    Lines,
    Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Split {
    pub target_size: Option<Size>,
    pub plugin: Option<String>,
    pub build: Option<String>,
    pub config: Option<Table>,
    pub grants: Option<Vec<String>>,
    pub limits: Option<Limits>,
    pub retry: Option<Retry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Map {
    pub plugin: String,
    pub build: Option<String>,
    pub config: Option<Table>,
    pub grants: Option<Vec<String>>,
    pub limits: Option<Limits>,
    pub retry: Option<Retry>,
    pub max_rejects: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Reduce {
    pub plugin: String,
    pub build: Option<String>,
    pub config: Option<Table>,
    pub grants: Option<Vec<String>>,
    pub limits: Option<Limits>,
    pub retry: Option<Retry>,
    #[serde(default)]
    pub combine: bool,
    pub partitions: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Limits {
    pub memory: Option<Size>,
    pub timeout: Option<Period>,
    pub batch_timeout: Option<Period>,
    pub output: Option<Size>,
    pub log: Option<Size>,
    pub compile_timeout: Option<Period>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Retry {
    pub attempts: Option<i64>,
    pub interval: Option<Period>,
    pub multiplier: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Sink {
    pub url: String,
    pub format: Option<SinkFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Run {
    pub store: Option<String>,
    pub concurrency: Option<i64>,
    pub max_rejects: Option<i64>,
    #[serde(default)]
    pub tolerated_failures: Tolerance,
    pub memory: Option<Size>,
    pub shuffle_memory: Option<Size>,
    pub scratch: Option<String>,
    pub scratch_space: Option<Size>,
    pub grace: Option<Period>,
    pub fsync: Option<bool>,
    #[serde(default)]
    pub shared: bool,
}

/// The keys `[split]`, `[[map]]` and `[reduce]` have in common.
#[derive(Debug)]
pub(super) struct Step {
    pub plugin: String,
    pub build: Option<String>,
    pub config: Option<Table>,
    pub grants: Option<Vec<String>>,
    pub limits: Option<Limits>,
    pub retry: Option<Retry>,
    pub max_rejects: Option<i64>,
}

impl From<Map> for Step {
    fn from(map: Map) -> Self {
        let Map { plugin, build, config, grants, limits, retry, max_rejects } = map;
        Self { plugin, build, config, grants, limits, retry, max_rejects }
    }
}

impl From<Reduce> for Step {
    fn from(reduce: Reduce) -> Self {
        let Reduce { plugin, build, config, grants, limits, retry, combine: _, partitions: _ } = reduce;
        Self { plugin, build, config, grants, limits, retry, max_rejects: None }
    }
}
