//! Map steps: line by line, or by columns.

use serde::de::DeserializeOwned;

use crate::bindings::map::etl::plugin::types as wire;
use crate::{Context, DataType, Describe, Output, Rows, Schema, StepError, config, diagnostics, wire as boundary};

/// A map step that handles one line after the other.
///
/// The input is one `binary` or `text` column: the lines of a source, or the output of another mapper with one such
/// column. One value handles one shard, from `open` to `finish`, and is then dropped. Export the step with
/// [`export_line_mapper!`](crate::export_line_mapper).
pub trait LineMapper: Sized {
    /// The type of the step's `config` table; [`NoConfig`](crate::NoConfig) if the step takes none.
    type Config: DeserializeOwned + Describe;

    /// Creates the step, before the first line. Also called when a pipeline is only checked.
    fn open(config: Self::Config, context: &Context) -> Result<Self, StepError>;

    /// Returns the schema of the rows the step emits. Called once, after `open`; must depend on the configuration and
    /// the input schema only.
    fn schema(&self) -> Schema;

    /// Handles the next line, given without its line terminator.
    ///
    /// Emits any number of rows with [`Output::emit`], or sets the line aside with [`Output::reject`]. An error fails
    /// the task.
    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError>;

    /// Emits rows after the shard's last line.
    fn finish(&mut self, _out: &mut Output) -> Result<(), StepError> {
        Ok(())
    }
}

/// A map step that handles rows as typed columns, a batch at a time.
///
/// One value handles one shard, from `open` to `finish`, and is then dropped. Export the step with
/// [`export_mapper!`](crate::export_mapper).
pub trait Mapper: Sized {
    /// The type of the step's `config` table; [`NoConfig`](crate::NoConfig) if the step takes none.
    type Config: DeserializeOwned + Describe;

    /// Creates the step, before the first row. Also called when a pipeline is only checked, so this is the place to
    /// check the columns of `context.input`.
    fn open(config: Self::Config, context: &Context) -> Result<Self, StepError>;

    /// Returns the schema of the rows the step emits. Called once, after `open`; must depend on the configuration and
    /// the input schema only.
    fn schema(&self) -> Schema;

    /// Handles the next rows. The host chooses how to cut a shard into batches, so no result should depend on it.
    ///
    /// Emits any number of rows with [`Output::emit`], best after naming the row that they are made of with
    /// [`Output::from_row`], or sets rows aside with [`Output::reject_row`]. An error fails the task.
    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError>;

    /// Emits rows after the shard's last row.
    fn finish(&mut self, _out: &mut Output) -> Result<(), StepError> {
        Ok(())
    }
}

/// Turns a [`LineMapper`] into a [`Mapper`] of one column.
#[derive(Debug)]
pub struct Lines<M>(M);

impl<M: LineMapper> Mapper for Lines<M> {
    type Config = M::Config;

    fn open(config: M::Config, context: &Context) -> Result<Self, StepError> {
        match context.input.fields.as_slice() {
            [line] if matches!(line.data_type, DataType::Binary | DataType::Text) => M::open(config, context).map(Self),
            _ => Err(StepError::InvalidInput(format!(
                "the step takes lines, which is one column of binary or text (the input's columns: {})",
                context.input
            ))),
        }
    }

    fn schema(&self) -> Schema {
        self.0.schema()
    }

    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
        for (row, line) in (0..).zip(rows.binary(0)?.iter()) {
            out.set_current_row(Some(row));
            match line {
                Some(line) => self.0.map(line, out)?,
                None => out.reject("the line is null")?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.0.finish(out)
    }
}

/// Drives a mapper, for the component's exports and for [`testing`](crate::testing).
#[doc(hidden)]
#[derive(Debug)]
pub struct MapRunner<M> {
    mapper: M,
    input: Schema,
    out: Output,
}

impl<M: Mapper> MapRunner<M> {
    pub fn open(context: wire::Context) -> Result<(Self, wire::Schema), StepError> {
        let context = boundary::read_context(context)?;
        let mapper = M::open(config::parse(&context.config)?, &context)?;
        let schema = mapper.schema();
        let out = Output::new(&schema);
        Ok((Self { mapper, input: context.input, out }, boundary::write_schema(&schema)))
    }

    pub fn process(&mut self, batch: wire::Batch) -> Result<(), StepError> {
        let rows = batch.rows;
        let nodes = boundary::read_batch(batch, &self.input.fields);
        self.out.begin_batch(rows);
        let result = self.mapper.map(Rows::new(&self.input.fields, &nodes, 0, rows as usize), &mut self.out);
        self.out.end_batch();
        diagnostics::flush_counters();
        result
    }

    pub fn finish(&mut self) -> Result<(), StepError> {
        let result = self.mapper.finish(&mut self.out);
        self.out.flush();
        diagnostics::flush_counters();
        result
    }
}
