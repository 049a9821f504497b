//! The map stage: one attempt at a map task, from the slices of its shards to its commit.
//!
//! Owns the order of things in an attempt: the input is decoded, the chain computes, the output writes. A task is one
//! shard, or several neighbouring ones in a run of very many. Each shard has plugin instances of its own, and all
//! shards of a task go into one output. Called by the run, once per attempt.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::{Counts, Event, Events, Stage, add_counters},
        ids::{AttemptId, ShardId, TaskId, Try},
        shared::Shared,
    },
    runtime::{clock::measure, fail_point, threads},
};
use etl_plugin::{Attempt, Emit};

use crate::{
    connector::objects::Chunks,
    run_store::{
        commit::Commit,
        layout::PlanLayout,
        plan::Planned,
        shards::TaskShards,
        uploads::{Uploaded, note},
    },
    task::{
        chain::{Chain, SetAside},
        commit::commit,
        context::RunContext,
        input::{Input, fetch},
        output::OutputWriter,
        poison::{self, Allowance, PoisonRecords, Search},
        records::{Batch, Records},
        rejects::{RejectLimits, RejectLog},
    },
};

/// The least time between two progress reports of an attempt.
const PROGRESS: Duration = Duration::from_millis(200);

/// Maps the shards of a task and commits it. Returns the commit that counts, which may be another attempt's. If a
/// mapper fails on poison records, maps the shards again without them.
///
/// # Errors
/// The error that a plugin returned, or the way it failed; what is wrong with the data; which store failed.
pub async fn map_task(context: Arc<RunContext>, planned: Planned, task: TaskId, number: Try) -> Result<Commit> {
    let shards = Arc::new(planned.shards_of(task).await?);
    let guest_task = context.task(task, number, planned.plan.planned_at_ms);
    let _stop_when_dropped = guest_task.stop.clone().drop_guard();
    let attempt = context.id.attempt(number);
    let allowance = Arc::new(Allowance::new(&context.pipeline.maps, shards.iter().count()));
    loop {
        let mut chunks = fetch(&context, &shards, |_| true)?;
        // Wait for the first chunk here, on the runtime, so that no worker thread is held while it is fetched.
        chunks.ready().await;
        fail_point::reach("map.begin");
        let (planned, guest_task) = (planned.clone(), guest_task.clone());
        let (attempt, shards, allowance) = (attempt.clone(), Arc::clone(&shards), Arc::clone(&allowance));
        let ended = context.work(move |context| {
            let (mapped, times) =
                measure(|| run(context, &planned.layout, &guest_task, attempt, &shards, &allowance, chunks));
            match mapped {
                Ok(ours) => {
                    let committed = commit(context, &planned, Stage::Map, task, ours, times);
                    context.stores.run_store.wait(committed).map(Some)
                }
                Err(MapEnd::Failed(error)) => Err(error),
                Err(MapEnd::Stumbled(stumble)) => {
                    find_poison(context, &guest_task, &shards, &allowance, *stumble).map(|()| None)
                }
            }
        });
        if let Some(commit) = ended.await?? {
            return Ok(commit);
        }
    }
}

/// The reason why an attempt ends early.
pub enum MapEnd {
    /// An error that ends the attempt.
    Failed(Error),
    /// A mapper failed with [`ErrorKind::Sandbox`], and a poison record may be the cause.
    Stumbled(Box<Stumble>),
}

/// A failure of a shard's chain.
pub struct Stumble {
    shard: ShardId,
    /// The records that the chain was given last; absent when it failed at the end of the shard.
    records: Option<Records>,
    /// The poison records that were known before, which the chain was not given.
    known: Arc<PoisonRecords>,
    error: Error,
}

impl From<Error> for MapEnd {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Looks for poison records of a shard whose chain failed: first in its last batch, then in the whole shard, because a
/// mapper may keep records, or rows for the next mapper, for a while. If some are found, the shard can be mapped again
/// without them. Call this only on a thread that may block.
///
/// # Errors
/// As `Search::in_batch`; the error of the chain when no poison record is found, or the time of the attempt is used up.
pub fn find_poison(
    context: &RunContext,
    task: &Attempt,
    shards: &TaskShards,
    allowance: &Allowance,
    stumble: Stumble,
) -> Result<()> {
    let shard = stumble.shard;
    let found = allowance.used_up().map_or_else(|| search(context, task, shards, allowance, stumble), Err);
    // What was found stays known to the next attempt.
    let found = found.map_err(|error| allowance.explain(error));
    found.and_then(|()| allowance.used_up().map_or(Ok(()), Err)).map_err(|error| shards.name(shard, error))
}

fn search(
    context: &RunContext,
    task: &Attempt,
    shards: &TaskShards,
    allowance: &Allowance,
    stumble: Stumble,
) -> Result<()> {
    let Stumble { shard: number, records, known, error } = stumble;
    if context.poison.of_shard(number).len() > known.len() {
        // Another attempt at the task has found further poison records meanwhile.
        return Ok(());
    }
    let Some((_, shard, _)) = shards.iter().find(|(other, ..)| *other == number) else { return Err(error) };
    let worker = context.resources.workers.take();
    let search = Search::new(context, task, number, &known, allowance, error)?;
    let mut found = records.map_or(Ok(false), |records| search.in_batch(&records))?;
    if found {
        return Ok(());
    }
    drop(worker);
    let chunks = {
        let _runtime = threads::runtime().enter();
        fetch(context, shards, |other| other == number)?
    };
    let (mut first, mut whole) = (0, None);
    Input::new(context, chunks).feed(shard, |batch| {
        let records = Records { shard: number, first, batch };
        first = records.numbers().end;
        if search.fails(&records)? {
            found = search.in_batch(&records)?;
            whole = Some(Search::ends(&records)?).filter(|_| whole.is_none()).or(whole.take());
        }
        Ok::<_, Error>(if found || search.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if found { Ok(()) } else { Err(allowance.used_up().unwrap_or_else(|| search.no_culprit(whole))) }
}

/// Maps the shards of a task on a worker thread, one after the other, and returns the commit to be written.
fn run(
    context: &Arc<RunContext>,
    layout: &PlanLayout,
    task: &Attempt,
    attempt: AttemptId,
    shards: &TaskShards,
    allowance: &Allowance,
    chunks: Chunks,
) -> Result<Commit, MapEnd> {
    let output = Shared::new(open_output(context, layout, task, &attempt)?);
    let rejects = Shared::new(open_reject_log(context, layout, task, &attempt));
    let outlet = || -> (Emit, Box<dyn SetAside>) { (OutputWriter::outlet(&output), Box::new(rejects.clone())) };
    let mut counts = map_shards(context, task, shards, allowance, chunks, outlet)?;
    fail_point::reach("map.mapped");
    let written = output.take()?.finish(&context.stores.run_store)?;
    (counts.records_out, counts.bytes_out) = (written.rows, written.bytes);
    let (rejected, rejects) = rejects.take()?.finish()?;
    counts.rejects = rejected.values().sum();
    Ok(Commit { plan: layout.plan().clone(), attempt, counts, output: written.output, rejected, rejects })
}

/// Maps shards, whose chunks are `chunks`, on a thread that may block, within the attempt's allowance. Returns counts
/// of what was read and of what the steps counted. `outlet` makes the receivers of the rows that a shard emits and of
/// the records that it sets aside.
pub fn map_shards(
    context: &RunContext,
    task: &Attempt,
    shards: &TaskShards,
    allowance: &Allowance,
    chunks: Chunks,
    outlet: impl Fn() -> (Emit, Box<dyn SetAside>),
) -> Result<Counts, MapEnd> {
    let (mut input, mut progress) = (Input::new(context, chunks), Progress::new(&context.events, task));
    let mut counts = Counts::default();
    for (number, shard, _) in shards.iter() {
        let task = Attempt { task: TaskId::of_shard(number), ..task.clone() };
        let (emit, set_aside) = outlet();
        let opened = Chain::open(&context.steps, &task, &allowance.left(), emit, set_aside);
        let mut chain = opened.map_err(|error| allowance.explain(error))?;
        let poison = context.poison.of_shard(number);
        let mut mapping = Mapping { chain: &mut chain, shard: number, mapped: 0, poison, progress: &mut progress };
        let fed = input.feed(shard, |batch| mapping.map(batch).map(ControlFlow::Continue));
        let counted = fed.and_then(|()| mapping.finish());
        allowance.charge(&chain.computed());
        let counters = counted.map_err(|stop| match stop {
            MapEnd::Failed(error) => MapEnd::Failed(shards.name(number, error)),
            stumbled @ MapEnd::Stumbled(_) => stumbled,
        })?;
        add_counters(&mut counts.counters, &counters);
    }
    (counts.records_in, counts.bytes_in) = (progress.records, progress.bytes);
    Ok(counts)
}

fn open_output(
    context: &Arc<RunContext>,
    layout: &PlanLayout,
    task: &Attempt,
    attempt: &AttemptId,
) -> Result<OutputWriter> {
    match &context.pipeline.reduce {
        Some(reduce) => OutputWriter::shuffle_file(context, layout, task, attempt, reduce.partitions),
        None => OutputWriter::parts(context, layout, Stage::Map, task.task, attempt),
    }
}

fn open_reject_log(context: &RunContext, layout: &PlanLayout, task: &Attempt, attempt: &AttemptId) -> RejectLog {
    let key = layout.rejects(Stage::Map, task.task, attempt);
    let note = note(&context.stores.run_store, layout, (Stage::Map, task.task, attempt), (Uploaded::Rejects, 0), &key);
    let (limits, mask) = (RejectLimits::of(&context.pipeline), context.pipeline.secrets.mask().clone());
    RejectLog::new(&context.stores.run_store, key, note, limits, mask)
}

/// The mapping of one shard by its chain.
struct Mapping<'a, 'b> {
    chain: &'b mut Chain,
    shard: ShardId,
    /// Number of records mapped so far.
    mapped: u64,
    poison: Arc<PoisonRecords>,
    progress: &'b mut Progress<'a>,
}

impl Mapping<'_, '_> {
    /// Maps the next batch of the shard's records.
    fn map(&mut self, batch: Batch) -> Result<(), MapEnd> {
        let records = Records { shard: self.shard, first: self.mapped, batch };
        self.chain.set_aside(records.malformed())?;
        if let Err(error) = poison::process(self.chain, &records, 0..records.rows().num_rows(), &self.poison) {
            return Err(self.stop(Some(records), error));
        }
        self.mapped = records.numbers().end;
        self.progress.add(records.read());
        Ok(())
    }

    /// Ends the shard, and returns the counters of its steps.
    fn finish(self) -> Result<BTreeMap<String, i64>, MapEnd> {
        self.chain.finish().map_err(|error| self.stop(None, error))
    }

    fn stop(&self, records: Option<Records>, error: Error) -> MapEnd {
        if error.kind() != ErrorKind::Sandbox {
            return MapEnd::Failed(error);
        }
        let (shard, known) = (self.shard, Arc::clone(&self.poison));
        MapEnd::Stumbled(Box::new(Stumble { shard, records, known, error }))
    }
}

/// The amounts that an attempt has read, which it reports now and then.
struct Progress<'a> {
    events: &'a Events,
    task: &'a Attempt,
    records: u64,
    bytes: u64,
    last_told: (Instant, u64, u64),
}

impl<'a> Progress<'a> {
    fn new(events: &'a Events, task: &'a Attempt) -> Self {
        Self { events, task, records: 0, bytes: 0, last_told: (Instant::now(), 0, 0) }
    }

    fn add(&mut self, (records, bytes): (u64, u64)) {
        self.records += records;
        self.bytes += bytes;
        let (when, records, bytes) = self.last_told;
        if when.elapsed() >= PROGRESS && !self.task.stop.is_cancelled() {
            self.last_told = (Instant::now(), self.records, self.bytes);
            let (records, bytes) = (self.records - records, self.bytes - bytes);
            self.events.emit(Event::AttemptProgress { stage: Stage::Map, task: self.task.task, records, bytes });
        }
    }
}
