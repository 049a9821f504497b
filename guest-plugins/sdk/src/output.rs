//! The output of a mapper or reducer.

use crate::batch_builder::BatchBuilder;
use crate::cell::{Cell, Row};
use crate::{Schema, StepError, host};

/// Size at which a batch is handed to the host, in bytes. Batches of this size travel fastest: they fit the cache, and
/// the cost of a call to the host is spread over thousands of rows.
const BATCH_BYTES: usize = 256 * 1024;

/// Takes the rows that a mapper or reducer emits, and the rows that a mapper rejects.
///
/// Emitted rows are kept until they make a batch of about 256 KiB, across any number of input batches, and are then
/// handed to the host in one call.
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

    /// Emits a row whose number of columns is not known at compile time. Fails as [`emit`](Self::emit) does.
    #[inline]
    pub fn emit_cells<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), StepError> {
        self.builder.push_cells(cells)?;
        if self.builder.bytes() >= BATCH_BYTES {
            self.flush();
        }
        Ok(())
    }

    /// Sets the current line aside, with the reason, instead of failing the task.
    ///
    /// # Errors
    /// [`StepError::Fatal`] outside of [`LineMapper::map`](crate::LineMapper::map), where there is no current line.
    pub fn reject(&mut self, reason: impl AsRef<str>) -> Result<(), StepError> {
        let Some(row) = self.current_row else {
            return Err(StepError::Fatal("`reject` needs a current line (only `LineMapper::map` has one)".to_owned()));
        };
        host::reject(row, reason.as_ref());
        Ok(())
    }

    /// Sets one of the rows being mapped aside, with the reason, instead of failing the task.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when there is no such row, which is always so outside of
    /// [`Mapper::map`](crate::Mapper::map).
    pub fn reject_row(&mut self, row: usize, reason: impl AsRef<str>) -> Result<(), StepError> {
        let row = u32::try_from(row).ok().filter(|row| *row < self.input_rows).ok_or_else(|| {
            StepError::Fatal(format!("`reject_row` has no row {row} (rows being mapped: {})", self.input_rows))
        })?;
        host::reject(row, reason.as_ref());
        Ok(())
    }

    /// Sets the number of rows that [`reject_row`](Self::reject_row) accepts from now on.
    pub(crate) const fn set_input_rows(&mut self, rows: u32) {
        self.input_rows = rows;
    }

    /// Sets the row that [`reject`](Self::reject) rejects from now on.
    pub(crate) const fn set_current_row(&mut self, row: Option<u32>) {
        self.current_row = row;
    }

    /// Hands the rows kept so far to the host.
    pub(crate) fn flush(&mut self) {
        if self.builder.rows() > 0 {
            host::emit(self.builder.batch());
            self.builder.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{json, map_rows, reduce_rows, rows};
    use crate::{Cell, Context, Int64, Mapper, NoConfig, Output, Reducer, Rows, Schema, StepError};

    fn numbers() -> Schema {
        Schema::new().key("n", Int64)
    }

    /// Emits its input. With `reject_beyond`, rejects the row after the last one and returns the error.
    struct Echo {
        reject_beyond: bool,
    }

    #[derive(serde::Deserialize, crate::Describe)]
    struct EchoConfig {
        reject_beyond: bool,
    }

    impl Mapper for Echo {
        type Config = EchoConfig;

        fn open(config: EchoConfig, _: &Context) -> Result<Self, StepError> {
            Ok(Self { reject_beyond: config.reject_beyond })
        }

        fn schema(&self) -> Schema {
            numbers()
        }

        fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
            if self.reject_beyond {
                out.reject_row(rows.len(), "beyond")?;
            }
            rows.int64(0)?.iter().try_for_each(|n| out.emit((n,)))
        }
    }

    struct RejectingReducer;

    impl Reducer for RejectingReducer {
        type Config = NoConfig;
        type State = ();

        fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
            Ok(Self)
        }

        fn schema(&self) -> Schema {
            numbers()
        }

        fn fold(&mut self, (): &mut (), _: Rows<'_>) -> Result<(), StepError> {
            Ok(())
        }

        fn end(&mut self, _: &[Cell<'_>], (): (), out: &mut Output) -> Result<(), StepError> {
            out.reject("no line here")
        }
    }

    #[test]
    fn rows_leave_in_order_over_many_batches() -> Result<(), StepError> {
        let input = (0..100_000).map(|n| (n,));
        let outcome = map_rows::<Echo>(json!({ "reject_beyond": false }), &numbers(), input.clone())?;
        assert_eq!(outcome.rows, rows(input));
        Ok(())
    }

    #[test]
    fn a_row_that_is_not_there_cannot_be_rejected() {
        let error = map_rows::<Echo>(json!({ "reject_beyond": true }), &numbers(), [(7,)]);
        assert_eq!(error, Err(StepError::Fatal("`reject_row` has no row 1 (rows being mapped: 1)".to_owned())));
    }

    #[test]
    fn a_reducer_has_no_line_to_reject() {
        let error = reduce_rows::<RejectingReducer>(json!({}), &numbers(), [(7,)]);
        let message = "`reject` needs a current line (only `LineMapper::map` has one)".to_owned();
        assert_eq!(error, Err(StepError::Fatal(message)));
    }
}
