//! The pipeline that `pipeline.toml` describes, validated.
//!
//! Owns the meaning of every key. Does not open stores, load plugins or read data: `check` and the run do that.

mod bounds;
mod csv;
mod described;
mod document;
mod expansion;
mod fields;
mod file;
mod formats;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod json_schema;
mod key;
mod location;
mod message;
mod parts;
mod patterns;
mod place;
mod places;
mod result_keys;
mod secrets;
mod source;
#[cfg(test)]
mod tests;
mod tolerance;
mod units;
mod validate;
mod variables;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

use self::{document::Document, expansion::Expansion, key::KeyPath, place::Place, validate::Validator};
pub use self::{
    json_schema::json_schema,
    parts::PartSettings,
    places::Places,
    secrets::Secrets,
    source::{SourceTables, field_line},
    tolerance::Tolerance,
};
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        event::Stage,
        ids::check_new_run_id,
    },
    text::variables::scalar,
};
use etl_format::{SinkFormat, SourceFormat};
use etl_plugin::{Grants, Limits, PluginSettings, config_schema::WrongConfig};
use etl_store::Location;

use crate::scheduler::Retry;

/// A pipeline, ready to be planned.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Name of the pipeline, a part of object keys.
    pub name: String,
    /// Where records come from.
    pub source: PipelineSource,
    /// How the source is divided into shards.
    pub split: Split,
    /// The map steps, at least one. The rows that one step emits are the input of the next.
    pub maps: Vec<Step>,
    /// The reduce step. Without one, the rows that the last map emits go to the sink.
    pub reduce: Option<Reduce>,
    /// Where results go.
    pub sink: PipelineSink,
    /// Settings of `[run]`.
    pub run: RunSettings,
    /// Options for every object store of the pipeline, under the names the `object_store` crate gives them.
    pub store_options: BTreeMap<String, String>,
    /// The document as written, with `--set` applied and `${NAME}` left in place. The plan keeps it in this form.
    pub document: serde_json::Value,
    /// Values of variables that must not appear in anything the host writes.
    pub secrets: Secrets,
    /// Fingerprints of the values of `${NAME}` and of granted variables, by name; see [`Pipeline::variables`].
    fingerprints: BTreeMap<String, String>,
    /// The document, which knows where each value was written.
    written: Document,
}

impl Pipeline {
    /// Loads the pipeline file at `path`, applies each override `key.path=value`, and takes the values of `${NAME}`
    /// from `env`. Relative paths in the file start from the file's directory.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the file, the line, the key, and a valid value or the choices. No message holds the
    /// value of a secret.
    pub fn load(path: &Path, overrides: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::validated(&Document::read(path, overrides)?, &directory(path)?, env)
    }

    /// Makes the pipeline of a plan from the `document` that the plan keeps. `path` is the path of the pipeline file at
    /// that time. Overrides and `env` are applied as in [`Pipeline::load`].
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn of_plan(
        path: &Path,
        document: &serde_json::Value,
        overrides: &[String],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        Self::validated(&Document::of_plan(path, document, overrides)?, &directory(path)?, env)
    }

    /// Parses `text` as the content of a file called `path`, which need not exist. Relative paths in the text start
    /// from `/`.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(path: &Path, text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::validated(&Document::parse(path, text.to_owned(), &[])?, Path::new("/"), env)
    }

    fn validated(document: &Document, directory: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let at_key = |(key, what): (KeyPath, String)| document.error(&key, what);
        let root = KeyPath::default();
        let planned = document::json(document.root(), &root).map_err(at_key)?;
        let secrets = Secrets::of(document.root(), &env).map_err(at_key)?;
        let mut expanded = document.root().clone();
        let mut expansion = Expansion::new(&env);
        expansion.expand(&mut expanded, &root).map_err(at_key)?;

        let validator = Validator { document, directory, env: &env, secrets: &secrets };
        let pipeline = deserialize(document, expanded).and_then(|file| validator.pipeline(file, planned));
        let mut pipeline = pipeline.map_err(|error| redacted(&error, &secrets))?;
        pipeline.fingerprints = expansion.into_fingerprints();
        let granted: Vec<_> = pipeline.steps().flat_map(|step| step.plugin.grants.variables.clone()).collect();
        let granted = granted.into_iter().map(|(name, value)| (variables::fingerprint(&name, &value), name));
        pipeline.fingerprints.extend(granted.map(|(fingerprint, name)| (name, fingerprint)));
        Ok(pipeline)
    }

    /// Makes the error that the configuration of a step is wrong, with the line. `step` is the step's index in
    /// [`Pipeline::steps`].
    pub fn wrong_config(&self, step: usize, wrong: &WrongConfig) -> Error {
        let first_map = usize::from(matches!(self.split, Split::Plugin(_)));
        let (root, map) = (KeyPath::default(), step.wrapping_sub(first_map));
        let table = match step {
            _ if step < first_map => root.key("split"),
            _ if map < self.maps.len() => root.key("map").index(map),
            _ => root.key("reduce"),
        };
        self.written.error(&table.key("config").join_path(&wrong.path), &wrong.what)
    }

    /// Checks that a run may have this id: that it is one, and that neither the run nor its result would lie where the
    /// other or the source does.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the id and what is in its way.
    pub fn check_run(&self, run_id: &str) -> Result<()> {
        check_new_run_id(run_id)?;
        place::check_apart(run_id, &self.name, &self.run.store, &self.sink.location)?;
        let source = Place::of(&self.source.location, &[]);
        let result = Place::of(&self.sink.location, &[run_id]);
        let run = Place::of(&self.run.store, &[&self.name, run_id]);
        match [("result", result), ("run", run)].iter().find(|(_, place)| place.overlaps(&source)) {
            None => Ok(()),
            Some((what, _)) => Err(Error::config(format!(
                "run id `{run_id}` cannot be used: the {what} would lie where the source `{}` is (use another id)",
                self.source.location.written
            ))),
        }
    }

    /// Returns the number of reduce tasks; 0 in a pipeline without `[reduce]`.
    pub fn partitions(&self) -> u32 {
        self.reduce.as_ref().map_or(0, |reduce| reduce.partitions)
    }

    /// Returns the names of the steps that run in the tasks of a stage.
    pub fn step_names(&self, stage: Stage) -> Vec<String> {
        let steps = match stage {
            Stage::Map => self.maps.iter().collect(),
            Stage::Reduce => self.reduce.iter().map(|reduce| &reduce.step).collect(),
            Stage::Split | Stage::Finalize => Vec::new(),
        };
        steps.into_iter().map(|step: &Step| step.plugin.name.clone()).collect()
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

/// Grants and limits of a step that runs outside a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Access to the real world that the step is granted.
    pub grants: Grants,
    /// Limits of one instance.
    pub limits: Limits,
}

impl Sandbox {
    /// Makes the sandbox of the step of `plugin` from assignments such as `limits.memory=1GiB` and `grants=["clock"]`,
    /// whose keys are those of a step in `pipeline.toml`. A key that is not assigned has its default.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn parse(plugin: &Path, assignments: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let document = Document::parse(plugin, String::new(), assignments)?;
        let table = deserialize(&document, document.root().clone())?;
        let secrets = Secrets::default();
        Validator { document: &document, directory: Path::new("."), env: &env, secrets: &secrets }.sandbox(table)
    }
}

/// Deserializes a value of a document. A text that is the value of one `${NAME}` also counts as the number or the
/// boolean that it spells, where the key wants one. An error names the place of the value that is wrong.
fn deserialize<T: DeserializeOwned>(document: &Document, mut value: toml::Value) -> Result<T> {
    let mut converted = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(value.clone()) {
            Ok(table) => return Ok(table),
            Err(error) => error,
        };
        let (key, what) = message::explain(&error);
        // Of a text that spells a value of another type, the first message shows the text.
        if let Some((_, what)) = converted.iter().find(|(done, _)| *done == key) {
            return Err(document.error(&key, what));
        }
        let text = document.variable_at(&key).filter(|_| message::wants_no_text(&error));
        let text = text.and_then(|_| document::find_mut(&mut value, &key));
        match text.and_then(|text| Some((toml::Value::try_from(scalar(text.as_str()?)?).ok()?, text))) {
            Some((scalar, text)) => *text = scalar,
            None => return Err(document.error(&key, what)),
        }
        converted.push((key, what));
    }
}

/// Returns an error of the same kind, with the secrets redacted from its text.
fn redacted(error: &Error, secrets: &Secrets) -> Error {
    Error::config(secrets.redact(&error.to_string()).into_owned())
}

/// Returns the absolute path of the directory of a file.
fn directory(file: &Path) -> Result<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().or_kind(ErrorKind::Config, || format!("cannot find directory `{}`", parent.display()))
}

/// The table `[source]`: where records come from.
#[derive(Debug, Clone)]
pub struct PipelineSource {
    /// Prefix below which objects are listed, or one object.
    pub location: Location,
    /// Glob patterns for the names of objects below `location`; empty means all objects that are not hidden.
    pub include: Vec<String>,
    /// How records are read from the objects.
    pub format: SourceFormat,
}

/// The table `[split]`: how the source is divided into shards.
#[derive(Debug, Clone)]
pub enum Split {
    /// The host's own split: slices of about `target_size` bytes, with small objects packed together.
    BuiltIn {
        /// Target size of a slice, in bytes as stored.
        target_size: u64,
    },
    /// A splitter plugin.
    Plugin(Box<Step>),
}

/// A plugin and the settings its tasks run with: `[split]`, one `[[map]]`, or `[reduce]`.
#[derive(Debug, Clone)]
pub struct Step {
    /// The plugin and the settings it is loaded with.
    pub plugin: PluginSettings,
    /// How failed tasks of the step are tried again.
    pub retry: Retry,
    /// Number of records the step may set aside in a run.
    pub max_rejects: u64,
}

/// The table `[reduce]`: the step that handles the rows of each key together.
#[derive(Debug, Clone)]
pub struct Reduce {
    /// The reducer.
    pub step: Step,
    /// Whether the reducer also combines the rows of each map attempt before they are shuffled.
    pub combine: bool,
    /// Number of reduce tasks, and of parts of the result.
    pub partitions: u32,
}

/// The table `[sink]`: where the result goes.
#[derive(Debug, Clone)]
pub struct PipelineSink {
    /// Prefix below which results are written.
    pub location: Location,
    /// Format of the results.
    pub format: SinkFormat,
    /// How the rows of a task are divided into parts.
    pub parts: PartSettings,
}

/// The table `[run]`: how the pipeline is run.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Where runs keep their plan, intermediates and log.
    pub store: Location,
    /// Number of plugin instances that compute at the same time.
    pub concurrency: usize,
    /// Number of malformed records the source may have. Also the default of [`Step::max_rejects`].
    pub max_rejects: u64,
    /// Number of bytes that the committed tasks of a stage may write in all.
    pub max_output_bytes: u64,
    /// How many shards may fail for good without failing the run.
    pub tolerated_failures: Tolerance,
    /// Bytes of memory the process may use. They decide how many attempts are in flight, but not the result.
    pub memory_bytes: u64,
    /// Bytes of rows that a map attempt collects before it sorts them and spills them to local disk.
    pub shuffle_memory_bytes: u64,
    /// Directory for spilled data.
    pub scratch: PathBuf,
    /// Limit of spilled data at a time, in bytes.
    pub scratch_space_bytes: u64,
    /// Time that attempts under way have to end when the run is interrupted, and that overtaken attempts have to end
    /// once the result is published.
    pub grace: Duration,
    /// Whether writes to local disk wait until the data has reached it.
    pub fsync: bool,
    /// Whether a task that is far slower than others gets a second attempt.
    pub speculative: bool,
    /// Whether several processes may work on the run at once, so that the run store has to keep them apart.
    pub shared: bool,
}
