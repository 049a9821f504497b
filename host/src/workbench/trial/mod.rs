//! Trials: run one step on records in memory, in the real sandbox, and collect everything it does.
//!
//! Owns how a step is run without a pipeline around it. Decoding, grouping, limits and the plugin's world are those of
//! a run; nothing is written to a store. Called by `try`, `laws` and `diff`.

mod sample;
mod shuffle;
mod split;
mod trace;

use std::{collections::BTreeMap, path::Path};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    sample::{Place, Sample},
    shuffle::{group, recut},
    split::{SplitTrial, split},
    trace::traced,
};
use etl_core::model::{
    error::{Error, ErrorContext, ErrorKind, Result, ResultExt},
    event::Events,
    ids::{TaskId, Try},
    redact::Mask,
    reject::Reject,
    schema::Schema,
    shared::Shared,
};
use etl_core::text::rows::record_of;
use etl_plugin::{self, Attempt, Emit, Engine, InstanceUsage, Interface, Plugin, PluginSettings};
use etl_shuffle::SortedGroups;

use crate::pipeline::Sandbox;

/// The most bytes that a step may emit in a trial, since all of them are held in memory.
const OUTPUT_BYTES_MAX: u64 = 1 << 30;

/// Everything that a step did with its input.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The schema of the emitted rows.
    pub schema: Schema,
    /// The emitted rows, in order.
    pub rows: RecordBatch,
    /// For each emitted row, the number of the record it was made of, from 0, if the step says so.
    pub origins: Vec<Option<usize>>,
    /// The records that the step set aside, in order.
    pub rejects: Vec<Reject>,
    /// Number of records or rows that the step was given.
    pub records_in: u64,
    /// The step's counters, by name.
    pub counters: BTreeMap<String, i64>,
    /// The time and memory that the step used.
    pub usage: InstanceUsage,
}

/// Loads a plugin as the kind of step that it implements.
///
/// # Errors
/// [`ErrorKind::Config`] when the file is not a plugin, or `config` is not a JSON object; fails otherwise as
/// [`load_step`] does.
pub(crate) fn load(engine: &Engine, path: &Path, config: &str, sandbox: &Sandbox) -> Result<(Interface, Plugin)> {
    let interface = engine.inspect(path)?.interface;
    let config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(config).or_kind(ErrorKind::Config, || "the configuration is not a JSON object")?;
    let settings = PluginSettings {
        name: interface.step().to_owned(),
        path: path.to_owned(),
        build: None,
        config: serde_json::Value::Object(config).to_string(),
        variables: Vec::new(),
        grants: sandbox.grants.clone(),
        limits: sandbox.limits.clone(),
        mask: Mask::default(),
    };
    Ok((interface, load_step(engine, settings, interface)?))
}

/// Loads the plugin of a step for trials.
///
/// # Errors
/// Fails as [`Engine::load`] does; [`ErrorKind::Config`] when the configuration is not one that the plugin says it
/// takes.
pub(crate) fn load_step(engine: &Engine, mut settings: PluginSettings, interface: Interface) -> Result<Plugin> {
    settings.limits.output_bytes = settings.limits.output_bytes.min(OUTPUT_BYTES_MAX);
    let plugin = engine.load(&settings, interface)?;
    plugin.check_config().map_err(|wrong| Error::config(format!("{}: {wrong}", plugin.name())))?;
    Ok(plugin)
}

/// Returns the task of a trial, for shard or partition `number`. The plugin's messages go to `events`.
pub(crate) fn task(number: TaskId, events: &Events) -> Attempt {
    let (events, stop) = (events.clone(), CancellationToken::new());
    Attempt { run_id: "trial".to_owned(), task: number, attempt: Try::FIRST, clock_ms: 0, time_max: None, events, stop }
}

/// Runs a mapper on a sample as one shard.
///
/// # Errors
/// Says what the plugin returned or how it failed. If it fails with the same kind of error when it is given the records
/// one by one, names the record at which it does.
pub(crate) fn map(plugin: &Plugin, task: &Attempt, sample: &Sample) -> Result<Trial> {
    let mut under_way = None;
    map_telling(plugin, task, sample, &mut under_way).map_err(|error| {
        if under_way.is_none() {
            return error;
        }
        // Map the sample once more in batches of one record, to find the record at which the mapper fails. Its messages
        // were already emitted the first time.
        let silent = Attempt { events: Events::silent(), ..task.clone() };
        match (map_telling(plugin, &silent, &sample.cut(1), &mut under_way), under_way) {
            (Err(again), Some(row)) if again.kind() == error.kind() => again.context(sample.place(row)),
            _ => error,
        }
    })
}

/// Maps a sample. During each batch, sets `under_way` to the batch's first record, so that it is known after a failure.
fn map_telling(plugin: &Plugin, task: &Attempt, sample: &Sample, under_way: &mut Option<usize>) -> Result<Trial> {
    let emitted = Shared::new(Emitted::default());
    let mut mapper = plugin.map(task, &sample.schema, collect(&emitted))?;
    let mut rejects = Vec::new();
    let mut first = 0;
    for batch in sample.batches() {
        *under_way = Some(first);
        emitted.lock().first = first;
        for (row, reason) in mapper.process(&batch, u64::MAX)? {
            let record = record_of(&batch.slice(row as usize, 1));
            let reject = Reject::new(plugin.step(), &reason).with_record(&record);
            rejects.push(sample.place(first + row as usize).of(reject));
        }
        first += batch.num_rows();
    }
    *under_way = None;
    let counters = mapper.finish()?;
    let (schema, usage) = (mapper.schema().clone(), mapper.usage());
    drop(mapper);
    let Emitted { batches, origins, .. } = emitted.take()?;
    let rows = together(&schema, &batches)?;
    Ok(Trial { schema, rows, origins, rejects, records_in: sample.len() as u64, counters, usage })
}

/// Runs a reducer on rows of the schema `input`, grouped by key, as one partition.
///
/// # Errors
/// Says what the plugin returned or how it failed, and at which rows.
pub(crate) fn reduce(plugin: &Plugin, task: &Attempt, input: &Schema, groups: &[SortedGroups]) -> Result<Trial> {
    let emitted = Shared::new(Emitted::default());
    let mut reducer = plugin.reduce(task, input, collect(&emitted))?;
    let mut records_in = 0;
    for groups in groups {
        let context = || format!("rows {} to {}", records_in + 1, records_in + groups.batch.num_rows() as u64);
        reducer.process(&groups.batch, &groups.group_ends, groups.last_group_continues).context(context)?;
        records_in += groups.batch.num_rows() as u64;
    }
    let counters = reducer.finish()?;
    let (schema, usage) = (reducer.schema().clone(), reducer.usage());
    drop(reducer);
    let Emitted { batches, origins, .. } = emitted.take()?;
    let rows = together(&schema, &batches)?;
    Ok(Trial { schema, rows, origins, rejects: Vec::new(), records_in, counters, usage })
}

/// What a step has emitted so far.
#[derive(Debug, Default)]
struct Emitted {
    batches: Vec<RecordBatch>,
    origins: Vec<Option<usize>>,
    /// The number of the first record of the batch that the step is being given.
    first: usize,
}

/// Returns the callback that adds to what a step has emitted.
fn collect(emitted: &Shared<Emitted>) -> Emit {
    let emitted = emitted.clone();
    Box::new(move |batch, origins: Option<&[u32]>| {
        let mut emitted = emitted.lock();
        let first = emitted.first;
        match origins {
            Some(origins) => emitted.origins.extend(origins.iter().map(|row| Some(first + *row as usize))),
            None => emitted.origins.extend((0..batch.num_rows()).map(|_| None)),
        }
        emitted.batches.push(batch);
        Ok(())
    })
}

/// Concatenates batches into one.
fn together(schema: &Schema, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let rows = concat_batches(&schema.fields, batches);
    rows.map_err(|error| Error::input(format!("the rows do not fit into one batch of less than 2 GiB: {error}")))
}
