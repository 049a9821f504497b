//! What the tasks of a stage have read so far.

use std::collections::HashMap;

use crate::event::Event;

/// Records and bytes: of tasks that are committed, and of attempts under way.
#[derive(Debug, Default)]
pub(super) struct Reading {
    committed: (u64, u64),
    /// By task.
    under_way: HashMap<u32, (u64, u64)>,
}

impl Reading {
    /// Takes in what happened to a task of the stage. What an attempt has read counts no more when it fails, or starts
    /// over without a poison record.
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

    /// Forgets what attempts under way have read, now that there are none: one that was overtaken may have told of its
    /// progress once more.
    pub(super) fn end(&mut self) {
        self.under_way.clear();
    }

    /// Returns all that was read.
    pub(super) fn total(&self) -> (u64, u64) {
        self.under_way.values().fold(self.committed, |sum, read| (sum.0 + read.0, sum.1 + read.1))
    }
}
