//! Accounts that keep an instance within its `limits`: memory and tables, time inside the plugin, and output.

use std::time::{Duration, Instant};

use etl_core::model::error::{Error, ErrorKind, Result};
use wasmtime::ResourceLimiter;

use super::settings::Limits;

/// Length of an epoch. The deadline of a guest is checked this often.
pub(super) const EPOCH: Duration = Duration::from_millis(10);

/// Largest number of elements in one table of an instance.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Largest number of handles (of streams, clocks, …) that an instance may hold at a time.
pub(super) const HANDLES_MAX: usize = 10_000;
/// Largest number of bytes that an instance may hand over in one call of a host function.
pub const HOSTCALL_BYTES_MAX: usize = 64 << 20;
/// Largest number of bytes of one row that an instance emits. What comes after holds a few rows at a time, whole.
pub const ROW_BYTES_MAX: usize = 16 << 20;

/// Grants memory and tables up to the limit, and records the first request that it denied. A guest that is denied
/// memory traps in a way that depends on its language, so only this record shows that memory was the cause.
pub(super) struct Growth {
    memory_bytes_max: usize,
    /// Total size of the instance's memories now.
    pub(super) memory_bytes: usize,
    /// The first request that was denied.
    pub(super) denied: Option<Denied>,
}

/// A request for more than the limit.
pub(super) enum Denied {
    /// The instance's memories would have held this many bytes.
    Memory { requested_bytes: usize, limit_bytes: usize },
    /// One table would have had this many elements.
    Table { requested: usize },
}

impl Growth {
    pub(super) fn new(limits: &Limits) -> Self {
        let memory_bytes_max = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        Self { memory_bytes_max, memory_bytes: 0, denied: None }
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let requested_bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if requested_bytes > self.memory_bytes_max {
            let limit_bytes = self.memory_bytes_max;
            self.denied.get_or_insert(Denied::Memory { requested_bytes, limit_bytes });
            return Ok(false);
        }
        self.memory_bytes = requested_bytes;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            self.denied.get_or_insert(Denied::Table { requested: desired });
        }
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory { requested_bytes, limit_bytes } => {
                write!(f, "exceeded `limits.memory` (requested {requested_bytes} bytes, limit {limit_bytes} bytes)")
            }
            Self::Table { requested } => {
                write!(f, "exceeded the table limit (requested {requested} elements, limit {TABLE_ELEMENTS_MAX})")
            }
        }
    }
}

/// Account of the bytes that an instance may still hand over in its attempt.
pub(super) struct OutputBudget {
    bytes_max: u64,
    bytes_left: u64,
}

impl OutputBudget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { bytes_max: limits.output_bytes, bytes_left: limits.output_bytes }
    }

    /// Charges `bytes` that are handed over to the account.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when fewer bytes are left.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<()> {
        let limit = self.bytes_max;
        let exceeded = || anyhow::anyhow!("exceeded `limits.output` (limit {limit} bytes per attempt)");
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or_else(|| Error::new(ErrorKind::Sandbox, exceeded()))?;
        Ok(())
    }
}

/// Measures the time an instance computes: the time of its calls, without the time the host works on its behalf.
pub(super) struct TimeLimit {
    call_max: Duration,
    total_max: Duration,
    /// Time the instance computed in calls that have ended.
    pub(super) spent: Duration,
    call_started: Instant,
    /// Time the host worked inside the current call.
    host: Duration,
}

/// A time limit that was exceeded.
#[derive(Debug)]
pub(super) struct TimedOut {
    setting: &'static str,
    limit: Duration,
}

impl std::error::Error for TimedOut {}

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exceeded `limits.{}` ({})", self.setting, humantime::format_duration(self.limit))
    }
}

impl TimeLimit {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            call_max: limits.batch_timeout,
            total_max: limits.timeout,
            spent: Duration::ZERO,
            call_started: Instant::now(),
            host: Duration::ZERO,
        }
    }

    /// Starts a call, and returns how long the plugin may compute before [`TimeLimit::check`] can report a limit.
    pub(super) fn start_call(&mut self) -> Duration {
        self.call_started = Instant::now();
        self.host = Duration::ZERO;
        self.call_max.min(self.total_max.saturating_sub(self.spent))
    }

    /// Ends a call, and adds its time to the total.
    pub(super) fn end_call(&mut self) {
        self.spent += self.call();
    }

    /// Excludes time that the host worked inside the current call from the plugin's time.
    pub(super) fn exclude(&mut self, host: Duration) {
        self.host += host;
    }

    /// Returns how much longer the plugin may compute.
    ///
    /// # Errors
    /// The limit that was exceeded.
    pub(super) fn check(&self) -> Result<Duration, TimedOut> {
        let call = self.call();
        // On a busy machine, both limits may be exceeded by the time of this check. The limit of one call is the more
        // telling of the two.
        if call >= self.call_max {
            return Err(TimedOut { setting: "batch_timeout", limit: self.call_max });
        }
        if self.spent + call >= self.total_max {
            return Err(TimedOut { setting: "timeout", limit: self.total_max });
        }
        Ok((self.total_max - self.spent - call).min(self.call_max - call))
    }

    fn call(&self) -> Duration {
        self.call_started.elapsed().saturating_sub(self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            memory_bytes: 3 * 65536,
            timeout: Duration::from_secs(3600),
            batch_timeout: Duration::from_secs(60),
            output_bytes: 1,
            log_bytes: 1,
            compile_timeout: Duration::from_secs(60),
        }
    }

    #[test]
    fn memory_is_counted_over_all_memories_of_an_instance() {
        let mut growth = Growth::new(&limits());
        assert!(growth.memory_growing(0, 65536, None).expect("never traps"));
        assert!(growth.memory_growing(0, 2 * 65536, None).expect("never traps"));
        assert!(!growth.memory_growing(65536, 2 * 65536, None).expect("never traps"));
        let denied = growth.denied.expect("a denial").to_string();
        assert_eq!(denied, "exceeded `limits.memory` (requested 262144 bytes, limit 196608 bytes)");
    }

    #[test]
    fn a_call_that_lasts_longer_than_both_limits_has_passed_that_of_a_call() {
        let mut clock = TimeLimit::new(&limits());
        clock.start_call();
        clock.call_started -= Duration::from_secs(7200);
        let timed_out = clock.check().expect_err("an hour and a minute are over").to_string();
        assert_eq!(timed_out, "exceeded `limits.batch_timeout` (1m)");
        clock.call_started += Duration::from_secs(7170);
        clock.spent = Duration::from_secs(3599);
        let timed_out = clock.check().expect_err("the hour is over").to_string();
        assert_eq!(timed_out, "exceeded `limits.timeout` (1h)");
    }

    #[test]
    fn host_time_is_not_the_plugins() {
        let mut clock = TimeLimit::new(&limits());
        clock.start_call();
        clock.call_started -= Duration::from_secs(90);
        assert!(clock.check().is_err());
        clock.exclude(Duration::from_secs(80));
        assert!(clock.check().expect("10 s of 60 s") > Duration::from_secs(40));
    }
}
