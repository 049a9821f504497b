//! The time that attempts spend, by kind of work.
//!
//! Owns the kinds and the sums. The clock that measures them is in `runtime`.

use std::time::Duration;

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

    /// Returns the time spent on this kind of work.
    pub fn of(&mut self, work: Work) -> &mut u64 {
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
