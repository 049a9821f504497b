//! Decoder of the row groups that start in the sections of a shard.
//!
//! Owns the size of batches. The same slices give the same batches, no matter how their bytes
//! were fetched.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow_array::RecordBatch;
use etl_core::model::{
    error::{Error, Result},
    position::Position,
    sizes::{Measure, RowSizes},
};

use super::{
    directory::{self, Directory},
    group::{Group, announce},
    selection::Selection,
};
use crate::{
    Chunk, ChunkIter, Decode, Fields, Section, Sizes, SourceBatch,
    rows::{Places, Rows},
};

/// Decodes the sections of a shard.
pub(super) struct ParquetDecoder<'a> {
    chunks: ChunkIter<'a>,
    fields: Fields,
    sizes: Sizes,
    section: Option<Open>,
    /// Batches that are cut and not handed out yet.
    ready: VecDeque<SourceBatch>,
}

/// A section that is being read.
struct Open {
    section: Section,
    directory: Arc<Directory>,
    selection: Selection,
    /// The row groups that are still to be read.
    groups: VecDeque<usize>,
    group: Option<Group>,
    /// The number of the next row in the object.
    row: u64,
}

impl<'a> ParquetDecoder<'a> {
    pub(super) fn new(chunks: ChunkIter<'a>, fields: &Fields, sizes: Sizes) -> Self {
        Self { chunks, fields: fields.clone(), sizes, section: None, ready: VecDeque::new() }
    }

    /// Opens the next section, if there is one.
    fn next_section(&mut self) -> Result<bool> {
        let section = match self.chunks.next().transpose()? {
            None => return Ok(false),
            Some(Chunk::Section(section)) => section,
            Some(_) => return Err(Error::internal("Parquet is read by position, but the chunks are a stream")),
        };
        let directory = directory::open(&section)?;
        let groups: VecDeque<usize> = directory.within(&section.range).into();
        // What has no rows in the slice need not fit the fields either, or each slice would be opened for nothing.
        if !groups.is_empty() {
            let selection = Selection::new(&section.object, &directory, &self.fields)?;
            self.section = Some(Open { section, directory, selection, groups, group: None, row: 0 });
        }
        Ok(true)
    }
}

impl Decode for ParquetDecoder<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Some(open) = &mut self.section else {
                if self.next_section()? {
                    continue;
                }
                return Ok(None);
            };
            match open.next_rows(self.sizes)? {
                None => self.section = None,
                Some((rows, first_row)) => {
                    for range in cut(&rows, self.sizes, &open.section.object, first_row)? {
                        let rows = Rows {
                            rows: rows.slice(range.start, range.len()),
                            object: &open.section.object,
                            places: Places(vec![(0, Position::Row(first_row + range.start as u64))]),
                            columns: &open.selection.columns,
                        };
                        self.ready.push_back(rows.convert(self.fields.schema())?);
                    }
                }
            }
        }
    }
}

impl Open {
    /// Returns the next rows as they are in the file, and the number of the first.
    fn next_rows(&mut self, sizes: Sizes) -> Result<Option<(RecordBatch, u64)>> {
        loop {
            if let Some(group) = &mut self.group {
                if let Some(rows) = group.next()? {
                    let first_row = self.row;
                    self.row += rows.num_rows() as u64;
                    return Ok(Some((rows, first_row)));
                }
                self.group = None;
            }
            let Self { section, directory, selection, .. } = self;
            let Some(number) = self.groups.pop_front() else { return Ok(None) };
            self.row = directory.groups[number].first_row;
            self.group = Some(Group::open(section, directory, number, selection, sizes)?);
            if let Some(next) = self.groups.front() {
                announce(&*section.bytes, directory, *next, selection);
            }
        }
    }
}

/// Returns where rows are cut into batches.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when a row is longer than a record may be.
fn cut(rows: &RecordBatch, sizes: Sizes, object: &str, first_row: u64) -> Result<Vec<Range<usize>>> {
    let measured = RowSizes::new(rows, Measure::Memory);
    let (mut cuts, mut start) = (Vec::new(), 0);
    while start < rows.num_rows() {
        let fits = |end: usize| measured.range(start..end) as u64 <= sizes.batch;
        let (mut end, mut over) = (start + 1, rows.num_rows() + 1);
        while over - end > 1 {
            let middle = end.midpoint(over);
            if fits(middle) { end = middle } else { over = middle }
        }
        if end == start + 1 && measured.row(start) as u64 > sizes.record_max {
            return Err(Error::input(format!(
                "row {} of object `{object}` takes more than the {} bytes that `source.max_record` allows",
                first_row + start as u64,
                sizes.record_max
            )));
        }
        cuts.push(start..end);
        start = end;
    }
    Ok(cuts)
}
