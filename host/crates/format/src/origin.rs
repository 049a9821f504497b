//! The places that records came from.

use std::borrow::Cow;

use etl_core::model::position::Position;

/// The place that a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name of the object.
    pub object: &'a str,
    /// Position of the record in the object.
    pub at: Position,
    /// The record as it was read, without its line end; of a format that keeps values apart, the row as JSON.
    pub record: Cow<'a, [u8]>,
}

/// The records of a batch as they were read, each with the place it came from.
pub(crate) trait Origins: Send + Sync {
    /// Returns the place that a record came from. Panics if there is no such record.
    fn origin(&self, record: usize) -> Origin<'_>;
}
