//! The steps of a pipeline: their loaded plugins, and the schemas that chain them.
//!
//! Owns the check that each step accepts the schema that the step before it emits. Reads no data. Used by `check`, by
//! runs, new or resumed, and by replays.

use std::{panic, thread};

use etl_core::model::{
    error::{Error, ErrorKind, Result},
    event::Events,
    ids::{TaskId, Try},
    schema::Schema,
};
use etl_plugin::{Attempt, Engine, Interface, Plugin};
use tokio_util::sync::CancellationToken;

use crate::{
    pipeline::{Pipeline, Reduce, Split},
    run_store::recipe::{PlannedStep, Recipe},
    task::partitioning::Partitioning,
};

/// The loaded steps of a pipeline.
pub struct Steps {
    /// The splitter; absent with the built-in split.
    pub split: Option<Plugin>,
    /// The mappers in the order of their chain; at least one.
    pub maps: Vec<Plugin>,
    /// The reducer; absent in a map-only pipeline.
    pub reduce: Option<Plugin>,
    /// The schema of the source's records.
    pub source: Schema,
    /// The schema of what each mapper emits, in the order of `maps`.
    pub mapped: Vec<Schema>,
    /// The schema of the rows that go to the sink.
    pub output: Schema,
}

impl Steps {
    /// Loads every plugin, and opens each mapper and the reducer once to chain the schemas from the source to the sink.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a plugin cannot be loaded, does not accept its configuration or its input, emits
    /// what the next step or the sink cannot take, or fails.
    pub fn load(pipeline: &Pipeline, engine: &Engine) -> Result<Self> {
        let mut maps = load_plugins(pipeline, engine)?;
        for (step, plugin) in maps.iter().enumerate() {
            plugin.check_config().map_err(|wrong| pipeline.wrong_config(step, &wrong))?;
        }
        let split = matches!(pipeline.split, Split::Plugin(_)).then(|| maps.remove(0));
        let reduce = pipeline.reduce.as_ref().and_then(|_| maps.pop());
        let source = pipeline.source.format.schema().clone();
        let mut mapped = Vec::new();
        for plugin in &maps {
            mapped.push(mapped_schema(plugin, mapped.last().unwrap_or(&source))?);
        }
        let last = mapped.last().ok_or_else(|| Error::config("a pipeline has at least one `[[map]]`"))?;
        let output = match (&pipeline.reduce, &reduce) {
            (Some(settings), Some(plugin)) => reduced_schema(settings, plugin, last)?,
            _ => last.clone(),
        };
        let partitioning = Partitioning::new(&pipeline.sink.parts.by, &output)?;
        pipeline.sink.format.check(partitioning.written())?;
        Ok(Self { split, maps, reduce, source, mapped, output })
    }

    /// Returns the schema of the rows that go into the shuffle, or to the sink when there is no reducer.
    pub fn shuffled(&self) -> &Schema {
        // `load` refuses a pipeline without mappers.
        self.mapped.last().expect("at least one mapper")
    }

    /// Returns the last mapper, whose rows go into the shuffle, or to the sink when there is no reducer.
    pub fn last_map(&self) -> &Plugin {
        // `load` refuses a pipeline without mappers.
        self.maps.last().expect("at least one mapper")
    }

    /// Returns the plugins in the order data flows.
    pub fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.split.iter().chain(&self.maps).chain(&self.reduce)
    }

    /// Returns the inputs that decide the result of these steps in `pipeline`, in the form that a plan keeps.
    pub fn recipe(&self, pipeline: &Pipeline) -> Recipe {
        let planned =
            |plugin: &Plugin| PlannedStep { step: plugin.step().to_owned(), digest: plugin.digest().to_owned() };
        let steps = self.plugins().map(planned).collect();
        Recipe {
            keys: pipeline.result_keys(),
            variables: pipeline.variables(),
            steps,
            records: self.source.signature(),
        }
    }
}

/// Loads the plugins of all steps, in the order data flows. Each is loaded on a thread of its own, so that a start
/// takes only as long as the slowest plugin.
fn load_plugins(pipeline: &Pipeline, engine: &Engine) -> Result<Vec<Plugin>> {
    let split = matches!(pipeline.split, Split::Plugin(_)).then_some(Interface::Splitter);
    let maps = pipeline.maps.iter().map(|_| Interface::Mapper);
    let reduce = pipeline.reduce.as_ref().map(|_| Interface::Reducer);
    let interfaces = split.into_iter().chain(maps).chain(reduce);
    thread::scope(|threads| {
        let plugins = pipeline.steps().map(|step| &step.plugin);
        let load = |(plugin, interface)| threads.spawn(move || engine.load(plugin, interface));
        let loading: Vec<_> = plugins.zip(interfaces).map(load).collect();
        loading.into_iter().map(|plugin| plugin.join().unwrap_or_else(|panic| panic::resume_unwind(panic))).collect()
    })
}

/// Returns the task for which a plugin is opened when only its schema or its answer to the configuration is wanted.
pub fn rehearsal() -> Attempt {
    let (events, stop) = (Events::silent(), CancellationToken::new());
    Attempt {
        run_id: "check".to_owned(),
        task: TaskId(0),
        attempt: Try::FIRST,
        clock_ms: 0,
        time_max: None,
        events,
        stop,
    }
}

fn mapped_schema(plugin: &Plugin, input: &Schema) -> Result<Schema> {
    let opened = plugin.map(&rehearsal(), input, Box::new(|_, _| Ok(())));
    opened.map(|mapper| mapper.schema().clone()).map_err(|error| given(input, error))
}

fn reduced_schema(settings: &Reduce, plugin: &Plugin, input: &Schema) -> Result<Schema> {
    if input.key_fields == 0 {
        return Err(Error::config(format!(
            "the last `[[map]]` emits `{input}` without a key, but `[reduce]` needs one: let the mapper declare key \
             fields, or leave `[reduce]` out"
        )));
    }
    let opened = plugin.reduce(&rehearsal(), input, Box::new(|_, _| Ok(())));
    let output = opened.map(|reducer| reducer.schema().clone()).map_err(|error| given(input, error))?;
    if settings.combine {
        check_combiner(plugin, input)?;
    }
    Ok(output)
}

fn check_combiner(plugin: &Plugin, input: &Schema) -> Result<()> {
    let combined = combined_schema(plugin, input).map_err(|error| given(input, error))?;
    let Some(difference) = combined.difference(input) else { return Ok(()) };
    Err(Error::config(format!(
        "`reduce.combine` needs a reducer that emits what it is given, but this one is given `{input}` and emits \
         `{combined}` ({difference}): set `combine = false`"
    )))
}

/// Returns the schema of what a reducer emits as a combiner.
///
/// # Errors
/// As [`Plugin::combine`].
pub fn combined_schema(plugin: &Plugin, input: &Schema) -> Result<Schema> {
    Ok(plugin.combine(&rehearsal(), input, Box::new(|_, _| Ok(())))?.schema().clone())
}

/// Returns the error of a plugin that was opened for `input`. Before any data is read, an error is the pipeline's
/// fault, so its kind becomes [`ErrorKind::Config`], unless a store or the host failed.
fn given(input: &Schema, error: Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Internal => error.kind(),
        _ => ErrorKind::Config,
    };
    error.context(format!("opened for input `{input}`")).with_kind(kind)
}
