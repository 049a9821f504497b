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
        /// Compression of the data as far as it is known; an object's first bytes may still tell one.
        compression: Compression,
        /// The object's first bytes, up to the end of its header, if the format has one and the slice does not start
        /// the object; empty otherwise.
        head: Bytes,
    },
    /// A slice of an object that is read by position. It comes instead of a start and data.
    Section(Section),
    /// The slice's next bytes, as stored; never empty.
    Data(Bytes),
}

impl Chunk {
    /// Makes the start of a whole object.
    pub fn whole(object: impl Into<Arc<str>>, compression: Compression) -> Self {
        Self::Start { object: object.into(), offset: 0, compression, head: Bytes::new() }
    }
}
