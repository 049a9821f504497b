//! Decoder of chunks into batches of records.
//!
//! Owns the size of batches and what a batch carries besides its columns. Runs on a worker and does no I/O: it takes
//! chunks from an iterator, which may wait for them.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    reject::Reject,
    schema::Schema,
};

use super::{
    Origin,
    chunk::Chunk,
    compression::Inflate,
    json::JsonColumns,
    lines::{LineSplitter, Lines, Sizes},
};
use crate::SourceFormat;

/// Approximate number of bytes of records in a batch: as many as fit a core's cache on both sides of the sandbox.
pub const BATCH_BYTES: u64 = 256 << 10;

/// Maximum length of a record in bytes, its line end included.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Minimum bytes per column that a record counts towards a batch: the memory it takes however short it is.
const COLUMN_BYTES: u64 = 8;

/// Decodes the chunks of a shard into batches.
///
/// Records are cut into batches by their bytes alone, so the same slices give the same batches, no matter how they were
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

/// A batch of records, with the places they came from.
#[derive(Debug)]
pub struct SourceBatch {
    /// Records, in the format's schema. There are no rows when all records were rejected.
    pub batch: RecordBatch,
    /// Records that are not in the batch because they are malformed.
    pub rejects: Vec<Reject>,
    /// Number of bytes read for the batch, after decompression, line ends included.
    pub bytes: u64,
    lines: Lines,
    /// Line of each row; `None` when each row is the line of the same number.
    line_of_row: Option<Vec<usize>>,
}

impl<I: Iterator<Item = Result<Chunk>>> Decoder<I> {
    /// Creates a decoder of `format` with batches of [`BATCH_BYTES`] and records of up to [`RECORD_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a field has a type that the format does not support.
    pub fn new(chunks: I, format: &SourceFormat) -> Result<Self> {
        Self::with_sizes(chunks, format, BATCH_BYTES, RECORD_BYTES_MAX)
    }

    /// Creates a decoder with batches of up to `batch_bytes`, unless one record is longer, and records of up to
    /// `record_bytes_max`. A batch is limited to half of [`RECORD_BYTES_MAX`] in any case, and a record to
    /// [`RECORD_BYTES_MAX`].
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

    /// Returns the next batch, or `None` after the last one. Must not be called again after an error.
    ///
    /// A malformed record becomes a reject. An empty line is a record in the format `lines`, and is skipped in `json`.
    ///
    /// # Errors
    /// Any error of the chunks; [`ErrorKind::Input`] when an object cannot be decompressed or a record is too long.
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
                    .or_kind(ErrorKind::Internal, || "cannot make a batch of lines")?;
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
    /// Returns the number of records read for the batch, rejects included.
    pub fn records(&self) -> u64 {
        (self.batch.num_rows() + self.rejects.len()) as u64
    }

    /// Returns the place a row came from, with the record as it was read.
    ///
    /// # Panics
    /// If the batch has no such row.
    pub fn origin(&self, row: usize) -> Origin<'_> {
        self.lines.origin(self.line_of_row.as_ref().map_or(row, |lines| lines[row]))
    }
}
