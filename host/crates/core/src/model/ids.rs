//! The ids and names that tell runs, tasks and attempts apart.
//!
//! Owns their text forms and which names are allowed. The keys that are made of them belong to the layouts.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, Result};

/// Defines kinds of numbers, so that a number of one kind is not taken for one of another.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

numbers! {
    /// The number of a shard in its run, from 0.
    ShardId;
    /// The number of a partition in its run, from 0.
    PartitionId;
    /// The number of a task in its stage: that of its first shard in a map, that of its partition in a reduce, and 0 in
    /// a stage of one task. A part of the result has the number of the task that made it.
    TaskId;
    /// The number of an attempt among those that a process makes at a task, from 1.
    Try;
}

impl TaskId {
    /// Returns the map task whose first shard this is.
    pub fn of_shard(first: ShardId) -> Self {
        Self(first.0)
    }

    /// Returns the first shard of a map task.
    pub fn shard(self) -> ShardId {
        ShardId(self.0)
    }

    /// Returns the reduce task of a partition.
    pub fn of_partition(partition: PartitionId) -> Self {
        Self(partition.0)
    }

    /// Returns the partition of a reduce task.
    pub fn partition(self) -> PartitionId {
        PartitionId(self.0)
    }
}

impl Try {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// Returns the number of the attempt after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The id of one attempt, unique among all processes that work on a run: `1-5f3a90c2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(String);

impl AttemptId {
    /// Creates the id of try `number` in the process named `process`.
    pub fn new(number: Try, process: &str) -> Self {
        Self(format!("{number}-{process}"))
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one plan of a run: that of the attempt that made it. All that a run commits belongs to one plan, so a run
/// that is deleted and planned again takes nothing from the plan before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(AttemptId);

impl PlanId {
    /// Returns the id of the plan that this attempt makes.
    pub fn of(attempt: AttemptId) -> Self {
        Self(attempt)
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of the object that says that a run or a result is complete.
pub const SUCCESS: &str = "_SUCCESS";

/// Name of the object, beside the results of a pipeline's runs, that points to the newest complete one.
pub const LATEST: &str = "latest.json";

/// What the id of a redrive has between the id of the run that it completes and its number.
const REDRIVE: &str = "-redrive-";

/// Checks that a pipeline's name or a run's id can be one part of a key on every store.
///
/// # Errors
/// [`ErrorKind::Config`](crate::model::error::ErrorKind::Config), naming `what` and the allowed characters.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::config(format!(
            "{what} `{name}` cannot be used in an object's name (use 1 to 128 letters, digits, `-`, `_` and `.`, \
             not starting with `.`)"
        )));
    }
    Ok(())
}

/// Returns the id of redrive `number` of the run `origin`.
pub fn redrive_id(origin: &str, number: u32) -> String {
    format!("{origin}{REDRIVE}{number}")
}

/// Returns the run's id without the ending that [`redrive_id`] gave it, if it did.
pub fn origin(run_id: &str) -> &str {
    match run_id.rsplit_once(REDRIVE) {
        Some((origin, number)) if number.parse::<u32>().is_ok() => origin,
        _ => run_id,
    }
}

/// Checks that a text can be the id of a run. The ending of a redrive does not count, so each run can be redriven.
///
/// # Errors
/// As [`check_name`].
pub fn check_run_id(run_id: &str) -> Result<()> {
    check_name("run id", origin(run_id))
}

/// Checks that a run may be started under an id: beside being [one](check_run_id), the id must not be the name of
/// something else that lies beside results.
///
/// # Errors
/// [`ErrorKind::Config`](crate::model::error::ErrorKind::Config), naming the id and what is wrong with it.
pub fn check_new_run_id(run_id: &str) -> Result<()> {
    check_run_id(run_id)?;
    if run_id.starts_with('_') {
        return Err(Error::config(format!(
            "run id `{run_id}` begins with `_`, as hidden objects do, so the result could not be read (use another id)"
        )));
    }
    if run_id.eq_ignore_ascii_case(LATEST) {
        return Err(Error::config(format!(
            "run id `{run_id}` is the name of the object that points to the newest result (use another id)"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read_as_plain_numbers() {
        let json = serde_json::to_string(&(ShardId(3), PartitionId(4), TaskId(5), Try::FIRST)).expect("JSON");
        assert_eq!(json, "[3,4,5,1]");
        assert_eq!(serde_json::from_str::<Vec<TaskId>>("[7,8]").expect("numbers"), [TaskId(7), TaskId(8)]);
        assert_eq!(format!("{} {:06}", PartitionId(12), ShardId(12)), "12 000012");
        assert_eq!("000012".parse(), Ok(ShardId(12)));
        assert!(["", "-1", "x", "4294967296"].iter().all(|text| text.parse::<ShardId>().is_err()));
    }

    #[test]
    fn a_task_has_the_number_of_its_first_shard_or_of_its_partition() {
        assert_eq!((TaskId::of_shard(ShardId(7)), TaskId(7).shard()), (TaskId(7), ShardId(7)));
        assert_eq!((TaskId::of_partition(PartitionId(7)), TaskId(7).partition()), (TaskId(7), PartitionId(7)));
        assert_eq!(AttemptId::new(Try::FIRST.next(), "5f3a90c2").to_string(), "2-5f3a90c2");
    }

    #[test]
    fn names_that_would_leave_the_prefix_are_refused() {
        for name in ["", "..", "a/b", ".hidden", "a b", "ä"] {
            assert!(check_name("run id", name).is_err(), "`{name}` was accepted");
        }
        assert!(check_name("run id", "2026-11-22T10.00.00-5f3a").is_ok());
    }

    #[test]
    fn the_longest_id_of_a_run_leaves_room_for_its_redrives() {
        let longest = "x".repeat(128);
        let redrive = redrive_id(&longest, u32::MAX);
        assert_eq!((origin(&redrive), origin(&longest)), (longest.as_str(), longest.as_str()));
        assert!(redrive.len() <= 255, "as long as a file's name may be");
        assert!(check_new_run_id(&redrive).is_ok() && check_new_run_id(&format!("{longest}x")).is_err());
        assert_eq!(["a-redrive-x", "a-redrive-"].map(origin), ["a-redrive-x", "a-redrive-"]);
    }

    #[test]
    fn a_run_is_not_named_as_something_else_beside_results() {
        for id in ["latest.json", "Latest.JSON", SUCCESS, "_attempts", "_x", ".x", ".", "_x-redrive-1"] {
            let error = check_new_run_id(id).expect_err(id).to_string();
            assert!(error.starts_with(&format!("run id `{}`", origin(id))) || error.contains(id), "{error}");
        }
        assert!(["latest", "latest.json.1", "a_b"].into_iter().all(|id| check_new_run_id(id).is_ok()));
    }
}
