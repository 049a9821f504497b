//! Stores for tests: one that counts requests, and one that fails on purpose. And the tests that every store passes.

pub mod conformance;
pub mod counting;
pub mod faulty;
