//! The stored bytes of slices, one slice after the other.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes, BytesMut};
use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};

use crate::chunk::Chunk;

/// The start of a slice that was received but not moved to yet.
pub(super) struct Start {
    pub(super) object: Arc<str>,
    pub(super) offset: u64,
    pub(super) compression: Compression,
    pub(super) head: Bytes,
}

/// The stored bytes of one slice as they arrive. Ends where the next slice starts.
pub(super) struct Stored<I> {
    chunks: I,
    data: Bytes,
    next: Option<Start>,
    /// Error of the chunks, in place of which a decompressor was given an `io::Error`.
    pub(super) failed: Option<Error>,
}

impl<I: Iterator<Item = Result<Chunk>>> Stored<I> {
    pub(super) fn new(chunks: I) -> Self {
        Self { chunks, data: Bytes::new(), next: None, failed: None }
    }

    /// Moves to the next slice and returns its start. Bytes of the previous slice are skipped.
    pub(super) fn next_slice(&mut self) -> Result<Option<Start>> {
        loop {
            self.data.clear();
            self.pull()?;
            if self.data.is_empty() {
                return Ok(self.next.take());
            }
        }
    }

    /// Returns the slice's next `max` bytes without consuming them; fewer if the slice ends before.
    pub(super) fn peek(&mut self, max: usize) -> Result<Bytes> {
        self.pull()?;
        while self.data.len() < max && self.next.is_none() {
            let seen = std::mem::take(&mut self.data);
            self.pull()?;
            if self.data.is_empty() {
                self.data = seen;
                break;
            }
            let mut joined = BytesMut::with_capacity(seen.len() + self.data.len());
            joined.extend_from_slice(&seen);
            joined.extend_from_slice(&self.data);
            self.data = joined.freeze();
        }
        Ok(self.data.slice(..self.data.len().min(max)))
    }

    /// Takes more data from the chunks, unless there is some or the slice is at its end.
    fn pull(&mut self) -> Result<()> {
        while self.data.is_empty() && self.next.is_none() {
            match self.chunks.next().transpose()? {
                Some(Chunk::Data(data)) => self.data = data,
                Some(Chunk::Section(section)) => {
                    let object = section.object;
                    return Err(Error::internal(format!("object `{object}` is read by position, but not its format")));
                }
                Some(Chunk::Start { object, offset, compression, head }) => {
                    self.next = Some(Start { object, offset, compression, head });
                }
                None => break,
            }
        }
        Ok(())
    }
}

impl<I: Iterator<Item = Result<Chunk>>> Read for Stored<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = self.fill_buf()?;
        let length = data.len().min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<I: Iterator<Item = Result<Chunk>>> BufRead for Stored<I> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.pull() {
            self.failed = Some(error);
            return Err(io::Error::other("the object could not be read"));
        }
        Ok(&self.data)
    }

    fn consume(&mut self, bytes: usize) {
        self.data.advance(bytes);
    }
}
