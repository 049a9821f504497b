//! The instance of a reducer.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    schema::Schema,
};

use super::{
    batch::Lowered,
    bindings::exports::etl::plugin::reducer::Guest,
    instance::{Attempt, Instance, InstanceUsage},
    loaded::Plugin,
    state::{Emit, Phase},
};

/// An opened reducer.
pub struct Reducer {
    instance: Instance,
    guest: Guest,
    schema: Schema,
}

impl Plugin {
    /// Creates an instance of a reducer and opens it for keyed rows of the schema `input`. The batches it emits go to
    /// `emit`.
    ///
    /// # Errors
    /// The error that the plugin's `open` returned, or a description of how the call failed.
    pub fn reduce(&self, task: &Attempt, input: &Schema, emit: Emit) -> Result<Reducer> {
        self.open_reducer(task, input, emit, false)
    }

    /// Creates an instance of a reducer as [`Plugin::reduce`] does, and tells it that the batches it emits are reduced
    /// again.
    ///
    /// # Errors
    /// As [`Plugin::reduce`].
    pub fn combine(&self, task: &Attempt, input: &Schema, emit: Emit) -> Result<Reducer> {
        self.open_reducer(task, input, emit, true)
    }

    fn open_reducer(&self, task: &Attempt, input: &Schema, emit: Emit, combines: bool) -> Result<Reducer> {
        let (mut instance, guest) = Instance::new(self, task, Some(emit), None, |exports, store, instance| {
            exports.reducer()?.load(store, instance)
        })?;
        instance.combines = combines;
        let schema = instance.open(task, input, |store, context| guest.call_open(store, context))?;
        Ok(Reducer { instance, guest, schema })
    }
}

impl Reducer {
    /// Returns the schema of the batches that the step emits.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the resources that the instance has used.
    pub fn usage(&self) -> InstanceUsage {
        self.instance.usage()
    }

    /// Hands the next rows, sorted by key, to the plugin. `group_ends` has the number of the row after the last row of
    /// each key. `last_group_continues` says that the last key has more rows in the next call.
    ///
    /// # Errors
    /// The error that the plugin returned, a description of how the call failed, or the error of the receiver of its
    /// output. The instance must not be used any further.
    pub fn process(&mut self, batch: &RecordBatch, group_ends: &[u32], last_group_continues: bool) -> Result<()> {
        let lowered = Lowered::new(batch);
        let phase = Phase::Process { rows: lowered.rows(), rejects_max: u64::MAX };
        self.instance.call("process", phase, |store| {
            lowered.with(|batch| self.guest.call_process(store, batch, group_ends, last_group_continues))
        })?;
        if let Some((row, reason)) = self.instance.take_rejects().into_iter().next() {
            let what = format!("{} rejected row {row} ({reason}), but only mappers may reject", self.instance.name);
            return Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)));
        }
        Ok(())
    }

    /// Lets the plugin emit its remaining rows, and returns its counters.
    ///
    /// # Errors
    /// As [`Reducer::process`].
    pub fn finish(&mut self) -> Result<BTreeMap<String, i64>> {
        self.instance.call("finish", Phase::Finish, |store| self.guest.call_finish(store))?;
        Ok(self.instance.take_counters())
    }
}
