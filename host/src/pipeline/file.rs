//! The tables of `pipeline.toml` as they are typed. What the values mean, and their defaults, is the parent's.
//!
//! The comments on the keys are for whoever writes a pipeline: the JSON Schema and the reference are made of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use super::{
    SinkFormat, Tolerance, bounds,
    described::{column_types, default_value, grants, object, range, scalars},
    units::{Period, Size},
};

/// A pipeline: where records come from, the steps they go through, and where the result goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct File {
    /// Part of object names: 1 to 128 letters, digits, `-`, `_`, `.`, not starting with `.`.
    pub name: String,
    /// Where records come from.
    pub source: Source,
    /// How the source is divided into shards: by size, or by a plugin.
    pub split: Option<Split>,
    /// The steps each shard goes through, at least one; what one emits is the next one's input.
    #[serde(default)]
    pub map: Vec<Map>,
    /// What is done with the rows of each key. Without it, the last map writes the result.
    pub reduce: Option<Reduce>,
    /// Where the result goes.
    pub sink: Sink,
    /// How the pipeline is run. Nothing here changes the result, but `shuffle_memory`, which may change the last bits
    /// of sums of floating-point numbers.
    #[serde(default)]
    pub run: Run,
    /// How the stores are reached: configuration keys of the Rust crate `object_store`, such as `endpoint`, `region`,
    /// `access_key_id`. What is not said here is taken from the environment.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>", transform = scalars)]
    pub store_options: BTreeMap<String, Value>,
}

/// Where records come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Source {
    /// A directory, a file, or the URL of a prefix or of one object: `s3://bucket/prefix/`, `az://…`, `gs://…`.
    pub url: String,
    /// Glob patterns on names below `url`; `*` stays within a directory, `**` does not. Without any, everything but
    /// hidden objects: those with a part that starts with `.` or `_`.
    #[serde(default)]
    pub include: Vec<String>,
    /// What a record is.
    #[serde(default)]
    #[schemars(transform = default_value("lines"))]
    pub format: SourceFormat,
    /// With `json`: which top-level fields to read, and as what.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = column_types)]
    pub fields: Option<Table>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceFormat {
    /// A line that ends with `\n` or `\r\n`, as one binary column.
    #[default]
    Lines,
    /// A JSON object on a line, whose fields are columns that may hold nulls.
    Json,
}

/// How the source is divided into shards.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Split {
    /// Of a shard, with the built-in split; at most 10,000 small objects share a shard.
    #[schemars(transform = range(bounds::TARGET_SIZE))]
    pub target_size: Option<Size>,
    /// Path of the component of a split plugin, instead of the built-in split.
    pub plugin: Option<String>,
    /// Shell command that builds it, run by `--build` only, in the directory of the file.
    pub build: Option<String>,
    /// Handed to the plugin as JSON; `etl-host inspect` shows its keys.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = object)]
    pub config: Option<Table>,
    /// What it gets of the real world.
    #[schemars(transform = grants)]
    pub grants: Option<Vec<String>>,
    /// What one instance may use.
    pub limits: Option<Limits>,
    /// How tasks are tried again; of chained maps, that of the first counts.
    pub retry: Option<Retry>,
}

/// A step each shard goes through.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Map {
    /// Path of the component.
    pub plugin: String,
    /// Shell command that builds it, run by `--build` only, in the directory of the file.
    pub build: Option<String>,
    /// Handed to the plugin as JSON; `etl-host inspect` shows its keys.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = object)]
    pub config: Option<Table>,
    /// What it gets of the real world.
    #[schemars(transform = grants)]
    pub grants: Option<Vec<String>>,
    /// What one instance may use.
    pub limits: Option<Limits>,
    /// How tasks are tried again; of chained maps, that of the first counts.
    pub retry: Option<Retry>,
    /// How many records the step may set aside in a run, those included on which it traps, runs out of time or of
    /// memory; one more fails the run. Left out: that of `[run]`.
    pub max_rejects: Option<i64>,
}

/// What is done with the rows of each key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Reduce {
    /// Path of the component.
    pub plugin: String,
    /// Shell command that builds it, run by `--build` only, in the directory of the file.
    pub build: Option<String>,
    /// Handed to the plugin as JSON; `etl-host inspect` shows its keys.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = object)]
    pub config: Option<Table>,
    /// What it gets of the real world.
    #[schemars(transform = grants)]
    pub grants: Option<Vec<String>>,
    /// What one instance may use.
    pub limits: Option<Limits>,
    /// How tasks are tried again; of chained maps, that of the first counts.
    pub retry: Option<Retry>,
    /// Also run the reducer on each shard's rows, before the shuffle.
    #[serde(default)]
    #[schemars(transform = default_value(false))]
    pub combine: bool,
    /// Reduce tasks, and parts of the result.
    #[schemars(transform = range(bounds::PARTITIONS))]
    pub partitions: Option<i64>,
}

/// What one instance may use. Going past a limit fails the attempt.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Limits {
    /// Memory of an instance.
    #[schemars(transform = range(bounds::MEMORY))]
    pub memory: Option<Size>,
    /// Time inside the plugin, per attempt.
    #[schemars(transform = range(bounds::TIMEOUT))]
    pub timeout: Option<Period>,
    /// Time inside the plugin, per call.
    #[schemars(transform = range(bounds::BATCH_TIMEOUT))]
    pub batch_timeout: Option<Period>,
    /// Bytes emitted, per attempt.
    #[schemars(transform = range(bounds::OUTPUT))]
    pub output: Option<Size>,
    /// Messages and printed text, per attempt; more are dropped.
    #[schemars(transform = range(bounds::LOG))]
    pub log: Option<Size>,
    /// Time to compile the plugin.
    #[schemars(transform = range(bounds::COMPILE_TIMEOUT))]
    pub compile_timeout: Option<Period>,
}

/// How tasks are tried again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Retry {
    /// Tries in all. Passing trouble is tried again this often, a trap or a passed limit once, wrong data never.
    #[schemars(transform = range(bounds::ATTEMPTS))]
    pub attempts: Option<i64>,
    /// Wait before the second try.
    #[schemars(transform = range(bounds::INTERVAL))]
    pub interval: Option<Period>,
    /// How much longer each further wait is; five minutes at most.
    #[schemars(transform = range(bounds::MULTIPLIER))]
    pub multiplier: Option<f64>,
}

/// Where the result goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Sink {
    /// A directory, or the URL of a prefix; not inside `source.url`.
    pub url: String,
    /// How rows are written.
    #[schemars(transform = default_value("json"))]
    pub format: Option<SinkFormat>,
}

/// How the pipeline is run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Run {
    /// Where runs keep plan, intermediates and log; not inside `source.url`.
    #[schemars(transform = default_value(bounds::RUN_STORE))]
    pub store: Option<String>,
    /// Plugin instances that compute at the same time, 1 to 1024. Left out: as many as there are cores.
    pub concurrency: Option<i64>,
    /// Malformed records the source may have, and the default of each step.
    #[schemars(transform = range(bounds::MAX_REJECTS))]
    pub max_rejects: Option<i64>,
    /// How many shards that fail for good may be left out of the result: a number, or a share such as `"1%"`. Then the
    /// run ends with exit code 3.
    #[serde(default)]
    #[schemars(transform = default_value(0))]
    pub tolerated_failures: Tolerance,
    /// What the process may hold: decides how many tasks are in flight.
    #[schemars(transform = range(bounds::RUN_MEMORY))]
    pub memory: Option<Size>,
    /// What a map task collects before it sorts and spills to `scratch`.
    #[schemars(transform = range(bounds::SHUFFLE_MEMORY))]
    pub shuffle_memory: Option<Size>,
    /// Directory for spilled data. Left out: the system's.
    pub scratch: Option<String>,
    /// How much spilled data there may be at a time; past it an attempt fails and is tried again.
    #[schemars(transform = range(bounds::SCRATCH_SPACE))]
    pub scratch_space: Option<Size>,
    /// How long attempts under way may go on when the run is interrupted; and, when it is complete, those that were overtaken.
    #[schemars(transform = range(bounds::GRACE))]
    pub grace: Option<Period>,
    /// On local disk, wait until what is written has reached it. Without, many small shards go faster, but a power cut
    /// may lose or damage what was committed: then start a new run.
    #[schemars(transform = default_value(true))]
    pub fsync: Option<bool>,
    /// Start a second attempt, once, of a task that takes more than a second and more than three times as long as half of
    /// the stage's attempts took, of which three must have succeeded, when no task waits for a place: the first to succeed
    /// counts, the other is stopped.
    #[serde(default)]
    #[schemars(transform = default_value(false))]
    pub speculative: bool,
    /// Several processes are to work on the run: refuse a run store that cannot keep them apart.
    #[serde(default)]
    #[schemars(transform = default_value(false))]
    pub shared: bool,
}

/// The keys of a step that count where there is no pipeline around it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Sandbox {
    pub grants: Option<Vec<String>>,
    pub limits: Option<Limits>,
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
