//! The places that records came from.

/// The place that a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name of the object.
    pub object: &'a str,
    /// Offset of the record in the object, in bytes after decompression.
    pub offset: u64,
    /// The record as it was read, without its line end.
    pub record: &'a [u8],
}

/// The records of a batch as they were read, each with the place it came from.
pub(crate) trait Origins: Send + Sync {
    /// Returns the place that a record came from. Panics if there is no such record.
    fn origin(&self, record: usize) -> Origin<'_>;
}
