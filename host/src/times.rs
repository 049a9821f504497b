//! Times: how long attempts spend on each kind of work.
//!
//! Owns the clock of the thread on which an attempt runs. [`measure`] measures an attempt as a whole; code that does a
//! kind of work wraps it in [`spend`]. Nested work counts for the inner kind only, so the times of an attempt add up to
//! its duration, and no clock has to be passed around.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// The kinds of work that an attempt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Waiting for a worker.
    Wait,
    /// Waiting for data, or reading it from the local disk.
    Read,
    /// Finding records and parsing them.
    Decode,
    /// Copying the input of a plugin into its memory.
    CopyIn,
    /// Running a plugin.
    Guest,
    /// Copying the output of a plugin out of its memory.
    CopyOut,
    /// Checking the output of a plugin.
    Check,
    /// Collecting rows and sorting them.
    Sort,
    /// Writing sorted runs to scratch.
    Spill,
    /// Merging sorted runs.
    Merge,
    /// Formatting, compressing and uploading output.
    Write,
    /// Everything else.
    Other,
}

/// How long attempts spent on each kind of work, in microseconds.
///
/// Work on other threads beside an attempt, such as reading ahead, is not included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Waiting for a worker.
    pub wait_us: u64,
    /// Waiting for data, or reading it from the local disk.
    pub read_us: u64,
    /// Finding records and parsing them.
    pub decode_us: u64,
    /// Copying the input of plugins into their memory.
    pub copy_in_us: u64,
    /// Running plugins.
    pub guest_us: u64,
    /// Copying the output of plugins out of their memory.
    pub copy_out_us: u64,
    /// Checking the output of plugins.
    pub check_us: u64,
    /// Collecting rows and sorting them.
    pub sort_us: u64,
    /// Writing sorted runs to scratch.
    pub spill_us: u64,
    /// Merging sorted runs.
    pub merge_us: u64,
    /// Formatting, compressing and uploading output.
    pub write_us: u64,
    /// Creating the commit.
    pub commit_us: u64,
    /// Everything else.
    pub other_us: u64,
}

impl Times {
    /// Adds other times to these.
    pub fn add(&mut self, other: &Self) {
        self.wait_us += other.wait_us;
        self.read_us += other.read_us;
        self.decode_us += other.decode_us;
        self.copy_in_us += other.copy_in_us;
        self.guest_us += other.guest_us;
        self.copy_out_us += other.copy_out_us;
        self.check_us += other.check_us;
        self.sort_us += other.sort_us;
        self.spill_us += other.spill_us;
        self.merge_us += other.merge_us;
        self.write_us += other.write_us;
        self.commit_us += other.commit_us;
        self.other_us += other.other_us;
    }

    fn of(&mut self, work: Work) -> &mut u64 {
        match work {
            Work::Wait => &mut self.wait_us,
            Work::Read => &mut self.read_us,
            Work::Decode => &mut self.decode_us,
            Work::CopyIn => &mut self.copy_in_us,
            Work::Guest => &mut self.guest_us,
            Work::CopyOut => &mut self.copy_out_us,
            Work::Check => &mut self.check_us,
            Work::Sort => &mut self.sort_us,
            Work::Spill => &mut self.spill_us,
            Work::Merge => &mut self.merge_us,
            Work::Write => &mut self.write_us,
            Work::Other => &mut self.other_us,
        }
    }
}

/// Returns a duration in whole milliseconds, the unit of events.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a duration in whole microseconds, the unit of [`Times`].
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The clock of an attempt.
struct Clock {
    work: Work,
    since: Instant,
    /// The part of a microsecond that was not counted yet; it is added to the next time span.
    rest: Duration,
    times: Times,
}

impl Clock {
    fn start() -> Self {
        Self { work: Work::Other, since: Instant::now(), rest: Duration::ZERO, times: Times::default() }
    }

    /// Switches to another kind of work, and returns the kind before.
    fn switch(&mut self, work: Work) -> Work {
        let now = Instant::now();
        let spent = self.rest + now.duration_since(self.since);
        let spent_us = micros(spent);
        self.rest = spent - Duration::from_micros(spent_us);
        *self.times.of(self.work) += spent_us;
        self.since = now;
        std::mem::replace(&mut self.work, work)
    }
}

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Runs an attempt on this thread, and returns its result and how long it spent on each kind of work.
pub fn measure<T>(attempt: impl FnOnce() -> T) -> (T, Times) {
    CLOCK.set(Some(Clock::start()));
    let result = attempt();
    let clock = CLOCK.take();
    let times = clock.map(|mut clock| {
        clock.switch(Work::Other);
        clock.times
    });
    (result, times.unwrap_or_default())
}

/// Does work and counts its time for `kind`. Nested work of another kind counts for that kind instead. On a thread that
/// is not being measured, only does the work.
pub fn spend<T>(kind: Work, work: impl FnOnce() -> T) -> T {
    let before = switch(kind);
    let result = work();
    if let Some(before) = before {
        switch(before);
    }
    result
}

/// Switches this thread to another kind of work, for callers that cannot wrap the work in [`spend`]. Returns the kind
/// before, to which the caller must switch back. Returns `None` on a thread that is not being measured.
pub fn switch(kind: Work) -> Option<Work> {
    CLOCK.with_borrow_mut(|clock| clock.as_mut().map(|clock| clock.switch(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause() {
        std::thread::sleep(Duration::from_millis(5));
    }

    #[test]
    fn nested_work_counts_once() {
        let ((), times) = measure(|| {
            spend(Work::Sort, || {
                pause();
                spend(Work::Guest, pause);
                pause();
            });
        });
        assert!(times.sort_us >= 10_000 && times.guest_us >= 5_000, "{times:?}");
        let Times { sort_us, guest_us, other_us, .. } = times;
        assert_eq!(Times { sort_us, guest_us, other_us, ..Times::default() }, times);
    }

    #[test]
    fn a_thread_that_is_not_measured_just_works() {
        assert_eq!(spend(Work::Merge, || 7), 7);
        let (result, times) = measure(|| 8);
        assert_eq!((result, times.merge_us), (8, 0));
    }
}
