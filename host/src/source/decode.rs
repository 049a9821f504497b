//! Chunks into batches of records.
//!
//! Owns the size of batches and what one carries besides its columns. Runs on a worker and does no I/O: it takes
//! chunks from an iterator, which may wait for them.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};

use super::{
    Chunk, Origin,
    inflate::Inflate,
    json::JsonColumns,
    lines::{LineSplitter, Lines, Sizes},
};
use crate::{
    error::{ErrorKind, Result, ResultExt},
    pipeline::SourceFormat,
    reject::Reject,
    schema::Schema,
};

/// About how many bytes of records make a batch: what fits a core's cache on both sides of the sandbox.
pub const BATCH_BYTES: u64 = 256 << 10;

/// The longest record, its line end included.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// What a record counts towards a batch per column, at least: the memory it takes however short it is.
const COLUMN_BYTES: u64 = 8;

/// Decodes the chunks of a shard.
///
/// Records are cut into batches by their bytes alone, so the same slices give the same batches, however they were
/// fetched. A batch may span slices and objects.
pub struct Decoder<I: Iterator<Item = Result<Chunk>>> {
    input: Inflate<I>,
    lines: LineSplitter,
    format: Format,
}

enum Format {
    Lines(Schema),
    Json(JsonColumns),
}

/// A batch of records and where they came from.
#[derive(Debug)]
pub struct SourceBatch {
    /// The records, in the format's schema. May have no rows, when all records were rejected.
    pub batch: RecordBatch,
    /// The records that are not in it because they are malformed.
    pub rejects: Vec<Reject>,
    /// How many bytes were read for it, after decompression, line ends included.
    pub bytes: u64,
    lines: Lines,
    /// The line of each row, where they are not the same.
    line_of_row: Option<Vec<usize>>,
}

impl<I: Iterator<Item = Result<Chunk>>> Decoder<I> {
    /// Makes a decoder of `format` with batches of [`BATCH_BYTES`] and records of up to [`RECORD_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the format has a field of a type it cannot have.
    pub fn new(chunks: I, format: &SourceFormat) -> Result<Self> {
        Self::with_sizes(chunks, format, BATCH_BYTES, RECORD_BYTES_MAX)
    }

    /// Makes a decoder with batches of up to `batch_bytes`, unless one record is longer, and records of up to
    /// `record_bytes_max`, neither more than [`RECORD_BYTES_MAX`] lets a batch hold.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn with_sizes(chunks: I, format: &SourceFormat, batch_bytes: u64, record_bytes_max: u64) -> Result<Self> {
        let schema = format.schema();
        let sizes = Sizes {
            // A batch and the record that no longer fits share a buffer, whose offsets end at 2 GiB.
            batch: batch_bytes.min(RECORD_BYTES_MAX / 2),
            line_min: COLUMN_BYTES * schema.fields.fields().len() as u64,
            line_max: record_bytes_max.min(RECORD_BYTES_MAX),
        };
        let format = match format {
            SourceFormat::Lines => Format::Lines(schema),
            SourceFormat::Json(schema) => Format::Json(JsonColumns::new(schema)?),
        };
        Ok(Self { input: Inflate::new(chunks), lines: LineSplitter::new(sizes), format })
    }

    /// Returns the next batch, `None` after the last one. Do not call again after an error.
    ///
    /// A malformed record becomes a reject. Empty lines are records of the format `lines` and nothing in `json`.
    ///
    /// # Errors
    /// What the chunks brought; [`ErrorKind::Input`] when an object cannot be decompressed or a record is too long.
    pub fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
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
                Some((object, offset)) => self.lines.start_slice(object, offset),
                None => break,
            }
        }
        let lines = self.lines.take();
        if lines.records.is_empty() { Ok(None) } else { self.format.decode(lines).map(Some) }
    }
}

impl Format {
    fn decode(&self, lines: Lines) -> Result<SourceBatch> {
        let bytes = lines.bytes;
        match self {
            Self::Lines(schema) => {
                let records = Arc::new(lines.records.clone());
                let batch = RecordBatch::try_new(Arc::clone(&schema.fields), vec![records])
                    .or_kind(ErrorKind::Internal, || "a batch of lines")?;
                Ok(SourceBatch { batch, rejects: Vec::new(), bytes, lines, line_of_row: None })
            }
            Self::Json(columns) => {
                let (batch, rejects, line_of_row) = columns.decode(&lines)?;
                Ok(SourceBatch { batch, rejects, bytes, lines, line_of_row: Some(line_of_row) })
            }
        }
    }
}

impl SourceBatch {
    /// Returns how many records were read for the batch, the rejected ones included.
    pub fn records(&self) -> u64 {
        (self.batch.num_rows() + self.rejects.len()) as u64
    }

    /// Returns where a row came from, with the record as it was read.
    ///
    /// # Panics
    /// When the batch has no such row.
    pub fn origin(&self, row: usize) -> Origin<'_> {
        self.lines.origin(self.line_of_row.as_ref().map_or(row, |lines| lines[row]))
    }
}
