//! The instance of a mapper.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use etl_core::model::{error::Result, schema::Schema};

use super::{
    batch::Lowered,
    bindings::exports::etl::plugin::mapper::Guest,
    instance::{Attempt, Instance, InstanceUsage},
    loaded::Plugin,
    state::{Emit, Phase, RejectedRow},
};

/// An opened mapper.
pub struct Mapper {
    instance: Instance,
    guest: Guest,
    schema: Schema,
}

impl Plugin {
    /// Creates an instance of a mapper and opens it for records of the schema `input`. The batches it emits go to
    /// `emit`.
    ///
    /// # Errors
    /// The error that the plugin's `open` returned, or a description of how the call failed.
    pub fn map(&self, task: &Attempt, input: &Schema, emit: Emit) -> Result<Mapper> {
        let (mut instance, guest) = Instance::new(self, task, Some(emit), None, |exports, store, instance| {
            exports.mapper()?.load(store, instance)
        })?;
        let schema = instance.open(task, input, |store, context| guest.call_open(store, context))?;
        Ok(Mapper { instance, guest, schema })
    }
}

impl Mapper {
    /// Returns the schema of the batches that the step emits.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the resources that the instance has used.
    pub fn usage(&self) -> InstanceUsage {
        self.instance.usage()
    }

    /// Hands the next rows to the plugin, and returns the rows that it rejected, in the order of their numbers. Stops
    /// the plugin when it rejects more than `rejects_max` rows; these are returned, and the instance must not be used
    /// any further.
    ///
    /// # Errors
    /// The error that the plugin returned, a description of how the call failed, or the error of the receiver of its
    /// output. The instance must not be used any further.
    pub fn process(&mut self, batch: &RecordBatch, rejects_max: u64) -> Result<Vec<RejectedRow>> {
        let lowered = Lowered::new(batch);
        let phase = Phase::Process { rows: lowered.rows(), rejects_max };
        let called =
            self.instance.call("process", phase, |store| lowered.with(|batch| self.guest.call_process(store, batch)));
        let rejects = self.instance.take_rejects();
        if rejects.len() as u64 <= rejects_max {
            called?;
        }
        Ok(rejects)
    }

    /// Lets the plugin emit its remaining rows, and returns its counters.
    ///
    /// # Errors
    /// As [`Mapper::process`].
    pub fn finish(&mut self) -> Result<BTreeMap<String, i64>> {
        self.instance.call("finish", Phase::Finish, |store| self.guest.call_finish(store))?;
        Ok(self.instance.take_counters())
    }
}
