//! Run files: the sorted output of one map attempt, and the index of its partitions.
//!
//! A run file is a complete Arrow IPC file, so any Arrow reader opens it. It holds one sorted run, or several one behind
//! the other: of each, the batches are ordered by (partition, key) and never hold rows of two partitions. The schema's
//! metadata says how many fields are the key.

use std::{
    io::{self, BufWriter, Write},
    ops::Range,
};

use arrow_array::RecordBatch;
use arrow_ipc::{
    CompressionType, MetadataVersion,
    writer::{FileWriter, IpcWriteOptions},
};
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    error::{Error, ErrorKind, Result},
    schema::Schema,
};

/// The name, in a run file's schema metadata, of the number of key fields.
const KEY_FIELDS: &str = "etl:key-fields";

/// Buffers of a batch start at multiples of this many bytes: what Arrow asks of 64-bit values, and no more, because
/// small partitions make small batches.
const ALIGNMENT: usize = 8;

/// Where things lie in a run file. Kept in the map task's commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunIndex {
    /// Rows in the file.
    pub rows: u64,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// The xxh3 128-bit hash of the file, as 32 hexadecimal digits.
    pub digest: String,
    /// The partitions that have rows, in order of their numbers: a partition as often as there are sorted runs with rows
    /// of it, in the order of the runs.
    pub partitions: Vec<PartitionIndex>,
}

impl RunIndex {
    /// Returns where a partition lies: an item for each sorted run that has rows of it, in order.
    pub fn of_partition(&self, partition: u32) -> &[PartitionIndex] {
        let start = self.partitions.partition_point(|index| index.partition < partition);
        let rest = &self.partitions[start..];
        &rest[..rest.partition_point(|index| index.partition == partition)]
    }
}

/// Where the batches that a sorted run has of one partition lie in a run file: one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionIndex {
    /// The partition's number, from 0.
    pub partition: u32,
    /// Its rows in the run, at least one.
    pub rows: u64,
    /// Where its first block starts, in bytes.
    pub offset: u64,
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
}

impl PartitionIndex {
    /// Returns the bytes of the file that hold the partition: what a [`super::RunReader`] wants to be given.
    pub fn range(&self) -> Range<u64> {
        let length = self.blocks.iter().fold(0, |sum: u64, block| sum.saturating_add(block.length));
        self.offset..self.offset.saturating_add(length)
    }
}

/// One batch in a run file: an Arrow IPC message and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Bytes.
    pub length: u64,
    /// The xxh3 64-bit hash of these bytes.
    pub checksum: u64,
}

/// Writes one run file.
pub(super) struct RunFileWriter<W: Write> {
    arrow: FileWriter<Hashing<BufWriter<W>>>,
    rows: u64,
    partitions: Vec<PartitionIndex>,
    /// How many of `partitions` belong to the runs before the current one.
    of_runs_before: usize,
}

impl<W: Write> RunFileWriter<W> {
    /// Starts the file.
    pub(super) fn new(out: W, schema: &Schema, compression: Option<CompressionType>) -> Result<Self> {
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(compression))
            .map_err(write_error)?;
        let mut fields = arrow_schema::Schema::clone(&schema.fields);
        fields.metadata.insert(KEY_FIELDS, schema.key_fields.to_string());
        let out = Hashing::new(BufWriter::new(out));
        let arrow = FileWriter::try_new_with_options(out, &fields, options).map_err(write_error)?;
        Ok(Self { arrow, rows: 0, partitions: Vec::new(), of_runs_before: 0 })
    }

    /// Begins the next sorted run.
    pub(super) fn next_run(&mut self) {
        self.of_runs_before = self.partitions.len();
    }

    /// Adds a batch, behind those already there. Partitions must not decrease within a run; a batch without rows is left
    /// out.
    pub(super) fn write(&mut self, partition: u32, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = batch.num_rows() as u64;
        let offset = self.arrow.get_ref().written;
        self.arrow.get_mut().block.reset();
        self.arrow.write(batch).map_err(write_error)?;
        let out = self.arrow.get_ref();
        let block = Block { length: out.written - offset, checksum: out.block.digest() };
        self.rows += rows;
        let of_run = &mut self.partitions[self.of_runs_before..];
        match of_run.last_mut().filter(|last| last.partition == partition) {
            Some(last) => {
                last.rows += rows;
                last.blocks.push(block);
            }
            None => self.partitions.push(PartitionIndex { partition, rows, offset, blocks: vec![block] }),
        }
        Ok(())
    }

    /// Writes the footer and flushes.
    pub(super) fn finish(mut self) -> Result<RunIndex> {
        self.arrow.finish().map_err(write_error)?;
        // Keeps the order of the runs.
        self.partitions.sort_by_key(|index| index.partition);
        let out = self.arrow.get_ref();
        Ok(RunIndex {
            rows: self.rows,
            size_bytes: out.written,
            digest: format!("{:032x}", out.file.digest128()),
            partitions: self.partitions,
        })
    }
}

fn write_error(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) => Error::from_io(error),
        error => Error::new(ErrorKind::Internal, error),
    }
    .context("cannot write a run file")
}

/// Counts and hashes what is written, as a whole and since the last reset.
struct Hashing<W> {
    out: W,
    file: Xxh3,
    block: Xxh3,
    written: u64,
}

impl<W> Hashing<W> {
    fn new(out: W) -> Self {
        Self { out, file: Xxh3::new(), block: Xxh3::new(), written: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.file.update(&bytes[..taken]);
        self.block.update(&bytes[..taken]);
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
