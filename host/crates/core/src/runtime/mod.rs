//! What the host runs on: threads that may wait, workers, the clock of an attempt, local scratch space, the process.

pub mod clock;
pub mod fail_point;
pub mod process;
pub mod scratch;
pub mod threads;
pub mod workers;
