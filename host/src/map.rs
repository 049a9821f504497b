//! Map: one attempt at a map task, from the slices of its shards to its commit.
//!
//! Owns the order of things in an attempt. The source decodes, the chain computes, the output writes. A task is one
//! shard, or several neighbouring ones in a run of very many: each shard has instances of its own, and all go into one
//! output. Called by the run, once per attempt.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    blocking,
    chain::{Chain, unshare},
    commit::Commit,
    context::RunContext,
    error::{Error, Result},
    event::{Counts, Event, Stage},
    fail_point,
    layout::AttemptId,
    output::OutputWriter,
    plan::Planned,
    plugin::Task,
    reject_log::RejectLog,
    shards::{Shard, TaskShards},
    source::{self, Chunks, Decoder},
    split::read_records,
    times::{Work, measure, spend},
    workers::Worker,
};

/// How often an attempt reports progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// Maps the shards of a task and commits it. Returns the commit that counts, which may be another attempt's.
///
/// # Errors
/// What a plugin returned or how it failed, what is wrong with the data, or which store failed.
pub async fn map_task(context: Arc<RunContext>, planned: Planned, task: u32, number: u32) -> Result<Commit> {
    let shards = planned.shards_of(task).await?;
    let chunks = fetch(&context, &shards).await?;
    fail_point::reach("map.begin");
    let guest_task = context.task(task, number, planned.plan.planned_at_ms);
    blocking::run(move || {
        let (commit, times) = measure(|| run(&context, &guest_task, context.attempt(number), &shards, chunks));
        context.run_store.wait(commit?.write(times, &context.run_store, &context.layout, Stage::Map, task))
    })
    .await?
}

/// Starts to fetch what the shards have in the source, and waits for the first data, so that no worker has to.
async fn fetch(context: &RunContext, shards: &TaskShards) -> Result<Chunks> {
    let slices = shards.iter().filter_map(|(_, shard, objects)| match shard {
        Shard::Slices(slices) => Some((slices.as_slice(), objects)),
        Shard::Records { .. } => None,
    });
    let mut chunks = source::fetch(context.source.store(), slices)?;
    chunks.ready().await;
    Ok(chunks)
}

/// Maps the shards of a task on a worker thread, one after the other, up to the commit.
fn run(
    context: &Arc<RunContext>,
    task: &Task,
    attempt: AttemptId,
    shards: &TaskShards,
    chunks: Chunks,
) -> Result<Commit> {
    let output = Arc::new(Mutex::new(open_output(context, task, &attempt)?));
    let rejects = Arc::new(Mutex::new(RejectLog::new(context, Stage::Map, task.task, &attempt)));
    let mut input =
        Input { context, worker: context.workers.take(), chunks, progress: Progress::new(context, task.task) };
    let mut counts = Counts::default();
    for (number, shard, _) in shards.iter() {
        let task = Task { task: number, ..task.clone() };
        let mut chain = Chain::open(&context.steps, &task, &output, &rejects)?;
        let fed = input.feed(shard, &mut chain).and_then(|()| chain.finish());
        let counters = fed.map_err(|error| shards.name(number, error))?;
        counts.add(&Counts { counters, ..Counts::default() });
    }
    (counts.records_in, counts.bytes_in) = (input.progress.records, input.progress.bytes);
    fail_point::reach("map.mapped");
    let written = unshare(output)?.finish(context)?;
    (counts.records_out, counts.bytes_out) = (written.rows, written.bytes);
    let (rejected, rejects) = unshare(rejects)?.finish()?;
    counts.rejects = rejected.values().sum();
    Ok(Commit { attempt, counts, output: written.output, rejected, rejects })
}

fn open_output(context: &Arc<RunContext>, task: &Task, attempt: &AttemptId) -> Result<OutputWriter> {
    match &context.pipeline.reduce {
        Some(reduce) => OutputWriter::run_file(context, task, attempt, reduce.partitions),
        None => OutputWriter::part(context, task.task, attempt, &context.steps.output),
    }
}

/// What the shards of a task hold, and the worker that takes it in.
struct Input<'a> {
    context: &'a RunContext,
    worker: Worker,
    chunks: Chunks,
    progress: Progress<'a>,
}

impl Input<'_> {
    /// Feeds the records of the next shard to its chain.
    fn feed(&mut self, shard: &Shard, chain: &mut Chain) -> Result<()> {
        match shard {
            Shard::Slices(_) => self.feed_source(chain),
            Shard::Records { key, .. } => self.feed_records(key, chain),
        }
    }

    fn feed_source(&mut self, chain: &mut Chain) -> Result<()> {
        let Self { context, worker, chunks, progress } = self;
        let next = || if chunks.is_waiting() { worker.wait(|| chunks.next()) } else { chunks.next() };
        let mut decoder = Decoder::new(std::iter::from_fn(next), &context.pipeline.source.format)?;
        while let Some(batch) = spend(Work::Decode, || decoder.next_batch())? {
            chain.process_source(&batch)?;
            progress.add(batch.records(), batch.bytes);
        }
        drop(decoder);
        chunks.next_shard();
        Ok(())
    }

    fn feed_records(&mut self, key: &str, chain: &mut Chain) -> Result<()> {
        let Self { context, worker, progress, .. } = self;
        let file = worker.wait(|| context.run_store.wait(context.run_store.get(key)))?;
        let file = file.ok_or_else(|| Error::input(format!("`{key}` is gone from the run store")))?;
        for batch in read_records(key, file, &context.steps.source)? {
            let batch = batch?;
            chain.process(&batch)?;
            progress.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
        }
        Ok(())
    }
}

/// What an attempt has read, told now and then.
struct Progress<'a> {
    context: &'a RunContext,
    shard: u32,
    records: u64,
    bytes: u64,
    told: (Instant, u64, u64),
}

impl<'a> Progress<'a> {
    fn new(context: &'a RunContext, shard: u32) -> Self {
        Self { context, shard, records: 0, bytes: 0, told: (Instant::now(), 0, 0) }
    }

    fn add(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        let (when, records, bytes) = self.told;
        if when.elapsed() >= PROGRESS {
            self.told = (Instant::now(), self.records, self.bytes);
            let (records, bytes) = (self.records - records, self.bytes - bytes);
            self.context.events.emit(Event::AttemptProgress { stage: Stage::Map, task: self.shard, records, bytes });
        }
    }
}
