//! Slices of a batch: what the host takes of a plugin's batch at a time.
//!
//! Owns how much the host may make of a row, which is more than the row is in a batch: one bit of a boolean column is a
//! line of text in a part. Knows no format; it reckons with JSON, which repeats the names of the fields in each row.

use arrow_array::RecordBatch;

use crate::model::sizes::{Measure, RowSizes};

/// The most rows of a slice.
pub const SLICE_ROWS_MAX: usize = 65_536;
/// The most bytes that the host makes of a slice, about: text with many escapes takes more. A larger row is a slice of
/// its own.
const SLICE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The slices of a batch, in order. They share its memory.
pub struct Slices {
    batch: RecordBatch,
    sizes: RowSizes,
    /// The first row of the next slice.
    next: usize,
}

impl Slices {
    /// Begins to cut a batch. One of ordinary size is a slice as it is; one without rows has no slice.
    pub fn of(batch: RecordBatch) -> Self {
        let sizes = RowSizes::new(&batch, Measure::Json);
        Self { batch, sizes, next: 0 }
    }

    /// Returns the end of the slice that begins at row `start`.
    fn end(&self, start: usize) -> usize {
        let most = self.batch.num_rows().min(start + SLICE_ROWS_MAX);
        let fits = |end| self.sizes.range(start..end) <= SLICE_BYTES_MAX;
        if fits(most) {
            return most;
        }
        let (mut end, mut beyond) = (start + 1, most);
        while beyond - end > 1 {
            let middle = end.midpoint(beyond);
            *(if fits(middle) { &mut end } else { &mut beyond }) = middle;
        }
        end
    }
}

impl Iterator for Slices {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let start = self.next;
        if start == self.batch.num_rows() {
            return None;
        }
        self.next = self.end(start);
        let is_whole = start == 0 && self.next == self.batch.num_rows();
        Some(if is_whole { self.batch.clone() } else { self.batch.slice(start, self.next - start) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};

    use super::*;

    fn batch(name: &str, column: impl Array + 'static) -> RecordBatch {
        RecordBatch::try_from_iter([(name, Arc::new(column) as ArrayRef)]).expect("one column")
    }

    fn rows(batch: &RecordBatch) -> Vec<usize> {
        let slices: Vec<_> = Slices::of(batch.clone()).collect();
        let mut start = 0;
        for slice in &slices {
            assert_eq!(slice, &batch.slice(start, slice.num_rows()), "rows are lost or moved");
            start += slice.num_rows();
        }
        assert_eq!(start, batch.num_rows());
        slices.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn a_batch_of_ordinary_size_is_one_slice() {
        assert_eq!(rows(&batch("n", Int64Array::from(vec![7; SLICE_ROWS_MAX]))), [SLICE_ROWS_MAX]);
        assert_eq!(rows(&batch("t", StringArray::from(vec!["t".repeat(100); 10_000]))), [10_000]);
        assert_eq!(rows(&batch("n", Int64Array::from(vec![0; 0]))), [0; 0]);
    }

    #[test]
    fn rows_names_and_values_are_each_bounded() {
        let bits = || BooleanArray::from(vec![true; 150_000]);
        assert_eq!(rows(&batch("b", bits())), [SLICE_ROWS_MAX, SLICE_ROWS_MAX, 150_000 - 2 * SLICE_ROWS_MAX]);
        let names = rows(&batch(&"n".repeat(1000), bits()));
        assert!(names[0] == SLICE_BYTES_MAX / 1009 && names.len() > 30, "{names:?}");
        let long = "t".repeat(3 << 20);
        let texts = ["a", &long, "b", &"u".repeat(9 << 20), "c", &long, &long].map(str::to_owned);
        assert_eq!(rows(&batch("t", StringArray::from(texts.to_vec()))), [3, 1, 2, 1]);
    }
}
