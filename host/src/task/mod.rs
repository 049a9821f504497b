//! Tasks: what one attempt does, from its input to its commit.
//!
//! [`map`] and [`reduce`] are the attempts at a shard and at a partition, [`split`] the one at the split. They share
//! the [`context`] of the run and its loaded [`steps`]. Does not decide which task runs when, or how often: that is the
//! scheduler's.

pub mod chain;
pub mod charge;
pub mod combine;
pub mod commit;
pub mod context;
pub mod input;
pub mod map;
pub mod output;
pub mod partitioning;
pub mod parts;
pub mod poison;
pub mod records;
pub mod reduce;
pub mod rejects;
pub mod split;
pub mod steps;
pub mod stores;
