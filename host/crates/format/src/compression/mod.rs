//! Compression of the bytes of objects: those of a source are decompressed, those of a sink compressed.
//!
//! Owns the compressions, and the start of an object: its first bytes say how it is compressed, what holds no records is
//! refused, and a byte order mark is skipped. A buffer bounds the bytes handed out at once, no matter how much a few
//! compressed bytes expand to.

mod lz4;
mod members;
mod pack;
mod stored;
#[cfg(test)]
mod tests;
mod unpack;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};

pub(crate) use self::pack::Packer;
pub use self::{
    pack::pack_bytes,
    unpack::{UNPACK_BYTES, UNPACK_BYTES_MAX},
};
use self::{
    stored::{Start, Stored},
    unpack::{Reader, cause},
};
use crate::{
    chunk::Chunk,
    content::{BYTE_ORDER_MARK, HEAD_BYTES, check_head, check_name, check_start, is_utf16},
};

/// Reason why `Inflate::reader` is always present.
const REPLACED: &str = "the reader is put back after each use, unless there was an error";

/// The plain bytes of a shard's slices, one slice after the other. Cannot be used after an error.
pub(super) struct Inflate<I: Iterator<Item = Result<Chunk>>> {
    reader: Option<Reader<I>>,
    object: Arc<str>,
    compression: Compression,
    /// The first bytes of the object, which were read to find out what it holds and are still to be handed out.
    head: Bytes,
    /// Whether objects may be UTF-16.
    takes_utf16: bool,
}

/// The start of a slice.
pub(super) struct SliceStart {
    pub(super) object: Arc<str>,
    /// Offset in the object of the slice's first record.
    pub(super) offset: u64,
    /// The first bytes of the object, up to the end of its header, if the slice does not start the object.
    pub(super) head: Bytes,
}

impl<I: Iterator<Item = Result<Chunk>>> Inflate<I> {
    pub(super) fn new(chunks: I) -> Self {
        let reader = Some(Reader::Plain(Stored::new(chunks)));
        let (compression, head) = (Compression::None, Bytes::new());
        Self { reader, object: "".into(), compression, head, takes_utf16: false }
    }

    /// Lets objects be UTF-16, whose bytes are handed out as they are.
    pub(super) fn taking_utf16(self) -> Self {
        Self { takes_utf16: true, ..self }
    }

    /// Moves to the next slice, and returns its start; `None` after the last slice. Bytes of the previous slice that were
    /// not consumed are skipped, and so is a byte order mark at the start of an object.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when an object holds something else than records,
    /// or is not compressed as its name says.
    pub(super) fn next_slice(&mut self) -> Result<Option<SliceStart>> {
        let mut stored = self.reader.take().expect(REPLACED).into_stored();
        (self.head, self.compression) = (Bytes::new(), Compression::None);
        let Some(Start { object, offset, compression, head }) = stored.next_slice()? else {
            self.reader = Some(Reader::Plain(stored));
            return Ok(None);
        };
        self.object = Arc::clone(&object);
        if offset > 0 {
            // A compressed object has no such slice.
            self.reader = Some(Reader::Plain(stored));
            return Ok(Some(SliceStart { object, offset, head }));
        }
        check_name(&object)?;
        self.compression = check_start(&object, compression, &stored.peek(HEAD_BYTES)?)?;
        self.reader = Some(Reader::new(stored, self.compression)?);
        let skipped = self.read_head()?;
        Ok(Some(SliceStart { object, offset: skipped, head }))
    }

    /// Reads the first bytes of an object and checks them. Returns the number of bytes of a byte order mark, which is
    /// skipped.
    fn read_head(&mut self) -> Result<u64> {
        let mut head = Vec::new();
        while head.len() < HEAD_BYTES {
            let data = self.fill_reader()?;
            if data.is_empty() {
                break;
            }
            let taken = data.len().min(HEAD_BYTES - head.len());
            head.extend_from_slice(&data[..taken]);
            self.consume(taken);
        }
        if !(self.takes_utf16 && is_utf16(&head)) {
            check_head(&self.object, &head)?;
        }
        let skipped = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        self.head = Bytes::from(head).slice(skipped..);
        Ok(skipped as u64)
    }

    /// Returns the slice's next bytes without consuming them; empty at the slice's end.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        if self.head.is_empty() { self.fill_reader() } else { Ok(&self.head) }
    }

    fn fill_reader(&mut self) -> Result<&[u8]> {
        let reader = self.reader.as_mut().expect(REPLACED);
        // Asking twice is free, because the buffer is full the second time. The bytes of the first answer would keep
        // the reader borrowed in the branch of the error.
        if let Err(error) = reader.fill() {
            let failed = reader.stored().failed.take();
            let (object, name) = (&self.object, self.compression.name());
            let invalid = || {
                let cause = cause(self.compression, &error);
                Error::input(format!("object `{object}` cannot be decompressed as {name}: {cause}"))
            };
            return Err(failed.unwrap_or_else(invalid));
        }
        Ok(reader.fill().unwrap_or_default())
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        if self.head.is_empty() {
            self.reader.as_mut().expect(REPLACED).consume(bytes);
        } else {
            self.head.advance(bytes);
        }
    }
}

/// Returns the error that this build lacks a compression.
#[cfg(not(all(feature = "bzip2", feature = "xz")))]
fn missing(compression: Compression) -> Error {
    let name = compression.name();
    Error::config(format!("this build of etl-host has no {name} (the feature `{name}` of `etl-format` is off)"))
}
