//! Finds the rows that share a key by hashing, so that what is sorted are keys and not rows.
//!
//! Owns the decision whether that pays. It is made by the data alone, and what comes of it is the same either way.

use hashbrown::HashTable;

use super::{
    chunk::Chunk,
    entry::{Entry, key_of},
    keys::{hash_of, partition_of_hash},
};

/// Hashing pays while a key has at least so many rows.
const ROWS_PER_KEY_MIN: usize = 2;

/// So many rows show whether a key has enough.
const LOOK_ROWS: usize = 64 * 1024;

/// The keys of some rows.
pub(super) struct Groups {
    /// The group of each row, in order of arrival.
    of_row: Vec<u32>,
    /// The first row of each group.
    first: Vec<Entry>,
    /// How many rows each group has.
    rows: Vec<usize>,
}

impl Groups {
    /// Groups rows by key; `None` when too few of them share one.
    pub(super) fn find(chunks: &[Chunk], partitions: u32) -> Option<Self> {
        let rows = chunks.iter().map(Chunk::rows).sum();
        let mut groups = Self { of_row: Vec::with_capacity(rows), first: Vec::new(), rows: Vec::new() };
        let mut by_hash: HashTable<(u64, u32)> = HashTable::new();
        for (number, chunk) in chunks.iter().enumerate() {
            for (row, key) in chunk.keys().iter().enumerate() {
                let hash = hash_of(key);
                let known =
                    |&(other, group): &(u64, u32)| other == hash && key_of(chunks, groups.first[group as usize]) == key;
                let group = match by_hash.find(hash, known) {
                    Some(&(_, group)) => group,
                    None => {
                        let group = u32::try_from(groups.first.len()).ok()?;
                        groups.first.push(Entry::new(partition_of_hash(hash, partitions), number, row));
                        groups.rows.push(0);
                        by_hash.insert_unique(hash, (hash, group), |&(hash, _)| hash);
                        group
                    }
                };
                groups.rows[group as usize] += 1;
                groups.of_row.push(group);
                if groups.of_row.len().is_multiple_of(LOOK_ROWS) && groups.too_many() {
                    return None;
                }
            }
        }
        (!groups.too_many()).then_some(groups)
    }

    /// Returns whether there are too many groups for the rows seen so far.
    fn too_many(&self) -> bool {
        self.first.len() * ROWS_PER_KEY_MIN > self.of_row.len()
    }

    /// Returns how many groups there are.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// Returns the first row of each group, to be sorted.
    pub(super) fn first_rows(&self) -> Vec<Entry> {
        self.first.clone()
    }

    /// Returns all rows in the order of their groups, which is that of `sorted`, the first rows, and in order of
    /// arrival within a group. In place of bytes of their keys they carry the position of their group.
    pub(super) fn spread(&self, chunks: &[Chunk], sorted: &[Entry]) -> Vec<Entry> {
        let mut start_of_chunk = Vec::with_capacity(chunks.len());
        let mut rows = 0;
        for chunk in chunks {
            start_of_chunk.push(rows);
            rows += chunk.rows();
        }
        let mut heads = vec![(Entry::new(0, 0, 0), 0); self.first.len()];
        let mut start = 0;
        for (position, entry) in (0..).zip(sorted) {
            let group = self.of_row[start_of_chunk[entry.chunk()] + entry.row()] as usize;
            heads[group] = (Entry::new(entry.partition(), 0, 0).with_prefix(position), start);
            start += self.rows[group];
        }
        let mut entries = vec![Entry::new(0, 0, 0); rows];
        let mut groups = self.of_row.iter();
        for (number, chunk) in chunks.iter().enumerate() {
            for (row, &group) in groups.by_ref().take(chunk.rows()).enumerate() {
                let (head, next) = &mut heads[group as usize];
                entries[*next] = head.at(number, row);
                *next += 1;
            }
        }
        entries
    }
}
