//! The functions that a component imports, or their replacements where steps run natively.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::{
    map::etl::plugin::diagnostics::{count, log},
    map::etl::plugin::output::{emit, reject},
    split::etl::plugin::shards::add,
    split::etl::plugin::source::{list, read},
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{add, count, emit, list, log, read, reject};
