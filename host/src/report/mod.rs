//! Reports on a run for its operator: progress on the terminal, the closing summary, events as JSON lines, metrics,
//! traces and `report.html`.
//!
//! Owns every text about a run that is printed or kept. Sees only [`etl_core::model::event`]: everything here is a
//! [`Listener`](etl_core::model::event::Listener), except the report, which is made from what [`crate::history`] reads.
//! The CLI chooses the listeners; the run keeps a [`Journal`](crate::run_store::journal::Journal), and writes the
//! journal and the report to the run store.

mod bars;
mod flood;
pub(crate) mod html;
mod json;
mod lines;
mod metrics;
pub(crate) mod otlp;
mod plain;
mod reading;
pub(crate) mod summary;
mod tally;

use std::io::{self, IsTerminal};

pub(crate) use self::{json::JsonLines, metrics::MetricsFile, plain::Plain, summary::Summary};
use etl_core::model::{
    event::{Events, Level},
    redact::Redact,
};

/// Shows events of at least `level` on standard error. Progress has [`Level::Info`]; it is shown as bars on a terminal
/// and as plain lines elsewhere.
pub(crate) fn show_progress(events: &Events, level: Level, redact: impl Fn(&str) -> String + Send + 'static) {
    let redact: Redact = Box::new(redact);
    if level <= Level::Info && io::stderr().is_terminal() {
        events.listen(bars::Bars::new(level, redact));
    } else {
        events.listen(Plain::new(io::stderr(), level, redact));
    }
}
