//! Sizes of rows in bytes, by which memory is counted and batches are cut.
//!
//! Owns how much a range of rows takes, in memory or as text, however its columns are nested. A question costs a few
//! look-ups for each column, not one for each row.

use std::ops::Range;

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};

/// The longest number as JSON has it.
const NUMBER_CHARS: usize = "-170141183460469231731687303715884105728.".len();
/// The longest date with time and zone as JSON has it.
const TIME_CHARS: usize = "\"-262143-01-01T00:00:00.000000000+00:00\"".len();

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes in Arrow's layout, without validity.
    Memory,
    /// Bytes as JSON at most, in which each row repeats the names of its fields; escapes in text are left out.
    Json,
}

/// The sizes of the rows of one batch.
pub struct RowSizes {
    rows: usize,
    columns: Vec<Sizes>,
}

impl RowSizes {
    /// Measures a batch.
    pub fn new(batch: &RecordBatch, measure: Measure) -> Self {
        let fields = batch.schema_ref().fields();
        let columns = batch.columns().iter().zip(fields).map(|(column, field)| Sizes::of(column, field, measure));
        Self { rows: batch.num_rows(), columns: columns.collect() }
    }

    /// Returns the size of one row.
    pub fn row(&self, row: usize) -> usize {
        self.range(row..row + 1)
    }

    /// Returns the size of a range of rows together.
    pub fn range(&self, rows: Range<usize>) -> usize {
        self.columns.iter().map(|column| column.range(rows.clone())).sum()
    }

    /// Returns the size of all rows together.
    pub fn total(&self) -> usize {
        self.range(0..self.rows)
    }

    /// Returns an upper bound of the size of a row.
    pub fn row_max(&self) -> usize {
        self.columns.iter().map(|column| column.value_max(self.rows)).sum()
    }
}

/// The sizes of the values of a column.
struct Sizes {
    /// Of each value.
    fixed: usize,
    inner: Inner,
}

/// What a value takes beside that.
enum Inner {
    Nothing,
    /// Bytes, each of which counts `times`.
    Bytes {
        offsets: OffsetBuffer<i32>,
        times: usize,
    },
    /// Bytes that are elsewhere: how many the values before each one have.
    Views(Vec<usize>),
    Items {
        offsets: OffsetBuffer<i32>,
        items: Box<Sizes>,
    },
    Members(Vec<Sizes>),
}

impl Sizes {
    fn of(column: &dyn Array, field: &Field, measure: Measure) -> Self {
        let of = |part: &dyn Array, field: &Field| Box::new(Self::of(part, field, measure));
        let fixed = match measure {
            Measure::Memory => memory_bytes(field.data_type()),
            Measure::Json => "\"\":,".len() + field.name().len() + json_bytes(field.data_type()),
        };
        let inner = match field.data_type() {
            DataType::Utf8 => Inner::Bytes { offsets: column.as_string::<i32>().offsets().clone(), times: 1 },
            DataType::Binary => {
                let times = if measure == Measure::Json { 2 } else { 1 };
                Inner::Bytes { offsets: column.as_binary::<i32>().offsets().clone(), times }
            }
            DataType::BinaryView => Inner::Views(before(column.as_binary_view().lengths())),
            DataType::List(item) => {
                let list = column.as_list::<i32>();
                Inner::Items { offsets: list.offsets().clone(), items: of(list.values(), item) }
            }
            DataType::Map(entries, _) => {
                let map = column.as_map();
                Inner::Items { offsets: map.offsets().clone(), items: of(map.entries(), entries) }
            }
            DataType::Struct(members) => {
                let columns = column.as_struct().columns().iter().zip(members);
                Inner::Members(columns.map(|(column, member)| Self::of(column, member, measure)).collect())
            }
            _ => Inner::Nothing,
        };
        Self { fixed, inner }
    }

    fn range(&self, values: Range<usize>) -> usize {
        let inner = match &self.inner {
            Inner::Nothing => 0,
            Inner::Bytes { offsets, times } => {
                let bytes = within(offsets, &values);
                (bytes.end - bytes.start) * times
            }
            Inner::Views(before) => before[values.end] - before[values.start],
            Inner::Items { offsets, items } => items.range(within(offsets, &values)),
            Inner::Members(members) => members.iter().map(|member| member.range(values.clone())).sum(),
        };
        values.len() * self.fixed + inner
    }

    fn value_max(&self, values: usize) -> usize {
        let inner = match &self.inner {
            Inner::Nothing => 0,
            Inner::Bytes { offsets, times } => offsets.lengths().max().unwrap_or_default() * times,
            Inner::Views(before) => before.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default(),
            Inner::Items { offsets, items } => {
                let each = (0..values).map(|value| items.range(within(offsets, &(value..value + 1))));
                each.max().unwrap_or_default()
            }
            Inner::Members(members) => members.iter().map(|member| member.value_max(values)).sum(),
        };
        self.fixed + inner
    }
}

/// Returns how much comes before each length, and all of it at the end.
fn before(lengths: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut sum = 0;
    let sums = lengths.map(|length| {
        sum += length as usize;
        sum
    });
    [0].into_iter().chain(sums).collect()
}

/// Returns what a range of values covers of the bytes or items behind them.
fn within(offsets: &OffsetBuffer<i32>, values: &Range<usize>) -> Range<usize> {
    let at = |value: usize| usize::try_from(offsets[value]).expect("offsets are not negative");
    at(values.start)..at(values.end)
}

fn memory_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Boolean => 1,
        DataType::Struct(_) => 0,
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or_default(),
        other => other.primitive_width().unwrap_or(size_of::<i32>()),
    }
}

fn json_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Boolean => "false".len(),
        DataType::Decimal128(..) => NUMBER_CHARS,
        DataType::FixedSizeBinary(bytes) => 2 * usize::try_from(*bytes).unwrap_or_default(),
        other if other.is_temporal() => TIME_CHARS,
        other if other.is_floating() => "-2.2250738585072014e-308".len(),
        other if other.is_numeric() => "-9223372036854775808".len(),
        _ => "null".len(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, Int64Array, ListArray, StringArray, StructArray,
        types::{Int32Type, Int64Type},
    };

    use super::*;

    fn sizes(column: impl Array + 'static, measure: Measure) -> RowSizes {
        RowSizes::new(&RecordBatch::try_from_iter([("n", Arc::new(column) as ArrayRef)]).expect("a column"), measure)
    }

    #[test]
    fn rows_count_with_what_they_hold() {
        let texts = || StringArray::from(vec!["a", "bcd", ""]);
        let memory = sizes(texts(), Measure::Memory);
        assert_eq!((memory.row(1), memory.range(0..2), memory.total(), memory.row_max()), (7, 12, 16, 7));
        assert_eq!(sizes(texts(), Measure::Json).row(0), "\"n\":null,".len() + 1);
        let items = [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(3)])];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(items);
        let memory = sizes(lists.slice(1, 2), Measure::Memory);
        assert_eq!((memory.row(0), memory.row(1), memory.total(), memory.row_max()), (4, 12, 16, 12));
    }

    #[test]
    fn the_parts_of_nested_columns_count_together() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]));
        let structs = StructArray::try_from(vec![("a", numbers), ("b", lists)]).expect("equal lengths");
        let memory = sizes(structs, Measure::Memory);
        assert_eq!((memory.row(0), memory.row(1), memory.row_max()), (16, 12, 16));
    }
}
