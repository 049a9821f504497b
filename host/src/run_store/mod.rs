//! The run store: every document of a run, and the key it lies at.
//!
//! Owns the layout of a run, its plan, shards, commits, events and manifest: what is written down, and how it is read
//! back. Does not decide when: that is the run's.

pub mod beats;
pub mod claims;
pub mod commit;
pub mod document;
pub mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod left_out;
pub mod manifest;
pub mod plan;
pub mod recipe;
pub mod shards;
pub mod uploads;
