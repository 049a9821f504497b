//! The combiner: the reducer, run on the rows of one map attempt before they are shuffled.

use arrow_array::RecordBatch;
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    schema::Schema,
    shared::Shared,
};
use etl_plugin::{Attempt, HOSTCALL_BYTES_MAX, Plugin, Reducer};
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
        let emit = Box::new(move |batch: RecordBatch| {
            let mut emitted = receiver.lock();
            emitted.push(batch);
            check(&emitted)
        });
        Ok(Self { reducer: plugin.combine(task, input, emit)?, emitted })
    }

    fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut *self.emitted.lock())
    }
}

/// Checks that a combiner emitted no more in one call than is held until the shuffle takes it.
fn check(emitted: &[RecordBatch]) -> Result<()> {
    let bytes: usize = emitted.iter().map(RecordBatch::get_array_memory_size).sum();
    if bytes <= HOSTCALL_BYTES_MAX {
        return Ok(());
    }
    let what = format!("the combiner emitted more than {HOSTCALL_BYTES_MAX} bytes for one batch");
    Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)))
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
