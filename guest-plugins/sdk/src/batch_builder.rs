//! The builder that turns rows into the columns of a batch.

use crate::bindings::map::etl::plugin::types as wire;
use crate::cell::Cell;
use crate::column_builder::ColumnBuilder;
use crate::value::Row;
use crate::{Rows, Schema, StepError};

/// Rows, as they cross to the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch(pub(crate) wire::Batch);

/// Builds a batch row by row, straight into its columns.
///
/// Splitters build inline records with it. Mappers and reducers use an [`Output`](crate::Output), which contains one.
#[derive(Debug)]
pub struct BatchBuilder {
    schema: Schema,
    columns: Vec<ColumnBuilder>,
    rows: u32,
    bytes: usize,
}

impl BatchBuilder {
    /// Creates a builder for batches of this schema.
    pub fn new(schema: &Schema) -> Self {
        let columns = schema.fields.iter().map(ColumnBuilder::new).collect();
        Self { schema: schema.clone(), columns, rows: 0, bytes: 0 }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when the row does not fit the schema. The builder must not be used after that.
    #[inline]
    pub fn push(&mut self, row: impl Row) -> Result<(), StepError> {
        let (mut columns, mut bytes) = (self.columns.iter_mut(), self.bytes);
        let pushed = row.each_cell(
            #[inline(always)]
            |cell| match columns.next() {
                Some(column) => column.push(cell).map(|more| bytes += more).map_err(Some),
                None => Err(None),
            },
        );
        match (pushed, columns.len()) {
            (Ok(()), 0) => {}
            (Ok(()), _) => return Err(self.wrong_width("fewer")),
            (Err(None), _) => return Err(self.wrong_width("more")),
            (Err(Some(misfit)), _) => return Err(misfit.into()),
        }
        self.bytes = bytes;
        self.rows += 1;
        Ok(())
    }

    /// Appends a row whose number of columns is not known at compile time. Fails as [`push`](Self::push) does.
    #[inline]
    pub fn push_cells<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), StepError> {
        let mut columns = self.columns.iter_mut();
        for cell in cells {
            let Some(column) = columns.next() else { return Err(self.wrong_width("more")) };
            self.bytes += column.push(cell)?;
        }
        if columns.len() > 0 {
            return Err(self.wrong_width("fewer"));
        }
        self.rows += 1;
        Ok(())
    }

    /// Appends rows that are copied column by column, with a constant in each column after those. Fails as
    /// [`push`](Self::push) does.
    pub(crate) fn push_rows(
        &mut self,
        rows: Rows<'_>,
        columns: &[usize],
        selected: &[u32],
        constants: &[Cell<'_>],
    ) -> Result<(), StepError> {
        match columns.len() + constants.len() {
            width if width < self.columns.len() => return Err(self.wrong_width("fewer")),
            width if width > self.columns.len() => return Err(self.wrong_width("more")),
            _ => {}
        }
        let (copies, rest) = self.columns.split_at_mut(columns.len());
        for (builder, column) in copies.iter_mut().zip(columns) {
            self.bytes += builder.push_selected(rows.any(*column)?, selected)?;
        }
        for (builder, constant) in rest.iter_mut().zip(constants) {
            for _ in selected {
                self.bytes += builder.push(*constant)?;
            }
        }
        self.rows += u32::try_from(selected.len()).expect("a batch has fewer rows");
        Ok(())
    }

    /// Returns the approximate size of the batch so far, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of rows appended so far.
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Returns the finished batch.
    pub fn finish(mut self) -> Batch {
        self.take()
    }

    /// Hands over the batch so far, then removes its rows, and keeps the memory for the next batch.
    pub(crate) fn flush(&mut self, hand_over: impl FnOnce(&wire::Batch)) {
        let Batch(batch) = self.take();
        hand_over(&batch);
        let mut columns = batch.columns.into_iter();
        self.columns.iter_mut().for_each(|column| column.reuse(&mut columns));
    }

    fn take(&mut self) -> Batch {
        let mut columns = Vec::with_capacity(self.columns.len());
        self.columns.iter_mut().for_each(|column| column.take(&mut columns));
        self.bytes = 0;
        Batch(wire::Batch { rows: std::mem::take(&mut self.rows), columns })
    }

    #[cold]
    fn wrong_width(&self, than: &str) -> StepError {
        StepError::Fatal(format!("the row has {than} values than the schema has columns ({})", self.schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::OwnedCell;
    use crate::{DataType, Decimal, Field, Timestamp, Unit};

    fn builder() -> BatchBuilder {
        BatchBuilder::new(&Schema::new().value("name", DataType::Text).nullable_value("n", DataType::Int64))
    }

    #[test]
    fn validity_begins_with_the_first_null() {
        let mut builder = builder();
        let values = (0..20).map(|n| (n != 10).then_some(n));
        values.for_each(|n| builder.push(("x", n)).expect("fits the schema"));
        let Batch(batch) = builder.finish();
        assert_eq!(batch.columns[0].validity, None);
        assert_eq!(batch.columns[1].validity, Some(vec![0b1111_1111, 0b1111_1011, 0b0000_1111]));
    }

    #[test]
    fn a_builder_starts_anew_after_it_was_flushed() {
        let mut builder = builder();
        builder.push(("first", None::<i64>)).expect("fits the schema");
        builder.flush(|batch| assert_eq!(batch.rows, 1));
        builder.push(("second", 2)).expect("fits the schema");
        let mut fresh = self::builder();
        fresh.push(("second", 2)).expect("fits the schema");
        assert_eq!((builder.bytes(), builder.finish()), (fresh.bytes(), fresh.finish()));
    }

    fn message(result: Result<(), StepError>) -> String {
        match result {
            Err(StepError::Fatal(message)) => message,
            other => panic!("expected `fatal`, found {other:?}"),
        }
    }

    #[test]
    fn a_row_that_does_not_fit_is_named() {
        assert_eq!(message(builder().push((1, 1))), "column `name` is text, the row has int64");
        assert_eq!(message(builder().push((None::<&str>, 1))), "column `name` takes no nulls, the row has one");
        let columns = "the schema has columns (`name` text, `n` int64)";
        assert_eq!(message(builder().push(("x",))), format!("the row has fewer values than {columns}"));
        assert_eq!(message(builder().push(("x", 1, 2))), format!("the row has more values than {columns}"));
        assert_eq!(message(builder().push_cells([Cell::Text("x"); 3])), "column `n` is int64, the row has text");
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        let push = |data_type: DataType, cell: Cell<'_>| {
            message(BatchBuilder::new(&Schema::new().value("c", data_type)).push((cell,)))
        };
        let decimal = DataType::Decimal { precision: 4, scale: 2 };
        let at = DataType::Timestamp { unit: Unit::Milli, zone: None };
        let cases = [
            (push(DataType::Int8, Cell::Int64(300)), "column `c` is int8, which does not hold 300"),
            (push(DataType::UInt64, Cell::Int64(-1)), "column `c` is uint64, which does not hold -1"),
            (
                push(decimal.clone(), Cell::Decimal(Decimal::new(1, 3))),
                "column `c` is decimal(4,2), which does not hold 0.001",
            ),
            (push(decimal, Cell::Decimal(100.into())), "column `c` is decimal(4,2), which does not hold 100"),
            (push(DataType::FixedBinary(2), Cell::Binary(b"abc")), "column `c` is binary(2), the row has 3 bytes"),
            (
                push(at.clone(), Cell::Timestamp(Timestamp::from_micros(1))),
                "column `c` is timestamp(ms), the row has one of a finer unit (us)",
            ),
            (
                push(at, Cell::Timestamp(Timestamp::from_seconds(i64::MAX))),
                "column `c` is timestamp(ms), which does not hold 9223372036854775807s",
            ),
            (push(DataType::Float32, Cell::Float64(1.0)), "column `c` is float32, the row has float64"),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_part_that_does_not_fit_is_named_by_its_path() {
        let member = Field::new("n", DataType::list(DataType::Int8));
        let maps = DataType::map(DataType::Text, DataType::Struct(vec![member]));
        let mut builder = BatchBuilder::new(&Schema::new().value("m", maps));
        let value = OwnedCell::Struct(vec![OwnedCell::List(vec![OwnedCell::Int64(128)])]);
        let error = builder.push((vec![("k", value)],));
        assert_eq!(message(error), "column `m.value.n.item` is int8, which does not hold 128");
    }
}
