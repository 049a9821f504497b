//! Reduce steps, which can also serve as combiners.

use serde::de::DeserializeOwned;

use crate::bindings::map::etl::plugin::types as wire;
use crate::{Cell, Context, Describe, Output, Rows, Schema, StepError, config, diagnostics, wire as boundary};

/// A reduce step: a fold over the rows of each key.
///
/// One value handles one partition, from `open` to `finish`, and is then dropped. Export the step with
/// [`export_reducer!`](crate::export_reducer). The step can also serve as combiner if its schema is the schema of its
/// input, it emits at most as many rows for each key as it was given and nothing else, and its result does not depend on
/// which rows are combined. Only where `context.combines` is true may it emit more than one row for a key that are to be
/// reduced to one, say because one cannot hold the intermediate result.
pub trait Reducer: Sized {
    /// The type of the step's `config` table; [`NoConfig`](crate::NoConfig) if the step takes none.
    type Config: DeserializeOwned + Describe;

    /// The state kept for the rows of one key. Each key starts with the default.
    type State: Default;

    /// Creates the step, before the first row. Also called when a pipeline is only checked, so this is the place to
    /// check the columns of `context.input`.
    fn open(config: Self::Config, context: &Context) -> Result<Self, StepError>;

    /// Returns the schema of the rows the step emits. Called once, after `open`; must depend on the configuration and
    /// the input schema only.
    fn schema(&self) -> Schema;

    /// Adds rows of one key to the state, in order.
    ///
    /// Called once for each batch of the host that has rows of the key, so at least once for each key.
    fn fold(&mut self, state: &mut Self::State, rows: Rows<'_>) -> Result<(), StepError>;

    /// Emits the result of a key after its last row. `key` has one cell for each key column.
    fn end(&mut self, key: &[Cell<'_>], state: Self::State, out: &mut Output) -> Result<(), StepError>;

    /// Emits rows after the partition's last key.
    fn finish(&mut self, _out: &mut Output) -> Result<(), StepError> {
        Ok(())
    }
}

/// Drives a reducer, for the component's exports and for [`testing`](crate::testing).
#[doc(hidden)]
#[derive(Debug)]
pub struct ReduceRunner<R: Reducer> {
    reducer: R,
    state: R::State,
    input: Schema,
    out: Output,
}

impl<R: Reducer> ReduceRunner<R> {
    pub fn open(context: wire::Context) -> Result<(Self, wire::Schema), StepError> {
        let context = boundary::read_context(context)?;
        let reducer = R::open(config::parse(&context.config)?, &context)?;
        let schema = reducer.schema();
        let out = Output::new(&schema);
        let runner = Self { reducer, state: R::State::default(), input: context.input, out };
        Ok((runner, boundary::write_schema(&schema)))
    }

    pub fn process(
        &mut self,
        batch: wire::Batch,
        group_ends: &[u32],
        last_group_continues: bool,
    ) -> Result<(), StepError> {
        let result = self.fold_groups(batch, group_ends, last_group_continues);
        diagnostics::flush_counters();
        result
    }

    pub fn finish(&mut self) -> Result<(), StepError> {
        let result = self.reducer.finish(&mut self.out);
        self.out.flush();
        diagnostics::flush_counters();
        result
    }

    fn fold_groups(
        &mut self,
        batch: wire::Batch,
        group_ends: &[u32],
        last_group_continues: bool,
    ) -> Result<(), StepError> {
        let end = batch.rows as usize;
        let nodes = boundary::read_batch(batch, &self.input.fields);
        let rows = Rows::new(&self.input.fields, &nodes, 0, end);
        let key_columns = self.input.key_fields().len();
        let mut key = Vec::with_capacity(key_columns);
        let mut start = 0;
        for (group, end) in group_ends.iter().enumerate() {
            let end = *end as usize;
            self.reducer.fold(&mut self.state, rows.slice(start, end))?;
            if group + 1 == group_ends.len() && last_group_continues {
                break;
            }
            key.clear();
            key.extend((0..key_columns).map(|column| rows.cell(column, end - 1)));
            self.reducer.end(&key, std::mem::take(&mut self.state), &mut self.out)?;
            start = end;
        }
        Ok(())
    }
}
