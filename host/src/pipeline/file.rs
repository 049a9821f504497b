//! The tables of `pipeline.toml` as they are written. The parent module adds the defaults and the meaning.
//!
//! The doc comments on the keys address authors of pipelines: the JSON Schema and the reference are made from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use super::{
    Tolerance, bounds,
    described::{column_types, default_value, grants, object, range, scalars},
    formats::{
        AvroCompressionChoice, CompressionChoice, EncodingChoice, LayoutChoice, NonFiniteChoice,
        ParquetCompressionChoice, ReadName, SourceColumnChoice, WriteName,
    },
    units::{Period, Size},
};

/// A pipeline: where records come from, the steps they go through, and where the result goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct File {
    /// Name of the pipeline, used in object names: 1 to 128 letters, digits, `-`, `_`, `.`, not starting with `.`.
    pub name: String,
    /// Where records come from.
    pub source: Source,
    /// How the source is divided into shards: by size, or by a plugin.
    pub split: Option<Split>,
    /// The steps each shard goes through, at least one. The rows that one step emits are the input of the next.
    #[serde(default)]
    pub map: Vec<Map>,
    /// The step that handles the rows of each key together. Without it, the rows of the last map are the result.
    pub reduce: Option<Reduce>,
    /// Where the result goes.
    pub sink: Sink,
    /// How the pipeline is run. No key here changes what is computed, except that `shuffle_memory` may change the last
    /// bits of floating-point sums.
    #[serde(default)]
    pub run: Run,
    /// How the object stores are reached: configuration keys of the Rust crate `object_store`, such as `endpoint`,
    /// `region`, `access_key_id`. Keys that are left out are taken from the environment.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>", transform = scalars)]
    pub store_options: BTreeMap<String, Value>,
    /// Names of environment variables whose values nothing may show, wherever they are used: `["API_TOKEN"]`. The
    /// variables in `store_options` (except in `endpoint`, `region` and `allow_http`), and users and passwords in URLs,
    /// are secret without being named.
    #[serde(default)]
    #[expect(dead_code, reason = "the secrets are found before `${NAME}` is replaced; here is only the type checked")]
    pub secrets: Vec<String>,
}

/// The source of a pipeline, and how it is reached.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a table")]
pub(super) struct SourceTables {
    pub source: Source,
    #[serde(default)]
    pub store_options: BTreeMap<String, Value>,
}

/// The keys that say where the runs and the results of a pipeline lie.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a table")]
pub(super) struct Places {
    pub name: String,
    pub sink: PlacesSink,
    #[serde(default)]
    pub run: PlacesRun,
    #[serde(default)]
    pub store_options: BTreeMap<String, Value>,
}

/// The keys of `[sink]` that say where results lie.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a table")]
pub(super) struct PlacesSink {
    pub url: String,
}

/// The keys of `[run]` that say where runs lie, and how that is written to.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a table")]
pub(super) struct PlacesRun {
    pub store: Option<String>,
    pub fsync: Option<bool>,
}

/// Where records come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Source {
    /// A directory, a file, or the URL of a prefix or of one object: `s3://bucket/prefix/`, `az://…`, `gs://…`.
    pub url: String,
    /// Glob patterns for the names of objects below `url`; `*` stays within a directory, `**` does not. Without any,
    /// all objects are read except hidden ones, whose names have a part that starts with `.` or `_`. A name that is
    /// asked for and cannot be read stops the run.
    #[serde(default)]
    pub include: Vec<String>,
    /// Format of the records.
    #[serde(default)]
    #[schemars(transform = default_value("lines"))]
    pub format: ReadName,
    /// Fields to read, each with its type: top-level fields of JSON objects, or columns of CSV, Parquet or Avro. Allowed
    /// only with these formats. Without it, the fields are inferred from the first records when a run is planned, and kept
    /// in its plan; `etl-host fields` prints them to paste here. Instead of the type, a table says more: `type`; `column`,
    /// if the column or JSON field has another name; for JSON `path`, the keys that lead to the field, such as
    /// `actor.login`; for CSV `position`, the number of the column from 1 in place of its name; and `optional`, which makes
    /// the values null in CSV, Parquet and Avro objects that lack the column, and lets `check` accept a sample of JSON
    /// without the field.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = column_types)]
    pub fields: Option<Table>,
    /// Columns behind the fields that say where each record is from, by the names they get: `{ file = "object", at =
    /// "offset", day = "hive" }`. That of the object's name comes first, then its position, then those of directories.
    #[serde(default)]
    pub columns: BTreeMap<String, SourceColumnChoice>,
    /// Longest record, with its line end and after decompression. A longer one fails the task. Each task in flight
    /// counts towards `memory` of `[run]` with several records of this size.
    #[schemars(transform = range(bounds::MAX_RECORD))]
    pub max_record: Option<Size>,
    /// How the CSV is written. Only for `csv`.
    pub csv: Option<SourceCsv>,
    /// How the JSON is written. Only for `json`.
    pub json: Option<SourceJson>,
}

/// A field of a source that says more than its type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Field {
    #[serde(rename = "type")]
    pub data_type: String,
    pub column: Option<String>,
    pub position: Option<i64>,
    pub path: Option<String>,
    #[serde(default)]
    pub optional: bool,
}

/// How the JSON of a source is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SourceJson {
    /// How the documents of an object are laid out.
    #[serde(default)]
    #[schemars(transform = default_value("lines"))]
    pub layout: LayoutChoice,
}

/// How the CSV of a source is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SourceCsv {
    /// What stands between two fields: one character, such as `";"` or `"\t"`.
    #[schemars(transform = default_value(","))]
    pub delimiter: Option<String>,
    /// What stands around a field that holds delimiters, quotes or line ends: one character, or `""` if nothing does.
    #[schemars(transform = default_value("\""))]
    pub quote: Option<String>,
    /// What stands within quotes before a character that means itself, such as `"\\"`. Without it, a quote within
    /// quotes is doubled.
    pub escape: Option<String>,
    /// Whether the first record of each object names its columns. If not, `fields` picks them by `position`.
    #[schemars(transform = default_value(true))]
    pub header: Option<bool>,
    /// What a line starts with that is no record, such as `"#"`.
    pub comment: Option<String>,
    /// Texts that stand for null when they are not quoted; in other columns than `text`, also when they are.
    #[schemars(transform = default_value(vec![""]))]
    pub null: Option<Vec<String>>,
    /// Whether blanks and tabs around fields, and around their quotes, are no part of them.
    #[schemars(transform = default_value(false))]
    pub trim: Option<bool>,
    /// How the text is encoded. An object in `utf-16` is never cut.
    #[schemars(transform = default_value("utf-8"))]
    pub encoding: Option<EncodingChoice>,
    /// Whether quoted fields may hold line ends. If so, objects that are cut are read once when a run is planned, to find
    /// where records start. With `false`, nothing is read for that, and a field with a line end is a reject.
    #[schemars(transform = default_value(true))]
    pub multiline: Option<bool>,
}

/// How a sink writes CSV. A source with the same keys reads it back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SinkCsv {
    /// What stands between two fields: one character, such as `";"` or `"\t"`.
    #[schemars(transform = default_value(","))]
    pub delimiter: Option<String>,
    /// What stands around a field that holds delimiters, quotes or line ends: one character, or `""` for nothing, which
    /// refuses such fields.
    #[schemars(transform = default_value("\""))]
    pub quote: Option<String>,
    /// Whether the first record of each part names its columns.
    #[schemars(transform = default_value(true))]
    pub header: Option<bool>,
    /// What stands for null.
    #[schemars(transform = default_value(""))]
    pub null: Option<String>,
}

/// How the source is divided into shards.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Split {
    /// Approximate size of a shard, for the built-in split. At most 10,000 small objects share a shard.
    #[schemars(transform = range(bounds::TARGET_SIZE))]
    pub target_size: Option<Size>,
    /// Path of the component of a split plugin, which replaces the built-in split.
    pub plugin: Option<String>,
    /// Shell command that builds the plugin. Only `etl-host build` and `--build` run it, in the directory of this file.
    pub build: Option<String>,
    /// Configuration, handed to the plugin as JSON. `etl-host inspect` shows the keys that a plugin takes.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = object)]
    pub config: Option<Table>,
    /// Access to the real world that the plugin is granted, by name. By default it has none.
    #[schemars(transform = grants)]
    pub grants: Option<Vec<String>>,
    /// Limits of one instance of the plugin.
    pub limits: Option<Limits>,
    /// How the split is tried again when it fails.
    pub retry: Option<Retry>,
}

/// A step each shard goes through.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Map {
    /// Path of the plugin's component.
    pub plugin: String,
    /// Shell command that builds the plugin. Only `etl-host build` and `--build` run it, in the directory of this file.
    pub build: Option<String>,
    /// Configuration, handed to the plugin as JSON. `etl-host inspect` shows the keys that a plugin takes.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = object)]
    pub config: Option<Table>,
    /// Access to the real world that the plugin is granted, by name. By default it has none.
    #[schemars(transform = grants)]
    pub grants: Option<Vec<String>>,
    /// Limits of one instance of the plugin.
    pub limits: Option<Limits>,
    /// How failed map tasks are tried again. With several `[[map]]` tables, the `retry` of the first applies to all.
    pub retry: Option<Retry>,
    /// Number of records the step may set aside in a run, including records on which it traps or runs out of time or
    /// memory. One more fails the run. Defaults to `max_rejects` of `[run]`.
    pub max_rejects: Option<i64>,
}

/// The step that handles the rows of each key together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Reduce {
    /// Path of the plugin's component.
    pub plugin: String,
    /// Shell command that builds the plugin. Only `etl-host build` and `--build` run it, in the directory of this file.
    pub build: Option<String>,
    /// Configuration, handed to the plugin as JSON. `etl-host inspect` shows the keys that a plugin takes.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", transform = object)]
    pub config: Option<Table>,
    /// Access to the real world that the plugin is granted, by name. By default it has none.
    #[schemars(transform = grants)]
    pub grants: Option<Vec<String>>,
    /// Limits of one instance of the plugin.
    pub limits: Option<Limits>,
    /// How failed reduce tasks are tried again.
    pub retry: Option<Retry>,
    /// Whether the reducer also runs on the rows of each map task before they are shuffled.
    #[serde(default)]
    #[schemars(transform = default_value(false))]
    pub combine: bool,
    /// Number of reduce tasks, and of parts of the result.
    #[schemars(transform = range(bounds::PARTITIONS))]
    pub partitions: Option<i64>,
}

/// Limits of one instance of a plugin. An attempt that exceeds a limit fails.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Limits {
    /// Linear memory of an instance.
    #[schemars(transform = range(bounds::MEMORY))]
    pub memory: Option<Size>,
    /// Time inside the plugin, per attempt; for a splitter, also the time in which the host reads and takes shards.
    #[schemars(transform = range(bounds::TIMEOUT))]
    pub timeout: Option<Period>,
    /// Time inside the plugin, per call.
    #[schemars(transform = range(bounds::BATCH_TIMEOUT))]
    pub batch_timeout: Option<Period>,
    /// Bytes emitted, per attempt: as the plugin hands rows over, of which each counts as 16 bytes or more, and as the
    /// host writes them, in the format of the sink before any compression, or to the shuffle file. The larger of the two
    /// counts.
    #[schemars(transform = range(bounds::OUTPUT))]
    pub output: Option<Size>,
    /// Bytes of messages and printed text, per attempt. Further messages are dropped.
    #[schemars(transform = range(bounds::LOG))]
    pub log: Option<Size>,
    /// Time to compile the plugin.
    #[schemars(transform = range(bounds::COMPILE_TIMEOUT))]
    pub compile_timeout: Option<Period>,
    /// Memory of the process that compiles the plugin.
    #[schemars(transform = range(bounds::COMPILE_MEMORY))]
    pub compile_memory: Option<Size>,
}

/// How failed tasks are tried again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Retry {
    /// Number of attempts in all, if they fail on transient errors such as an unavailable store. After a trap or an
    /// exceeded limit there is one more attempt at most, and after wrong data there is none.
    #[schemars(transform = range(bounds::ATTEMPTS))]
    pub attempts: Option<i64>,
    /// Wait before the second attempt.
    #[schemars(transform = range(bounds::INTERVAL))]
    pub interval: Option<Period>,
    /// Factor by which each further wait grows, up to five minutes; a longer `interval` does not grow.
    #[schemars(transform = range(bounds::MULTIPLIER))]
    pub multiplier: Option<f64>,
}

/// Where the result goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Sink {
    /// A directory, or the URL of a prefix. It must not lie inside `source.url`.
    pub url: String,
    /// How rows are written.
    #[serde(default)]
    #[schemars(transform = default_value("json"))]
    pub format: WriteName,
    /// Columns of the result whose values its parts are divided by, in Hive's layout: `["day", "country"]` writes
    /// `day=2026-11-27/country=CH/part-00000-0000.json`, and leaves these columns out of the rows. Any type with a plain
    /// text form: text, whole numbers, decimals, booleans, dates, times.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// Number of parts that a task writes at the same time, with `partition_by`. A row that needs one more
    /// ends the part that was written to the longest ago. Each counts towards `memory` of `[run]` with 9 MiB. It decides
    /// how many parts there are, so it cannot be changed when a run is resumed.
    #[schemars(transform = range(bounds::OPEN_PARTS))]
    pub open_parts: Option<i64>,
    /// Number of rows at which a part ends, and the task begins another. Without it, no number of rows does that.
    pub max_rows: Option<i64>,
    /// Size at which a part ends, and the task begins another, `1KiB` to `1TiB`: of the rows as they are encoded, before
    /// any compression. A part ends a little above it. Without it, no size does that.
    pub target_size: Option<Size>,
    /// What becomes of NaN and the infinities, which JSON does not have. Only for `json`.
    #[schemars(transform = default_value("refuse"))]
    pub non_finite: Option<NonFiniteChoice>,
    /// How the CSV is written. Only for `csv`.
    pub csv: Option<SinkCsv>,
    /// How the parts of the result are compressed. The names of parts end accordingly, such as `part-00000.json.gz`.
    #[schemars(transform = default_value("none"))]
    pub compression: Option<CompressionChoice>,
    /// How Parquet is written. Only for `parquet`.
    pub parquet: Option<SinkParquet>,
    /// How Avro is written. Only for `avro`.
    pub avro: Option<SinkAvro>,
}

/// How Avro is written. A part is always complete Avro, however small.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SinkAvro {
    /// How blocks are compressed.
    #[schemars(transform = default_value("deflate"))]
    pub compression: Option<AvroCompressionChoice>,
    /// Size at which a block is complete, before it is compressed. Each task in flight that writes counts towards
    /// `memory` of `[run]` with twice this size.
    #[schemars(transform = range(bounds::BLOCK_SIZE))]
    pub block_size: Option<Size>,
}

/// How Parquet is written. A part is always complete Parquet, however small.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SinkParquet {
    /// How pages are compressed.
    #[schemars(transform = default_value("zstd"))]
    pub compression: Option<ParquetCompressionChoice>,
    /// Largest number of rows in a row group.
    #[schemars(transform = range(bounds::ROW_GROUP_ROWS))]
    pub row_group_rows: Option<i64>,
    /// Size at which a row group is complete, encoded and compressed. Each task in flight that writes counts towards
    /// `memory` of `[run]` with twice this size.
    #[schemars(transform = range(bounds::ROW_GROUP_SIZE))]
    pub row_group_size: Option<Size>,
    /// Whether the least and the greatest value of each column are written, for each page and row group, so that
    /// readers can skip some.
    #[schemars(transform = default_value(true))]
    pub statistics: Option<bool>,
    /// Whether values that repeat are written once, in a dictionary of each column and row group.
    #[schemars(transform = default_value(true))]
    pub dictionary: Option<bool>,
}

/// How the pipeline is run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Run {
    /// Where runs keep their plan, intermediate data and log. It must not lie inside `source.url`.
    #[schemars(transform = default_value(bounds::RUN_STORE))]
    pub store: Option<String>,
    /// Number of plugin instances that compute at the same time, 1 to 1024. Defaults to the number of cores.
    pub concurrency: Option<i64>,
    /// Number of malformed records the source may have. Also the default of `max_rejects` of each step.
    #[schemars(transform = range(bounds::MAX_REJECTS))]
    pub max_rejects: Option<i64>,
    /// Bytes that the committed tasks of a stage may write in all: shuffle files of the map stage, parts of the result,
    /// as they are stored.
    /// More fails the run, which can be resumed with a higher limit.
    #[schemars(transform = range(bounds::MAX_OUTPUT))]
    pub max_output: Option<Size>,
    /// Shards that may fail for good and be left out of the result: a number, or a share of all shards such as `"1%"`.
    /// A run that leaves shards out ends with exit code 3.
    #[serde(default)]
    #[schemars(transform = default_value(0))]
    pub tolerated_failures: Tolerance,
    /// Memory the process may use, 64MiB to 1024TiB. It decides how many tasks are in flight at a time. Defaults to
    /// 2GiB, or 512MiB for each core if that is more.
    pub memory: Option<Size>,
    /// Memory a map task fills with rows before it sorts them and spills them to `scratch`.
    #[schemars(transform = range(bounds::SHUFFLE_MEMORY))]
    pub shuffle_memory: Option<Size>,
    /// Directory for spilled data. It must not lie inside `source.url`. Defaults to the system's temporary directory.
    pub scratch: Option<String>,
    /// Limit of spilled data at a time. An attempt that exceeds it fails and is tried again.
    #[schemars(transform = range(bounds::SCRATCH_SPACE))]
    pub scratch_space: Option<Size>,
    /// Time that attempts under way have to end when the run is interrupted, and that overtaken attempts have to end
    /// once the result is published.
    #[schemars(transform = range(bounds::GRACE))]
    pub grace: Option<Period>,
    /// Whether writes to local disk wait until the data has reached it. If not, many small shards are processed faster,
    /// but a power cut may lose or damage committed data: then start a new run.
    #[schemars(transform = default_value(true))]
    pub fsync: Option<bool>,
    /// Whether a slow task gets one second attempt beside its first, when no other task waits for a slot. A task is
    /// slow when it takes more than a second and more than three times the median of the stage's successful attempts,
    /// of which there must be three. The first attempt to succeed counts, and the other is stopped.
    #[serde(default)]
    #[schemars(transform = default_value(false))]
    pub speculative: bool,
    /// Whether several processes may work on the run at once. A run store that cannot keep them apart is then refused.
    #[serde(default)]
    #[schemars(transform = default_value(false))]
    pub shared: bool,
}

/// The keys of a step that apply when a plugin is run without a pipeline.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct Sandbox {
    pub grants: Option<Vec<String>>,
    pub limits: Option<Limits>,
}

/// The keys that `[split]`, `[[map]]` and `[reduce]` have in common, and the `max_rejects` of `[[map]]`.
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
