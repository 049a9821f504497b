//! Sorts the rows of chunks by (partition, key, arrival).
//!
//! Owns the order. The sort moves 16-byte [`Entry`] values instead of rows: each says where its row is and carries 8
//! bytes of its key, so nearly every comparison is one of integers. The rows themselves move once, when sorted batches
//! are cut.

use std::ops::Range;

use super::{
    chunk::Chunk,
    entry::{Entry, key_of},
    group::Groups,
    keys::partition_of,
};

/// Ties of at most this many rows are sorted by comparing whole keys.
const FEW_ROWS: usize = 32;

/// Rows of chunks, in sorted order.
#[derive(Default)]
pub(super) struct Sorted {
    entries: Vec<Entry>,
    /// Whether entries of one partition with the same prefix have the same key.
    grouped: bool,
    /// Whether the rows of each chunk keep its order, and no row between two of them is left out.
    in_order: bool,
}

impl Sorted {
    /// Sorts all rows of `chunks`.
    pub(super) fn all(chunks: &[Chunk], partitions: u32) -> Self {
        if let Some(groups) = Groups::find(chunks, partitions) {
            return Self::groups(chunks, &groups);
        }
        let shared = shared_bytes(chunks.iter().flat_map(|chunk| chunk.keys().iter()), 0);
        let mut entries = Vec::with_capacity(chunks.iter().map(Chunk::rows).sum());
        for (number, chunk) in chunks.iter().enumerate() {
            let row = |(row, key)| Entry::new(partition_of(key, partitions), number, row);
            entries.extend(chunk.keys().iter().enumerate().map(row));
        }
        Self::sort(chunks, entries, shared)
    }

    /// Sorts all rows of `chunks`, which are already grouped by key.
    pub(super) fn groups(chunks: &[Chunk], groups: &Groups) -> Self {
        let first = groups.first_rows();
        let shared = shared_bytes(first.iter().map(|entry| key_of(chunks, *entry)), 0);
        let keys = Self::sort(chunks, first, shared);
        Self { entries: groups.spread(chunks, &keys.entries), grouped: true, in_order: false }
    }

    /// Sorts a range of rows of each chunk. Within each range, the keys must already be in order. Partitions are
    /// ignored.
    pub(super) fn ranges(chunks: &[Chunk], ranges: &[Range<usize>]) -> Self {
        let ends = chunks.iter().zip(ranges).filter(|(_, rows)| !rows.is_empty());
        let ends = ends.flat_map(|(chunk, rows)| [rows.start, rows.end - 1].map(|row| chunk.keys().of(row)));
        let shared = shared_bytes(ends, 0);
        let mut entries = Vec::with_capacity(ranges.iter().map(ExactSizeIterator::len).sum());
        for (number, rows) in ranges.iter().enumerate() {
            entries.extend(rows.clone().map(|row| Entry::new(0, number, row)));
        }
        Self { in_order: true, ..Self::sort(chunks, entries, shared) }
    }

    /// Sorts rows whose keys all share their first `shared` bytes: by the 8 bytes behind those, then each tie by the
    /// next 8 bytes that differ, until only equal keys are tied. If no tie ever held different keys, the prefixes alone
    /// tell keys apart, and the result is `grouped`.
    fn sort(chunks: &[Chunk], mut entries: Vec<Entry>, shared: usize) -> Self {
        let mut grouped = true;
        let key = |entry: &Entry| key_of(chunks, *entry);
        let mut ties = vec![(0..entries.len(), shared)];
        while let Some((range, shared)) = ties.pop() {
            let mut start = range.start;
            let tied = &mut entries[range];
            if sort_by_bytes_behind(chunks, tied, shared) {
                continue;
            }
            for group in tied.chunk_by_mut(|a, b| a.partition_and_prefix() == b.partition_and_prefix()) {
                let range = start..start + group.len();
                start = range.end;
                let (first, others) = (&group[0], &group[1..]);
                if others.iter().all(|other| key(other) == key(first)) {
                    continue;
                }
                grouped = false;
                if group.len() <= FEW_ROWS {
                    group.sort_by(|a, b| key(a).cmp(key(b)));
                } else {
                    ties.push((range, shared_bytes(group.iter().map(key), shared + PREFIX_BYTES)));
                }
            }
        }
        Self { entries, grouped, in_order: false }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the chunk and the range of its rows that some entries stand for, if they are known to be consecutive
    /// there.
    pub(super) fn slice(&self, entries: Range<usize>) -> Option<(usize, Range<usize>)> {
        let (first, last) = (self.entries[entries.start], self.entries[entries.end - 1]);
        let rows = first.row()..last.row() + 1;
        let follow = self.in_order && first.chunk() == last.chunk() && rows.len() == entries.len();
        follow.then_some((first.chunk(), rows))
    }

    /// Returns whether two rows have the same partition and key.
    pub(super) fn same_key(&self, chunks: &[Chunk], a: Entry, b: Entry) -> bool {
        // Rows with equal keys stay tied until the end, so their prefixes are equal too.
        let may_be = a.partition_and_prefix() == b.partition_and_prefix();
        may_be && (self.grouped || key_of(chunks, a) == key_of(chunks, b))
    }

    /// Returns the number of distinct keys.
    pub(super) fn keys(&self, chunks: &[Chunk]) -> usize {
        self.entries.chunk_by(|a, b| self.same_key(chunks, *a, *b)).count()
    }
}

/// Number of key bytes that an entry carries.
const PREFIX_BYTES: usize = size_of::<u64>();

/// Sorts rows whose keys share their first `shared` bytes by the 8 bytes behind. Returns whether no key is longer than
/// that.
fn sort_by_bytes_behind(chunks: &[Chunk], entries: &mut [Entry], shared: usize) -> bool {
    let mut longest = 0;
    for entry in &mut *entries {
        let key = key_of(chunks, *entry);
        *entry = entry.with_prefix(prefix_behind(key, shared));
        longest = longest.max(key.len());
    }
    entries.sort_unstable();
    longest <= shared + PREFIX_BYTES
}

/// Returns the number of leading bytes that all keys share, given that they share the first `known` bytes.
fn shared_bytes<'a>(mut keys: impl Iterator<Item = &'a [u8]>, known: usize) -> usize {
    let first = keys.next().unwrap_or_default();
    let mut shared = first.len();
    for key in keys {
        if !key.starts_with(&first[..shared]) {
            let more = first[known..shared].iter().zip(&key[known..]).take_while(|(a, b)| a == b);
            shared = known + more.count();
        }
        if shared == known {
            break;
        }
    }
    shared
}

/// Returns the 8 bytes from `start` as an integer that compares like them. A shorter key is filled up with zeros.
fn prefix_behind(key: &[u8], start: usize) -> u64 {
    let rest = key.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; PREFIX_BYTES];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}
