//! What is sorted in place of rows.

use super::chunk::Chunk;

const ROW_BITS: u32 = 24;
const CHUNK_BITS: u32 = 20;
const PREFIX_BITS: u32 = 64;
/// The most rows a chunk may have.
pub(super) const ROWS_MAX: usize = 1 << ROW_BITS;
/// The most chunks that can be sorted together.
pub(super) const CHUNKS_MAX: usize = 1 << CHUNK_BITS;

/// How many bits the number of a partition may have.
pub(super) const PARTITION_BITS: u32 = u128::BITS - PREFIX_BITS - CHUNK_BITS - ROW_BITS;

/// A row to sort, as one integer: partition, 8 bytes of the key, chunk, row in the chunk.
///
/// Chunk and row are the arrival, so entries never tie, and rows of one key keep their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u128);

impl Entry {
    pub(super) fn new(partition: u32, chunk: usize, row: usize) -> Self {
        let arrival = (chunk as u128) << ROW_BITS | row as u128;
        Self(u128::from(partition) << (u128::BITS - PARTITION_BITS) | arrival)
    }

    /// Returns an entry of the same partition and key, of another row.
    pub(super) fn at(self, chunk: usize, row: usize) -> Self {
        Self(self.partition_and_prefix() << (CHUNK_BITS + ROW_BITS) | Self::new(0, chunk, row).0)
    }

    pub(super) fn with_prefix(self, prefix: u64) -> Self {
        let shift = CHUNK_BITS + ROW_BITS;
        Self(self.0 & !(u128::from(u64::MAX) << shift) | u128::from(prefix) << shift)
    }

    pub(super) fn partition(self) -> u32 {
        (self.0 >> (u128::BITS - PARTITION_BITS)) as u32
    }

    pub(super) fn partition_and_prefix(self) -> u128 {
        self.0 >> (CHUNK_BITS + ROW_BITS)
    }

    pub(super) fn chunk(self) -> usize {
        (self.0 >> ROW_BITS) as usize & (CHUNKS_MAX - 1)
    }

    pub(super) fn row(self) -> usize {
        self.0 as usize & (ROWS_MAX - 1)
    }
}

/// Returns the encoded key of a row.
#[inline]
pub(super) fn key_of(chunks: &[Chunk], entry: Entry) -> &[u8] {
    chunks[entry.chunk()].keys().of(entry.row())
}
