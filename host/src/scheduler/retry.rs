//! How tasks are tried again: the setting.

use std::time::Duration;

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
