//! Under construction.

/// A slice.
#[derive(Debug)]
pub struct Slice {
    /// x
    pub object: String,
    /// x
    pub offset: u64,
    /// x
    pub length: u64,
}
