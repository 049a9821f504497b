//! The ids and names that tell runs, tasks and attempts apart.
//!
//! Owns their text forms and which names are allowed. The keys that are made of them belong to the layouts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, Result};

/// The id of one attempt, unique among all processes that work on a run: `1-5f3a90c2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(String);

impl AttemptId {
    /// Creates the id of try `number` (from 1) in the process named `process`.
    pub fn new(number: u32, process: &str) -> Self {
        Self(format!("{number}-{process}"))
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of the object that says that a run or a result is complete.
pub const SUCCESS: &str = "_SUCCESS";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_prefix_are_refused() {
        for name in ["", "..", "a/b", ".hidden", "a b", "ä"] {
            assert!(check_name("run id", name).is_err(), "`{name}` was accepted");
        }
        assert!(check_name("run id", "2026-11-22T10.00.00-5f3a").is_ok());
    }
}
