//! Owned rows, which a test can compare.

use crate::cell::{Cell, Row, Value};
use crate::{Batch, Rows, Schema};

/// One value of a row, owned.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum OwnedCell {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// Signed 64-bit integer.
    Int64(i64),
    /// IEEE 754 double.
    Float64(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes of any kind.
    Binary(Vec<u8>),
}

impl From<Cell<'_>> for OwnedCell {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Boolean(value) => Self::Boolean(value),
            Cell::Int64(value) => Self::Int64(value),
            Cell::Float64(value) => Self::Float64(value),
            Cell::Text(value) => Self::Text(value.to_owned()),
            Cell::Binary(value) => Self::Binary(value.to_owned()),
        }
    }
}

impl Value for OwnedCell {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Int64(value) => Cell::Int64(*value),
            Self::Float64(value) => Cell::Float64(*value),
            Self::Text(value) => Cell::Text(value),
            Self::Binary(value) => Cell::Binary(value),
        }
    }
}

/// Converts tuples to rows that an outcome can be compared with.
pub fn rows(rows: impl IntoIterator<Item = impl Row>) -> Vec<Vec<OwnedCell>> {
    rows.into_iter().map(|row| row.cells().into_iter().map(OwnedCell::from).collect()).collect()
}

/// Returns the rows of a batch.
pub(super) fn rows_of(batch: &Batch) -> Vec<Vec<OwnedCell>> {
    let schema = Schema::new();
    let view = Rows::new(&schema, batch);
    let row = |row| (0..batch.columns.len()).map(|column| view.cell(column, row).into()).collect();
    (0..view.len()).map(row).collect()
}
