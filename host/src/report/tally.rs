//! The progress of the stage under way.

use etl_core::{
    model::event::{Event, Stage, Stamped},
    text::numbers::{bytes, count, counted, duration},
};

use super::reading::Reading;

/// Time that a stage must be under way before its remaining time is estimated, in milliseconds.
const LEFT_AFTER_MS: u64 = 2000;

/// The stage under way: the tasks done, and what its attempts have read so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub stage: Stage,
    pub tasks: u64,
    pub done: u64,
    /// Number of tasks that were done when the stage began.
    done_before: u64,
    started_ms: u64,
    retries: u64,
    reading: Reading,
    /// Number of records that committed tasks have rejected.
    rejects: u64,
}

impl Tally {
    /// Creates a tally from [`Event::StageStarted`]; returns none for any other event.
    pub(super) fn start(event: &Stamped) -> Option<Self> {
        let Event::StageStarted { stage, tasks, committed } = event.event else { return None };
        Some(Self {
            stage,
            tasks,
            done: committed,
            done_before: committed,
            started_ms: event.at_ms,
            retries: 0,
            reading: Reading::default(),
            rejects: 0,
        })
    }

    /// Updates the tally with an event. Events of other stages change nothing.
    pub(super) fn observe(&mut self, event: &Event) {
        if let Event::OthersCommitted { stage, tasks } = event
            && *stage == self.stage
        {
            self.done += tasks;
        }
        if event.stage_of_task() != Some(self.stage) {
            return;
        }
        self.reading.observe(event);
        match event {
            Event::AttemptFinished { counts, .. } => {
                self.done += 1;
                self.rejects += counts.rejects;
            }
            Event::AttemptFailed { retry_in_ms, .. } => self.retries += u64::from(retry_in_ms.is_some()),
            _ => {}
        }
    }

    /// Returns the progress as text: `3 of 12 tasks, 1,234 records, 617/s, 1.2 MiB/s, 1 reject, 2 retries, 40.0s left`.
    /// Rates are averages since the stage began. The text is empty for a stage that handles no records.
    pub(super) fn text(&self, at_ms: u64) -> String {
        if matches!(self.stage, Stage::Split | Stage::Finalize) {
            return String::new();
        }
        let (records, size) = self.reading.total();
        let elapsed_ms = at_ms.saturating_sub(self.started_ms).max(1);
        let per_second =
            |amount: u64| u64::try_from(u128::from(amount) * 1000 / u128::from(elapsed_ms)).unwrap_or(u64::MAX);
        let mut parts = vec![
            format!("{} of {}", count(self.done), counted(self.tasks, "task")),
            counted(records, "record"),
            format!("{}/s", count(per_second(records))),
            format!("{}/s", bytes(per_second(size))),
        ];
        parts.extend((self.rejects > 0).then(|| counted(self.rejects, "reject")));
        parts.extend((self.retries > 0).then(|| {
            let ending = if self.retries == 1 { "retry" } else { "retries" };
            format!("{} {ending}", count(self.retries))
        }));
        parts.extend(self.left_ms(elapsed_ms).map(|left_ms| format!("{} left", duration(left_ms))));
        parts.join(", ")
    }

    /// Returns the estimated remaining time in milliseconds, at the average speed so far. None in the first two
    /// seconds, before a task is done, and when no task is left.
    fn left_ms(&self, elapsed_ms: u64) -> Option<u64> {
        let (done, left) = (self.done - self.done_before, self.tasks.saturating_sub(self.done));
        if done == 0 || left == 0 || elapsed_ms < LEFT_AFTER_MS {
            return None;
        }
        u64::try_from(u128::from(elapsed_ms) * u128::from(left) / u128::from(done)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::{
        error::ErrorKind,
        event::Counts,
        ids::{TaskId, Try},
    };

    #[test]
    fn how_far_a_stage_is_and_how_long_the_rest_takes() {
        let started = Event::StageStarted { stage: Stage::Map, tasks: 2000, committed: 1000 };
        let mut tally = Tally::start(&Stamped { at_ms: 1000, event: started }).expect("it starts");
        assert_eq!(tally.text(9000), "1,000 of 2,000 tasks, 0 records, 0/s, 0 B/s");
        for task in (0..250).map(TaskId) {
            let counts = Counts { records_in: 400, bytes_in: 4096, ..Counts::default() };
            tally.observe(&Event::AttemptFinished {
                stage: Stage::Map,
                task,
                attempt: Try::FIRST,
                duration_ms: 1,
                counts,
            });
        }
        for (retry_in_ms, another_under_way) in [(Some(1), false), (Some(1), false), (None, true), (None, false)] {
            let (kind, error) = (ErrorKind::Unavailable, String::new());
            let (stage, task, attempt, shard) = (Stage::Map, TaskId(7), Try::FIRST, None);
            tally.observe(&Event::AttemptFailed {
                stage,
                task,
                attempt,
                shard,
                kind,
                error,
                retry_in_ms,
                another_under_way,
            });
        }
        let expected = "1,250 of 2,000 tasks, 100,000 records, 10,000/s, 100.0 KiB/s, 2 retries, 30.0s left";
        assert_eq!(tally.text(11_000), expected);
        assert!(!tally.text(1500).contains("left"), "too early to tell");
        let started = Event::StageStarted { stage: Stage::Split, tasks: 1, committed: 0 };
        let split = Tally::start(&Stamped { at_ms: 1000, event: started }).expect("it starts");
        assert_eq!(split.text(9000), "");
    }
}
