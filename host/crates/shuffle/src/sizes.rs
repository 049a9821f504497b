//! Sizes of rows in bytes, by which memory is counted and batches are cut.

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::DataType;

/// The sizes of the rows of one batch.
pub(super) struct RowSizes {
    rows: usize,
    fixed: usize,
    variable: Vec<OffsetBuffer<i32>>,
}

impl RowSizes {
    pub(super) fn new(batch: &RecordBatch) -> Self {
        let mut sizes = Self { rows: batch.num_rows(), fixed: 0, variable: Vec::new() };
        for column in batch.columns() {
            sizes.add_column(column);
        }
        sizes
    }

    fn add_column(&mut self, column: &dyn Array) {
        self.fixed += match column.data_type() {
            DataType::Boolean => 1,
            DataType::Utf8 | DataType::Binary => size_of::<i32>(),
            _ => size_of::<i64>(),
        };
        match column.data_type() {
            DataType::Utf8 => self.variable.push(column.as_string::<i32>().offsets().clone()),
            DataType::Binary => self.variable.push(column.as_binary::<i32>().offsets().clone()),
            _ => {}
        }
    }

    /// Returns the size of one row in bytes.
    pub(super) fn row(&self, row: usize) -> usize {
        self.fixed + self.variable.iter().map(|offsets| span(offsets, row, row + 1)).sum::<usize>()
    }

    /// Returns an upper bound of the size of a row in bytes.
    pub(super) fn row_max(&self) -> usize {
        let longest = |offsets: &OffsetBuffer<i32>| offsets.lengths().max().unwrap_or_default();
        self.fixed + self.variable.iter().map(longest).sum::<usize>()
    }

    /// Returns the size of all rows together in bytes.
    pub(super) fn total(&self) -> usize {
        self.rows * self.fixed + self.variable.iter().map(|offsets| span(offsets, 0, self.rows)).sum::<usize>()
    }
}

fn span(offsets: &OffsetBuffer<i32>, from: usize, to: usize) -> usize {
    usize::try_from(offsets[to] - offsets[from]).expect("offsets never decrease")
}
