//! The combiner: the reducer, run on the rows of one map attempt before they are shuffled.

use arrow_array::{Array, ArrayRef, RecordBatch};
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
    emitted: Shared<Emitted>,
}

/// The rows that a combiner has emitted in its current call.
struct Emitted {
    plugin: String,
    batches: Vec<RecordBatch>,
    bytes: u64,
    bytes_max: u64,
}

impl Emitted {
    /// Adds rows. They were held by the combiner or are those of the call, so they are about as much as its memory holds.
    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0) as u64;
        self.bytes += batch.columns().iter().map(size).sum::<u64>();
        self.batches.push(batch);
        let Self { plugin, bytes, bytes_max, .. } = self;
        if bytes <= bytes_max {
            return Ok(());
        }
        let what = format!(
            "{plugin} emitted more in one call as combiner than {bytes_max} bytes (its `limits.memory`, at most \
             {HOSTCALL_BYTES_MAX} bytes)"
        );
        Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)))
    }

    fn take(&mut self) -> Vec<RecordBatch> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }
}

impl PluginCombiner {
    /// Opens a reducer instance that combines rows of the schema `input`, all of one map attempt.
    ///
    /// # Errors
    /// The error that `open` returned, or the way it failed.
    pub fn open(plugin: &Plugin, input: &Schema, task: &Attempt) -> Result<Self> {
        let bytes_max = plugin.limits().memory_bytes.min(HOSTCALL_BYTES_MAX as u64);
        let emitted = Shared::new(Emitted { plugin: plugin.name(), batches: Vec::new(), bytes: 0, bytes_max });
        let receiver = emitted.clone();
        let emit = Box::new(move |batch, _: Option<&[u32]>| receiver.lock().add(batch));
        Ok(Self { reducer: plugin.combine(task, input, emit)?, emitted })
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
        Ok(self.emitted.lock().take())
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        // The combiner's counters are dropped, because the reducer counts the same things again.
        self.reducer.finish()?;
        Ok(self.emitted.lock().take())
    }
}
