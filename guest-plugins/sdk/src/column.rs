//! One column, read by row.

use std::ops::Range;

use crate::Rows;
use crate::column_values::{Bits, Lists, Maps, Structs};

/// One column of [`Rows`], or of a part of a nested column.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a, V> {
    pub(crate) values: V,
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl<'a, V: ColumnValues> Column<'a, V> {
    /// Returns the number of rows.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns the value of a row; `None` for null.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<V::Item> {
        self.value(self.position(row))
    }

    /// Returns the values of all rows, in order; `None` for nulls.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Option<V::Item>> + use<'a, V> {
        let column = *self;
        (self.start..self.end).map(move |row| column.value(row))
    }

    /// Returns whether the value of a row is null.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        let row = self.position(row);
        self.validity.is_some_and(|bits| !bits.value(row))
    }

    /// Returns the value of a row, which means nothing if it is null.
    #[inline]
    pub(crate) fn get_present(&self, row: usize) -> V::Item {
        self.values.value(self.position(row))
    }

    #[inline]
    fn position(&self, row: usize) -> usize {
        let row = self.start + row;
        assert!(row < self.end, "row {row} is not below {}", self.end);
        row
    }

    #[inline]
    fn value(&self, row: usize) -> Option<V::Item> {
        self.validity.is_none_or(|bits| bits.value(row)).then(|| self.values.value(row))
    }
}

impl<'a> Column<'a, Lists<'a>> {
    /// Returns where the items of a row are among all items.
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        self.values.offsets.range(self.position(row))
    }
}

impl<'a> Column<'a, Maps<'a>> {
    /// Returns where the entries of a row are among all entries.
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        self.values.offsets.range(self.position(row))
    }
}

impl<'a> Column<'a, Structs<'a>> {
    /// Returns the members of all rows, as columns. Those of a row that is null mean nothing.
    pub fn members(&self) -> Rows<'a> {
        let Structs { fields, nodes } = self.values;
        Rows::new(fields, nodes, 0, self.end).slice(self.start, self.end)
    }
}

/// The values of a column, including the meaningless values of nulls.
pub trait ColumnValues: Copy {
    /// The type of a value.
    type Item;

    /// Returns the value of a row of the batch.
    fn value(&self, row: usize) -> Self::Item;
}
