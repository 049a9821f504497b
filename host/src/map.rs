//! Map: one attempt at a shard, from its slices to its commit.
//!
//! Owns the order of things in an attempt. The source decodes, the chain computes, the output writes. Called by the
//! run, once per attempt.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    chain::{Chain, unshare},
    commit::Commit,
    context::RunContext,
    error::{Error, ErrorKind, Result, ResultExt},
    event::{Counts, Event, Stage},
    layout::AttemptId,
    output::OutputWriter,
    plan::{Planned, Shard},
    plugin::Task,
    reject_log::RejectLog,
    source::{self, Chunks, Decoder},
    split::{SplitRecords, read_records},
    workers::Worker,
};

/// How often an attempt reports progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// Maps a shard and commits it. Returns the commit that counts, which may be another attempt's.
///
/// # Errors
/// What a plugin returned or how it failed, what is wrong with the data, or which store failed.
pub async fn map_shard(context: Arc<RunContext>, planned: Planned, shard: u32, number: u32) -> Result<Commit> {
    let input = Input::open(&context, &planned, shard).await?;
    let task = context.task(shard, number, planned.plan.planned_at_ms);
    let (attempt, writing) = (context.attempt(number), Arc::clone(&context));
    let mapped = tokio::task::spawn_blocking(move || run(&writing, &task, attempt, input)).await;
    let commit = mapped.or_kind(ErrorKind::Internal, || "a map attempt panicked")??;
    commit.write(&context.run_store, &context.layout, Stage::Map, shard).await
}

/// The records of a shard.
enum Input {
    /// To be decoded from chunks that are being fetched.
    Source(Chunks),
    /// Made by the splitter.
    Records(SplitRecords),
}

impl Input {
    /// Opens a shard, and waits for its first data, so that no worker has to.
    async fn open(context: &RunContext, planned: &Planned, shard: u32) -> Result<Self> {
        let (shard, objects) = planned.shard(shard);
        match shard {
            Shard::Slices(slices) => {
                let mut chunks = source::fetch(context.source.store(), slices, objects)?;
                chunks.ready().await;
                Ok(Self::Source(chunks))
            }
            Shard::Records { key, .. } => {
                let missing = || Error::input(format!("`{key}` is gone from the run store"));
                let bytes = context.run_store.get(key).await?.ok_or_else(missing)?;
                Ok(Self::Records(read_records(key, bytes, &context.steps.source)?))
            }
        }
    }
}

/// Maps a shard on a worker thread, up to its commit.
fn run(context: &Arc<RunContext>, task: &Task, attempt: AttemptId, input: Input) -> Result<Commit> {
    let mut worker = context.workers.take();
    let output = Arc::new(Mutex::new(open_output(context, task, &attempt)?));
    let rejects = Arc::new(Mutex::new(RejectLog::new(context, Stage::Map, task.task, &attempt)));
    let mut chain = Chain::open(&context.steps, task, &output, &rejects)?;
    let mut progress = Progress::new(context, task.task);
    feed(context, input, &mut worker, &mut chain, &mut progress)?;
    let counters = chain.finish()?;
    let written = unshare(output)?.finish(context)?;
    let (rejected, rejects) = unshare(rejects)?.finish()?;
    let counts = Counts {
        records_in: progress.records,
        bytes_in: progress.bytes,
        records_out: written.rows,
        bytes_out: written.bytes,
        rejects: rejected.values().sum(),
        counters,
    };
    Ok(Commit { attempt, counts, output: written.output, rejected, rejects })
}

fn open_output(context: &Arc<RunContext>, task: &Task, attempt: &AttemptId) -> Result<OutputWriter> {
    match &context.pipeline.reduce {
        Some(reduce) => OutputWriter::run_file(context, task, attempt, reduce.partitions),
        None => OutputWriter::part(context, task.task, attempt, &context.steps.output),
    }
}

/// Feeds the shard's records to the chain.
fn feed(
    context: &RunContext,
    input: Input,
    worker: &mut Worker,
    chain: &mut Chain,
    progress: &mut Progress<'_>,
) -> Result<()> {
    match input {
        Input::Records(records) => {
            for batch in records {
                let batch = batch?;
                chain.process(&batch)?;
                progress.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
            }
        }
        Input::Source(mut chunks) => {
            let chunks =
                std::iter::from_fn(|| if chunks.is_waiting() { worker.wait(|| chunks.next()) } else { chunks.next() });
            let mut decoder = Decoder::new(chunks, &context.pipeline.source.format)?;
            while let Some(batch) = decoder.next_batch()? {
                chain.process_source(&batch)?;
                progress.add(batch.records(), batch.bytes);
            }
        }
    }
    Ok(())
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
