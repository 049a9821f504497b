//! How far the stage under way is.

use std::collections::HashMap;

use super::{
    lines::task_kind,
    text::{bytes, count, counted},
};
use crate::event::{Event, Stage, Stamped};

/// The stage under way: tasks done, and what its attempts have read so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub stage: Stage,
    pub tasks: u64,
    pub done: u64,
    started_ms: u64,
    /// What committed tasks have read, and set aside.
    records: u64,
    bytes: u64,
    rejects: u64,
    /// What attempts under way have read, by task: records and bytes.
    under_way: HashMap<u32, (u64, u64)>,
}

impl Tally {
    /// Starts at [`Event::StageStarted`]; no other event starts one.
    pub(super) fn start(event: &Stamped) -> Option<Self> {
        let Event::StageStarted { stage, tasks, committed } = event.event else { return None };
        Some(Self {
            stage,
            tasks,
            done: committed,
            started_ms: event.at_ms,
            records: 0,
            bytes: 0,
            rejects: 0,
            under_way: HashMap::new(),
        })
    }

    /// Takes in an event; those of other stages change nothing. What a failed attempt has read counts no more.
    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::AttemptProgress { stage, task, records, bytes } if *stage == self.stage => {
                let read = self.under_way.entry(*task).or_default();
                *read = (read.0 + records, read.1 + bytes);
            }
            Event::AttemptFinished { stage, task, counts, .. } if *stage == self.stage => {
                self.under_way.remove(task);
                self.done += 1;
                self.records += counts.records_in;
                self.bytes += counts.bytes_in;
                self.rejects += counts.rejects;
            }
            Event::AttemptFailed { stage, task, .. } if *stage == self.stage => {
                self.under_way.remove(task);
            }
            Event::PoisonRecord { task, .. } if self.stage == Stage::Map => {
                self.under_way.remove(task);
            }
            _ => {}
        }
    }

    /// Returns how many of its tasks are done: `3 of 12 shards`.
    pub(super) fn tasks_text(&self) -> String {
        format!("{} of {}", count(self.done), counted(self.tasks, task_kind(self.stage)))
    }

    /// Returns what was read, and how fast on average since the stage began: `1,234 records, 617/s, 1.2 MiB/s`.
    pub(super) fn read_text(&self, at_ms: u64) -> String {
        let (records, size) =
            self.under_way.values().fold((self.records, self.bytes), |sum, read| (sum.0 + read.0, sum.1 + read.1));
        let elapsed_ms = at_ms.saturating_sub(self.started_ms).max(1);
        let per_second =
            |amount: u64| u64::try_from(u128::from(amount) * 1000 / u128::from(elapsed_ms)).unwrap_or(u64::MAX);
        let rejects = match self.rejects {
            0 => String::new(),
            rejects => format!(", {}", counted(rejects, "reject")),
        };
        let (records_rate, bytes_rate) = (count(per_second(records)), bytes(per_second(size)));
        format!("{}, {records_rate}/s, {bytes_rate}/s{rejects}", counted(records, "record"))
    }
}
