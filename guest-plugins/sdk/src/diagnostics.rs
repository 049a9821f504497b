//! Log messages and counters, which a step hands to the host.

use std::cell::RefCell;

use crate::host;

/// Messages for the operator; they become events of the run.
pub mod log {
    use crate::{Level, host};

    /// Logs details for the plugin's author.
    pub fn debug(message: impl AsRef<str>) {
        host::log(Level::Debug, message.as_ref());
    }

    /// Logs information for the operator.
    pub fn info(message: impl AsRef<str>) {
        host::log(Level::Info, message.as_ref());
    }

    /// Logs that something unexpected happened, and that the step continues.
    pub fn warn(message: impl AsRef<str>) {
        host::log(Level::Warn, message.as_ref());
    }

    /// Logs that something failed. The message alone does not fail the task.
    pub fn error(message: impl AsRef<str>) {
        host::log(Level::Error, message.as_ref());
    }
}

thread_local! {
    static COUNTERS: RefCell<Vec<(String, i64)>> = const { RefCell::new(Vec::new()) };
}

/// Adds `delta` to the counter named `counter`.
///
/// Counters of all tasks are summed and shown when the run ends. A call is cheap enough for every record, since only
/// the sums go to the host, once per batch. A step may have 256 counters, with names of up to 128 bytes.
pub fn count(counter: &str, delta: i64) {
    COUNTERS.with_borrow_mut(|counters| match counters.iter_mut().find(|(name, _)| name == counter) {
        Some((_, sum)) => *sum = sum.saturating_add(delta),
        None => counters.push((counter.to_owned(), delta)),
    });
}

/// Hands the sums to the host and starts again from 0.
pub(crate) fn flush_counters() {
    COUNTERS.with_borrow_mut(|counters| {
        for (name, sum) in counters.drain(..) {
            host::count(&name, sum);
        }
    });
}
