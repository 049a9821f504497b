//! Groups rows by key in a hash table, so that the keys are sorted instead of the rows.
//!
//! Owns the decision whether grouping pays. The decision depends on the data alone, and the result is the same either
//! way.

use hashbrown::HashTable;

use super::{
    chunk::Chunk,
    entry::{Entry, key_of},
    keys::{hash_of, partition_of_hash},
};

/// Grouping pays while a key has at least this many rows on average.
const ROWS_PER_KEY_MIN: usize = 2;

/// Number of rows after which it is checked, again and again, whether keys have enough rows.
const LOOK_ROWS: usize = 64 * 1024;

/// Rows grouped by their keys.
pub(super) struct Groups {
    /// Group of each row, in order of arrival.
    of_row: Vec<u32>,
    /// First row of each group.
    first: Vec<Entry>,
    /// Number of rows of each group.
    rows: Vec<usize>,
}

impl Groups {
    /// Groups rows by key. Returns `None` if too few of them share a key.
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

    /// Returns whether there are too many groups for the number of rows seen so far.
    fn too_many(&self) -> bool {
        self.first.len() * ROWS_PER_KEY_MIN > self.of_row.len()
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// Returns the first row of each group, to be sorted.
    pub(super) fn first_rows(&self) -> Vec<Entry> {
        self.first.clone()
    }

    /// Returns all rows in the order of their groups, and in order of arrival within a group. `sorted` gives the order
    /// of the groups: it holds the first row of each. The entries carry the position of their group in place of bytes
    /// of their key.
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
