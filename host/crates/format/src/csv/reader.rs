//! Reader of the records of a slice, one after the other, in a buffer that holds each as a whole.

use std::sync::Arc;

use etl_core::model::error::Result;

use super::{
    grammar::{Cell, Found, Grammar},
    text::Text,
};
use crate::decoder::too_long;

/// Number of bytes that are taken into the buffer at once, at least.
const STEP_BYTES: usize = 64 << 10;

/// The records of a shard.
pub(super) struct Records<'a> {
    input: Text<'a>,
    grammar: Grammar,
    object: Arc<str>,
    buffer: Vec<u8>,
    /// Position in the buffer of the next byte that is not read, and its offset in the object.
    at: usize,
    offset: u64,
    /// Whether the slice ends with the buffer.
    at_end: bool,
    /// Number of bytes before the next one that belong to no record and are not counted yet.
    passed: u64,
}

/// A record that was read.
pub(super) struct Record<'r> {
    pub object: &'r Arc<str>,
    pub offset: u64,
    /// The record without its line end.
    pub text: &'r [u8],
    /// Number of bytes read for it, with line ends and comments in front of it.
    pub bytes: u64,
    /// Whether it is the first line of a record with a quote that is not closed.
    pub is_unclosed: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(input: Text<'a>, grammar: Grammar) -> Self {
        Self { input, grammar, object: "".into(), buffer: Vec::new(), at: 0, offset: 0, at_end: true, passed: 0 }
    }

    /// Moves to the next slice, if there is one. Returns its object's first bytes, which hold the header, if it does
    /// not start the object.
    pub(super) fn next_slice(&mut self) -> Result<Option<bytes::Bytes>> {
        let Some(slice) = self.input.next_slice()? else { return Ok(None) };
        (self.object, self.offset) = (slice.object, slice.offset);
        self.buffer.clear();
        (self.at, self.at_end) = (0, false);
        Ok(Some(slice.head))
    }

    /// Returns the object of the slice.
    pub(super) fn object(&self) -> &Arc<str> {
        &self.object
    }

    /// Returns the next record of the slice with its fields, if there is one.
    pub(super) fn next(&mut self, cells: &mut Vec<Cell>) -> Result<Option<Record<'_>>> {
        loop {
            cells.clear();
            let (skipped, found) = self.grammar.next(&self.buffer[self.at..], self.at_end, |cell| cells.push(cell));
            let (text, length, is_unclosed) = match found {
                Found::Record(text, length) => (text, length, false),
                Found::Unclosed(text, length) => (text, length, true),
                Found::TooLong => {
                    let offset = self.offset + skipped as u64;
                    return Err(too_long(self.grammar.record_max as u64, &self.object, offset));
                }
                Found::More if self.at_end => return Ok(None),
                Found::More => {
                    self.pass(skipped);
                    self.fill()?;
                    continue;
                }
            };
            self.pass(skipped);
            let (start, offset) = (self.at, self.offset);
            self.pass(length);
            let bytes = std::mem::take(&mut self.passed);
            let text = &self.buffer[start..start + text];
            return Ok(Some(Record { object: &self.object, offset, text, bytes, is_unclosed }));
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.at += bytes;
        self.offset += bytes as u64;
        self.passed += bytes as u64;
    }

    /// Takes more bytes into the buffer: as many as it holds, so that a long record is not looked at again and again.
    fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let wanted = 2 * self.buffer.len().max(STEP_BYTES);
        while self.buffer.len() < wanted {
            let data = self.input.fill()?;
            if data.is_empty() {
                self.at_end = true;
                break;
            }
            let taken = data.len().min(wanted - self.buffer.len());
            self.buffer.extend_from_slice(&data[..taken]);
            self.input.consume(taken);
        }
        Ok(())
    }
}
