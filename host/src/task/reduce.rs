//! Reduce: one attempt at a partition, from the shuffle files of all map tasks to its commit.
//!
//! Owns how a partition is fetched and fed to the reducer. The shuffle module reads and merges, the plugin computes,
//! and the output module writes. Called by the run, once per attempt.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        event::{Counts, Events, Stage},
        ids::{AttemptId, PartitionId, TaskId, Try},
        reject::{Rejected, shown},
        schema::Schema,
        shared::Shared,
        times::Work,
    },
    runtime::{
        clock::{measure, spend},
        fail_point, threads,
        workers::Worker,
    },
    text::rows::record_of,
};
use etl_plugin::{Attempt, Emit, Failure, Plugin};
use etl_shuffle::{PartitionIndex, ShuffleReader, SizedRun, SortedGroups, index::ShuffleFiles, merge_all};
use etl_store::Store;
use tokio::sync::mpsc;

use crate::{
    run_store::{commit::Commit, layout::PlanLayout, ledger::Ledger, plan::Planned},
    task::{
        chain::check_planned,
        commit::commit,
        context::RunContext,
        output::{FAN_IN, OutputWriter},
    },
};

/// The most bytes of a shuffle file that one request asks for. Two such pieces are held per sorted run that is merged.
pub const PIECE_BYTES: u64 = 512 * 1024;

/// Reduces a partition and commits it. Returns the commit that counts, which may be another attempt's.
///
/// # Errors
/// Says what the plugin returned or how it failed, what is wrong with the shuffle files, or which store failed.
pub async fn reduce_partition(
    context: Arc<RunContext>,
    planned: Planned,
    mapped: Arc<Ledger>,
    partition: PartitionId,
    number: Try,
) -> Result<Commit> {
    let task = context.task(TaskId::of_partition(partition), number, planned.plan.planned_at_ms);
    let _stop_when_dropped = task.stop.clone().drop_guard();
    let attempt = context.id.attempt(number);
    let ended = context.work(move |context| {
        let (reduced, times) = measure(|| run(context, &planned.layout, &mapped.shuffle_files, &task, attempt));
        let committed = commit(context, &planned, Stage::Reduce, TaskId::of_partition(partition), reduced?, times);
        context.stores.run_store.wait(committed)
    });
    ended.await?
}

/// Reduces a partition on a worker thread, up to its commit.
fn run(
    context: &Arc<RunContext>,
    layout: &PlanLayout,
    shuffle_files: &ShuffleFiles,
    task: &Attempt,
    attempt: AttemptId,
) -> Result<Commit> {
    fail_point::reach("reduce.begin");
    let output = Shared::new(OutputWriter::parts(context, layout, Stage::Reduce, task.task, &attempt)?);
    let mut counts = reduce(context, shuffle_files, task, OutputWriter::outlet(&output))?;
    let written = output.take()?.finish(&context.stores.run_store)?;
    (counts.records_out, counts.bytes_out) = (written.rows, written.bytes);
    let (plan, output) = (layout.plan().clone(), written.output);
    Ok(Commit { plan, attempt, counts, output, rejected: Rejected::new(), rejects: None })
}

/// Reduces a partition, hands what the reducer emits to `emit`, and returns how much was read and what was counted.
/// Blocks, so it must not run on a thread of the async runtime.
///
/// # Errors
/// Says what the plugin returned or how it failed, what is wrong with the shuffle files, or which store failed.
pub fn reduce(context: &Arc<RunContext>, shuffle_files: &ShuffleFiles, task: &Attempt, emit: Emit) -> Result<Counts> {
    let plugin = context.steps.reduce.as_ref().ok_or_else(|| Error::internal("there is no reducer"))?;
    let schema = context.steps.shuffled();
    let worker = Shared::new(context.resources.workers.take());
    let mut reducer = plugin.reduce(task, schema, emit)?;
    check_planned(plugin, reducer.schema(), &context.steps.output)?;
    let mut counts = Counts::default();
    let runs = shuffle_files.of_partition(task.task.partition()).map(|found| {
        let (mapped, key, index) = found?;
        let range = index.range();
        counts.bytes_in += range.end - range.start;
        Ok(open_run(context, mapped, key, &index, &worker))
    });
    for groups in merge_all(runs, schema, FAN_IN, &context.resources.scratch)? {
        let groups = groups?;
        counts.records_in += groups.batch.num_rows() as u64;
        if let Err(error) = reducer.process(&groups.batch, &groups.group_ends, groups.last_group_continues) {
            // `name_key` makes another instance; free the memory and the pool slot of this one first.
            drop(reducer);
            return Err(name_key(plugin, task, schema, &groups, error));
        }
    }
    fail_point::reach("reduce.merged");
    counts.counters = reducer.finish()?;
    Ok(counts)
}

/// Returns `error` with the key at which the reducer failed, if that can be found, and otherwise with the first and the
/// last key of the batch. An error while the key is searched for does not replace `error`.
fn name_key(plugin: &Plugin, task: &Attempt, schema: &Schema, groups: &SortedGroups, error: Error) -> Error {
    let Some(failure) = error.cause::<Failure>() else { return error };
    let row = failing_row(plugin, task, schema, groups, failure);
    match shown_keys(schema, groups, row) {
        Ok(keys) => error.context(keys),
        Err(_) => error,
    }
}

/// Gives the groups of a batch one by one to a fresh reducer, and returns the first row of the group at which it fails.
/// Returns `None` if it does not fail, fails in another way, or cannot be opened.
fn failing_row(
    plugin: &Plugin,
    task: &Attempt,
    schema: &Schema,
    groups: &SortedGroups,
    failure: &Failure,
) -> Option<usize> {
    let replayed = Attempt { attempt: task.attempt.next(), events: Events::silent(), ..task.clone() };
    let mut reducer = plugin.reduce(&replayed, schema, Box::new(|_, _| Ok(()))).ok()?;
    let mut start = 0;
    for &end in &groups.group_ends {
        let rows = groups.batch.slice(start, end as usize - start);
        if let Err(again) = reducer.process(&rows, &[end - u32::try_from(start).unwrap_or(end)], false) {
            return again.cause::<Failure>().is_some_and(|again| again.is_like(failure)).then_some(start);
        }
        start = end as usize;
    }
    None
}

/// Names the key of a row of a batch; without a row, names the first and the last key of the batch.
fn shown_keys(schema: &Schema, groups: &SortedGroups, row: Option<usize>) -> Result<String> {
    let keys: Vec<usize> = (0..schema.key_fields).collect();
    let keys = groups.batch.project(&keys).or_kind(ErrorKind::Internal, || "cannot take the keys of a batch")?;
    let key = |row| shown(&String::from_utf8_lossy(&record_of(&keys.slice(row, 1))));
    Ok(match row {
        Some(row) => format!("key {}", key(row)),
        None => format!("keys {} to {}", key(0), key(keys.num_rows() - 1)),
    })
}

/// Begins to read one sorted run of a partition from the shuffle file of the map task `mapped`.
fn open_run(
    context: &RunContext,
    mapped: TaskId,
    key: &str,
    index: &PartitionIndex,
    worker: &Shared<Worker>,
) -> SizedRun {
    let pieces = open_pieces(&context.stores.run_store, key, index.range(), worker);
    let batches = ShuffleReader::new(key, context.steps.shuffled(), index, pieces);
    let run = Box::new(batches.map(move |batch| batch.map_err(|error| damaged(error, mapped))));
    SizedRun { run, batch_bytes_max: index.batch_bytes_max }
}

/// Reads a range of a shuffle file in pieces. From a remote store the pieces are fetched a little ahead of the merge;
/// from a local disk each is read when it is taken, which is faster than handing it from thread to thread.
fn open_pieces(run_store: &Store, key: &str, range: Range<u64>, worker: &Shared<Worker>) -> Pieces {
    let (store, key) = (run_store.clone(), key.to_owned());
    if store.is_local() {
        return Box::new(ranges(range.clone()).map(move |piece| {
            store.advise(&key, piece.end..range.end.min(piece.end + PIECE_BYTES));
            spend(Work::Read, || store.wait(store.get_range(&key, piece, None)))
        }));
    }
    let (sender, mut pieces) = mpsc::channel(1);
    threads::runtime().spawn(fetch(store, key, range, sender));
    let worker = worker.clone();
    Box::new(std::iter::from_fn(move || match pieces.try_recv() {
        Ok(piece) => Some(piece),
        Err(_) => worker.lock().wait(|| pieces.blocking_recv()),
    }))
}

/// The bytes of a range, as consecutive pieces.
type Pieces = Box<dyn Iterator<Item = Result<Bytes>> + Send>;

/// Turns an error about the content of a shuffle file into one that names the map task that has to write it again.
fn damaged(error: Error, mapped: TaskId) -> Error {
    if matches!(error.kind(), ErrorKind::Input | ErrorKind::Changed) {
        error.with_kind(ErrorKind::Damaged(mapped))
    } else {
        error
    }
}

/// Sends a range of a shuffle file in pieces, until it is sent, a read fails, or the receiver is gone.
async fn fetch(store: Store, key: String, range: Range<u64>, pieces: mpsc::Sender<Result<Bytes>>) {
    for piece in ranges(range) {
        let piece = store.get_range(&key, piece, None).await;
        let failed = piece.is_err();
        if pieces.send(piece).await.is_err() || failed {
            return;
        }
    }
}

/// Cuts a range into pieces of at most [`PIECE_BYTES`].
fn ranges(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let starts = range.clone().step_by(PIECE_BYTES as usize);
    starts.map(move |start| start..range.end.min(start + PIECE_BYTES))
}
