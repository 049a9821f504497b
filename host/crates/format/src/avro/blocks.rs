//! The blocks of a section.
//!
//! Owns which blocks are in it, and how many of its bytes are in memory. A block belongs to the slice in which the
//! marker before it starts: so each has one slice, wherever an object is cut.

use std::sync::Arc;

use bytes::Bytes;
use etl_core::model::error::{Error, Result};
use memchr::memmem;

use super::{
    codec::{self, BLOCK_BYTES_MAX},
    header::{Header, MARKER_BYTES, damaged},
};
use crate::{AvroCompression, Section};

/// Bytes that a decoder may hold: a block as it is stored, and decompressed.
pub(super) const HELD_BYTES_MAX: u64 = 2 * BLOCK_BYTES_MAX;

/// Number of bytes that are fetched at a time, within the section and behind it.
const WINDOW_BYTES: u64 = 1 << 20;
const TAIL_BYTES: u64 = 64 << 10;

/// Number of records in a block up to which they need no bytes.
const EMPTY_RECORDS_MAX: u64 = 1 << 20;

/// A block, decompressed.
pub(super) struct Block {
    /// Position in the object.
    pub(super) at: u64,
    /// Number of records.
    pub(super) records: u64,
    pub(super) bytes: Bytes,
}

/// The blocks of a section, in order.
pub(super) struct Blocks {
    section: Section,
    header: Arc<Header>,
    /// The bytes that are fetched and not taken.
    window: Bytes,
    /// Position in the object of the first byte of the window.
    at: u64,
    /// Position of the first byte that is not fetched.
    fetched: u64,
    /// Whether `at` is the start of a block.
    in_step: bool,
}

impl Blocks {
    pub(super) fn new(section: &Section, header: Arc<Header>) -> Self {
        let behind_header = header.bytes;
        let first_marker = behind_header - MARKER_BYTES as u64;
        let in_step = section.range.start <= first_marker;
        let at = if in_step { behind_header } else { section.range.start };
        Self { section: section.clone(), header, window: Bytes::new(), at, fetched: at, in_step }
    }

    /// Returns the next block, or `None` behind the last one of the section.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object and the place, when the
    /// block is damaged or too long; as [`ReadAt::read`](crate::ReadAt::read).
    pub(super) fn next(&mut self) -> Result<Option<Block>> {
        if !self.in_step && !self.find_marker()? {
            return Ok(None);
        }
        self.in_step = true;
        let marker_at = self.at - MARKER_BYTES as u64;
        if marker_at >= self.section.range.end || self.at == self.section.size {
            return Ok(None);
        }
        self.block().map(Some)
    }

    fn block(&mut self) -> Result<Block> {
        let at = self.at;
        let records = self.number(at, "records")?;
        let length = self.number(at, "bytes")?;
        if length > BLOCK_BYTES_MAX {
            return Err(self.broken(at, format!("has {length} bytes (limit {BLOCK_BYTES_MAX} bytes)")));
        }
        let stored = self.take(at, length as usize)?;
        let marker = self.take(at, MARKER_BYTES)?;
        if *marker != self.header.marker {
            return Err(self.broken(at, "does not end with the marker of the object"));
        }
        let bytes = match self.header.compression {
            AvroCompression::None => stored,
            compression => codec::decompress(compression, &stored).map_err(|what| self.broken(at, what))?.into(),
        };
        if records > EMPTY_RECORDS_MAX.max(bytes.len() as u64) {
            return Err(self.broken(at, format!("has {} bytes, which are no {records} records", bytes.len())));
        }
        Ok(Block { at, records, bytes })
    }

    /// Returns the error that the block at a position cannot be read.
    pub(super) fn broken(&self, at: u64, what: impl std::fmt::Display) -> Error {
        damaged(&self.section.object, format!("the block at byte {at} {what}"))
    }

    /// Moves behind the first marker that starts in the rest of the section. Returns whether there is one.
    fn find_marker(&mut self) -> Result<bool> {
        let finder = memmem::Finder::new(&self.header.marker).into_owned();
        loop {
            if let Some(found) = finder.find(&self.window) {
                let starts_in = self.at + (found as u64) < self.section.range.end;
                self.skip(found + MARKER_BYTES);
                return Ok(starts_in);
            }
            // The bytes at the end may be the beginning of a marker.
            self.skip(self.window.len().saturating_sub(MARKER_BYTES - 1));
            if self.at >= self.section.range.end || !self.fetch()? {
                return Ok(false);
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.window = self.window.slice(bytes..);
        self.at += bytes as u64;
    }

    /// Reads a number that says how many of something a block has.
    fn number(&mut self, block_at: u64, what: &str) -> Result<u64> {
        let at = self.at;
        let mut bytes = Vec::new();
        loop {
            let byte = self.take(block_at, 1)?[0];
            bytes.push(byte);
            if byte < 0x80 || bytes.len() == 10 {
                break;
            }
        }
        let number = super::cursor::Cursor::new(&bytes).long().ok().and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| damaged(&self.section.object, format!("at byte {at} is no number of {what} of a block")))
    }

    /// Takes this many bytes of the block at a position.
    fn take(&mut self, block_at: u64, bytes: usize) -> Result<Bytes> {
        if bytes as u64 > self.section.size - self.at {
            return Err(self.broken(block_at, "goes on behind the end of the object, which is cut off or damaged"));
        }
        if self.window.is_empty() {
            self.fetch()?;
        }
        if bytes <= self.window.len() {
            let taken = self.window.slice(..bytes);
            self.skip(bytes);
            return Ok(taken);
        }
        let mut taken = Vec::with_capacity(bytes);
        while taken.len() < bytes {
            if self.window.is_empty() {
                self.fetch()?;
            }
            let part = self.window.len().min(bytes - taken.len());
            taken.extend_from_slice(&self.window[..part]);
            self.skip(part);
        }
        Ok(taken.into())
    }

    /// Returns where the window behind one that ends at `at` is.
    fn window_at(&self, at: u64) -> std::ops::Range<u64> {
        let (end, size) = (self.section.range.end, self.section.size);
        at..if at < end { end.min(at + WINDOW_BYTES) } else { size.min(at + TAIL_BYTES) }
    }

    /// Fetches the next window, behind what is left of this one. Returns whether there is one.
    fn fetch(&mut self) -> Result<bool> {
        let range = self.window_at(self.fetched);
        if range.is_empty() {
            return Ok(false);
        }
        self.fetched = range.end;
        if range.end < self.section.range.end {
            // Both, in their order, so that the second does not come before the first.
            self.section.bytes.ahead(&[range.clone(), self.window_at(range.end)]);
        }
        let more = self.section.bytes.read(range)?;
        self.window = if self.window.is_empty() { more } else { [&self.window[..], &more].concat().into() };
        Ok(true)
    }
}
