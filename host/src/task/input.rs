//! The input of a map task: the records of its shards, read on a worker and handed on in batches.
//!
//! Owns the way to batches from slices, or from a file of records that the splitter made. Knows no plugin. Used by the
//! map stage and by replays.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{Error, Result},
        ids::ShardId,
        shared::Shared,
        times::Work,
    },
    runtime::{clock::spend, workers::Worker},
};
use etl_format::{Chunk, ReadAt, Section};

use crate::{
    connector::objects::Chunks,
    run_store::shards::{Shard, TaskShards, records::read_records},
    task::{context::RunContext, records::Batch},
};

/// Starts to fetch the slices of those shards of a task whose numbers `wanted` accepts. Call this on the runtime.
///
/// # Errors
/// As [`Source::open`](crate::connector::Source::open).
pub fn fetch(context: &RunContext, shards: &TaskShards, wanted: impl Fn(ShardId) -> bool) -> Result<Chunks> {
    let slices = shards.iter().filter(|(number, ..)| wanted(*number)).filter_map(|(_, shard, objects)| match shard {
        Shard::Slices(slices) => Some((slices.as_slice(), objects)),
        Shard::Records { .. } => None,
    });
    context.stores.source.open(context.pipeline.source.format.cuts(), &slices.collect::<Vec<_>>())
}

/// A reader of shards, one after the other, with the worker it reads them on.
pub struct Input<'a> {
    context: &'a RunContext,
    worker: Shared<Worker>,
    chunks: Chunks,
}

impl<'a> Input<'a> {
    /// Takes a worker on this thread, which must be one that may block, to read the shards of these chunks.
    pub fn new(context: &'a RunContext, chunks: Chunks) -> Self {
        Self { context, worker: Shared::new(context.resources.workers.take()), chunks }
    }

    /// Hands the records of the next shard to `take`, until the shard ends or `take` breaks off.
    ///
    /// # Errors
    /// What is wrong with the data, which store failed, or the error of `take`.
    pub fn feed<E: From<Error>>(
        &mut self,
        shard: &Shard,
        take: impl FnMut(Batch) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        match shard {
            Shard::Slices(_) => self.feed_source(take),
            Shard::Records { key, .. } => self.feed_records(key, take),
        }
    }

    fn feed_source<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(Batch) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let Self { context, worker, chunks } = self;
        let next = || {
            let chunk = match chunks.is_waiting() {
                true => worker.lock().wait(|| chunks.next()),
                false => spend(Work::Read, || chunks.next()),
            };
            chunk.map(|chunk| chunk.map(|chunk| lending(chunk, worker)))
        };
        let mut decoder = context.pipeline.source.format.decoder(Box::new(std::iter::from_fn(next)))?;
        while let Some(batch) = spend(Work::Decode, || decoder.next_batch())? {
            if take(Batch::Source(Arc::new(batch)))?.is_break() {
                break;
            }
        }
        drop(decoder);
        chunks.next_shard();
        Ok(())
    }

    fn feed_records<E: From<Error>>(
        &mut self,
        key: &str,
        mut take: impl FnMut(Batch) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let Self { context, worker, .. } = self;
        let file = worker.lock().wait(|| context.stores.run_store.wait(context.stores.run_store.get(key)))?;
        let file = file.ok_or_else(|| Error::input(format!("`{key}` is gone from the run store")))?;
        for batch in read_records(key, file, &context.steps.source)? {
            if take(Batch::Splitter(batch?))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Returns a chunk that lends the worker while bytes of its object are waited for.
fn lending(chunk: Chunk, worker: &Shared<Worker>) -> Chunk {
    match chunk {
        Chunk::Section(section) => {
            let bytes = Lending { bytes: section.bytes, worker: worker.clone() };
            Chunk::Section(Section { bytes: Arc::new(bytes), ..section })
        }
        other => other,
    }
}

/// The bytes of an object, read on a worker.
struct Lending {
    bytes: Arc<dyn ReadAt>,
    worker: Shared<Worker>,
}

impl ReadAt for Lending {
    fn ahead(&self, ranges: &[Range<u64>]) {
        self.bytes.ahead(ranges);
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        match self.bytes.is_there(&range) {
            true => spend(Work::Read, || self.bytes.read(range)),
            false => self.worker.lock().wait(|| self.bytes.read(range)),
        }
    }
}
