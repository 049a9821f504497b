//! Typed, borrowed access to the columns of a step's input.

use std::fmt;

use crate::cell::Cell;
use crate::record::Records;
use crate::schema::{Columns, no_such_column};
use crate::wire::Node;
use crate::{AnyColumn, Field, Record, StepError};

/// Rows of a batch, borrowed: all of them for a mapper, those of one key for a reducer.
///
/// Ask for a column once, by name or by index, then read its values by row, counted from 0. Or read whole rows, with
/// [`records`](Self::records).
///
/// ```
/// # use etl_plugin::{Rows, StepError};
/// fn total(rows: Rows<'_>) -> Result<i64, StepError> {
///     Ok(rows.int64("count")?.iter().flatten().sum())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    fields: &'a [Field],
    nodes: &'a [Node],
    start: usize,
    end: usize,
}

impl<'a> Rows<'a> {
    pub(crate) const fn new(fields: &'a [Field], nodes: &'a [Node], start: usize, end: usize) -> Self {
        Self { fields, nodes, start, end }
    }

    /// Returns the rows from `start` up to `end` of the batch.
    #[inline]
    pub(crate) const fn slice(self, start: usize, end: usize) -> Self {
        Self { start, end, ..self }
    }

    /// Returns the columns' names and types, in order.
    pub const fn fields(&self) -> &'a [Field] {
        self.fields
    }

    /// Returns the number of rows.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns a column of any type.
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when there is no such column.
    #[inline]
    pub fn any(&self, column: impl ColumnName) -> Result<AnyColumn<'a>, StepError> {
        let index = column.index_in(self.fields).ok_or_else(|| no_such_column(self.fields, column))?;
        Ok(AnyColumn::new(&self.fields[index], &self.nodes[index], self.start, self.end))
    }

    /// Returns one value, of any type.
    ///
    /// # Panics
    /// When there is no such column or row.
    #[inline]
    pub fn cell(&self, column: usize, row: usize) -> Cell<'a> {
        AnyColumn::new(&self.fields[column], &self.nodes[column], self.start, self.end).cell(row)
    }

    /// Returns the rows as values of a struct of the author's, with [`#[derive(Record)]`](crate::Record).
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when a column that the struct has a field for is not there or has another type, or
    /// when it has a null and the field is not an `Option`.
    #[inline]
    pub fn records<R: Record<'a>>(&self) -> Result<Records<'a, R>, StepError> {
        Records::new(*self)
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {}", self.len(), Columns(self.fields))
    }
}

/// A type that identifies a column: its name (`&str`) or its index (`usize`).
pub trait ColumnName: fmt::Display + Copy {
    /// Returns the index of the column in the schema.
    fn index_in(&self, fields: &[Field]) -> Option<usize>;
}

impl ColumnName for &str {
    fn index_in(&self, fields: &[Field]) -> Option<usize> {
        fields.iter().position(|field| field.name == *self)
    }
}

impl ColumnName for usize {
    #[inline]
    fn index_in(&self, fields: &[Field]) -> Option<usize> {
        (*self < fields.len()).then_some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read_batch;
    use crate::{Batch, BatchBuilder, DataType, Schema};

    fn schema() -> Schema {
        let schema = Schema::new().nullable_value("flag", DataType::Boolean).nullable_value("n", DataType::Int64);
        schema.nullable_value("name", DataType::Text)
    }

    fn nodes(rows: i64) -> Vec<Node> {
        let mut builder = BatchBuilder::new(&schema());
        for n in 0..rows {
            let name = format!("row {n}");
            builder.push((n % 2 == 0, (n % 3 != 0).then_some(n), (n != 9).then_some(name))).expect("fits the schema");
        }
        let Batch(batch) = builder.finish();
        read_batch(batch, &schema().fields)
    }

    #[test]
    fn columns_are_read_by_name_and_index() -> Result<(), StepError> {
        let (schema, nodes) = (schema(), nodes(11));
        let rows = Rows::new(&schema.fields, &nodes, 0, 11);
        assert_eq!(rows.int64("n")?.iter().flatten().sum::<i64>(), 1 + 2 + 4 + 5 + 7 + 8 + 10);
        assert_eq!(rows.boolean(0)?.iter().filter(|flag| *flag == Some(true)).count(), 6);
        assert_eq!(rows.text("name")?.get(10), Some("row 10"));
        assert_eq!(rows.binary("name")?.get(9), None);
        assert!(rows.text("name")?.is_null(9));
        Ok(())
    }

    #[test]
    fn a_part_of_the_rows_counts_from_its_first() -> Result<(), StepError> {
        let (schema, nodes) = (schema(), nodes(11));
        let rows = Rows::new(&schema.fields, &nodes, 0, 11).slice(7, 9);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.int64(1)?.iter().collect::<Vec<_>>(), [Some(7), Some(8)]);
        assert!(matches!((rows.cell(2, 0), rows.cell(0, 1)), (Cell::Text("row 7"), Cell::Boolean(true))));
        Ok(())
    }

    #[test]
    #[should_panic(expected = "row 9 is not below 9")]
    fn a_row_past_the_part_is_not_read() {
        let (schema, nodes) = (schema(), nodes(11));
        Rows::new(&schema.fields, &nodes, 7, 9).int64(1).expect("it is there").get(2);
    }

    #[test]
    fn a_wrong_column_is_named_with_the_method_that_reads_it() {
        let (schema, nodes) = (schema(), nodes(1));
        let rows = Rows::new(&schema.fields, &nodes, 0, 1);
        let error = rows.int64("name").expect_err("it is text");
        let message = "column `name` of the input is text, not int64 (the method `text` reads it)".to_owned();
        assert_eq!(error, StepError::InvalidInput(message));
        let error = rows.int64("nme").expect_err("it is not there");
        let message = "the input has no column `nme` (its columns: `flag` boolean, `n` int64, `name` text)".to_owned();
        assert_eq!(error, StepError::InvalidInput(message));
    }
}
