//! Cuts sorted rows into batches, one after the other.

use etl_core::model::error::Result;

use super::{BATCH_BYTES, SortedGroups, chunk::Chunk, entry::key_of, gather::gather, sort::Sorted};

/// Rows count as alike in size if the longest is at most this many times as long as the average.
const ALIKE: usize = 4;

/// Sorted rows, some of which are already cut into batches. Every method must be given the same chunks.
#[derive(Default)]
pub(super) struct Cutter {
    rows: Sorted,
    next: usize,
    /// Size in bytes of the longest row, if all rows are alike in size. It then counts for every row, because looking
    /// up the size of each would cost more than cutting it out.
    alike: Option<usize>,
}

impl Cutter {
    pub(super) fn new(rows: Sorted, chunks: &[Chunk]) -> Self {
        let longest = chunks.iter().map(Chunk::row_max).max().unwrap_or_default();
        let bytes: usize = chunks.iter().map(|chunk| chunk.sizes().total()).sum();
        let all: usize = chunks.iter().map(Chunk::rows).sum();
        Self { rows, next: 0, alike: (longest * all <= ALIKE * bytes).then_some(longest) }
    }

    /// Returns whether all rows have been cut.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.rows.entries().len()
    }

    /// Returns the key of the last row that was cut.
    pub(super) fn last_key<'a>(&self, chunks: &'a [Chunk]) -> &'a [u8] {
        key_of(chunks, self.rows.entries()[self.next - 1])
    }

    /// Cuts the next batch and returns it with its partition, or `None` if no rows are left. A batch ends where it is
    /// large enough, or at the end of its partition. Key ends within the batch are found only if `group` is true.
    pub(super) fn next(&mut self, chunks: &[Chunk], group: bool) -> Result<Option<(u32, SortedGroups)>> {
        let Some(&first) = self.rows.entries().get(self.next) else { return Ok(None) };
        let start = self.next;
        let (mut group_ends, mut bytes) = (Vec::new(), 0);
        let last_group_continues = loop {
            let entry = self.rows.entries()[self.next];
            self.next += 1;
            bytes += self.alike.unwrap_or_else(|| chunks[entry.chunk()].sizes().row(entry.row()));
            let next = self.rows.entries().get(self.next).filter(|next| next.partition() == first.partition());
            let batch_ends = next.is_none() || bytes >= BATCH_BYTES;
            let group_ends_here = group && next.is_none_or(|next| !self.rows.same_key(chunks, entry, *next));
            if group_ends_here || batch_ends {
                group_ends.push(u32::try_from(self.next - start).expect("a batch has at most as many rows as bytes"));
            }
            if batch_ends {
                break !group_ends_here;
            }
        };
        let batch = match self.rows.slice(start..self.next) {
            Some((chunk, rows)) => chunks[chunk].batch().slice(rows.start, rows.len()),
            None => gather(chunks, &self.rows.entries()[start..self.next])?,
        };
        Ok(Some((first.partition(), SortedGroups { batch, group_ends, last_group_continues })))
    }
}
