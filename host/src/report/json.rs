//! Events as JSON lines: printed as they happen, or kept for the run store.

use std::io::{self, Write};

use etl_core::model::{
    event::{Listener, Stamped},
    redact::Redact,
};

use crate::run_store::journal::json_line;

/// Writes each event as a line of JSON.
pub(crate) struct JsonLines<W> {
    out: W,
    redact: Redact,
    /// The first write that failed. No line is written behind it.
    failed: Option<io::Error>,
}

impl<W: Write> JsonLines<W> {
    /// Creates a listener that writes to `out`, with texts redacted by `redact`. When a line cannot be written, the run
    /// continues without further lines.
    pub(crate) fn new(out: W, redact: impl Fn(&str) -> String + Send + 'static) -> Self {
        Self { out, redact: Box::new(redact), failed: None }
    }

    /// Returns the error of the first line that was not written, once.
    ///
    /// # Errors
    /// That error.
    pub(crate) fn outcome(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl<W: Write + Send> Listener for JsonLines<W> {
    fn on_event(&mut self, event: &Stamped) {
        if self.failed.is_none() {
            let line = json_line(event, &self.redact);
            self.failed = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use etl_core::model::{
        event::{Counts, Event, Level, Stage},
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
    fn a_line_that_cannot_be_written_is_the_last_and_an_error() {
        let mut room = [0; 10];
        let mut lines = JsonLines::new(&mut room[..], redact);
        lines.outcome().expect("nothing was written");
        lines.on_event(&log("too long"));
        lines.on_event(&log("too long"));
        assert_eq!(lines.outcome().expect_err("no room").kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn texts_and_counters_are_redacted_before_they_are_escaped() {
        let mut lines = JsonLines::new(Vec::new(), redact);
        lines.on_event(&log("the pass\"word is \"x\""));
        let mut counts = Counts::default();
        counts.counters.insert("pass\"word".into(), 3);
        lines
            .on_event(&Stamped { at_ms: 6, event: Event::StageFinished { stage: Stage::Map, duration_ms: 1, counts } });
        let written = String::from_utf8(lines.out).expect("text");
        let read: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(read[0]["event"], "log");
        assert_eq!(read[0]["message"], "the ${KEY} is \"x\"");
        assert_eq!(read[1]["counts"]["counters"]["${KEY}"], 3);
    }
}
