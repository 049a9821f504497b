//! Rows as values of a struct of the author's.

use std::fmt;
use std::ops::Range;

pub use etl_plugin_derive::Record;

use crate::{Rows, Schema, StepError};

/// A struct that is read from rows, and emitted as a row.
///
/// `#[derive(Record)]` makes one of any struct with named fields. Each field is a column, whose type is that of the
/// field. `Option` takes nulls; `Vec` is a list, and another record a struct; text and bytes may be borrowed.
///
/// ```
/// use etl_plugin::{Decimal, Output, Record, Rows, Schema, StepError};
///
/// #[derive(Record)]
/// struct Order<'a> {
///     #[record(key)]
///     city: &'a str,
///     #[record(name = "total price", decimal(10, 2))]
///     price: Decimal,
///     pieces: Option<i64>,
/// }
///
/// fn map(rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
///     for order in rows.records::<Order>()? {
///         if order.pieces > Some(10) {
///             out.emit(&order)?;
///         }
///     }
///     Ok(())
/// }
///
/// assert_eq!(Schema::of::<Order>().to_string(), "`city` text, `total price` decimal(10,2), `pieces` int64");
/// ```
///
/// | attribute | meaning |
/// | --- | --- |
/// | `#[record(key)]` | the column is part of the key; key fields come first |
/// | `#[record(name = "…")]` | the column's name, where it is not the field's |
/// | `#[record(decimal(10, 2))]` | the column's type, where the field's type does not say it |
///
/// The types that are given are `decimal(10, 2)`, `time(us)`, `timestamp(us)`, `timestamp(ms, "Europe/Zurich")` and
/// `duration(s)`, which a [`Decimal`](crate::Decimal), [`Time`](crate::Time), [`Timestamp`](crate::Timestamp) and
/// [`Duration`](crate::Duration) need; `json` for text, `float16` for an `f32`, `binary(16)` for bytes; and `list(…)`
/// around one of these for a `Vec`.
pub trait Record<'a>: Sized {
    /// The columns of a batch that are read.
    #[doc(hidden)]
    type Columns: Copy;

    /// Returns the schema of rows of this struct.
    fn schema() -> Schema;

    /// Finds the columns, and checks their types.
    #[doc(hidden)]
    fn columns(rows: Rows<'a>) -> Result<Self::Columns, StepError>;

    /// Returns the name of the first field that takes no nulls and is null, or contains one.
    #[doc(hidden)]
    fn missing(columns: &Self::Columns, row: usize) -> Option<&'static str>;

    /// Reads a row in which nothing is missing.
    #[doc(hidden)]
    fn read(columns: &Self::Columns, row: usize) -> Self;
}

/// The rows of a batch as records, from [`Rows::records`].
pub struct Records<'a, R: Record<'a>> {
    columns: R::Columns,
    rows: Range<usize>,
}

impl<'a, R: Record<'a>> Records<'a, R> {
    pub(crate) fn new(rows: Rows<'a>) -> Result<Self, StepError> {
        let columns = R::columns(rows)?;
        for row in 0..rows.len() {
            if let Some(name) = R::missing(&columns, row) {
                return Err(missing(name, row));
            }
        }
        Ok(Self { columns, rows: 0..rows.len() })
    }
}

#[cold]
fn missing(name: &str, row: usize) -> StepError {
    StepError::InvalidInput(format!(
        "column `{name}` of the input is null in row {row} of the batch, or contains a null, and the record's field takes \
         none (an `Option` does)"
    ))
}

impl<'a, R: Record<'a>> Iterator for Records<'a, R> {
    type Item = R;

    #[inline]
    fn next(&mut self) -> Option<R> {
        self.rows.next().map(|row| R::read(&self.columns, row))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl<'a, R: Record<'a>> ExactSizeIterator for Records<'a, R> {}

impl<'a, R: Record<'a>> fmt::Debug for Records<'a, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "records {:?}", self.rows)
    }
}

#[cfg(test)]
mod tests;
