//! Reports on a run for its operator: progress on the terminal, the closing summary, events as JSON lines, metrics,
//! traces and `report.html`.
//!
//! Owns every text about a run that is printed or kept. Sees only [`crate::event`]: everything here is a
//! [`Listener`](crate::event::Listener), except the report, which is made from what [`crate::history`] reads. The CLI
//! chooses the listeners; the run keeps a [`Journal`], and writes the journal and the report to the run store.

mod bars;
pub(crate) mod command;
mod flood;
pub mod html;
mod json;
mod lines;
pub mod metrics;
pub mod otlp;
mod plain;
mod reading;
pub(crate) mod summary;
pub(crate) mod table;
mod tally;
pub(crate) mod text;

use std::io::{self, IsTerminal};

pub use self::{
    json::{Journal, JsonLines},
    metrics::MetricsFile,
    plain::Plain,
    summary::Summary,
};
use crate::event::{Events, Level};

/// A function that removes secrets from a text. Every text that is printed or kept passes through one.
pub type Redact = Box<dyn Fn(&str) -> String + Send>;

/// Shows events of at least `level` on standard error. Progress has [`Level::Info`]; it is shown as bars on a terminal
/// and as plain lines elsewhere.
pub fn show_progress(events: &Events, level: Level, redact: impl Fn(&str) -> String + Send + 'static) {
    let redact: Redact = Box::new(redact);
    if level <= Level::Info && io::stderr().is_terminal() {
        events.listen(bars::Bars::new(level, redact));
    } else {
        events.listen(Plain::new(io::stderr(), level, redact));
    }
}
