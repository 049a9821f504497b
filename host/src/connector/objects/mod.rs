//! Objects of a store as a source and as a sink.
//!
//! Owns which objects belong to a source, which records belong to a slice, the built-in split, and the order in which a
//! result is published. Does not decide which attempt wins: that is the run store's.
//!
//! ```text
//! store ─► fetch (async, reads ahead) ─► Chunks ─► format
//! ```

mod fetch;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod layout;
mod listing;
mod publish;
pub mod split;
#[cfg(test)]
mod tests;

pub use self::{
    fetch::{Chunks, READ_AHEAD_BYTES, fetch},
    listing::SourceStore,
    publish::{Gone, Latest, PublishedPart, delete_leftovers, move_parts, publish},
};
