//! The combiner: the reducer, run on the rows of one map attempt before they are shuffled.

use arrow_array::RecordBatch;
use etl_core::model::{error::Result, schema::Schema, shared::Shared};
use etl_plugin::{Attempt, Plugin, Reducer};
use etl_shuffle::Combiner;

/// A reducer instance as the shuffle sees it.
pub struct PluginCombiner {
    reducer: Reducer,
    emitted: Shared<Vec<RecordBatch>>,
}

impl PluginCombiner {
    /// Opens a reducer instance that combines rows of the schema `input`, all of one map attempt.
    ///
    /// # Errors
    /// The error that `open` returned, or the way it failed.
    pub fn open(plugin: &Plugin, input: &Schema, task: &Attempt) -> Result<Self> {
        let emitted = Shared::new(Vec::new());
        let receiver = emitted.clone();
        let emit = Box::new(move |batch| {
            receiver.lock().push(batch);
            Ok(())
        });
        Ok(Self { reducer: plugin.combine(task, input, emit)?, emitted })
    }

    fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut *self.emitted.lock())
    }
}

impl Combiner for PluginCombiner {
    fn process(
        &mut self,
        batch: &RecordBatch,
        group_ends: &[u32],
        last_group_continues: bool,
    ) -> Result<Vec<RecordBatch>> {
        self.reducer.process(batch, group_ends, last_group_continues)?;
        Ok(self.take())
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        // The combiner's counters are dropped, because the reducer counts the same things again.
        self.reducer.finish()?;
        Ok(self.take())
    }
}
