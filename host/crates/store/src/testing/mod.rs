//! Stores for tests: one that counts requests, and one that fails on purpose.

pub mod counting;
pub mod faulty;
