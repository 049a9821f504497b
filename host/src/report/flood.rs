//! A limit on the number of lines of a kind, so that lines of one kind do not drown the others.

use std::collections::HashMap;

use etl_core::model::event::{Event, Level};

use super::lines;

/// Maximum number of lines of one kind per stage.
const LINES_MAX: usize = 20;

/// Kinds of events that occur once per attempt, record or message, and so may be very many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Retry,
    Overtaken,
    Poison,
    Message,
}

impl Kind {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::AttemptFailed { .. } => Some(Self::Retry),
            Event::AttemptOvertaken { .. } => Some(Self::Overtaken),
            Event::PoisonRecord { .. } => Some(Self::Poison),
            Event::Log { .. } => Some(Self::Message),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Retry => "failed attempts",
            Self::Overtaken => "attempts that were overtaken",
            Self::Poison => "records that were set aside",
            Self::Message => "messages of plugins",
        }
    }
}

/// Turns events into lines, and leaves out further lines of a kind once a stage has had 20 of them.
pub(super) struct Flood {
    level: Level,
    shown: HashMap<Kind, usize>,
}

impl Flood {
    /// Creates a filter that lets through events of at least `level`. At [`Level::Debug`] the number of lines is not
    /// limited.
    pub(super) fn new(level: Level) -> Self {
        Self { level, shown: HashMap::new() }
    }

    /// Returns the line for an event; none if the event has no line, is below the level, or is over the limit. The
    /// first line over the limit is replaced by a line that says so.
    pub(super) fn line(&mut self, event: &Event) -> Option<String> {
        if let Event::StageStarted { .. } = event {
            self.shown.clear();
        }
        let (level, line) = lines::line(event)?;
        if level < self.level {
            return None;
        }
        let Some(kind) = Kind::of(event).filter(|_| self.level != Level::Debug) else { return Some(line) };
        let shown = self.shown.entry(kind).or_default();
        *shown += 1;
        match *shown {
            0..=LINES_MAX => Some(line),
            shown if shown == LINES_MAX + 1 => Some(format!(
                "further {} of this stage are not shown (`--verbose` shows them, and the run's events have them)",
                kind.name()
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::{
        error::ErrorKind,
        event::Stage,
        ids::{TaskId, Try},
    };

    fn retry(task: u32) -> Event {
        let (kind, error) = (ErrorKind::Unavailable, "away".to_owned());
        let (stage, attempt, shard, retry_in_ms, another_under_way) = (Stage::Map, Try::FIRST, None, Some(1), false);
        Event::AttemptFailed { stage, task: TaskId(task), attempt, shard, kind, error, retry_in_ms, another_under_way }
    }

    #[test]
    fn many_lines_of_a_kind_are_cut_short_and_the_others_are_not() {
        let mut flood = Flood::new(Level::Info);
        let shown: Vec<String> = (0..1000).filter_map(|task| flood.line(&retry(task))).collect();
        assert_eq!(shown.len(), 21);
        assert!(shown[19].starts_with("map of shard 19: attempt 1 failed"), "{}", shown[19]);
        assert!(shown[20].starts_with("further failed attempts of this stage are not shown"), "{}", shown[20]);
        assert!(flood.line(&Event::Warning { message: "look".to_owned() }).is_some());
        assert_eq!(flood.line(&Event::StageStarted { stage: Stage::Reduce, tasks: 1, committed: 0 }), None);
        assert!(flood.line(&retry(0)).is_some(), "the next stage has its own");
        let mut all = Flood::new(Level::Debug);
        assert_eq!((0..1000).filter_map(|task| all.line(&retry(task))).count(), 1000);
    }
}
