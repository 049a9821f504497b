//! The bytes of slices on their way to a decoder.

use std::sync::Arc;

use bytes::Bytes;
use etl_core::model::object::Compression;

use crate::Section;

/// An item of the stream from a fetch to a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// The start of a slice, to which the data that follows belongs.
    Start {
        /// Name of the object.
        object: Arc<str>,
        /// Offset in the object of the first record.
        offset: u64,
        /// Compression of the data.
        compression: Compression,
    },
    /// A slice of an object that is read by position. It comes instead of a start and data.
    Section(Section),
    /// The slice's next bytes, as stored; never empty.
    Data(Bytes),
}
