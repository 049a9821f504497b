//! The events of one process as lines of JSON, kept for the run store.
//!
//! Owns the form of a line and how much is kept. `events` writes the journal to the run store.

use std::fmt;

use etl_core::model::{
    event::{Event, Listener, Stamped},
    redact::Redact,
};
use serde_json::Value;

/// Size of a journal, in bytes, above which events of attempts and messages are left out.
const JOURNAL_BYTES_MAX: usize = 64 << 20;

/// Keeps events as lines of JSON, to be written to the run store. Leaves out [`Event::AttemptProgress`] and
/// [`Event::Reported`].
///
/// Leaves out events of attempts and messages once it holds 64 MiB, and notes their number at the end. Events of stages
/// and of the run are always kept.
pub struct Journal {
    lines: String,
    bytes_max: usize,
    /// Size of the lines, of those that can be left out, that were not.
    kept_bytes: usize,
    left_out: u64,
    /// Time of the last event that was left out.
    left_out_at_ms: u64,
    redact: Redact,
}

impl Journal {
    /// Creates an empty journal, in which texts are redacted by `redact`.
    pub fn new(redact: impl Fn(&str) -> String + Send + 'static) -> Self {
        let redact = Box::new(redact);
        Self {
            lines: String::new(),
            bytes_max: JOURNAL_BYTES_MAX,
            kept_bytes: 0,
            left_out: 0,
            left_out_at_ms: 0,
            redact,
        }
    }

    /// Returns the lines of all events so far, each ended by `\n`.
    pub fn text(&self) -> String {
        let mut text = self.lines.clone();
        if self.left_out > 0 {
            let message = format!(
                "{} events of attempts and messages of plugins were left out here ({} bytes of them are kept)",
                self.left_out, self.kept_bytes
            );
            let left_out = Stamped { at_ms: self.left_out_at_ms, event: Event::Warning { message } };
            text.push_str(&json_line(&left_out, &self.redact));
        }
        text
    }
}

impl Listener for Journal {
    fn on_event(&mut self, event: &Stamped) {
        let can_be_left_out = match event.event {
            Event::AttemptProgress { .. } | Event::Logged { .. } | Event::Reported { .. } => return,
            Event::AttemptStarted { .. }
            | Event::AttemptFinished { .. }
            | Event::AttemptFailed { .. }
            | Event::AttemptOvertaken { .. }
            | Event::PoisonRecord { .. }
            | Event::Log { .. } => true,
            _ => false,
        };
        let line = json_line(event, &self.redact);
        if can_be_left_out && self.lines.len() + line.len() > self.bytes_max {
            self.left_out += 1;
            self.left_out_at_ms = event.at_ms;
        } else {
            self.kept_bytes += if can_be_left_out { line.len() } else { 0 };
            self.lines.push_str(&line);
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("bytes", &self.lines.len()).field("left_out", &self.left_out).finish()
    }
}

/// Returns the event as one line, `\n` included. Every text in it is redacted before it is escaped.
pub fn json_line(event: &Stamped, redact: &Redact) -> String {
    let mut value = serde_json::to_value(event).expect("events are plain data with text keys");
    redact_texts(&mut value, redact);
    format!("{value}\n")
}

/// Redacts every text in a JSON value, including the keys of objects.
pub fn redact_texts(value: &mut Value, redact: &Redact) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_texts(item, redact)),
        Value::Object(fields) => {
            // Keys are redacted too, because names of counters come from plugins.
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, mut item)| {
                    redact_texts(&mut item, redact);
                    (redact(&key), item)
                })
                .collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::{
        event::{Level, Stage},
        ids::TaskId,
    };

    fn redact(text: &str) -> String {
        text.replace("pass\"word", "${KEY}")
    }

    fn log(message: &str) -> Stamped {
        let message = message.to_owned();
        Stamped { at_ms: 5, event: Event::Log { step: "map".into(), task: TaskId(0), level: Level::Info, message } }
    }

    #[test]
    fn a_journal_reads_back_as_events_without_progress() {
        let mut journal = Journal::new(redact);
        journal.on_event(&log("hello"));
        let progress = Event::AttemptProgress { stage: Stage::Map, task: TaskId(0), records: 1, bytes: 1 };
        journal.on_event(&Stamped { at_ms: 6, event: progress });
        let text = journal.text();
        let events: Vec<Stamped> = text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(events.len(), 1);
        assert!(matches!(&events[0].event, Event::Log { message, .. } if message == "hello"));
    }

    #[test]
    fn a_full_journal_leaves_out_messages_but_not_the_end() {
        let mut journal = Journal::new(redact);
        journal.bytes_max = 200;
        let started = Event::StageStarted { stage: Stage::Map, tasks: 1, committed: 0 };
        journal.on_event(&Stamped { at_ms: 1, event: started });
        for _ in 0..10 {
            journal.on_event(&log("hello"));
        }
        journal.on_event(&Stamped {
            at_ms: 7,
            event: Event::RunFinished { duration_ms: 1, result: "result/".into(), parts: vec![], parts_left_out: 0 },
        });
        let text = journal.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[2].contains("run_finished"));
        assert!(lines[3].contains("\"at_ms\":5"), "when the last of them happened");
        let kept = lines[1].len() + 1;
        let told =
            format!("9 events of attempts and messages of plugins were left out here ({kept} bytes of them are kept)");
        assert!(lines[3].contains(&told), "{text}");
    }
}
