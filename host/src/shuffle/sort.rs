//! Sorts the rows of chunks by (partition, key, arrival), and cuts them into batches.
//!
//! Owns the order. What is sorted are 16-byte [`Entry`]s, not rows: each says where its row is and carries 8 bytes of its key, so
//! that nearly every comparison is one of integers. The rows themselves move once, when sorted batches are cut.

use std::{mem, ops::Range};

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;

use super::{BATCH_BYTES, SortedGroups, buffer::Chunk, group::Groups, partition_of, sizes::RowSizes};
use crate::error::{ErrorKind, Result, ResultExt};

/// Rows are alike if the longest is at most so many times as long as the average.
const ALIKE: usize = 4;

/// Ties of no more rows than this are sorted by comparing whole keys.
const FEW_ROWS: usize = 32;

/// So many rows are combined in any case, more only if there are at least so many of them for so many keys: a plugin
/// that returns nearly all it is given takes more time than it saves.
const COMBINED_ROWS: usize = 50_000;
const ROWS_PER_KEYS_MIN: (usize, usize) = (5, 4);

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

    fn partition_and_prefix(self) -> u128 {
        self.0 >> (CHUNK_BITS + ROW_BITS)
    }

    pub(super) fn chunk(self) -> usize {
        (self.0 >> ROW_BITS) as usize & (CHUNKS_MAX - 1)
    }

    pub(super) fn row(self) -> usize {
        self.0 as usize & (ROWS_MAX - 1)
    }
}

/// Chunks, and the order of their rows.
pub(super) struct SortedRows {
    chunks: Vec<Chunk>,
    entries: Vec<Entry>,
    /// Whether entries of one partition with the same prefix have the same key.
    grouped: bool,
}

impl SortedRows {
    /// Sorts the rows of all chunks.
    pub(super) fn new(chunks: Vec<Chunk>, partitions: u32) -> Self {
        if let Some(groups) = Groups::find(&chunks, partitions) {
            return Self::of_groups(chunks, &groups);
        }
        let mut rows = Self { entries: entries_of(&chunks, partitions), chunks, grouped: false };
        rows.sort();
        rows
    }

    /// Sorts the rows of all chunks, which were grouped already.
    pub(super) fn of_groups(chunks: Vec<Chunk>, groups: &Groups) -> Self {
        let mut keys = Self { chunks, entries: groups.first_rows(), grouped: false };
        keys.sort();
        let entries = groups.spread(&keys.chunks, &keys.entries);
        Self { chunks: keys.chunks, entries, grouped: true }
    }

    /// Sorts by the 8 bytes behind those all keys begin with, and what ties by the next 8 that differ, until no
    /// ties are left but those of equal keys. When there were no others, one look at these bytes tells keys apart.
    fn sort(&mut self) {
        let Self { chunks, entries, grouped } = self;
        *grouped = true;
        let key = |entry: &Entry| key_of(chunks, *entry);
        let mut ties: Vec<(Range<usize>, usize)> = vec![(0..entries.len(), 0)];
        while let Some((range, compared)) = ties.pop() {
            let mut start = range.start;
            let tied = &mut entries[range];
            let Some(compared) = sort_by_next_bytes(chunks, tied, compared) else { continue };
            for group in tied.chunk_by_mut(|a, b| a.partition_and_prefix() == b.partition_and_prefix()) {
                let range = start..start + group.len();
                start = range.end;
                let (first, others) = (&group[0], &group[1..]);
                if others.iter().all(|other| key(other) == key(first)) {
                    continue;
                }
                *grouped = false;
                if group.len() <= FEW_ROWS {
                    group.sort_by(|a, b| key(a).cmp(key(b)));
                } else {
                    ties.push((range, compared));
                }
            }
        }
    }

    /// Returns whether combining takes less time than it saves, or hardly any. Depends on the rows alone.
    pub(super) fn are_worth_combining(&self) -> bool {
        let rows = self.entries.len();
        let keys = || 1 + self.entries.windows(2).filter(|pair| !self.same_key(pair[0], pair[1])).count();
        rows <= COMBINED_ROWS || rows * ROWS_PER_KEYS_MIN.1 >= keys() * ROWS_PER_KEYS_MIN.0
    }

    /// Hands the rows to `push`, with their partition, in batches that end where they are large enough, and at the end
    /// of a partition. Keys do not end within a batch unless `group`.
    pub(super) fn cut(&self, group: bool, mut push: impl FnMut(u32, SortedGroups) -> Result<()>) -> Result<()> {
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(Chunk::batch).collect();
        let sizes: Vec<RowSizes> = batches.iter().map(|batch| RowSizes::new(batch)).collect();
        let row_max = sizes.iter().map(RowSizes::row_max).max().unwrap_or_default();
        let total: usize = sizes.iter().map(RowSizes::total).sum();
        // Where rows are about equally long, looking up each one's length would cost more than cutting it out.
        let alike = row_max * self.entries.len() <= ALIKE * total;
        let (mut rows, mut group_ends, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (position, &entry) in self.entries.iter().enumerate() {
            let next = self.entries.get(position + 1).filter(|next| next.partition() == entry.partition());
            rows.push((entry.chunk(), entry.row()));
            bytes += if alike { row_max } else { sizes[entry.chunk()].row(entry.row()) };
            let batch_ends = next.is_none() || bytes >= BATCH_BYTES;
            let group_ends_here = group && next.is_none_or(|&next| !self.same_key(entry, next));
            if group_ends_here || batch_ends {
                group_ends.push(u32::try_from(rows.len()).expect("a batch has at most as many rows as bytes"));
            }
            if batch_ends {
                let batch = interleave_record_batch(&batches, &rows);
                let batch = batch.or_kind(ErrorKind::Internal, || "cannot put sorted rows together")?;
                let (group_ends, last_group_continues) = (mem::take(&mut group_ends), !group_ends_here);
                push(entry.partition(), SortedGroups { batch, group_ends, last_group_continues })?;
                rows.clear();
                bytes = 0;
            }
        }
        Ok(())
    }

    fn same_key(&self, a: Entry, b: Entry) -> bool {
        // Equal keys tied to the end, so their prefixes are equal too.
        let may_be = a.partition_and_prefix() == b.partition_and_prefix();
        may_be && (self.grouped || key_of(&self.chunks, a) == key_of(&self.chunks, b))
    }
}

/// Returns every row, in order of arrival.
fn entries_of(chunks: &[Chunk], partitions: u32) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(chunks.iter().map(Chunk::rows).sum());
    for (number, chunk) in chunks.iter().enumerate() {
        let keys = chunk.keys().enumerate();
        entries.extend(keys.map(|(row, key)| Entry::new(partition_of(key, partitions), number, row)));
    }
    entries
}

pub(super) fn key_of(chunks: &[Chunk], entry: Entry) -> &[u8] {
    chunks[entry.chunk()].key(entry.row())
}

/// Sorts rows whose keys share their first `known` bytes by the 8 bytes behind those they all share. Returns up to
/// which byte keys are compared then, or `None` if that is all of them.
fn sort_by_next_bytes(chunks: &[Chunk], entries: &mut [Entry], known: usize) -> Option<usize> {
    let shared = shared_bytes(entries.iter().map(|entry| key_of(chunks, *entry)), known);
    let (compared, mut longest) = (shared + size_of::<u64>(), 0);
    for entry in &mut *entries {
        let key = key_of(chunks, *entry);
        *entry = entry.with_prefix(prefix_behind(key, shared));
        longest = longest.max(key.len());
    }
    entries.sort_unstable();
    (longest > compared).then_some(compared)
}

/// Returns how many first bytes all keys share, given that they share `known`.
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

/// Returns the 8 bytes from `start` as an integer that compares like them, as if the key went on with zeros.
fn prefix_behind(key: &[u8], start: usize) -> u64 {
    let rest = key.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; size_of::<u64>()];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}
