//! How tasks are tried again: the setting, and the wait that it gives.

use std::time::Duration;

use etl_core::model::error::ErrorKind;

/// The longest wait that a multiplier makes of a shorter one, in seconds.
const WAIT_SECONDS_MAX: f64 = 300.0;

/// How failed tasks of a step are tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `attempts`: number of attempts in all, at least 1.
    pub attempts: u32,
    /// `interval`: wait before the second attempt.
    pub interval: Duration,
    /// `multiplier`: factor by which each further wait grows.
    pub multiplier: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, interval: Duration::from_secs(1), multiplier: 2.0 }
    }
}

impl Retry {
    /// Returns how long to wait before the next attempt at a task of which `failed` attempts have failed, the last with
    /// an error of `kind`. Returns `None` when there is no further attempt.
    pub(super) fn wait_after(&self, kind: ErrorKind, failed: u32) -> Option<Duration> {
        let attempts_max = match kind {
            ErrorKind::Unavailable => self.attempts,
            // A trap may be the machine's trouble; a second one in a fresh instance is the plugin's.
            ErrorKind::Sandbox => self.attempts.min(2),
            ErrorKind::Config
            | ErrorKind::Input
            | ErrorKind::Changed
            | ErrorKind::Damaged(_)
            | ErrorKind::Plugin
            | ErrorKind::Interrupted(_)
            | ErrorKind::Internal => 1,
        };
        let exponent = i32::try_from(failed - 1).unwrap_or(i32::MAX);
        let interval = self.interval.as_secs_f64();
        let wait = (interval * self.multiplier.powi(exponent)).min(WAIT_SECONDS_MAX.max(interval));
        (failed < attempts_max).then(|| Duration::from_secs_f64(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_not_pass_is_not_tried_again_and_traps_once() {
        let retry = Retry { attempts: 5, interval: Duration::from_secs(1), multiplier: 3.0 };
        for kind in [ErrorKind::Config, ErrorKind::Input, ErrorKind::Changed, ErrorKind::Plugin, ErrorKind::Internal] {
            assert_eq!(retry.wait_after(kind, 1), None);
        }
        assert_eq!(retry.wait_after(ErrorKind::Sandbox, 1), Some(Duration::from_secs(1)));
        assert_eq!(retry.wait_after(ErrorKind::Sandbox, 2), None);
        assert_eq!(retry.wait_after(ErrorKind::Unavailable, 4), Some(Duration::from_secs(27)));
        assert_eq!(retry.wait_after(ErrorKind::Unavailable, 5), None);
    }

    #[test]
    fn a_wait_grows_up_to_five_minutes_and_is_never_shorter_than_the_interval() {
        let wait = |minutes: u64, failed| {
            let retry = Retry { attempts: 100, interval: Duration::from_secs(60 * minutes), multiplier: 2.0 };
            retry.wait_after(ErrorKind::Unavailable, failed).expect("another attempt").as_secs() / 60
        };
        assert_eq!([1, 2, 3, 4, 99].map(|failed| wait(1, failed)), [1, 2, 4, 5, 5]);
        assert_eq!([1, 2, 99].map(|failed| wait(30, failed)), [30, 30, 30]);
    }
}
