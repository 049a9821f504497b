//! Counts of what the tasks of a stage have read so far.

use std::collections::HashMap;

use etl_core::model::{event::Event, ids::TaskId};

/// Numbers of records and bytes read, by committed tasks and by attempts under way.
#[derive(Debug, Default)]
pub(super) struct Reading {
    committed: (u64, u64),
    /// Records and bytes read by attempts under way, by task.
    under_way: HashMap<TaskId, (u64, u64)>,
}

impl Reading {
    /// Updates the counts with an event of a task of the stage. What an attempt has read no longer counts once the
    /// attempt fails, or starts over without a poison record.
    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::AttemptProgress { task, records, bytes, .. } => {
                let read = self.under_way.entry(*task).or_default();
                *read = (read.0 + records, read.1 + bytes);
            }
            Event::AttemptFinished { task, counts, .. } => {
                self.under_way.remove(task);
                self.committed = (self.committed.0 + counts.records_in, self.committed.1 + counts.bytes_in);
            }
            Event::AttemptFailed { task, .. } | Event::PoisonRecord { task, .. } => _ = self.under_way.remove(task),
            _ => {}
        }
    }

    /// Drops the counts of attempts under way, at the end of a stage. An overtaken attempt may have reported progress
    /// after its task was committed.
    pub(super) fn end(&mut self) {
        self.under_way.clear();
    }

    /// Returns the total numbers of records and bytes read.
    pub(super) fn total(&self) -> (u64, u64) {
        self.under_way.values().fold(self.committed, |sum, read| (sum.0 + read.0, sum.1 + read.1))
    }
}
