//! Progress on a terminal, as a bar for the stage under way.

use std::{
    io::{self, Write},
    time::Duration,
};

use etl_core::{
    model::{
        event::{Event, Level, Listener, Stamped},
        redact::Redact,
    },
    text::numbers::harmless,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{flood::Flood, tally::Tally};

/// Maximum number of draws per second.
const DRAWS_PER_SECOND: u8 = 10;

/// Shows the stage under way as a bar, and above the bar a line for each finished stage, warning and message of a
/// plugin.
///
/// Stages do not overlap, so there is one bar at a time. Colours are left out when `NO_COLOR` is set.
pub(super) struct Bars {
    flood: Flood,
    redact: Redact,
    under_way: Option<(Tally, ProgressBar)>,
}

impl Bars {
    pub(super) fn new(level: Level, redact: Redact) -> Self {
        Self { flood: Flood::new(level), redact, under_way: None }
    }

    fn start(&mut self, tally: Tally) {
        let bar =
            ProgressBar::with_draw_target(Some(tally.tasks), ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
        bar.set_style(style());
        bar.set_prefix(tally.stage.name());
        bar.set_position(tally.done);
        // The tick keeps the elapsed time current while no event comes in.
        bar.enable_steady_tick(Duration::from_millis(200));
        self.under_way = Some((tally, bar));
    }

    fn update(&mut self, event: &Stamped) {
        let Some((tally, bar)) = &mut self.under_way else { return };
        tally.observe(&event.event);
        bar.set_position(tally.done);
        bar.set_message(tally.text(event.at_ms));
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.under_way.take() {
            bar.finish_and_clear();
        }
    }

    fn print(&self, line: &str) {
        let line = (self.redact)(line);
        let line = harmless(&line);
        match &self.under_way {
            Some((_, bar)) => bar.println(line),
            None => _ = writeln!(io::stderr(), "{line}"),
        }
    }
}

impl Listener for Bars {
    fn on_event(&mut self, event: &Stamped) {
        match event.event {
            Event::StageFinished { .. } | Event::RunFinished { .. } | Event::RunFailed { .. } => self.clear(),
            _ => {}
        }
        if let Some(line) = self.flood.line(&event.event) {
            self.print(&line);
        }
        match Tally::start(event) {
            Some(tally) => self.start(tally),
            None => self.update(event),
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:8} {bar:16.cyan} {elapsed:>4}  {wide_msg}")
        .expect("the template is valid")
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::{
        event::{Counts, Stage},
        ids::{TaskId, Try},
    };

    #[test]
    fn a_bar_lives_as_long_as_its_stage() {
        let mut bars = Bars::new(Level::Info, Box::new(str::to_owned));
        let mut tell = |event| {
            bars.on_event(&Stamped { at_ms: 1000, event });
            bars.under_way.as_ref().map(|(_, bar)| (bar.position(), bar.message()))
        };
        let counts = Counts { records_in: 7, bytes_in: 2048, ..Counts::default() };
        let finished = Event::AttemptFinished {
            stage: Stage::Map,
            task: TaskId(0),
            attempt: Try::FIRST,
            duration_ms: 9,
            counts: counts.clone(),
        };
        assert_eq!(tell(finished.clone()), None);
        assert_eq!(tell(Event::StageStarted { stage: Stage::Map, tasks: 3, committed: 1 }), Some((1, String::new())));
        let message = "2 of 3 tasks, 7 records, 7,000/s, 2.0 MiB/s".to_owned();
        assert_eq!(tell(finished), Some((2, message)));
        assert_eq!(tell(Event::StageFinished { stage: Stage::Map, duration_ms: 9, counts }), None);
    }
}
