//! Stores for tests: one that counts requests, and one that fails on purpose.

pub(crate) mod counting;
pub(crate) mod faulty;
