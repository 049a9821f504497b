//! Connectors: where records come from, and where results go.

pub mod objects;
