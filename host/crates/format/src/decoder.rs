//! Decoders of chunks into batches of records.
//!
//! Owns the size of batches and what a batch carries besides its columns. A decoder runs on a worker and does no I/O:
//! it takes chunks from an iterator, which may wait for them.

use std::fmt;

use arrow_array::{Array, RecordBatch};
use etl_core::model::{
    error::{Error, Result},
    reject::Reject,
    schema::Schema,
};

use crate::{
    Decode, Origin,
    chunk::Chunk,
    compression::Inflate,
    line_splitter::{LineBatch, LineSizes, LineSplitter},
    origin::Origins,
};

/// Approximate number of bytes of records in a batch: as many as fit a core's cache on both sides of the sandbox.
pub const BATCH_BYTES: u64 = 256 << 10;

/// Maximum length of a record in bytes, its line end included, unless another is chosen.
pub const RECORD_BYTES: u64 = 8 << 20;

/// The largest maximum length of a record that can be chosen.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Minimum bytes per column that a record counts towards a batch: the memory it takes however short it is.
pub(crate) const COLUMN_BYTES: u64 = 8;

/// The chunks of a shard, as a decoder takes them.
pub type ChunkIter<'a> = Box<dyn Iterator<Item = Result<Chunk>> + 'a>;

/// Sizes that a decoder keeps to, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Size up to which records are put into one batch. A longer record is a batch of its own.
    pub batch: u64,
    /// Maximum length of a record, its line end included.
    pub record_max: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { batch: BATCH_BYTES, record_max: RECORD_BYTES }
    }
}

impl Sizes {
    /// Returns the sizes with a batch of at most half of [`RECORD_BYTES_MAX`], and records of at most that: a batch and
    /// the record that no longer fits share a buffer, whose offsets end at 2 GiB.
    pub(crate) fn bounded(self) -> Self {
        Self { batch: self.batch.min(RECORD_BYTES_MAX / 2), record_max: self.record_max.min(RECORD_BYTES_MAX) }
    }
}

/// Returns the error that a record is longer than `max` bytes.
#[cold]
pub(crate) fn too_long(max: u64, object: &str, offset: u64) -> Error {
    Error::input(format!(
        "the record at byte {offset} of object `{object}` is longer than the {max} bytes that `source.max_record` allows"
    ))
}

/// A batch of records, with the places they came from.
pub struct SourceBatch {
    /// Records, in the schema of the source. There are no rows when all records were rejected.
    pub batch: RecordBatch,
    /// Records that are not in the batch because they are malformed.
    pub rejects: Vec<Reject>,
    /// Number of bytes read for the batch, after decompression, line ends included.
    pub bytes: u64,
    origins: Box<dyn Origins>,
    /// Record of each row; `None` when each row is the record of the same number.
    record_of_row: Option<Vec<usize>>,
}

impl fmt::Debug for SourceBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, rejects) = (self.batch.num_rows(), self.rejects.len());
        f.debug_struct("SourceBatch").field("rows", &rows).field("rejects", &rejects).finish_non_exhaustive()
    }
}

impl SourceBatch {
    pub(crate) fn new(
        batch: RecordBatch,
        rejects: Vec<Reject>,
        bytes: u64,
        origins: Box<dyn Origins>,
        record_of_row: Option<Vec<usize>>,
    ) -> Self {
        Self { batch, rejects, bytes, origins, record_of_row }
    }

    /// Returns the batch with other rows in place of its own, as many of them.
    pub(crate) fn with_rows(self, batch: RecordBatch) -> Self {
        Self { batch, ..self }
    }

    /// Returns the number of records read for the batch, rejects included.
    pub fn records(&self) -> u64 {
        (self.batch.num_rows() + self.rejects.len()) as u64
    }

    /// Returns the place a row came from, with the record as it was read.
    ///
    /// # Panics
    /// If the batch has no such row.
    pub fn origin(&self, row: usize) -> Origin<'_> {
        self.origins.origin(self.record_of_row.as_ref().map_or(row, |records| records[row]))
    }
}

/// Decodes formats whose records are lines: `decode` makes a batch of the lines of one.
///
/// Lines are cut into batches by their bytes alone, so the same slices give the same batches, no matter how they were
/// fetched. A batch may span slices and objects.
pub(crate) struct LineDecoder<'a, F> {
    input: Inflate<ChunkIter<'a>>,
    lines: LineSplitter,
    decode: F,
}

impl<'a, F: Fn(LineBatch) -> Result<SourceBatch>> LineDecoder<'a, F> {
    pub(crate) fn new(input: Inflate<ChunkIter<'a>>, schema: &Schema, sizes: Sizes, decode: F) -> Self {
        let Sizes { batch, record_max } = sizes.bounded();
        let line_min = COLUMN_BYTES * schema.fields.fields().len().max(1) as u64;
        Self { input, lines: LineSplitter::new(LineSizes { batch, line_min, line_max: record_max }), decode }
    }
}

impl<F: Fn(LineBatch) -> Result<SourceBatch>> Decode for LineDecoder<'_, F> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        while !self.lines.is_full() {
            let data = self.input.fill()?;
            if !data.is_empty() {
                let taken = self.lines.push(data)?;
                self.input.consume(taken);
                continue;
            }
            self.lines.end_slice()?;
            if self.lines.is_full() {
                break;
            }
            match self.input.next_slice()? {
                Some(start) => self.lines.start_slice(start.object, start.offset),
                None => break,
            }
        }
        let lines = self.lines.take();
        if lines.records.is_empty() { Ok(None) } else { (self.decode)(lines).map(Some) }
    }
}
