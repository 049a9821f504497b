//! Typed, borrowed access to the columns of a step's input.

use std::fmt;

use crate::cell::Cell;
use crate::{Batch, DataType, Schema, StepError, Values, Variable, text};

/// Rows of a batch, borrowed: all of them for a mapper, those of one key for a reducer.
///
/// Ask for a column once, by name or by index, then read its values by row, counted from 0.
///
/// ```
/// # use etl_plugin::{Rows, StepError};
/// fn total(rows: Rows<'_>) -> Result<i64, StepError> {
///     Ok(rows.int64("count")?.iter().flatten().sum())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    schema: &'a Schema,
    batch: &'a Batch,
    start: usize,
    end: usize,
}

impl<'a> Rows<'a> {
    pub(crate) const fn new(schema: &'a Schema, batch: &'a Batch) -> Self {
        Self { schema, batch, start: 0, end: batch.rows as usize }
    }

    /// Returns the rows from `start` up to `end` of the batch.
    pub(crate) const fn slice(self, start: usize, end: usize) -> Self {
        Self { start, end, ..self }
    }

    /// Returns the schema of the rows: the step's input.
    pub const fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// Returns the number of rows.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns a column of booleans.
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when there is no such column or it has another type. The methods for the other types
    /// fail in the same way.
    pub fn boolean(&self, column: impl ColumnName) -> Result<Column<'a, Bits<'a>>, StepError> {
        self.column(&column, DataType::Boolean, |values| match values {
            Values::Boolean(bits) => Some(Bits(bits)),
            _ => None,
        })
    }

    /// Returns a column of integers.
    pub fn int64(&self, column: impl ColumnName) -> Result<Column<'a, &'a [i64]>, StepError> {
        self.column(&column, DataType::Int64, |values| match values {
            Values::Int64(values) => Some(values.as_slice()),
            _ => None,
        })
    }

    /// Returns a column of floating-point numbers.
    pub fn float64(&self, column: impl ColumnName) -> Result<Column<'a, &'a [f64]>, StepError> {
        self.column(&column, DataType::Float64, |values| match values {
            Values::Float64(values) => Some(values.as_slice()),
            _ => None,
        })
    }

    /// Returns a column of text.
    pub fn text(&self, column: impl ColumnName) -> Result<Column<'a, Texts<'a>>, StepError> {
        self.column(&column, DataType::Text, |values| match values {
            Values::Text(variable) => Some(Texts(variable)),
            _ => None,
        })
    }

    /// Returns a column of bytes. A text column can be read as bytes, too.
    pub fn binary(&self, column: impl ColumnName) -> Result<Column<'a, Bytes<'a>>, StepError> {
        self.column(&column, DataType::Binary, |values| match values {
            Values::Text(variable) | Values::Binary(variable) => Some(Bytes(variable)),
            _ => None,
        })
    }

    /// Returns one value, of any type.
    ///
    /// # Panics
    /// When there is no such column or row.
    pub fn cell(&self, column: usize, row: usize) -> Cell<'a> {
        let row = self.start + row;
        assert!(row < self.end, "row {row} is not below {}", self.end);
        let column = &self.batch.columns[column];
        if column.validity.as_ref().is_some_and(|bits| !Bits(bits).value(row)) {
            return Cell::Null;
        }
        match &column.values {
            Values::Boolean(bits) => Cell::Boolean(Bits(bits).value(row)),
            Values::Int64(values) => Cell::Int64(values[row]),
            Values::Float64(values) => Cell::Float64(values[row]),
            Values::Text(variable) => Cell::Text(Texts(variable).value(row)),
            Values::Binary(variable) => Cell::Binary(Bytes(variable).value(row)),
        }
    }

    fn column<V>(
        &self,
        name: &impl ColumnName,
        data_type: DataType,
        values: impl FnOnce(&'a Values) -> Option<V>,
    ) -> Result<Column<'a, V>, StepError> {
        let index = name.index_in(self.schema).ok_or_else(|| self.schema.no_such_column(name))?;
        let column = &self.batch.columns[index];
        let values = values(&column.values).ok_or_else(|| self.schema.wrong_type(index, data_type))?;
        Ok(Column { values, validity: column.validity.as_deref().map(Bits), start: self.start, end: self.end })
    }
}

/// A type that identifies a column: its name (`&str`) or its index (`usize`).
pub trait ColumnName: fmt::Display {
    /// Returns the index of the column in the schema.
    fn index_in(&self, schema: &Schema) -> Option<usize>;
}

impl ColumnName for &str {
    fn index_in(&self, schema: &Schema) -> Option<usize> {
        schema.fields.iter().position(|field| field.name == *self)
    }
}

impl ColumnName for usize {
    #[inline]
    fn index_in(&self, schema: &Schema) -> Option<usize> {
        (*self < schema.fields.len()).then_some(*self)
    }
}

/// One column of [`Rows`].
#[derive(Clone, Copy, Debug)]
pub struct Column<'a, V> {
    values: V,
    validity: Option<Bits<'a>>,
    start: usize,
    end: usize,
}

impl<'a, V: ColumnValues + 'a> Column<'a, V> {
    /// Returns the value of a row, counted from 0; `None` if it is null.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<V::Item> {
        let row = self.start + row;
        assert!(row < self.end, "row {row} is not below {}", self.end);
        self.value(row)
    }

    /// Returns the values of all rows, in order; `None` for nulls.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Option<V::Item>> + use<'a, V> {
        let column = *self;
        (self.start..self.end).map(move |row| column.value(row))
    }

    #[inline]
    fn value(&self, row: usize) -> Option<V::Item> {
        self.validity.is_none_or(|bits| bits.value(row)).then(|| self.values.value(row))
    }
}

/// The values of a column, including the meaningless values of nulls.
pub trait ColumnValues: Copy {
    /// The type of a value.
    type Item;

    /// Returns the value of a row of the batch.
    fn value(&self, row: usize) -> Self::Item;
}

impl<T: Copy> ColumnValues for &[T] {
    type Item = T;

    #[inline]
    fn value(&self, row: usize) -> T {
        self[row]
    }
}

/// Booleans, one bit each.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a>(&'a [u8]);

impl ColumnValues for Bits<'_> {
    type Item = bool;

    #[inline]
    fn value(&self, row: usize) -> bool {
        self.0[row / 8] >> (row % 8) & 1 == 1
    }
}

/// Binary values, of variable length.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(&'a Variable);

impl<'a> ColumnValues for Bytes<'a> {
    type Item = &'a [u8];

    #[inline]
    fn value(&self, row: usize) -> &'a [u8] {
        match &self.0.offsets[row..] {
            [start, end, ..] => &self.0.bytes[*start as usize..*end as usize],
            _ => &[],
        }
    }
}

/// Text values, of variable length.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a>(&'a Variable);

impl<'a> ColumnValues for Texts<'a> {
    type Item = &'a str;

    #[inline]
    fn value(&self, row: usize) -> &'a str {
        text(Bytes(self.0).value(row)).expect("the host hands over text as valid UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;

    fn schema() -> Schema {
        let schema = Schema::new().nullable_value("flag", DataType::Boolean).nullable_value("n", DataType::Int64);
        schema.nullable_value("name", DataType::Text)
    }

    fn batch(rows: i64) -> Batch {
        let mut builder = BatchBuilder::new(&schema());
        for n in 0..rows {
            let name = format!("row {n}");
            builder.push((n % 2 == 0, (n % 3 != 0).then_some(n), (n != 9).then_some(name))).expect("fits the schema");
        }
        builder.finish()
    }

    #[test]
    fn columns_are_read_by_name_and_index() -> Result<(), StepError> {
        let (schema, batch) = (schema(), batch(11));
        let rows = Rows::new(&schema, &batch);
        assert_eq!(rows.int64("n")?.iter().flatten().sum::<i64>(), 1 + 2 + 4 + 5 + 7 + 8 + 10);
        assert_eq!(rows.boolean(0)?.iter().filter(|flag| *flag == Some(true)).count(), 6);
        assert_eq!(rows.text("name")?.get(10), Some("row 10"));
        assert_eq!(rows.binary("name")?.get(9), None);
        Ok(())
    }

    #[test]
    fn a_part_of_the_rows_counts_from_its_first() -> Result<(), StepError> {
        let (schema, batch) = (schema(), batch(11));
        let rows = Rows::new(&schema, &batch).slice(7, 9);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.int64(1)?.iter().collect::<Vec<_>>(), [Some(7), Some(8)]);
        assert_eq!((rows.cell(2, 0), rows.cell(0, 1)), (Cell::Text("row 7"), Cell::Boolean(true)));
        Ok(())
    }

    #[test]
    #[should_panic(expected = "row 9 is not below 9")]
    fn a_row_past_the_part_is_not_read() {
        let (schema, batch) = (schema(), batch(11));
        Rows::new(&schema, &batch).slice(7, 9).int64(1).expect("it is there").get(2);
    }

    #[test]
    fn a_wrong_column_is_named() {
        let (schema, batch) = (schema(), batch(1));
        let error = Rows::new(&schema, &batch).int64("name").expect_err("it is text");
        assert_eq!(error, StepError::InvalidInput("column `name` of the input is text, not int64".to_owned()));
    }
}
