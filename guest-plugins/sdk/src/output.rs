//! Where a step puts its rows.

use crate::batch_builder::BatchBuilder;
use crate::cell::{Cell, Row};
use crate::{Schema, StepError, host};

/// Batches of this size travel fastest: they fit the cache, and a call to the host is spread over thousands of rows.
const BATCH_BYTES: usize = 256 * 1024;

/// Where a mapper or reducer puts the rows it makes, and a mapper the rows it cannot use.
///
/// Rows are kept until they make a batch of about 256 KiB, over any number of input batches, then handed to the host
/// in one call.
#[derive(Debug)]
pub struct Output {
    builder: BatchBuilder,
    input_rows: u32,
    current_row: Option<u32>,
}

impl Output {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self { builder: BatchBuilder::new(schema), input_rows: 0, current_row: None }
    }

    /// Emits a row: a tuple with one value for each column of the step's schema.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when the row does not fit the schema; pass it on with `?`.
    #[inline]
    pub fn emit(&mut self, row: impl Row) -> Result<(), StepError> {
        self.emit_cells(row.cells())
    }

    /// Emits a row of which only the schema knows how many columns it has. Fails as [`emit`](Self::emit) does.
    #[inline]
    pub fn emit_cells<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), StepError> {
        self.builder.push_cells(cells)?;
        if self.builder.bytes() >= BATCH_BYTES {
            self.flush();
        }
        Ok(())
    }

    /// Sets the current line aside with the reason, instead of failing the task.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when there is no current line: outside of [`LineMapper::map`](crate::LineMapper::map).
    pub fn reject(&mut self, reason: impl AsRef<str>) -> Result<(), StepError> {
        let Some(row) = self.current_row else {
            return Err(StepError::Fatal("`reject` needs a current line (only `LineMapper::map` has one)".to_owned()));
        };
        host::reject(row, reason.as_ref());
        Ok(())
    }

    /// Sets a row of those being mapped aside with the reason, instead of failing the task.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when there is no such row, or outside of [`Mapper::map`](crate::Mapper::map).
    pub fn reject_row(&mut self, row: usize, reason: impl AsRef<str>) -> Result<(), StepError> {
        let row = u32::try_from(row).ok().filter(|row| *row < self.input_rows).ok_or_else(|| {
            StepError::Fatal(format!("`reject_row` has no row {row} (rows being mapped: {})", self.input_rows))
        })?;
        host::reject(row, reason.as_ref());
        Ok(())
    }

    /// Says which rows [`reject_row`](Self::reject_row) may name from now on.
    pub(crate) const fn set_input_rows(&mut self, rows: u32) {
        self.input_rows = rows;
    }

    /// Says which row [`reject`](Self::reject) is about from now on.
    pub(crate) const fn set_current_row(&mut self, row: Option<u32>) {
        self.current_row = row;
    }

    /// Hands over the rows that are left.
    pub(crate) fn flush(&mut self) {
        if self.builder.rows() > 0 {
            host::emit(self.builder.batch());
            self.builder.clear();
        }
    }
}
