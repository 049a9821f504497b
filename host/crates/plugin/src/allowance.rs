//! The allowance of a step: what all its instances in this process may use together.
//!
//! Owns what is not given back when an instance is dropped: the names of counters and the messages, which the events, the
//! report and the commits of a run keep.

use std::collections::BTreeSet;

use etl_core::model::shared::Shared;

/// Largest number of counters of a step.
pub const COUNTERS_MAX: usize = 256;

/// Largest total size of a step's messages, in bytes.
pub(super) const MESSAGES_BYTES_MAX: u64 = 64 << 20;

/// What a message counts beside its text, in bytes: about what its event takes.
const MESSAGE_BYTES: u64 = 128;

/// The allowance of a step. Clones share it.
#[derive(Clone)]
pub(super) struct Allowance {
    left: Shared<Left>,
}

struct Left {
    counters: BTreeSet<String>,
    message_bytes: u64,
    dropped: bool,
}

/// Whether a message is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Passed,
    /// It is the first one that is dropped.
    FirstDropped,
    Dropped,
}

impl Allowance {
    /// Creates a full allowance.
    pub(super) fn new() -> Self {
        let left = Left { counters: BTreeSet::new(), message_bytes: MESSAGES_BYTES_MAX, dropped: false };
        Self { left: Shared::new(left) }
    }

    /// Returns whether the step may use this counter.
    pub(super) fn admit_counter(&self, name: &str) -> bool {
        let counters = &mut self.left.lock().counters;
        counters.contains(name) || (counters.len() < COUNTERS_MAX && counters.insert(name.to_owned()))
    }

    /// Charges a message of this length, and returns whether it is passed on.
    pub(super) fn admit_message(&self, bytes: u64) -> Admission {
        let mut left = self.left.lock();
        match left.message_bytes.checked_sub(bytes + MESSAGE_BYTES) {
            Some(rest) if !left.dropped => {
                left.message_bytes = rest;
                Admission::Passed
            }
            _ if std::mem::replace(&mut left.dropped, true) => Admission::Dropped,
            _ => Admission::FirstDropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_once_however_many_instances_use_them() {
        let allowance = Allowance::new();
        for round in 0..2 {
            let admitted = (0..300).filter(|name| allowance.clone().admit_counter(&name.to_string())).count();
            assert_eq!(admitted, COUNTERS_MAX, "in round {round}");
        }
    }

    #[test]
    fn the_first_message_too_many_is_told_apart_and_a_shorter_one_does_not_follow() {
        let allowance = Allowance::new();
        let length = MESSAGES_BYTES_MAX / 2;
        let admissions = [length - MESSAGE_BYTES, length, 0, 0].map(|bytes| allowance.admit_message(bytes));
        let expected = [Admission::Passed, Admission::FirstDropped, Admission::Dropped, Admission::Dropped];
        assert_eq!(admissions, expected);
    }
}
