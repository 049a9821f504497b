//! Validation: turns the tables of `pipeline.toml` into a pipeline, with defaults, ranges and rules between keys.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use etl_core::{
    model::{
        error::{Error, Result},
        ids::{self, LATEST},
        object::Compression,
    },
    runtime::scratch::temporary_directory,
};
use etl_format::{AvroSink, ParquetSink, SinkFormat, SourceColumns, SourceFormat};
use etl_plugin::{GRANTS, Grants, Limits, PluginSettings, config_schema::PathPart};
use etl_store::Location;
use toml::{Table, Value};

use super::{
    Pipeline, PipelineSink, PipelineSource, Places, Reduce, RunSettings, Sandbox, Secrets, Split, Step,
    bounds::{self, Bounds},
    document::{self, Document},
    expansion::is_variable,
    file::{self, File},
    key::KeyPath,
    location, patterns,
    place::Place,
};
use crate::scheduler::Retry;

/// Turns the tables of a document into a pipeline.
pub(super) struct Validator<'a> {
    /// Document of the tables, which knows where each value was written.
    pub document: &'a Document,
    /// Directory that relative paths start from. Absolute for a pipeline file.
    pub directory: &'a Path,
    /// Returns the value of an environment variable, if it is set.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Values that no location may show.
    pub secrets: &'a Secrets,
}

impl Validator<'_> {
    /// Validates every table, and returns their pipeline, without fingerprints. `planned` is the document as a plan
    /// keeps it.
    ///
    /// # Errors
    /// The first value that is wrong, with where it was written and what to write instead.
    pub(super) fn pipeline(&self, file: File, planned: serde_json::Value) -> Result<Pipeline> {
        let root = KeyPath::default();
        self.name(&root.key("name"), &file.name)?;
        let run = self.run(&root.key("run"), file.run)?;
        let source = self.source(&root.key("source"), file.source)?;
        let sink = self.sink(&root.key("sink"), &file.sink)?;
        self.outside_source(&root.key("sink").key("url"), &sink.location, &source.location)?;
        self.outside_source(&root.key("run").key("store"), &run.store, &source.location)?;
        if let Some(scratch) = location::of_directory(&run.scratch) {
            self.outside_source(&root.key("run").key("scratch"), &scratch, &source.location)?;
        }
        self.outside_runs(&root.key("sink").key("url"), &sink.location, &file.name, &run.store)?;
        Ok(Pipeline {
            name: file.name,
            split: self.split(&root.key("split"), file.split.unwrap_or_default(), run.max_rejects)?,
            maps: self.maps(&root.key("map"), file.map, run.max_rejects)?,
            reduce: file.reduce.map(|table| self.reduce(&root.key("reduce"), table, run.max_rejects)).transpose()?,
            store_options: self.store_options(&root.key("store_options"), file.store_options)?,
            source,
            sink,
            run,
            document: planned,
            secrets: self.secrets.clone(),
            fingerprints: BTreeMap::new(),
            written: self.document.clone(),
        })
    }

    /// Validates the keys that say where the runs and the results of a pipeline lie.
    ///
    /// # Errors
    /// As [`Validator::pipeline`].
    pub(super) fn places(&self, file: file::Places) -> Result<Places> {
        let root = KeyPath::default();
        let file::Places { name, sink, run, store_options } = file;
        self.name(&root.key("name"), &name)?;
        Ok(Places {
            name,
            run_store: self.run_store(&root.key("run"), run.store.as_deref())?,
            sink: self.location(&root.key("sink").key("url"), &sink.url)?,
            store_options: self.store_options(&root.key("store_options"), store_options)?,
            fsync: run.fsync.unwrap_or(true),
            secrets: self.secrets.clone(),
        })
    }

    fn name(&self, at: &KeyPath, name: &str) -> Result<()> {
        ids::check_name("pipeline name", name).map_err(|error| self.wrong(at, format!("is wrong: {error}")))
    }

    fn run_store(&self, at: &KeyPath, written: Option<&str>) -> Result<Location> {
        self.location(&at.key("store"), written.unwrap_or(bounds::RUN_STORE))
    }

    pub(super) fn source(&self, at: &KeyPath, table: file::Source) -> Result<PipelineSource> {
        let fields = at.key("fields");
        if table.fields.as_ref().is_some_and(Table::is_empty) {
            return Err(self.wrong(&fields, "names no field (leave it out to have the fields inferred)"));
        }
        let wanted = table.fields.map(|table| self.fields(&fields, &table)).transpose()?;
        let format = SourceFormat::new(table.format.0, wanted).map_err(|error| self.wrong(&fields, error))?;
        let csv = table.csv.map(|table| self.source_csv(&at.key("csv"), table)).transpose()?;
        let format = self.with(format, &at.key("csv"), csv, SourceFormat::with_csv)?;
        let layout = table.json.map(|json| json.layout.into());
        let format = self.with(format, &at.key("json"), layout, SourceFormat::with_json)?;
        if let Some((name, why)) = format.refused_field() {
            return Err(self.wrong(&fields.key(name), why));
        }
        let columns = table.columns.into_iter().map(|(name, column)| (name, column.into())).collect();
        let format = format.with_columns(SourceColumns::new(columns));
        let format = format.map_err(|error| self.wrong(&at.key("columns"), format!("cannot be added: {error}")))?;
        let max_record = self.bounded(&at.key("max_record"), table.max_record, bounds::MAX_RECORD)?;
        let format = format.with_record_max(max_record.0);
        for (index, pattern) in table.include.iter().enumerate() {
            if let Some(flaw) = patterns::flaw(pattern) {
                return Err(self.wrong(&at.key("include").index(index), format!("is `{pattern}`, {flaw}")));
            }
        }
        Ok(PipelineSource { location: self.location(&at.key("url"), &table.url)?, include: table.include, format })
    }

    fn split(&self, at: &KeyPath, table: file::Split, max_rejects: u64) -> Result<Split> {
        let target_size = at.key("target_size");
        let file::Split { target_size: size, plugin, build, config, grants, limits, retry } = table;
        let Some(plugin) = plugin else {
            let of_plugins = [
                ("build", build.is_some()),
                ("config", config.is_some()),
                ("grants", grants.is_some()),
                ("limits", limits.is_some()),
                ("retry", retry.is_some()),
            ];
            if let Some((name, _)) = of_plugins.iter().find(|(_, present)| *present) {
                let what = "cannot be used with the built-in split (add `plugin`, or leave this key out)";
                return Err(self.wrong(&at.key(name), what));
            }
            return Ok(Split::BuiltIn { target_size: self.bounded(&target_size, size, bounds::TARGET_SIZE)?.0 });
        };
        if size.is_some() {
            let what = "belongs to the built-in split and cannot be used with `plugin` (leave one of them out)";
            return Err(self.wrong(&target_size, what));
        }
        let step = file::Step { plugin, build, config, grants, limits, retry, max_rejects: None };
        Ok(Split::Plugin(Box::new(self.step(at, "split", step, max_rejects)?)))
    }

    fn maps(&self, at: &KeyPath, tables: Vec<file::Map>, max_rejects: u64) -> Result<Vec<Step>> {
        if tables.is_empty() {
            return Err(self.wrong(at, "is missing (add `[[map]]` with a `plugin`: the step each shard goes through)"));
        }
        let step = |(index, table): (usize, file::Map)| {
            let name = if index == 0 { "map".to_owned() } else { format!("map {}", index + 1) };
            self.step(&at.index(index), &name, table.into(), max_rejects)
        };
        tables.into_iter().enumerate().map(step).collect()
    }

    fn reduce(&self, at: &KeyPath, table: file::Reduce, max_rejects: u64) -> Result<Reduce> {
        let combine = table.combine;
        let partitions = self.counted(&at.key("partitions"), table.partitions, bounds::PARTITIONS)?;
        let step = self.step(at, "reduce", table.into(), max_rejects)?;
        Ok(Reduce { step, combine, partitions })
    }

    fn step(&self, at: &KeyPath, name: &str, table: file::Step, max_rejects: u64) -> Result<Step> {
        if table.plugin.is_empty() {
            return Err(self.wrong(&at.key("plugin"), "is empty (write the path of a component)"));
        }
        let (config, variables) = self.config(&at.key("config"), table.config.unwrap_or_default())?;
        Ok(Step {
            plugin: PluginSettings {
                name: name.to_owned(),
                path: self.path(&table.plugin),
                build: table.build,
                config,
                variables,
                grants: self.grants(&at.key("grants"), table.grants.unwrap_or_default())?,
                limits: self.limits(&at.key("limits"), &table.limits.unwrap_or_default())?,
                mask: self.secrets.mask().clone(),
            },
            retry: self.retry(&at.key("retry"), &table.retry.unwrap_or_default())?,
            max_rejects: self.max_rejects(at, table.max_rejects, max_rejects)?,
        })
    }

    /// Validates the grants and limits of a step that runs outside a pipeline.
    ///
    /// # Errors
    /// As [`Validator::pipeline`].
    pub(super) fn sandbox(&self, table: file::Sandbox) -> Result<Sandbox> {
        let root = KeyPath::default();
        Ok(Sandbox {
            grants: self.grants(&root.key("grants"), table.grants.unwrap_or_default())?,
            limits: self.limits(&root.key("limits"), &table.limits.unwrap_or_default())?,
        })
    }

    /// Returns a configuration as JSON, and the places in it that are one `${NAME}`.
    fn config(&self, at: &KeyPath, table: Table) -> Result<(String, Vec<Vec<PathPart>>)> {
        let json = document::json(&Value::Table(table), at).map_err(|(at, what)| self.wrong(&at, what))?;
        let mut texts = Vec::new();
        texts_in(&json, &mut Vec::new(), &mut texts);
        texts.retain(|path| self.document.variable_at(&at.join_path(path)).is_some());
        Ok((json.to_string(), texts))
    }

    fn grants(&self, at: &KeyPath, names: Vec<String>) -> Result<Grants> {
        let mut grants = Grants::default();
        for (index, name) in names.into_iter().enumerate() {
            let wrong = |what: String| self.wrong(&at.index(index), what);
            match (name.as_str(), name.strip_prefix("env:")) {
                ("clock", _) => grants.clock = true,
                ("random", _) => grants.random = true,
                (_, Some(variable)) if is_variable(variable) => {
                    let unset = || wrong(format!("needs the environment variable `{variable}`, which is not set"));
                    let value = (self.env)(variable).ok_or_else(unset)?;
                    grants.variables.push((variable.to_owned(), value));
                }
                _ => return Err(wrong(format!("is `{name}`, which cannot be granted (choices: {GRANTS})"))),
            }
        }
        Ok(grants)
    }

    fn limits(&self, at: &KeyPath, table: &file::Limits) -> Result<Limits> {
        Ok(Limits {
            memory_bytes: self.bounded(&at.key("memory"), table.memory, bounds::MEMORY)?.0,
            timeout: self.bounded(&at.key("timeout"), table.timeout, bounds::TIMEOUT)?.0,
            batch_timeout: self.bounded(&at.key("batch_timeout"), table.batch_timeout, bounds::BATCH_TIMEOUT)?.0,
            output_bytes: self.bounded(&at.key("output"), table.output, bounds::OUTPUT)?.0,
            log_bytes: self.bounded(&at.key("log"), table.log, bounds::LOG)?.0,
            compile_timeout: self
                .bounded(&at.key("compile_timeout"), table.compile_timeout, bounds::COMPILE_TIMEOUT)?
                .0,
            compile_memory_bytes: self
                .bounded(&at.key("compile_memory"), table.compile_memory, bounds::COMPILE_MEMORY)?
                .0,
        })
    }

    fn retry(&self, at: &KeyPath, table: &file::Retry) -> Result<Retry> {
        Ok(Retry {
            attempts: self.counted(&at.key("attempts"), table.attempts, bounds::ATTEMPTS)?,
            interval: self.bounded(&at.key("interval"), table.interval, bounds::INTERVAL)?.0,
            multiplier: self.bounded(&at.key("multiplier"), table.multiplier, bounds::MULTIPLIER)?,
        })
    }

    fn sink(&self, at: &KeyPath, table: &file::Sink) -> Result<PipelineSink> {
        let location = self.location(&at.key("url"), &table.url)?;
        let compression = table.compression.map_or(Compression::None, Compression::from);
        let format = SinkFormat::new(table.format.0)?.with_compression(compression);
        let format = format.map_err(|error| self.wrong(&at.key("compression"), error))?;
        let non_finite = table.non_finite.map(Into::into);
        let format = self.with(format, &at.key("non_finite"), non_finite, SinkFormat::with_non_finite)?;
        let csv = table.csv.as_ref().map(|table| self.sink_csv(&at.key("csv"), table)).transpose()?;
        let format = self.with(format, &at.key("csv"), csv, SinkFormat::with_csv)?;
        let parquet = table.parquet.as_ref().map(|table| self.parquet(&at.key("parquet"), table)).transpose()?;
        let format = self.with(format, &at.key("parquet"), parquet, SinkFormat::with_parquet)?;
        let avro = table.avro.as_ref().map(|table| self.avro(&at.key("avro"), table)).transpose()?;
        let format = self.with(format, &at.key("avro"), avro, SinkFormat::with_avro)?;
        Ok(PipelineSink { location, format, parts: self.parts(at, table)? })
    }

    /// Returns a format with the options at a key, if they are there. `set` sets them.
    fn with<F, O>(
        &self,
        format: F,
        at: &KeyPath,
        options: Option<O>,
        set: impl FnOnce(F, O) -> Result<F>,
    ) -> Result<F> {
        match options {
            None => Ok(format),
            Some(options) => set(format, options).map_err(|error| self.wrong(at, error)),
        }
    }

    fn avro(&self, at: &KeyPath, table: &file::SinkAvro) -> Result<AvroSink> {
        Ok(AvroSink {
            compression: table.compression.map(Into::into).unwrap_or_default(),
            block_bytes: self.bounded(&at.key("block_size"), table.block_size, bounds::BLOCK_SIZE)?.0,
        })
    }

    fn parquet(&self, at: &KeyPath, table: &file::SinkParquet) -> Result<ParquetSink> {
        let rows = self.counted(&at.key("row_group_rows"), table.row_group_rows, bounds::ROW_GROUP_ROWS)?;
        Ok(ParquetSink {
            compression: table.compression.map(Into::into).unwrap_or_default(),
            row_group_rows: rows.into(),
            row_group_bytes: self.bounded(&at.key("row_group_size"), table.row_group_size, bounds::ROW_GROUP_SIZE)?.0,
            statistics: table.statistics.unwrap_or(true),
            dictionary: table.dictionary.unwrap_or(true),
        })
    }

    fn run(&self, at: &KeyPath, table: file::Run) -> Result<RunSettings> {
        let shuffle_memory = self.bounded(&at.key("shuffle_memory"), table.shuffle_memory, bounds::SHUFFLE_MEMORY)?;
        Ok(RunSettings {
            store: self.run_store(at, table.store.as_deref())?,
            concurrency: self.counted(&at.key("concurrency"), table.concurrency, bounds::concurrency())? as usize,
            max_rejects: self.max_rejects(at, table.max_rejects, 0)?,
            max_output_bytes: self.bounded(&at.key("max_output"), table.max_output, bounds::MAX_OUTPUT)?.0,
            tolerated_failures: table.tolerated_failures,
            memory_bytes: self.bounded(&at.key("memory"), table.memory, bounds::run_memory())?.0,
            shuffle_memory_bytes: shuffle_memory.0,
            scratch: table.scratch.map_or_else(|| temporary_directory(self.env), |path| self.path(&path)),
            scratch_space_bytes: self.bounded(&at.key("scratch_space"), table.scratch_space, bounds::SCRATCH_SPACE)?.0,
            grace: self.bounded(&at.key("grace"), table.grace, bounds::GRACE)?.0,
            fsync: table.fsync.unwrap_or(true),
            speculative: table.speculative,
            shared: table.shared,
        })
    }

    pub(super) fn store_options(
        &self,
        at: &KeyPath,
        table: BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, String>> {
        let option = |(name, value): (String, Value)| {
            let text = match value {
                Value::String(text) => text,
                Value::Boolean(_) | Value::Integer(_) => value.to_string(),
                _ => {
                    let what = format!("must be text, a whole number, true or false, not of type {}", value.type_str());
                    return Err(self.wrong(&at.key(&name), what));
                }
            };
            Ok((name, text))
        };
        table.into_iter().map(option).collect()
    }

    fn max_rejects(&self, at: &KeyPath, value: Option<i64>, default: u64) -> Result<u64> {
        let Some(value) = value else { return Ok(default) };
        Ok(self.bounded(&at.key("max_rejects"), Some(value), bounds::MAX_REJECTS)?.unsigned_abs())
    }

    /// Returns a value within bounds that fit `u32`, or the default.
    pub(super) fn counted(&self, at: &KeyPath, value: Option<i64>, bounds: Bounds<i64>) -> Result<u32> {
        let value = self.bounded(at, value, bounds)?;
        u32::try_from(value).map_err(|_| self.wrong(at, format!("is {}, which is too large", self.shown(at, value))))
    }

    /// Returns a value within bounds, or the default.
    pub(super) fn bounded<T>(&self, at: &KeyPath, value: Option<T>, bounds: Bounds<T>) -> Result<T>
    where
        T: PartialOrd + fmt::Display + Copy,
    {
        match value {
            None => Ok(bounds.default),
            Some(value) if (bounds.min..=bounds.max).contains(&value) => Ok(value),
            Some(value) => {
                let value = self.shown(at, value);
                Err(self.wrong(at, format!("is {value} (allowed: {} to {})", bounds.min, bounds.max)))
            }
        }
    }

    /// Returns a value as messages show it. A secret is not shown, because a number or a size that is read and written
    /// again need not look as the variable does.
    fn shown(&self, at: &KeyPath, value: impl fmt::Display) -> String {
        let secret = self.document.variable_at(at).filter(|name| self.secrets.holds(name));
        secret.map_or_else(|| value.to_string(), |name| format!("${{{name}}}"))
    }

    fn location(&self, at: &KeyPath, text: &str) -> Result<Location> {
        let url = location::resolve(self.directory, text).map_err(|what| self.wrong(at, what))?;
        let written = if text.contains("://") { text.to_owned() } else { self.document.beside(text) };
        Ok(Location { written: self.secrets.redact(&written).into_owned(), url: url.into() })
    }

    /// Refuses results, runs or spilled data inside the source, because the next run would read it as input.
    fn outside_source(&self, at: &KeyPath, location: &Location, source: &Location) -> Result<()> {
        if !Place::of(source, &[]).contains(&Place::of(location, &[])) {
            return Ok(());
        }
        let what = "lies inside `source.url`, so the next run would read it as input (choose a place beside it)";
        Err(self.wrong(at, format!("(`{}`) {what}", location.written)))
    }

    /// Refuses results among the runs of the pipeline, and runs in the place of [`LATEST`].
    fn outside_runs(&self, at: &KeyPath, sink: &Location, name: &str, store: &Location) -> Result<()> {
        let runs = Place::of(store, &[name]);
        if !runs.contains(&Place::of(sink, &[])) && !runs.overlaps(&Place::of(sink, &[LATEST])) {
            return Ok(());
        }
        let (sink, runs) = (&sink.written, format!("{}/{name}", store.written.trim_end_matches('/')));
        let what = format!("lies where the runs of this pipeline are, `{runs}` (choose a place beside it)");
        Err(self.wrong(at, format!("(`{sink}`) {what}")))
    }

    fn path(&self, path: &str) -> PathBuf {
        location::absolute(self.directory, path)
    }

    pub(super) fn wrong(&self, at: &KeyPath, what: impl fmt::Display) -> Error {
        self.document.error(at, what)
    }
}

/// Adds the places of all texts in a configuration, which is at the place `at`.
fn texts_in(config: &serde_json::Value, at: &mut Vec<PathPart>, texts: &mut Vec<Vec<PathPart>>) {
    let mut visit = |part, item| {
        at.push(part);
        texts_in(item, at, texts);
        at.pop();
    };
    match config {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, item)| visit(PathPart::Field(name.clone()), item));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| visit(PathPart::Item(index), item));
        }
        serde_json::Value::String(_) => texts.push(at.clone()),
        _ => {}
    }
}
