//! Buffer of keyed batches in memory, until they are sorted.
//!
//! Owns how much is collected, and the decision to combine rows as they arrive while their keys have many of them.

use std::{io::Write, mem};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        schema::Schema,
        sizes::{Measure, RowSizes},
        times::Work,
    },
    runtime::clock::spend,
};

use super::{
    NewCombiner,
    chunk::Chunk,
    cut::Cutter,
    entry::{CHUNKS_MAX, Entry, ROWS_MAX},
    group::Groups,
    keys::KeyEncoder,
    output::{COMBINED_ROWS_PER_KEY_MIN, ShuffleOutput, check_combined},
    sort::Sorted,
};

/// Batches are joined until they have this many bytes, because keeping many small ones would cost more than copying
/// them.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Number of bytes that are combined at once. The more rows are combined together, the fewer are left.
const COMBINED_BYTES: usize = 4 * 1024 * 1024;

/// Counterpart of [`CHUNK_BYTES`] for rows that are combined at once and so not kept for long.
const COMBINED_CHUNK_BYTES: usize = 128 * 1024;

/// Sorted runs of at most this many rows are combined in any case.
const COMBINED_ROWS: usize = 50_000;

/// Rows are combined on arrival if their keys have at least this many rows on average, because few are left then.
const ROWS_PER_KEY_MIN: usize = 3;

/// Rows that are collected until they are sorted together.
pub(super) struct SortBuffer {
    schema: Schema,
    partitions: u32,
    encoder: KeyEncoder,
    small: Vec<RecordBatch>,
    small_bytes: usize,
    chunks: Vec<Chunk>,
    chunk_bytes: usize,
    /// Whether rows are combined as they arrive.
    combines: bool,
}

impl SortBuffer {
    /// Creates an empty buffer.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the schema has no key.
    pub(super) fn new(schema: Schema, partitions: u32) -> Result<Self> {
        let encoder = KeyEncoder::new(&schema)?;
        let (small, chunks) = (Vec::new(), Vec::new());
        Ok(Self { schema, partitions, encoder, small, small_bytes: 0, chunks, chunk_bytes: 0, combines: true })
    }

    /// Returns whether the buffer has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.chunks.is_empty()
    }

    /// Returns whether the rows, their keys and the memory for sorting them have reached `memory_bytes`, or there are
    /// half as many chunks as can be sorted together.
    pub(super) fn is_full(&self, memory_bytes: u64) -> bool {
        // A single push adds far fewer chunks than the other half of `CHUNKS_MAX` leaves room for.
        (self.small_bytes + self.chunk_bytes) as u64 >= memory_bytes || self.chunks.len() >= CHUNKS_MAX / 2
    }

    /// Adds rows behind those already there. With a combiner, the rows may go through it first.
    pub(super) fn push(&mut self, batch: RecordBatch, combiner: &mut Option<NewCombiner>) -> Result<()> {
        if batch.schema_ref() != &self.schema.fields {
            return Err(Error::internal(format!("a batch to shuffle has other columns than `{}`", self.schema)));
        }
        let bytes_max = if self.combines && combiner.is_some() { COMBINED_BYTES } else { CHUNK_BYTES };
        let bytes = RowSizes::new(&batch, Measure::Memory).total();
        if self.small_bytes + bytes >= bytes_max {
            self.add_small(combiner)?;
        }
        if bytes >= bytes_max {
            return self.add_batches(vec![batch], combiner);
        }
        if batch.num_rows() > 0 {
            self.small_bytes += bytes;
            self.small.push(batch);
        }
        Ok(())
    }

    fn add_small(&mut self, combiner: &mut Option<NewCombiner>) -> Result<()> {
        self.small_bytes = 0;
        let small = mem::take(&mut self.small);
        self.add_batches(small, combiner)
    }

    fn add_batches(&mut self, batches: Vec<RecordBatch>, combiner: &mut Option<NewCombiner>) -> Result<()> {
        match combiner.as_mut().filter(|_| self.combines && !batches.is_empty()) {
            Some(combiner) => self.add_combined(self.chunks_of(batches, COMBINED_CHUNK_BYTES)?, combiner),
            None => {
                self.chunks_of(batches, CHUNK_BYTES)?.into_iter().for_each(|chunk| self.add(chunk));
                Ok(())
            }
        }
    }

    /// Joins neighbouring batches into chunks of at least `bytes_min` bytes; the last chunk may be smaller. A chunk has
    /// at most [`ROWS_MAX`] rows.
    fn chunks_of(&self, batches: Vec<RecordBatch>, bytes_min: usize) -> Result<Vec<Chunk>> {
        let (mut chunks, mut small, mut bytes) = (Vec::new(), Vec::new(), 0);
        let last = batches.len().saturating_sub(1);
        for (number, batch) in batches.into_iter().enumerate() {
            bytes += RowSizes::new(&batch, Measure::Memory).total();
            small.push(batch);
            if number < last && bytes < bytes_min {
                continue;
            }
            let rows = join(&self.schema, &mem::take(&mut small))?;
            bytes = 0;
            for start in (0..rows.num_rows()).step_by(ROWS_MAX) {
                let batch = rows.slice(start, ROWS_MAX.min(rows.num_rows() - start));
                chunks.push(Chunk::new(batch, &self.encoder)?);
            }
        }
        Ok(chunks)
    }

    /// Adds rows, combined first if their keys have enough rows. If the keys have too few, adds the rows uncombined and
    /// leaves all later rows uncombined too.
    fn add_combined(&mut self, chunks: Vec<Chunk>, combiner: &mut NewCombiner) -> Result<()> {
        let rows: usize = chunks.iter().map(Chunk::rows).sum();
        let groups = Groups::find(&chunks, self.partitions);
        let Some(groups) = groups.filter(|groups| groups.len() * ROWS_PER_KEY_MIN <= rows) else {
            self.combines = false;
            chunks.into_iter().for_each(|chunk| self.add(chunk));
            return Ok(());
        };
        let (mut combiner, mut combined) = (combiner()?, Vec::new());
        let mut sorted = Cutter::new(Sorted::groups(&chunks, &groups), &chunks);
        while let Some((_, rows)) = sorted.next(&chunks, true)? {
            combined.extend(combiner.process(&rows.batch, &rows.group_ends, rows.last_group_continues)?);
        }
        combined.extend(combiner.finish()?);
        combined.iter().try_for_each(|batch| check_combined(batch, &self.schema))?;
        self.add_batches(combined, &mut None)
    }

    fn add(&mut self, chunk: Chunk) {
        let entries = chunk.rows() * (size_of::<Entry>() + size_of::<u32>());
        self.chunk_bytes += chunk.sizes().total() + chunk.keys().bytes() + entries;
        self.chunks.push(chunk);
    }

    /// Passes all rows to `run`, sorted, and empties the buffer.
    pub(super) fn drain_into<W: Write>(&mut self, run: &mut ShuffleOutput<W>) -> Result<()> {
        self.add_small(&mut None)?;
        self.chunk_bytes = 0;
        spend(Work::Sort, || {
            let chunks = mem::take(&mut self.chunks);
            let sorted = Sorted::all(&chunks, self.partitions);
            if run.combines() && !is_worth_combining(&sorted, &chunks) {
                run.leave_uncombined();
            }
            let mut sorted = Cutter::new(sorted, &chunks);
            while let Some((partition, groups)) = sorted.next(&chunks, run.combines())? {
                run.push(partition, &groups)?;
            }
            Ok(())
        })
    }
}

/// Returns whether combining saves more time than it takes, or takes hardly any. Depends on the rows alone.
fn is_worth_combining(sorted: &Sorted, chunks: &[Chunk]) -> bool {
    let rows = sorted.entries().len();
    rows <= COMBINED_ROWS || rows >= sorted.keys(chunks) * COMBINED_ROWS_PER_KEY_MIN
}

fn join(schema: &Schema, batches: &[RecordBatch]) -> Result<RecordBatch> {
    concat_batches(&schema.fields, batches).or_kind(ErrorKind::Internal, || "cannot join batches")
}
