//! The time that attempts spend, by kind of work.
//!
//! Owns the kinds and the sums. The clock that measures them is in `runtime`.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    /// Creating the commit.
    Commit,
    /// Everything else.
    Other,
}

impl Work {
    /// All kinds, in the order in which documents and tables list them.
    pub const ALL: [Self; 13] = [
        Self::Wait,
        Self::Read,
        Self::Decode,
        Self::CopyIn,
        Self::Guest,
        Self::CopyOut,
        Self::Check,
        Self::Sort,
        Self::Spill,
        Self::Merge,
        Self::Write,
        Self::Commit,
        Self::Other,
    ];

    /// Returns the name of the kind in documents and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Read => "read",
            Self::Decode => "decode",
            Self::CopyIn => "copy_in",
            Self::Guest => "guest",
            Self::CopyOut => "copy_out",
            Self::Check => "check",
            Self::Sort => "sort",
            Self::Spill => "spill",
            Self::Merge => "merge",
            Self::Write => "write",
            Self::Commit => "commit",
            Self::Other => "other",
        }
    }
}

/// How long attempts spent on each kind of work, in microseconds. Work on other threads beside an attempt, such as
/// reading ahead, is not included.
///
/// Serialized as an object with a field for each kind, such as `guest_us`. A field that is missing is 0, one that is
/// unknown is ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times([u64; Work::ALL.len()]);

impl Times {
    /// Returns the time spent on a kind of work, in microseconds.
    pub fn of(&self, work: Work) -> u64 {
        self.0[work as usize]
    }

    /// Adds time spent on a kind of work, in microseconds.
    pub fn spend(&mut self, work: Work, us: u64) {
        self.0[work as usize] += us;
    }

    /// Adds the times of another attempt to these.
    pub fn add(&mut self, other: &Self) {
        Work::ALL.into_iter().for_each(|work| self.spend(work, other.of(work)));
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Work::ALL.map(|work| (field(work), self.of(work))))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, u64>::deserialize(deserializer)?;
        Ok(Self(Work::ALL.map(|work| fields.get(&field(work)).copied().unwrap_or_default())))
    }
}

fn field(work: Work) -> String {
    format!("{}_us", work.name())
}

/// Returns a duration in whole milliseconds, the unit of events.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a duration in whole microseconds, the unit of [`Times`].
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back_by_name() {
        let mut times = Times::default();
        (1..).zip(Work::ALL).for_each(|(us, work)| times.spend(work, us));
        let text = serde_json::to_string(&times).expect("serializes");
        assert!(
            text.starts_with(r#"{"wait_us":1,"read_us":2,"#) && text.ends_with(r#""commit_us":12,"other_us":13}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Times>(&text).expect("parses"), times);
        let older = serde_json::from_str::<Times>(r#"{"guest_us":7,"gone_us":9}"#).expect("parses");
        assert_eq!((older.of(Work::Guest), older.of(Work::Commit)), (7, 0));
    }
}
