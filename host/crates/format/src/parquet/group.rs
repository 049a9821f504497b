//! A row group while it is read: its chosen columns side by side, in batches of rows as they are in the file.
//!
//! Owns which bytes are fetched, and when. A small row group is fetched at once, with bytes between its columns if they
//! are few; of a large one, a window of each column.

use std::{ops::Range, sync::Arc};

use arrow_array::RecordBatch;
use bytes::Bytes;
use etl_core::model::error::{Error, Result};
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups},
    column::page::{PageIterator, PageReader},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
        serialized_reader::SerializedPageReader,
    },
};

use super::{
    directory::{Directory, damaged, guarded, range_of},
    pages::{ColumnBytes, Held, Pages, window},
    selection::Selection,
};
use crate::{ReadAt, Section, Sizes};

/// Number of bytes of a row group up to which all of it is fetched at once; of a larger one, this many are in windows
/// at a time, and as many are on their way.
const AT_ONCE_BYTES: u64 = 8 << 20;

/// Minimum and maximum length in bytes of a window of a column.
const WINDOW_BYTES: (u64, u64) = (64 << 10, 4 << 20);

/// Number of bytes between two columns that are fetched for nothing rather than asking twice.
const GAP_BYTES: u64 = 64 << 10;

/// The most rows that are decoded at a time, and the bytes that a value is counted with at least.
const ROWS_MAX: u64 = 8192;
const VALUE_BYTES: u64 = 16;

/// A row group that is being read.
pub(super) struct Group {
    reader: ParquetRecordBatchReader,
    held: Arc<Held>,
    object: Arc<str>,
    number: usize,
    /// Number of rows that are still to come.
    rows_left: u64,
}

impl Group {
    /// Begins to read a row group.
    ///
    /// # Errors
    /// As [`Group::next`].
    pub(super) fn open(
        section: &Section,
        directory: &Arc<Directory>,
        number: usize,
        selection: &Selection,
        sizes: Sizes,
    ) -> Result<Self> {
        let (held, object) = (Arc::new(Held::default()), Arc::clone(&section.object));
        let columns = fetch(&section.bytes, &ranges(directory, number, selection), &held)?;
        let columns = selection.leaves.iter().copied().zip(columns).collect();
        let rows = Columns { directory: Arc::clone(directory), number, columns, held: Arc::clone(&held) };
        let at_a_time = rows_at_a_time(directory.group(number), selection, sizes.batch);
        let reader =
            guarded(|| ParquetRecordBatchReader::try_new_with_row_groups(&selection.levels, &rows, at_a_time, None));
        let rows_left = directory.groups[number].rows;
        let reader = reader.map_err(|what| broken(&object, number, &held, &what))?;
        Ok(Self { reader, held, object, number, rows_left })
    }

    /// Returns the next rows, or `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object and the row group, when it
    /// is damaged or takes too much memory; as [`ReadAt::read`].
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Self { reader, held, object, number, rows_left } = self;
        let next = guarded(|| reader.next().transpose().map_err(ParquetError::from));
        let next = next.map_err(|what| broken(object, *number, held, &what))?;
        let rows = next.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        let left = rows_left.checked_sub(rows).filter(|left| next.is_some() || *left == 0);
        *rows_left = left.ok_or_else(|| {
            damaged(object, format!("row group {number} has another number of rows than its directory says"))
        })?;
        Ok(next)
    }
}

/// Returns the error that ended reading a row group.
fn broken(object: &str, number: usize, held: &Held, what: &str) -> Error {
    match held.failed() {
        Some(error) => error.context(format!("cannot read row group {number} of object `{object}`")),
        None => damaged(object, format!("row group {number} cannot be decoded (if it is not encrypted): {what}")),
    }
}

/// Announces the bytes of a row group that is read next, if it is fetched at once.
pub(super) fn announce(bytes: &dyn ReadAt, directory: &Directory, number: usize, selection: &Selection) {
    let ranges = ranges(directory, number, selection);
    if total(&ranges) <= AT_ONCE_BYTES {
        bytes.ahead(&joined(&ranges));
    }
}

/// Returns where the chosen columns of a row group are.
fn ranges(directory: &Directory, number: usize, selection: &Selection) -> Vec<Range<u64>> {
    let group = directory.group(number);
    selection.leaves.iter().map(|leaf| range_of(group.column(*leaf)).unwrap_or_default()).collect()
}

fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// Returns ranges that cover these, in order: neighbours are one, unless they are long together.
fn joined(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last)
                if range.start <= last.end + GAP_BYTES
                    && (range.start < last.end || range.end - last.start <= WINDOW_BYTES.1) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Fetches the beginning of each column, and announces what comes after it.
fn fetch(bytes: &Arc<dyn ReadAt>, ranges: &[Range<u64>], held: &Arc<Held>) -> Result<Vec<ColumnBytes>> {
    let column = |range: &Range<u64>, window_bytes, fetched| {
        ColumnBytes::new(Arc::clone(bytes), range.clone(), window_bytes, fetched, Arc::clone(held))
    };
    if total(ranges) > AT_ONCE_BYTES {
        let (least, most) = WINDOW_BYTES;
        let window_bytes = (AT_ONCE_BYTES / ranges.len() as u64).clamp(least, most);
        let first: Vec<_> = ranges.iter().map(|range| window(range, range.start, window_bytes)).collect();
        bytes.ahead(&first);
        return Ok(ranges.iter().map(|range| column(range, window_bytes, Bytes::new())).collect());
    }
    let joined = joined(ranges);
    bytes.ahead(&joined);
    let read = |range: &Range<u64>| bytes.read(range.clone());
    let pieces = joined.iter().map(read).collect::<Result<Vec<_>>>()?;
    let of = |range: &Range<u64>| {
        let piece = joined.partition_point(|joined| joined.start <= range.start) - 1;
        let start = (range.start - joined[piece].start) as usize;
        column(range, WINDOW_BYTES.1, pieces[piece].slice(start..start + (range.end - range.start) as usize))
    };
    Ok(ranges.iter().map(of).collect())
}

/// Returns how many rows make a batch of about `batch_bytes`.
fn rows_at_a_time(group: &RowGroupMetaData, selection: &Selection, batch_bytes: u64) -> usize {
    let rows = u64::try_from(group.num_rows()).unwrap_or_default().max(1);
    let bytes_of = |leaf: &usize| {
        let column = group.column(*leaf);
        let of = |number: i64| u64::try_from(number).unwrap_or_default().div_ceil(rows);
        of(column.uncompressed_size()).max(of(column.num_values()).saturating_mul(VALUE_BYTES)).max(VALUE_BYTES)
    };
    let row_bytes = selection.leaves.iter().map(bytes_of).fold(0, u64::saturating_add);
    (batch_bytes / row_bytes.max(1)).clamp(1, ROWS_MAX.min(rows)) as usize
}

/// The chosen columns of a row group, for the library.
struct Columns {
    directory: Arc<Directory>,
    number: usize,
    columns: Vec<(usize, ColumnBytes)>,
    held: Arc<Held>,
}

impl Columns {
    fn pages(&self, leaf: usize) -> ParquetResult<Box<dyn PageReader>> {
        let found = self.columns.binary_search_by_key(&leaf, |(leaf, _)| *leaf);
        let found = found.map_err(|_| ParquetError::General(format!("column {leaf} was not asked for")))?;
        let column = with_true_start(self.directory.group(self.number).column(leaf))?;
        let bytes = Arc::new(self.columns[found].1.clone());
        let pages = SerializedPageReader::new(bytes, &column, self.num_rows(), None)?;
        Ok(Box::new(Pages { pages, held: Arc::clone(&self.held), dictionary: 0, page: 0 }))
    }
}

/// Returns a column without a dictionary that it does not have.
fn with_true_start(column: &ColumnChunkMetaData) -> ParquetResult<ColumnChunkMetaData> {
    let start = range_of(column).map(|range| range.start);
    let has_it = column.dictionary_page_offset().is_some_and(|at| u64::try_from(at).ok() == start);
    if has_it || column.dictionary_page_offset().is_none() {
        return Ok(column.clone());
    }
    column.clone().into_builder().set_dictionary_page_offset(None).build()
}

impl RowGroups for Columns {
    fn num_rows(&self) -> usize {
        self.directory.groups[self.number].rows as usize
    }

    fn column_chunks(&self, leaf: usize) -> ParquetResult<Box<dyn PageIterator>> {
        Ok(Box::new(OneChunk(Some(self.pages(leaf)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.directory.group(self.number)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.directory.metadata
    }
}

struct OneChunk(Option<ParquetResult<Box<dyn PageReader>>>);

impl Iterator for OneChunk {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take()
    }
}

impl PageIterator for OneChunk {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_are_near_each_other_are_fetched_together() {
        const KIB: u64 = 1 << 10;
        let ranges = [500 * KIB..600 * KIB, 4..100, 100..64 * KIB, 5000 * KIB..5001 * KIB];
        assert_eq!(joined(&ranges), [4..64 * KIB, 500 * KIB..600 * KIB, 5000 * KIB..5001 * KIB]);
        assert_eq!(joined(&[0..10, 5..7, 10..20]).first(), Some(&(0..20)));
        assert_eq!(joined(&[0..4096 * KIB, 4096 * KIB..4097 * KIB]).len(), 2, "no request is longer than a window");
    }
}
