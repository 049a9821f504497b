//! Replays: repeats a task of an earlier run as it was.
//!
//! Plan, plugins, configuration, records, random numbers and clock are those of the run; nothing is written to a store.
//! Owns the check that the plugins are the same, and how much of what the steps emit and set aside is kept. Called by
//! `etl-host replay`.

use std::{io, ops::ControlFlow, sync::Arc};

use arrow_array::RecordBatch;
use etl_core::{
    model::{
        error::{Error, ErrorContext, Result},
        event::{Counts, Events, Stage},
        ids::{PartitionId, ShardId, TaskId, Try},
        position::Position,
        reject::{Reject, Rejected},
        shared::Shared,
    },
    runtime::threads,
};
use etl_plugin::{Attempt, Compiler, Emit, Engine};
use etl_shuffle::{ShuffleWriter, index::ShuffleFiles};

use crate::{
    pipeline::Pipeline,
    run::budget::stack_bytes,
    run_store::{
        ledger::Ledger,
        plan::Planned,
        shards::{Shard, TaskShards},
    },
    task::{
        chain::{Chain, SetAside},
        context::{RunContext, RunId},
        input::{Input, fetch},
        map::{MapEnd, find_poison, map_shards},
        output::shuffle,
        poison::Allowance,
        records::Records,
        reduce::reduce,
        rejects::RejectLimits,
        steps::Steps,
        stores::Stores,
    },
};

/// The most rejects that are kept; further rejects are only counted.
const REJECTS_MAX: usize = 1000;

/// A run whose tasks can be replayed.
pub(crate) struct Replay {
    context: Arc<RunContext>,
    planned: Planned,
}

/// Names one record of a shard.
#[derive(Debug, Clone)]
pub(crate) enum Only {
    /// The record's number in the shard, from 0, in the order in which the first mapper is given the records.
    Number(u64),
    /// The place of the record.
    At {
        /// The object's name. `None` finds the record in any object of the shard.
        object: Option<String>,
        /// The position in the object.
        position: Position,
    },
}

/// The outcome of a replayed task.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The first rows that the task emitted, up to the limit.
    pub rows: Vec<RecordBatch>,
    /// The first 1,000 records that were set aside.
    pub rejects: Vec<Reject>,
    /// Number of records that were set aside, by who did so.
    pub rejected: Rejected,
    /// Numbers of records read, rows emitted and records set aside, and the steps' own counters.
    pub counts: Counts,
}

impl Replay {
    /// Loads the plugins of a run, and checks that they are the ones its plan names, except for the plugin of the step
    /// `replaced`, which may differ. Plugins are compiled with `compiler`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming the plugin, when a plugin has changed;
    /// fails also when a plugin cannot be loaded, or a store cannot be opened.
    pub(crate) async fn open(
        pipeline: Pipeline,
        run_id: String,
        planned: Planned,
        replaced: Option<&str>,
        compiler: Compiler,
        events: Events,
    ) -> Result<Self> {
        let stores = Stores::open(&pipeline).await?;
        threads::need_stack(stack_bytes(pipeline.maps.len()));
        // Two instances for each mapper and one further step: those of the attempt, with its reducer or combiner, and
        // those of a search for poison records.
        let instances = 2 * (pipeline.maps.len() + 1);
        let steps = Steps::load(&pipeline, &Engine::new(instances, compiler)?)?;
        for plugin in steps.maps.iter().chain(&steps.reduce).filter(|plugin| replaced != Some(plugin.step())) {
            let (step, digest) = (plugin.step(), plugin.digest());
            let then = planned.plan.recipe.steps.iter().find(|planned| planned.step == step);
            let then = then.map_or("not there", |planned| &planned.digest);
            if then != digest {
                return Err(Error::config(format!(
                    "the plugin of `{step}` is not the one of run `{run_id}` (was {then:.12}, is {digest:.12}): bring \
                     the old file back, or name the new one with `--plugin`"
                )));
            }
        }
        let context = RunContext::new(pipeline, steps, stores, RunId::new(run_id, "replay".to_owned()), events);
        Ok(Self { context: Arc::new(context), planned })
    }

    /// Maps a shard, and keeps the first `limit` rows that are emitted. Sets poison records aside as the run does.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the run has no such shard; fails otherwise
    /// as [`map_task`](crate::task::map::map_task) does.
    pub(crate) async fn shard(&self, number: ShardId, limit: usize) -> Result<Replayed> {
        let (shards, task) = self.shards(number).await?;
        let allowance = Arc::new(Allowance::new(&self.context.pipeline.maps, 1));
        loop {
            let mut chunks = fetch(&self.context, &shards, |_| true)?;
            chunks.ready().await;
            let (context, task) = (Arc::clone(&self.context), task.clone());
            let (shards, allowance) = (Arc::clone(&shards), Arc::clone(&allowance));
            let ended = threads::run(move || {
                let collector = Collector::shuffling(&context, &task, limit)?;
                match map_shards(&context, &task, &shards, &allowance, chunks, || collector.outlet()) {
                    Ok(counts) => collector.finish(counts).map(Some),
                    Err(MapEnd::Stumbled(stumble)) => {
                        find_poison(&context, &task, &shards, &allowance, *stumble).map(|()| None)
                    }
                    Err(MapEnd::Failed(error)) => Err(error),
                }
            });
            if let Some(replayed) =
                ended.await?.context(|| format!("{} failed", Stage::Map.task(TaskId::of_shard(number))))?
            {
                return Ok(replayed);
            }
        }
    }

    /// Maps one record of a shard as if it were the only one, and keeps the first `limit` rows that are emitted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the run has no such shard, or the shard no
    /// such record; says otherwise what a step returned or how it failed, or which store failed.
    pub(crate) async fn record(&self, number: ShardId, only: Only, limit: usize) -> Result<Replayed> {
        let (shards, task) = self.shards(number).await?;
        let mut chunks = fetch(&self.context, &shards, |_| true)?;
        chunks.ready().await;
        let context = Arc::clone(&self.context);
        let replay = move || {
            let (_, shard, _) = shards.iter().next().ok_or_else(|| Error::internal("the task has no shard"))?;
            let (records, row) = find(&mut Input::new(&context, chunks), number, shard, &only)?;
            let collector = Collector::shuffling(&context, &task, limit)?;
            let (emit, set_aside) = collector.outlet();
            let mut chain = Chain::open(&context.steps, &task, &[], emit, set_aside)?;
            let reject = records.reject(row, "", "");
            let named = || format!("{} ({})", reject.shown_record(), reject.place().unwrap_or_default());
            let counters = chain.process(&records, row..row + 1).and_then(|()| chain.finish()).context(named)?;
            drop(chain);
            collector.finish(Counts { records_in: 1, counters, ..Counts::default() })
        };
        threads::run(replay).await?
    }

    /// Reduces a partition, and keeps the first `limit` rows that are emitted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the run has no such partition, or not all
    /// of its map tasks are committed; fails otherwise as [`reduce_partition`](crate::task::reduce::reduce_partition)
    /// does.
    pub(crate) async fn partition(&self, number: PartitionId, limit: usize) -> Result<Replayed> {
        let context = Arc::clone(&self.context);
        check_number("partition", number.0, context.pipeline.partitions())?;
        let files = ShuffleFiles::new(context.pipeline.partitions(), &context.resources.scratch);
        let mut mapped = Ledger::new(context.pipeline.step_names(Stage::Map), files);
        mapped.read(&context.stores.run_store, &self.planned.layout, Stage::Map).await?;
        let (committed, tasks) = (mapped.committed(), self.planned.plan.shards.tasks() as u64);
        if committed < tasks {
            return Err(Error::config(format!(
                "run `{}` has committed {committed} of {tasks} map tasks, and a partition has rows of all: finish them \
                 first, with `--run-id {}`",
                context.id.run_id, context.id.run_id
            )));
        }
        let task = context.task(TaskId::of_partition(number), Try::FIRST, self.planned.plan.planned_at_ms);
        let replay = move || {
            let collector = Collector::new(&context, limit);
            let counts = reduce(&context, &mapped.shuffle_files, &task, collector.outlet().0)?;
            collector.finish(counts)
        };
        threads::run(replay).await?.context(|| format!("{} failed", Stage::Reduce.task(TaskId::of_partition(number))))
    }

    /// Returns a shard as a task of its own, and the context that its plugin instances are given.
    async fn shards(&self, number: ShardId) -> Result<(Arc<TaskShards>, Attempt)> {
        check_number("shard", number.0, self.planned.plan.shards.shards())?;
        let task = self.context.task(TaskId::of_shard(number), Try::FIRST, self.planned.plan.planned_at_ms);
        Ok((Arc::new(self.planned.shard(number).await?), task))
    }
}

fn check_number(what: &str, number: u32, count: u32) -> Result<()> {
    match count {
        _ if number < count => Ok(()),
        0 => Err(Error::config(format!("the run has no {what}s"))),
        1 => Err(Error::config(format!("the run has no {what} {number} (it has one: 0)"))),
        _ => Err(Error::config(format!("the run has no {what} {number} (it has 0 to {})", count - 1))),
    }
}

/// Reads a shard up to the given record, and returns the record's batch and its row in that batch.
fn find(input: &mut Input<'_>, number: ShardId, shard: &Shard, only: &Only) -> Result<(Records, usize)> {
    let (mut first, mut found) = (0, None);
    input.feed(shard, |batch| {
        let records = Records { shard: number, first, batch };
        first = records.numbers().end;
        let row = match only {
            Only::Number(number) => records.numbers().contains(number).then(|| records.row(*number)),
            Only::At { object, position } => records.row_at(object.as_deref(), *position),
        };
        found = row.map(|row| (records, row));
        Ok::<_, Error>(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    found.ok_or_else(|| {
        Error::config(match only {
            Only::Number(record) => format!("shard {number} has no record {record} (it has {first}, counted from 0)"),
            Only::At { object, position } => {
                let of = object.as_ref().map(|object| format!(" of `{object}`")).unwrap_or_default();
                match position {
                    Position::Byte(offset) => format!("no record of shard {number} starts at byte {offset}{of}"),
                    Position::Row(row) => format!("shard {number} has no row {row}{of}"),
                    Position::InBlock(offset, row) => {
                        format!("no block of shard {number} at byte {offset} has a row {row}{of}")
                    }
                }
            }
        })
    })
}

/// Collects what an attempt emits and sets aside.
struct Collector {
    kept: Shared<Kept>,
    /// The shuffle that a run would hand the rows to. The replay does so too, since the shuffle may be what fails.
    shuffle: Option<Shared<ShuffleWriter>>,
}

impl Collector {
    fn new(context: &RunContext, limit: usize) -> Self {
        let kept = Kept { reject_limits: RejectLimits::of(&context.pipeline), limit, replayed: Replayed::default() };
        Self { kept: Shared::new(kept), shuffle: None }
    }

    /// Creates a collector for a map task, whose rows go through the shuffle as well if the pipeline has a reducer.
    fn shuffling(context: &Arc<RunContext>, task: &Attempt, limit: usize) -> Result<Self> {
        let partitions = context.pipeline.reduce.as_ref().map(|reduce| reduce.partitions);
        let shuffle = partitions.map(|partitions| shuffle(context, task, partitions)).transpose()?;
        Ok(Self { shuffle: shuffle.map(Shared::new), ..Self::new(context, limit) })
    }

    /// Returns the callbacks that take what the attempt emits and what it sets aside.
    fn outlet(&self) -> (Emit, Box<dyn SetAside>) {
        let (kept, shuffle) = (self.kept.clone(), self.shuffle.clone());
        let emit = move |batch: RecordBatch, _: Option<&[u32]>| {
            kept.lock().emit(&batch);
            shuffle.as_ref().map_or(Ok(()), |shuffle| shuffle.lock().push(batch))
        };
        (Box::new(emit), Box::new(self.kept.clone()))
    }

    /// Completes the shuffle, if there is one, and returns what was collected. All instances must be dropped before.
    fn finish(self, counts: Counts) -> Result<Replayed> {
        if let Some(shuffle) = self.shuffle {
            shuffle.take()?.finish(io::sink())?;
        }
        let mut replayed = self.kept.take()?.replayed;
        replayed.counts = Counts { records_out: replayed.counts.records_out, ..counts };
        replayed.counts.rejects = replayed.rejected.values().sum();
        Ok(replayed)
    }
}

struct Kept {
    reject_limits: RejectLimits,
    limit: usize,
    replayed: Replayed,
}

impl Kept {
    fn emit(&mut self, batch: &RecordBatch) {
        let counts = &mut self.replayed.counts;
        let room = self.limit.saturating_sub(usize::try_from(counts.records_out).unwrap_or(usize::MAX));
        counts.records_out += batch.num_rows() as u64;
        if room > 0 {
            self.replayed.rows.push(batch.slice(0, room.min(batch.num_rows())));
        }
    }
}

impl SetAside for Shared<Kept> {
    fn set_aside(&mut self, reject: &Reject) -> Result<()> {
        let Kept { reject_limits, replayed: Replayed { rejects, rejected, .. }, .. } = &mut *self.lock();
        if rejects.len() < REJECTS_MAX {
            rejects.push(reject.clone());
        }
        reject_limits.count(rejected, reject)
    }

    fn room(&self, step: &str) -> u64 {
        let kept = self.lock();
        kept.reject_limits.room(&kept.replayed.rejected, step)
    }
}
