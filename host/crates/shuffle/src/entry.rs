//! Sort entries: the integers that are sorted in place of rows.

use super::chunk::Chunk;

const ROW_BITS: u32 = 24;
const CHUNK_BITS: u32 = 20;
const PREFIX_BITS: u32 = 64;
/// Maximum number of rows in a chunk.
pub(super) const ROWS_MAX: usize = 1 << ROW_BITS;
/// Maximum number of chunks that can be sorted together.
pub(super) const CHUNKS_MAX: usize = 1 << CHUNK_BITS;

/// Number of bits an entry has for a partition's number.
pub(super) const PARTITION_BITS: u32 = u128::BITS - PREFIX_BITS - CHUNK_BITS - ROW_BITS;

/// A row to sort, as one integer. From the highest bit down, it holds the partition, 8 bytes of the key, the chunk, and
/// the row within the chunk.
///
/// Chunk and row give the order of arrival, so two entries are never equal, and rows of one key keep their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u128);

impl Entry {
    pub(super) fn new(partition: u32, chunk: usize, row: usize) -> Self {
        let arrival = (chunk as u128) << ROW_BITS | row as u128;
        Self(u128::from(partition) << (u128::BITS - PARTITION_BITS) | arrival)
    }

    /// Returns an entry for another row of the same partition and key.
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

/// Returns the encoded key of an entry's row.
#[inline]
pub(super) fn key_of(chunks: &[Chunk], entry: Entry) -> &[u8] {
    chunks[entry.chunk()].keys().of(entry.row())
}
