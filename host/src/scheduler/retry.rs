//! How tasks are tried again: the setting.

use std::time::Duration;

/// How the tasks of a step are tried again after passing trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `attempts`: how many in all, at least 1.
    pub attempts: u32,
    /// `interval`: the wait before the second.
    pub interval: Duration,
    /// `multiplier`: how much longer each further wait is.
    pub multiplier: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, interval: Duration::from_secs(1), multiplier: 2.0 }
    }
}
