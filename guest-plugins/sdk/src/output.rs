//! The output of a mapper or reducer.

use crate::batch_builder::BatchBuilder;
use crate::cell::Cell;
use crate::value::Row;
use crate::{Rows, Schema, StepError, host};

/// Size at which a batch is handed to the host, in bytes. Batches of this size travel fastest: they fit the cache, and
/// the cost of a call to the host is spread over thousands of rows.
const BATCH_BYTES: usize = 256 * 1024;

/// Takes the rows that a mapper or reducer emits, and the rows that a mapper rejects.
///
/// Emitted rows are kept until they make a batch of about 256 KiB, and are then handed to the host in one call. Rows
/// whose origin is known, such as those of a [`LineMapper`](crate::LineMapper), are handed over at the end of each input
/// batch; other rows may be kept across any number of input batches.
#[derive(Debug)]
pub struct Output {
    builder: BatchBuilder,
    /// For each row kept, the row of the current batch that it was made of. Fewer than there are rows if one of them has
    /// no known origin; the others are then worth nothing.
    origins: Vec<u8>,
    input_rows: u32,
    current_row: Option<u32>,
}

impl Output {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self { builder: BatchBuilder::new(schema), origins: Vec::new(), input_rows: 0, current_row: None }
    }

    /// Emits a row: a tuple with one value for each column of the step's schema, or a [`Record`](crate::Record).
    ///
    /// # Errors
    /// [`StepError::Fatal`] when the row does not fit the schema; pass it on with `?`.
    #[inline]
    pub fn emit(&mut self, row: impl Row) -> Result<(), StepError> {
        self.builder.push(row)?;
        self.pushed();
        Ok(())
    }

    /// Emits a row whose number of columns is not known at compile time. Fails as [`emit`](Self::emit) does.
    #[inline]
    pub fn emit_cells<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), StepError> {
        self.builder.push_cells(cells)?;
        self.pushed();
        Ok(())
    }

    /// Emits rows of a batch as they are: those that are selected, and of them these columns, each by its index in `rows`;
    /// then a column for each of the constants. Inside of [`Mapper::map`](crate::Mapper::map), each row is made of the
    /// one that it is.
    ///
    /// This is the fastest way to pass values on, whatever their type, since they are copied column by column.
    ///
    /// # Errors
    /// [`StepError::Fatal`] when the columns do not fit the schema, [`StepError::InvalidInput`] when there is no such
    /// column.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn emit_rows(
        &mut self,
        rows: Rows<'_>,
        columns: &[usize],
        selected: &[u32],
        constants: &[Cell<'_>],
    ) -> Result<(), StepError> {
        self.builder.push_rows(rows, columns, selected, constants)?;
        if self.input_rows > 0 {
            selected.iter().for_each(|row| self.origins.extend_from_slice(&row.to_le_bytes()));
        }
        self.flush_if_full();
        Ok(())
    }

    /// Says that what is emitted and rejected from now on was made of this row of the batch, until another row is named
    /// or [`Mapper::map`](crate::Mapper::map) returns.
    ///
    /// With it the host can name the record when a later step rejects an emitted row. A
    /// [`LineMapper`](crate::LineMapper) need not call this.
    ///
    /// # Panics
    /// When there is no such row, which is always so outside of [`Mapper::map`](crate::Mapper::map).
    #[inline]
    pub fn from_row(&mut self, row: usize) -> &mut Self {
        let rows = self.input_rows;
        assert!(row < rows as usize, "`from_row` has no row {row} (rows being mapped: {rows})");
        self.current_row = Some(row as u32);
        self
    }

    /// Sets the current row aside, with the reason, instead of failing the task: the line being mapped, or the row that
    /// [`from_row`](Self::from_row) named.
    ///
    /// # Errors
    /// [`StepError::Fatal`] where there is no current row.
    pub fn reject(&mut self, reason: impl AsRef<str>) -> Result<(), StepError> {
        let Some(row) = self.current_row else {
            let needs = "`reject` needs a current line (`LineMapper::map` has one, `from_row` names one)";
            return Err(StepError::Fatal(needs.to_owned()));
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

    /// Emits rows that were made of many rows, so that none of them is their origin.
    pub(crate) fn of_many<T>(&mut self, emit: impl FnOnce(&mut Self) -> T) -> T {
        let current_row = self.current_row.take();
        let result = emit(self);
        self.current_row = current_row;
        result
    }

    /// Begins a batch of this many rows.
    pub(crate) const fn begin_batch(&mut self, rows: u32) {
        self.input_rows = rows;
    }

    /// Ends the batch: origins are rows of this batch and of no other, so rows that have one leave now.
    pub(crate) fn end_batch(&mut self) {
        (self.input_rows, self.current_row) = (0, None);
        if self.origins_are_known() {
            self.flush();
        }
    }

    /// Sets the row that [`reject`](Self::reject) rejects, and that emitted rows are made of, from now on.
    pub(crate) const fn set_current_row(&mut self, row: Option<u32>) {
        self.current_row = row;
    }

    #[inline]
    fn pushed(&mut self) {
        if let Some(row) = self.current_row {
            self.origins.extend_from_slice(&row.to_le_bytes());
        }
        self.flush_if_full();
    }

    #[inline]
    fn flush_if_full(&mut self) {
        if self.builder.bytes() >= BATCH_BYTES {
            self.flush();
        }
    }

    const fn origins_are_known(&self) -> bool {
        self.origins.len() == self.builder.rows() as usize * size_of::<u32>()
    }

    /// Hands the rows kept so far to the host.
    pub(crate) fn flush(&mut self) {
        if self.builder.rows() > 0 {
            let origins = self.origins_are_known().then_some(self.origins.as_slice());
            self.builder.flush(|batch| host::emit(batch, origins));
        }
        self.origins.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{json, map_lines, map_rows, reduce_rows, rows};
    use crate::{
        Binary, Cell, Context, DataType, Decimal, Int64, LineMapper, Mapper, NoConfig, Output, Reducer, Rows, Schema,
        StepError,
    };

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

    /// Emits each line twice, and the number of lines in the end; a line `-` is counted and not emitted, a line `?` is
    /// emitted as made of no line in particular.
    struct Lines {
        lines: i64,
    }

    impl LineMapper for Lines {
        type Config = NoConfig;

        fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
            Ok(Self { lines: 0 })
        }

        fn schema(&self) -> Schema {
            Schema::new().value("line", Binary)
        }

        fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
            self.lines += 1;
            match line {
                b"-" => Ok(()),
                b"?" => out.of_many(|out| out.emit((line,))),
                _ => (0..2).try_for_each(|_| out.emit((line,))),
            }
        }

        fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
            out.emit((self.lines.to_string().as_bytes(),))
        }
    }

    #[test]
    fn a_row_is_made_of_the_line_for_which_it_was_emitted() -> Result<(), StepError> {
        let outcome = map_lines::<Lines>(json!({}), ["a", "-", "b"])?;
        assert_eq!(outcome.rows, rows([(b"a",), (b"a",), (b"b",), (b"b",), (b"3",)]));
        assert_eq!(outcome.origins, [Some(0), Some(0), Some(2), Some(2), None]);
        let many = map_lines::<Lines>(json!({}), (0..30_000).map(|line| line.to_string()))?;
        let origins = (0..30_000).flat_map(|line| [Some(line); 2]).chain([None]);
        assert!(many.origins.into_iter().eq(origins));
        Ok(())
    }

    #[test]
    fn a_batch_with_a_row_of_many_lines_has_no_origins() -> Result<(), StepError> {
        let outcome = map_lines::<Lines>(json!({}), ["a", "?", "b"])?;
        assert_eq!(outcome.origins, [None; 6]);
        Ok(())
    }

    /// Emits the row after the last one as origin.
    struct Beyond;

    impl Mapper for Beyond {
        type Config = NoConfig;

        fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
            Ok(Self)
        }

        fn schema(&self) -> Schema {
            numbers()
        }

        fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
            out.from_row(rows.len()).emit((1,))
        }
    }

    #[test]
    #[should_panic(expected = "`from_row` has no row 1 (rows being mapped: 1)")]
    fn a_row_that_is_not_there_is_no_origin() {
        let _ = map_rows::<Beyond>(json!({}), &numbers(), [(7,)]);
    }

    #[test]
    fn a_row_that_is_not_there_cannot_be_rejected() {
        let error = map_rows::<Echo>(json!({ "reject_beyond": true }), &numbers(), [(7,)]);
        assert_eq!(error, Err(StepError::Fatal("`reject_row` has no row 1 (rows being mapped: 1)".to_owned())));
    }

    #[test]
    fn a_reducer_has_no_line_to_reject() {
        let error = reduce_rows::<RejectingReducer>(json!({}), &numbers(), [(7,)]);
        let message = "`reject` needs a current line (`LineMapper::map` has one, `from_row` names one)".to_owned();
        assert_eq!(error, Err(StepError::Fatal(message)));
    }

    /// Emits every second row, its columns in reverse.
    struct Reverse {
        input: Schema,
    }

    impl Mapper for Reverse {
        type Config = NoConfig;

        fn open(_: NoConfig, context: &Context) -> Result<Self, StepError> {
            Ok(Self { input: context.input.clone() })
        }

        fn schema(&self) -> Schema {
            Schema { fields: self.input.fields.iter().rev().cloned().collect(), key_fields: 0 }
                .value("constant", DataType::Text)
        }

        fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
            let columns: Vec<usize> = (0..rows.fields().len()).rev().collect();
            let is_even = |row: &u32| matches!(rows.cell(0, *row as usize), Cell::Int64(n) if n % 2 == 0);
            let selected: Vec<u32> = (0..).take(rows.len()).filter(is_even).collect();
            out.emit_rows(rows, &columns, &selected, &[Cell::Text("same")])
        }
    }

    #[test]
    fn rows_are_copied_whatever_their_type() -> Result<(), StepError> {
        let list = DataType::list(DataType::Text);
        let input = Schema::new().value("n", Int64).nullable_value("text", DataType::Text);
        let input = input.nullable_value("price", DataType::Decimal { precision: 9, scale: 2 });
        let input = input.nullable_value("flag", DataType::Boolean).nullable_value("tags", list);
        let input = input.value("size", DataType::UInt8).value("id", DataType::FixedBinary(3));
        let row = |n: i64| {
            let text = (n % 3 != 0).then(|| format!("text {n}"));
            let tags = (n % 4 != 0).then(|| vec![(n % 5 != 0).then_some("tag"); (n % 3) as usize]);
            let price = (n < 20 || n % 5 > 1).then(|| Decimal::new(n.into(), 2));
            (n, text, price, (n % 7 > 1).then_some(n % 2 == 0), tags, (n % 256) as u8, [n as u8; 3])
        };
        let outcome = map_rows::<Reverse>(json!({}), &input, (0..20_000).map(row))?;
        let expected = (0..20_000).step_by(2).map(row).map(|(n, a, b, c, d, e, f)| (f, e, d, c, b, a, n, "same"));
        assert_eq!(outcome.rows, rows(expected));
        assert!(outcome.origins.into_iter().eq((0..20_000).step_by(2).map(Some)));
        Ok(())
    }
}
