//! Accounts that keep an instance within its `limits`: memory and tables, time inside the plugin, and output.

use std::time::{Duration, Instant};

use etl_core::{
    model::error::{Error, ErrorKind, Result},
    text::numbers,
};
use wasmtime::ResourceLimiter;

use super::settings::Limits;

/// Length of an epoch. The deadline of a guest is checked this often.
pub(super) const EPOCH: Duration = Duration::from_millis(10);

/// Cause of a failure of an instance that used up the time that its attempt allowed it.
pub(super) const TIME_OF_ATTEMPT: &str = "time of the attempt";

/// Largest number of elements in one table of an instance.
pub(super) const TABLE_ELEMENTS_MAX: usize = 1_000_000;

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

/// The least that a row counts, in bytes: each costs the host work, even if it is a bit in the guest's batch.
const ROW_BYTES_MIN: u64 = 16;

/// Account of the bytes that an instance may still hand over in its attempt.
pub(super) struct OutputBudget {
    bytes_max: u64,
    bytes_left: u64,
}

impl OutputBudget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { bytes_max: limits.output_bytes, bytes_left: limits.output_bytes }
    }

    /// Charges `rows` that are handed over as `bytes` to the account.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when fewer bytes are left.
    pub(super) fn spend(&mut self, bytes: u64, rows: u64) -> Result<()> {
        let limit = self.bytes_max;
        let charged = bytes.max(rows.saturating_mul(ROW_BYTES_MIN));
        let counted =
            if charged > bytes { format!("; a row counts as {ROW_BYTES_MIN} or more") } else { String::new() };
        let exceeded = || anyhow::anyhow!("exceeded `limits.output` (limit {limit} bytes per attempt{counted})");
        let left = self.bytes_left.checked_sub(charged);
        self.bytes_left = left.ok_or_else(|| Error::new(ErrorKind::Sandbox, exceeded()))?;
        Ok(())
    }
}

/// Measures the time an instance computes: the time of its calls, without the time the host works on its behalf.
pub(super) struct TimeLimit {
    call_max: Duration,
    total_max: Duration,
    /// Less than `total_max`, if the attempt allows the instance less.
    attempt_max: Duration,
    /// Time the instance computed in calls that have ended.
    pub(super) spent: Duration,
    call_started: Instant,
    /// Time the host worked inside the current call.
    host: Duration,
    /// What the host did for a splitter, whose time counts against `total_max`.
    work: HostWork,
}

/// What the host did for a splitter: the reads that it made of the source, and the shards that it took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostWork {
    count: u64,
    bytes: u64,
    time: Duration,
}

/// Writes `the host took 2m 05s for 1,234 reads and shards of 34.5 MiB`.
impl std::fmt::Display for HostWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = numbers::duration(u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX));
        let (count, bytes) = (numbers::count(self.count), numbers::bytes(self.bytes));
        write!(f, "the host took {time} for {count} reads and shards of {bytes}")
    }
}

/// A time limit that was exceeded.
#[derive(Debug)]
pub(super) enum TimedOut {
    /// A limit that the pipeline sets.
    Setting { setting: &'static str, limit: Duration, work: HostWork },
    /// The time that its attempt allowed the instance.
    Attempt { limit: Duration },
}

impl TimedOut {
    /// Returns the cause of a failure by this limit. That the attempt allowed less says nothing about the plugin, so it
    /// is a cause of its own.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Setting { .. } => "time",
            Self::Attempt { .. } => TIME_OF_ATTEMPT,
        }
    }
}

impl std::error::Error for TimedOut {}

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Setting { setting, limit, work } => {
                write!(f, "exceeded `limits.{setting}` ({}", humantime::format_duration(*limit))?;
                if work.count > 0 { write!(f, "; {work})") } else { f.write_str(")") }
            }
            Self::Attempt { limit } => {
                write!(f, "used up the {} left to its attempt", humantime::format_duration(*limit))
            }
        }
    }
}

impl TimeLimit {
    pub(super) fn new(limits: &Limits, attempt_max: Option<Duration>) -> Self {
        Self {
            call_max: limits.batch_timeout,
            total_max: limits.timeout,
            attempt_max: attempt_max.unwrap_or(limits.timeout),
            spent: Duration::ZERO,
            call_started: Instant::now(),
            host: Duration::ZERO,
            work: HostWork::default(),
        }
    }

    /// Starts a call, and returns how long the plugin may compute before [`TimeLimit::check`] can report a limit.
    pub(super) fn start_call(&mut self) -> Duration {
        self.call_started = Instant::now();
        self.host = Duration::ZERO;
        self.call_max.min(self.total_max.min(self.attempt_max).saturating_sub(self.spent))
    }

    /// Ends a call, and adds its time to the total.
    pub(super) fn end_call(&mut self) {
        self.spent += self.call();
    }

    /// Excludes time that the host worked inside the current call from the plugin's time.
    pub(super) fn exclude(&mut self, host: Duration) {
        self.host += host;
    }

    /// Counts a read or a shard, on which the host worked inside the current call. Its time is excluded from the time
    /// of the call, but not from the time of the attempt.
    pub(super) fn count_work(&mut self, time: Duration, bytes: u64) {
        self.exclude(time);
        self.work.count += 1;
        self.work.bytes += bytes;
        self.work.time += time;
    }

    /// Returns what was counted with [`TimeLimit::count_work`].
    pub(super) fn work(&self) -> HostWork {
        self.work
    }

    /// Returns how much longer the plugin may compute.
    ///
    /// # Errors
    /// The limit that was exceeded.
    pub(super) fn check(&self) -> Result<Duration, TimedOut> {
        let call = self.call();
        let (total, work) = (self.spent + self.work.time + call, self.work);
        // On a busy machine, both limits may be exceeded by the time of this check. The limit of one call is the more
        // telling of the two.
        if call >= self.call_max {
            return Err(TimedOut::Setting {
                setting: "batch_timeout",
                limit: self.call_max,
                work: HostWork::default(),
            });
        }
        if total >= self.total_max {
            return Err(TimedOut::Setting { setting: "timeout", limit: self.total_max, work });
        }
        if total >= self.attempt_max {
            return Err(TimedOut::Attempt { limit: self.attempt_max });
        }
        Ok((self.total_max.min(self.attempt_max) - total).min(self.call_max - call))
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
            compile_memory_bytes: 1,
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
        let mut clock = TimeLimit::new(&limits(), None);
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
    fn an_instance_computes_no_longer_than_its_attempt_allows_and_that_is_a_cause_of_its_own() {
        let allowed = Duration::from_secs(20);
        let mut clock = TimeLimit::new(&limits(), Some(allowed));
        assert_eq!(clock.start_call(), allowed);
        clock.call_started -= Duration::from_secs(15);
        assert!(clock.check().expect("15 s of 20 s") <= Duration::from_secs(5));
        clock.call_started -= Duration::from_secs(15);
        let timed_out = clock.check().expect_err("20 s are over");
        assert_eq!(timed_out.to_string(), "used up the 20s left to its attempt");
        clock.call_started -= Duration::from_secs(60);
        assert_ne!(clock.check().expect_err("a minute is over").cause(), timed_out.cause());
    }

    #[test]
    fn host_time_is_not_the_plugins() {
        let mut clock = TimeLimit::new(&limits(), None);
        clock.start_call();
        clock.call_started -= Duration::from_secs(90);
        assert!(clock.check().is_err());
        clock.exclude(Duration::from_secs(80));
        assert!(clock.check().expect("10 s of 60 s") > Duration::from_secs(40));
    }

    #[test]
    fn the_time_of_work_for_a_splitter_counts_for_the_attempt_but_not_for_the_call() {
        let mut clock = TimeLimit::new(&limits(), None);
        clock.start_call();
        clock.call_started -= Duration::from_secs(7201);
        clock.count_work(Duration::from_secs(3000), 1 << 20);
        clock.count_work(Duration::from_secs(4200), 1 << 20);
        let timed_out = clock.check().expect_err("the hour is over").to_string();
        assert_eq!(timed_out, "exceeded `limits.timeout` (1h; the host took 2h 00m for 2 reads and shards of 2.0 MiB)");
    }
}
