//! A pipeline: what `pipeline.toml` describes, validated.
//!
//! Owns the meaning of every key. Does not open stores, load plugins or read data: that is `check` and the run.

mod bounds;
mod deciding;
mod described;
mod document;
mod file;
mod json_schema;
mod key;
mod location;
mod message;
mod secrets;
#[cfg(test)]
mod tests;
mod tolerance;
mod units;
mod validate;
mod variables;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::de::DeserializeOwned;

pub(crate) use self::document::PIPELINE_FILE;
use self::{
    document::Document,
    file::File,
    key::KeyPath,
    secrets::Expansion,
    validate::{Tables, Validator},
};
pub use self::{json_schema::json_schema, secrets::Secrets, tolerance::Tolerance, variables::names as variables_in};
use crate::{
    config_schema::{Place, WrongConfig},
    error::{Error, ErrorKind, Result, ResultExt},
    plugin::{Grants, Limits, PluginSettings},
    scheduler::Retry,
    schema::Schema,
    store::Location,
};

/// A pipeline, ready to be planned.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name; part of object keys.
    pub name: String,
    /// Where records come from.
    pub source: Source,
    /// How the source is divided into shards.
    pub split: Split,
    /// The map steps, chained, at least one.
    pub maps: Vec<Step>,
    /// The reduce step; without one, what the last map emits goes to the sink.
    pub reduce: Option<Reduce>,
    /// Where results go.
    pub sink: Sink,
    /// How it is run.
    pub run: RunSettings,
    /// Options for every object store the pipeline names, as the `object_store` crate calls them.
    pub store_options: BTreeMap<String, String>,
    /// The document as written, `--set` applied and `${NAME}` left in place: what the plan keeps.
    pub document: serde_json::Value,
    /// The values of `${NAME}` and of granted variables, to keep them out of whatever is written.
    pub secrets: Secrets,
    /// What tells the values of variables apart, by name.
    marks: BTreeMap<String, String>,
    /// Knows where each value was written.
    written: Arc<Document>,
}

impl Pipeline {
    /// Loads the pipeline file at `path`, applies each override `key.path=value`, and takes the values of `${NAME}`
    /// from `env`. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the file, the line, the key, and what to write instead. No message holds a value
    /// of `${NAME}`.
    pub fn load(path: &Path, overrides: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::validated(Document::read(path, overrides)?, &directory(path)?, env)
    }

    /// Makes a pipeline as it was planned, of its `document` then, when its file was at `path`.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn of_plan(
        path: &Path,
        document: &serde_json::Value,
        overrides: &[String],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        Self::validated(Document::of_plan(path, document, overrides)?, &directory(path)?, env)
    }

    /// Takes `text` for what a file called `path` holds, which need not be there. Relative paths in it are relative to
    /// `/`.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(path: &Path, text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::validated(Document::parse(path, text.to_owned(), &[])?, Path::new("/"), env)
    }

    fn validated(document: Document, directory: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let at_key = |(key, what): (KeyPath, String)| document.error(&key, what);
        let root = KeyPath::default();
        let written = document::json(document.root(), &root).map_err(at_key)?;
        let mut expanded = document.root().clone();
        let mut expansion = Expansion::new(&env);
        expansion.expand(&mut expanded, &root).map_err(at_key)?;
        let (secrets, marks) = expansion.into_parts();

        let tables = tables(&document, directory, expanded, &env);
        let tables = tables.map_err(|error| Error::config(secrets.redact(&error.to_string())))?;
        let Tables { name, source, split, maps, reduce, sink, run, store_options } = tables;
        let (document, written) = (written, Arc::new(document));
        let mut pipeline =
            Self { name, source, split, maps, reduce, sink, run, store_options, document, secrets, marks, written };
        let granted: Vec<_> = pipeline.steps().flat_map(|step| step.plugin.grants.variables.clone()).collect();
        for (variable, value) in granted {
            pipeline.secrets.add(&variable, &value);
            pipeline.marks.insert(variable.clone(), variables::mark(&variable, &value));
        }
        Ok(pipeline)
    }

    /// Makes the error that the configuration of a step, counted as in [`Pipeline::steps`], is wrong: with the line.
    pub fn wrong_config(&self, step: usize, wrong: &WrongConfig) -> Error {
        let first_map = usize::from(matches!(self.split, Split::Plugin(_)));
        let (root, map) = (KeyPath::default(), step.wrapping_sub(first_map));
        let table = match step {
            _ if step < first_map => root.key("split"),
            _ if map < self.maps.len() => root.key("map").index(map),
            _ => root.key("reduce"),
        };
        let key = wrong.place.iter().fold(table.key("config"), |key, place| match place {
            Place::Field(name) => key.key(name),
            Place::Item(index) => key.index(*index),
        });
        self.written.error(&key, &wrong.what)
    }

    /// Returns the number of reduce tasks; 0 in a map-only pipeline.
    pub fn partitions(&self) -> u32 {
        self.reduce.as_ref().map_or(0, |reduce| reduce.partitions)
    }

    /// Returns the steps that are plugins, in the order data flows.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let split = match &self.split {
            Split::BuiltIn { .. } => None,
            Split::Plugin(step) => Some(step.as_ref()),
        };
        let reduce = self.reduce.as_ref().map(|reduce| &reduce.step);
        split.into_iter().chain(&self.maps).chain(reduce)
    }
}

/// What a step is given of the real world and what it may use, where there is no pipeline around it.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// What it is given.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
}

impl Sandbox {
    /// Makes that of the step of `plugin`, by assignments such as `limits.memory=1GiB` and `grants=["clock"]`, which are
    /// the keys of a step in `pipeline.toml`. What is not said has its default.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn parse(plugin: &Path, assignments: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let document = Document::parse(plugin, String::new(), assignments)?;
        let table = deserialize(&document, document.root().clone())?;
        Validator { document: &document, directory: Path::new("."), env: &env }.sandbox(table)
    }
}

fn tables(
    document: &Document,
    directory: &Path,
    expanded: toml::Value,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Tables> {
    let file: File = deserialize(document, expanded)?;
    Validator { document, directory, env }.tables(file)
}

/// Reads a value of a document.
fn deserialize<T: DeserializeOwned>(document: &Document, value: toml::Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (key, what) = message::explain(&error);
        document.error(&key, what)
    })
}

/// Returns the directory of a file, absolute.
fn directory(file: &Path) -> Result<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().or_kind(ErrorKind::Config, || format!("cannot find directory `{}`", parent.display()))
}

/// `[source]`
#[derive(Debug, Clone)]
pub struct Source {
    /// The prefix objects are listed below.
    pub location: Location,
    /// Which objects, as glob patterns on their names below `location`; empty means all.
    pub include: Vec<String>,
    /// How records are read from them.
    pub format: SourceFormat,
}

/// How records are read from an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFormat {
    /// One record per line, `\n` or `\r\n`.
    Lines,
    /// One JSON object per line; the asked-for top-level fields become columns, all nullable.
    Json(Schema),
}

impl SourceFormat {
    /// Returns the columns of the records.
    pub fn schema(&self) -> Schema {
        match self {
            Self::Lines => Schema::lines(),
            Self::Json(schema) => schema.clone(),
        }
    }
}

/// `[split]`
#[derive(Debug, Clone)]
pub enum Split {
    /// The host's own split: slices of about this many bytes, small objects packed together.
    BuiltIn {
        /// Bytes, as stored.
        target_size: u64,
    },
    /// A splitter plugin.
    Plugin(Box<Step>),
}

/// A plugin and how its tasks are run: `[split]`, one `[[map]]`, or `[reduce]`.
#[derive(Debug, Clone)]
pub struct Step {
    /// The plugin and what it is given.
    pub plugin: PluginSettings,
    /// How its tasks are tried again.
    pub retry: Retry,
    /// The most records it may set aside in a run.
    pub max_rejects: u64,
}

/// `[reduce]`
#[derive(Debug, Clone)]
pub struct Reduce {
    /// The reducer.
    pub step: Step,
    /// Whether it also combines the rows of each map attempt before they are shuffled.
    pub combine: bool,
    /// How many reduce tasks, and result parts.
    pub partitions: u32,
}

/// `[sink]`
#[derive(Debug, Clone)]
pub struct Sink {
    /// The prefix results lie below.
    pub location: Location,
    /// How they are written.
    pub format: SinkFormat,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkFormat {
    /// One JSON object per line.
    Json,
    /// RFC 4180, with a header.
    Csv,
    /// A line per row, which takes a single text or binary column.
    Lines,
}

impl SinkFormat {
    /// Returns its name, as in `pipeline.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Lines => "lines",
        }
    }
}

/// `[run]`
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Where runs keep their plan, intermediates and log.
    pub store: Location,
    /// How many plugin instances compute at the same time.
    pub concurrency: usize,
    /// How many malformed records the source may have; what steps may set aside when they do not say.
    pub max_rejects: u64,
    /// How many shards may fail for good before the run does.
    pub tolerated_failures: Tolerance,
    /// How many bytes the process may hold: decides how many attempts are in flight, and nothing about the result.
    pub memory_bytes: u64,
    /// How many bytes a map attempt collects before it sorts them and spills them to local disk.
    pub shuffle_memory_bytes: u64,
    /// Where spilled data goes; absent means the system's temporary directory.
    pub scratch: Option<PathBuf>,
    /// How many bytes of spilled data there may be at a time.
    pub scratch_space_bytes: u64,
    /// How long attempts under way may go on when the run is interrupted, and those that were overtaken when it is complete.
    pub grace: Duration,
    /// Whether writes to local disk wait until they have reached it.
    pub fsync: bool,
    /// Whether tasks that are far slower than others get a second attempt.
    pub speculative: bool,
    /// Whether several processes may work on the run at once, so that the run store has to keep them apart.
    pub shared: bool,
}
