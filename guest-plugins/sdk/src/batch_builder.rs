//! The builder that turns rows into the columns of a batch.

use crate::cell::{Cell, Row};
use crate::{Batch, BatchColumn, DataType, Field, Schema, StepError, Values, Variable, short};

/// Builds a batch row by row, straight into its columns.
///
/// Splitters build inline records with it. Mappers and reducers use an [`Output`](crate::Output), which contains one.
#[derive(Debug)]
pub struct BatchBuilder {
    fields: Vec<Field>,
    batch: Batch,
    bytes: usize,
}

impl BatchBuilder {
    /// Creates a builder for batches of this schema.
    pub fn new(schema: &Schema) -> Self {
        let columns = schema.fields.iter().map(|field| empty_column(field.data_type)).collect();
        Self { fields: schema.fields.clone(), batch: Batch { rows: 0, columns }, bytes: 0 }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when the row does not fit the schema. The builder must not be used after that.
    #[inline]
    pub fn push(&mut self, row: impl Row) -> Result<(), StepError> {
        self.push_cells(row.cells())
    }

    /// Appends a row whose number of columns is not known at compile time. Fails as [`push`](Self::push) does.
    #[inline]
    pub fn push_cells<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), StepError> {
        let row = self.batch.rows as usize;
        let mut width = 0;
        for cell in cells {
            let (Some(field), Some(column)) = (self.fields.get(width), self.batch.columns.get_mut(width)) else {
                return Err(self.wrong_width("more"));
            };
            self.bytes += append(column, field.nullable, row, cell).ok_or_else(|| mismatch(field, cell))?;
            width += 1;
        }
        if width < self.fields.len() {
            return Err(self.wrong_width("fewer"));
        }
        self.batch.rows += 1;
        Ok(())
    }

    /// Returns the approximate size of the batch so far, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of rows appended so far.
    pub const fn rows(&self) -> u32 {
        self.batch.rows
    }

    /// Returns the finished batch.
    pub fn finish(self) -> Batch {
        self.batch
    }

    /// Returns the batch so far.
    pub(crate) const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Removes all rows, and keeps the allocated memory for the next batch.
    pub(crate) fn clear(&mut self) {
        self.batch.rows = 0;
        self.bytes = 0;
        self.batch.columns.iter_mut().for_each(clear_column);
    }

    #[cold]
    fn wrong_width(&self, than: &str) -> StepError {
        let schema = Schema { fields: self.fields.clone(), key_fields: 0 };
        StepError::Fatal(format!("the row has {than} values than the schema has columns ({schema})"))
    }
}

#[cold]
fn mismatch(field: &Field, cell: Cell<'_>) -> StepError {
    let Field { name, data_type, nullable } = field;
    StepError::Fatal(match (cell, nullable) {
        (Cell::Null, false) => format!("column `{name}` takes no nulls, the row has one"),
        _ => format!("column `{name}` is {data_type}, the row has {}", cell.type_name()),
    })
}

fn empty_column(data_type: DataType) -> BatchColumn {
    let variable = || Variable { offsets: vec![0], bytes: Vec::new() };
    let values = match data_type {
        DataType::Boolean => Values::Boolean(Vec::new()),
        DataType::Int64 => Values::Int64(Vec::new()),
        DataType::Float64 => Values::Float64(Vec::new()),
        DataType::Text => Values::Text(variable()),
        DataType::Binary => Values::Binary(variable()),
    };
    BatchColumn { values, validity: None }
}

fn clear_column(column: &mut BatchColumn) {
    column.validity = None;
    match &mut column.values {
        Values::Boolean(bits) => bits.clear(),
        Values::Int64(values) => values.clear(),
        Values::Float64(values) => values.clear(),
        Values::Text(variable) | Values::Binary(variable) => {
            variable.offsets.truncate(1);
            variable.bytes.clear();
        }
    }
}

/// Appends the cell and returns the number of bytes it takes; `None` if the cell does not fit the column.
#[inline]
fn append(column: &mut BatchColumn, nullable: bool, row: usize, cell: Cell<'_>) -> Option<usize> {
    let bytes = match (&mut column.values, cell) {
        (_, Cell::Null) => return nullable.then(|| append_null(column, row)),
        (Values::Boolean(bits), Cell::Boolean(value)) => push_bit(bits, row, value),
        (Values::Int64(values), Cell::Int64(value)) => push_number(values, value),
        (Values::Float64(values), Cell::Float64(value)) => push_number(values, value),
        (Values::Text(variable), Cell::Text(value)) => push_variable(variable, value.as_bytes())?,
        (Values::Binary(variable), Cell::Binary(value)) => push_variable(variable, value)?,
        _ => return None,
    };
    if let Some(validity) = &mut column.validity {
        push_bit(validity, row, true);
    }
    Some(bytes)
}

fn append_null(column: &mut BatchColumn, row: usize) -> usize {
    push_bit(column.validity.get_or_insert_with(|| all_present(row)), row, false);
    match &mut column.values {
        Values::Boolean(bits) => push_bit(bits, row, false),
        Values::Int64(values) => push_number(values, 0),
        Values::Float64(values) => push_number(values, 0.0),
        Values::Text(variable) | Values::Binary(variable) => {
            variable.offsets.extend(variable.offsets.last().copied());
            size_of::<u32>()
        }
    }
}

fn push_number<T>(values: &mut Vec<T>, value: T) -> usize {
    values.push(value);
    size_of::<T>()
}

/// Appends the value and returns the number of bytes it takes; `None` if the column outgrows its 32-bit offsets, which
/// cannot happen in a 32-bit guest.
fn push_variable(variable: &mut Variable, value: &[u8]) -> Option<usize> {
    short::append(&mut variable.bytes, value);
    variable.offsets.push(u32::try_from(variable.bytes.len()).ok()?);
    Some(size_of::<u32>() + value.len())
}

/// Appends bit number `len` and returns the number of bytes it takes, rounded up.
fn push_bit(bits: &mut Vec<u8>, len: usize, bit: bool) -> usize {
    if len.is_multiple_of(8) {
        bits.push(0);
    }
    bits[len / 8] |= u8::from(bit) << (len % 8);
    1
}

/// Returns the validity of `len` rows without nulls.
fn all_present(len: usize) -> Vec<u8> {
    let mut bits = vec![u8::MAX; len.div_ceil(8)];
    if let (Some(last), 1..) = (bits.last_mut(), len % 8) {
        *last = (1 << (len % 8)) - 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> BatchBuilder {
        BatchBuilder::new(&Schema::new().value("name", DataType::Text).nullable_value("n", DataType::Int64))
    }

    #[test]
    fn validity_begins_with_the_first_null() {
        let mut builder = builder();
        let values = (0..20).map(|n| (n != 10).then_some(n));
        values.for_each(|n| builder.push(("x", n)).expect("fits the schema"));
        let batch = builder.finish();
        assert_eq!(batch.columns[0].validity, None);
        assert_eq!(batch.columns[1].validity, Some(vec![0b1111_1111, 0b1111_1011, 0b0000_1111]));
    }

    #[test]
    fn a_cleared_builder_starts_anew() {
        let mut builder = builder();
        builder.push(("first", None::<i64>)).expect("fits the schema");
        builder.clear();
        builder.push(("second", 2)).expect("fits the schema");
        let mut fresh = self::builder();
        fresh.push(("second", 2)).expect("fits the schema");
        assert_eq!((builder.bytes(), builder.finish()), (fresh.bytes(), fresh.finish()));
    }

    #[test]
    fn a_row_that_does_not_fit_is_named() {
        let error = |result: Result<(), StepError>| match result {
            Err(StepError::Fatal(message)) => message,
            other => panic!("expected `fatal`, found {other:?}"),
        };
        assert_eq!(error(builder().push((1, 1))), "column `name` is text, the row has int64");
        assert_eq!(error(builder().push((None::<&str>, 1))), "column `name` takes no nulls, the row has one");
        let columns = "the schema has columns (`name` text, `n` int64)";
        assert_eq!(error(builder().push(("x",))), format!("the row has fewer values than {columns}"));
        assert_eq!(error(builder().push(("x", 1, 2))), format!("the row has more values than {columns}"));
    }
}
