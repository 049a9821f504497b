//! Fuzz targets for what strangers hand to the host: batches, components, debug information.
//!
//! Each function takes arbitrary bytes, and panics when a promise is broken. The targets in `host/fuzz` call it with
//! bytes that are made to reach every branch, the tests here with the seeds of those targets. Not part of the program.

mod batch;
mod component;

pub use batch::guest_batch;
pub use component::{component, debug_info};
