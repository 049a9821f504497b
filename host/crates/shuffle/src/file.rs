//! Shuffle files: the sorted output of one map attempt, with an index of its partitions.
//!
//! A shuffle file is a complete Arrow IPC file, so any Arrow reader opens it. It holds one sorted run, or several one
//! behind the other. Within a sorted run, batches are ordered by (partition, key), and no batch holds rows of two
//! partitions. The schema's metadata says how many fields are the key.

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
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    schema::Schema,
    sizes::{Measure, RowSizes},
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Name, in the schema metadata of a shuffle file, of the number of key fields.
const KEY_FIELDS: &str = "etl:key-fields";

/// Alignment in bytes of the buffers of a batch: as much as Arrow requires for 64-bit values, and no more, because
/// small partitions make small batches.
const ALIGNMENT: usize = 8;

/// Index of a shuffle file: where each partition lies, and how to check the file. Kept in the map task's commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShuffleIndex {
    /// Number of rows in the file.
    pub rows: u64,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// xxh3 128-bit hash of the file, as 32 hexadecimal digits.
    pub digest: String,
    /// Locations of the partitions that have rows, in order of partition number. A partition has one item for each
    /// sorted run with rows of it, in the order of the runs.
    pub partitions: Vec<PartitionIndex>,
}

impl ShuffleIndex {
    /// Returns the locations of a partition: one item for each sorted run that has rows of it, in order.
    pub fn of_partition(&self, partition: u32) -> &[PartitionIndex] {
        let start = self.partitions.partition_point(|index| index.partition < partition);
        let rest = &self.partitions[start..];
        &rest[..rest.partition_point(|index| index.partition == partition)]
    }
}

/// Location in a shuffle file of the batches that one sorted run has of one partition. They lie one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionIndex {
    /// Number of the partition, from 0.
    pub partition: u32,
    /// Number of rows the sorted run has of the partition, at least one.
    pub rows: u64,
    /// Size of the largest batch in bytes, in memory.
    pub batch_bytes_max: u64,
    /// Offset of the first block in bytes.
    pub offset: u64,
    /// Blocks of the partition, in order.
    pub blocks: Vec<Block>,
}

impl PartitionIndex {
    /// Returns the byte range of the file that holds these blocks, which is what a [`super::ShuffleReader`] has to be
    /// given.
    pub fn range(&self) -> Range<u64> {
        let length = self.blocks.iter().fold(0, |sum: u64, block| sum.saturating_add(block.length));
        self.offset..self.offset.saturating_add(length)
    }
}

/// One batch in a shuffle file: an Arrow IPC message and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Length in bytes.
    pub length: u64,
    /// xxh3 64-bit hash of the block's bytes.
    pub checksum: u64,
}

/// Writer of one shuffle file.
pub(super) struct ShuffleFileWriter<W: Write> {
    arrow: FileWriter<Hashing<BufWriter<W>>>,
    rows: u64,
    partitions: Vec<PartitionIndex>,
    /// Number of items in `partitions` that belong to the sorted runs before the current one.
    of_runs_before: usize,
}

impl<W: Write> ShuffleFileWriter<W> {
    /// Starts a shuffle file.
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

    /// Adds a batch behind those already there. Partitions must not decrease within a sorted run. A batch without rows
    /// is left out.
    pub(super) fn write(&mut self, partition: u32, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (rows, batch_bytes) = (batch.num_rows() as u64, RowSizes::new(batch, Measure::Memory).total() as u64);
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
                last.batch_bytes_max = last.batch_bytes_max.max(batch_bytes);
                last.blocks.push(block);
            }
            None => {
                let (batch_bytes_max, blocks) = (batch_bytes, vec![block]);
                self.partitions.push(PartitionIndex { partition, rows, batch_bytes_max, offset, blocks });
            }
        }
        Ok(())
    }

    /// Writes the footer, flushes the output and returns the index.
    pub(super) fn finish(mut self) -> Result<ShuffleIndex> {
        self.arrow.finish().map_err(write_error)?;
        // The sort is stable, so the items of a partition keep the order of the sorted runs.
        self.partitions.sort_by_key(|index| index.partition);
        let out = self.arrow.get_ref();
        Ok(ShuffleIndex {
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
    .context("cannot write a shuffle file")
}

/// Output that counts and hashes the bytes written: all of them, and those since the last reset of `block`.
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
