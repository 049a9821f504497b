//! Progress as plain lines, for files, pipes and CI.

use std::io::Write;

use etl_core::{
    model::{
        event::{Event, Level, Listener, Stage, Stamped},
        redact::Redact,
    },
    text::numbers::{count, counted, harmless},
};

use super::{flood::Flood, tally::Tally};

/// Time between two progress lines of a stage, in milliseconds.
const PROGRESS_INTERVAL_MS: u64 = 5000;

/// Writes a line when a stage starts, one every few seconds, one when the stage ends, and one for each warning and
/// message.
pub(crate) struct Plain<W> {
    out: W,
    level: Level,
    flood: Flood,
    redact: Redact,
    tally: Option<Tally>,
    last_progress_ms: u64,
}

impl<W: Write> Plain<W> {
    /// Creates a listener that writes events of at least `level` to `out`. Lines about stages have [`Level::Info`].
    ///
    /// A line that cannot be written is lost; the run does not fail because of it.
    pub(crate) fn new(out: W, level: Level, redact: Redact) -> Self {
        Self { out, level, flood: Flood::new(level), redact, tally: None, last_progress_ms: 0 }
    }

    fn write(&mut self, level: Level, line: &str) {
        if level >= self.level {
            _ = writeln!(self.out, "{}", harmless(&(self.redact)(line)));
        }
    }

    fn write_progress(&mut self, at_ms: u64) {
        let Some(tally) = &self.tally else { return };
        let text = tally.text(at_ms);
        if !text.is_empty() && at_ms.saturating_sub(self.last_progress_ms) >= PROGRESS_INTERVAL_MS {
            let line = format!("{}: {text}", tally.stage.name());
            self.last_progress_ms = at_ms;
            self.write(Level::Info, &line);
        }
    }
}

impl<W: Write + Send> Listener for Plain<W> {
    fn on_event(&mut self, event: &Stamped) {
        if let Some(tally) = Tally::start(event) {
            self.write(Level::Info, &started_line(&event.event));
            (self.tally, self.last_progress_ms) = (Some(tally), event.at_ms);
        }
        if let Some(tally) = &mut self.tally {
            tally.observe(&event.event);
        }
        if let Some(line) = self.flood.line(&event.event) {
            _ = writeln!(self.out, "{}", harmless(&(self.redact)(&line)));
        }
        match event.event {
            Event::StageFinished { .. } | Event::RunFailed { .. } => self.tally = None,
            Event::AttemptProgress { .. } | Event::AttemptFinished { .. } => self.write_progress(event.at_ms),
            _ => {}
        }
    }
}

fn started_line(event: &Event) -> String {
    match *event {
        Event::StageStarted { stage: stage @ (Stage::Map | Stage::Reduce), tasks, committed } => {
            let before = if committed > 0 { format!(", {} done before", count(committed)) } else { String::new() };
            format!("{}: {}{before}", stage.name(), counted(tasks, "task"))
        }
        Event::StageStarted { stage, .. } => format!("{}: started", stage.name()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::{
        error::ErrorKind,
        event::{Counts, Invocation},
        ids::{TaskId, Try},
        shared::Shared,
    };

    fn events() -> Vec<(u64, Event)> {
        let counts =
            |records_in, rejects| Counts { records_in, bytes_in: records_in * 1024, rejects, ..Counts::default() };
        let progress =
            |task, records| Event::AttemptProgress { stage: Stage::Map, task, records, bytes: records * 1024 };
        let log =
            |level, message: &str| Event::Log { step: "map 2".into(), task: TaskId(1), level, message: message.into() };
        vec![
            (
                0,
                Event::RunStarted {
                    invocation: Invocation::default(),
                    pipeline: "p".into(),
                    run_id: "r1".into(),
                    run_store: "runs/".into(),
                    resumed: true,
                },
            ),
            (0, Event::StageStarted { stage: Stage::Split, tasks: 1, committed: 0 }),
            (100, Event::StageFinished { stage: Stage::Split, duration_ms: 100, counts: Counts::default() }),
            (100, Event::Planned { objects: 1, bytes: 4096, shards: 3, partitions: 2 }),
            (1000, Event::StageStarted { stage: Stage::Map, tasks: 3, committed: 1 }),
            (2000, progress(TaskId(1), 500)),
            (2000, log(Level::Info, "hello hunter2\x1b[0m")),
            (2000, log(Level::Debug, "for the author")),
            (3000, Event::Warning { message: "odd".into() }),
            (
                4000,
                Event::AttemptFailed {
                    stage: Stage::Map,
                    task: TaskId(1),
                    attempt: Try::FIRST,
                    shard: None,
                    kind: ErrorKind::Unavailable,
                    error: "store is away".into(),
                    retry_in_ms: Some(1000),
                    another_under_way: false,
                },
            ),
            (6000, progress(TaskId(2), 1000)),
            (6500, progress(TaskId(1), 500)),
            (
                11_000,
                Event::AttemptFinished {
                    stage: Stage::Map,
                    task: TaskId(1),
                    attempt: Try(2),
                    duration_ms: 1,
                    counts: counts(2000, 1),
                },
            ),
            (12_000, Event::StageFinished { stage: Stage::Map, duration_ms: 11_000, counts: counts(4000, 1) }),
        ]
    }

    fn written(level: Level) -> String {
        let redact: Redact = Box::new(|text| text.replace("hunter2", "${KEY}"));
        let plain = Shared::new(Plain::new(Vec::new(), level, redact));
        for (at_ms, event) in events() {
            plain.clone().on_event(&Stamped { at_ms, event });
        }
        String::from_utf8(plain.lock().out.clone()).expect("text")
    }

    #[test]
    fn stages_progress_and_messages_are_lines() {
        let expected = "\
run r1 of p, resumed
split: started
split: done in 100ms
plan: 3 shards of 1 object (4.0 KiB), 2 partitions
map: 3 tasks, 1 done before
map 2 of shard 1: info: hello ${KEY}\\u{1b}[0m
warning: odd
map of shard 1: attempt 1 failed, trying again in 1.0s: store is away
map: 1 of 3 tasks, 1,000 records, 200/s, 200.0 KiB/s, 1 retry
map: 2 of 3 tasks, 3,000 records, 300/s, 300.0 KiB/s, 1 reject, 1 retry, 10.0s left
map: done in 11.0s, 4,000 records in, 1 reject
";
        assert_eq!(written(Level::Info), expected);
    }

    #[test]
    fn quiet_keeps_what_is_off() {
        let expected = "\
warning: odd
map of shard 1: attempt 1 failed, trying again in 1.0s: store is away
";
        assert_eq!(written(Level::Warn), expected);
    }
}
