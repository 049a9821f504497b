//! Log messages and counters.

use std::cell::RefCell;

use crate::host;

/// Messages for the operator; they become events of the run.
pub mod log {
    use crate::{Level, host};

    /// Logs something for the plugin's author.
    pub fn debug(message: impl AsRef<str>) {
        host::log(Level::Debug, message.as_ref());
    }

    /// Logs something worth knowing.
    pub fn info(message: impl AsRef<str>) {
        host::log(Level::Info, message.as_ref());
    }

    /// Logs that something is off, but the step goes on.
    pub fn warn(message: impl AsRef<str>) {
        host::log(Level::Warn, message.as_ref());
    }

    /// Logs that something is wrong.
    pub fn error(message: impl AsRef<str>) {
        host::log(Level::Error, message.as_ref());
    }
}

thread_local! {
    static COUNTERS: RefCell<Vec<(String, i64)>> = const { RefCell::new(Vec::new()) };
}

/// Adds `delta` to the counter of that name.
///
/// Counters of all tasks are summed and shown when the run ends. Cheap enough for every record: the sums go to the host
/// once per batch. A step may have 256 counters with names of up to 128 bytes.
pub fn count(counter: &str, delta: i64) {
    COUNTERS.with_borrow_mut(|counters| match counters.iter_mut().find(|(name, _)| name == counter) {
        Some((_, sum)) => *sum = sum.saturating_add(delta),
        None => counters.push((counter.to_owned(), delta)),
    });
}

/// Hands the sums to the host.
pub(crate) fn flush_counters() {
    COUNTERS.with_borrow_mut(|counters| {
        for (name, sum) in counters.drain(..) {
            host::count(&name, sum);
        }
    });
}
