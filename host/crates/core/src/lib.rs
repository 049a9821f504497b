//! The ground floor of `etl-host`: its words ([`model`]), what it runs on ([`runtime`]), and how things are written for
//! people ([`text`]).
//!
//! Imports no other crate of the host. Every other one uses it.

pub mod model;
pub mod runtime;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
