//! The pages of one column of a row group, from bytes that are fetched window by window.
//!
//! Owns how much of a column is held: two windows, the page that is decoded, and its dictionary. What all columns of a
//! row group hold is bounded together.

use std::{
    collections::VecDeque,
    io::{self, Read},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::{Buf, Bytes};
use etl_core::{model::error::Error, text::numbers::bytes as size};
use parquet::{
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        reader::{ChunkReader, Length},
        serialized_reader::SerializedPageReader,
    },
};

use crate::ReadAt;

/// Maximum number of bytes that the columns of a row group hold at a time, encoded and decoded.
pub(super) const HELD_BYTES_MAX: u64 = 128 << 20;

/// What the columns of a row group hold together, and the error that ends reading it. The library makes text of the
/// errors it is handed, so they go by here.
#[derive(Default)]
pub(super) struct Held {
    bytes: AtomicU64,
    failed: Mutex<Option<Error>>,
}

impl Held {
    fn fail(&self, error: Error) -> ParquetError {
        let shown = error.to_string();
        *lock(&self.failed) = Some(error);
        ParquetError::General(shown)
    }

    /// Returns the error that ended reading, if it was not the library's.
    pub(super) fn failed(&self) -> Option<Error> {
        lock(&self.failed).take()
    }

    /// Counts bytes that are held.
    fn take(&self, bytes: u64) -> ParquetResult<()> {
        let held = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        if held <= HELD_BYTES_MAX { Ok(()) } else { Err(self.too_much(held)) }
    }

    fn too_much(&self, bytes: u64) -> ParquetError {
        self.fail(Error::input(format!(
            "its pages take {} at a time (limit {}): read fewer fields, or write it with smaller pages",
            size(bytes),
            size(HELD_BYTES_MAX)
        )))
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a column of a row group, read once from front to back.
#[derive(Clone)]
pub(super) struct ColumnBytes(Arc<Column>);

struct Column {
    bytes: Arc<dyn ReadAt>,
    range: Range<u64>,
    window_bytes: u64,
    held: Arc<Held>,
    state: Mutex<State>,
}

struct State {
    /// What was fetched and not taken yet, in order, each with its position.
    pieces: VecDeque<(u64, Bytes)>,
    /// End of what was fetched.
    fetched: u64,
    /// Position of the next header of a page.
    header: u64,
}

impl ColumnBytes {
    /// Creates the bytes of the column in `range`, of which `fetched` begin the range.
    pub(super) fn new(
        bytes: Arc<dyn ReadAt>,
        range: Range<u64>,
        window_bytes: u64,
        fetched: Bytes,
        held: Arc<Held>,
    ) -> Self {
        let (start, end) = (range.start, range.start + fetched.len() as u64);
        let state = State { pieces: VecDeque::from([(start, fetched)]), fetched: end, header: start };
        Self(Arc::new(Column { bytes, range, window_bytes, held, state: Mutex::new(state) }))
    }
}

impl Column {
    /// Fetches windows up to a position, and announces the window behind them.
    fn fetch(&self, state: &mut State, until: u64) -> ParquetResult<()> {
        while state.fetched < until {
            let window = window(&self.range, state.fetched, self.window_bytes);
            let piece = self.bytes.read(window.clone()).map_err(|error| self.held.fail(error))?;
            self.held.take(piece.len() as u64)?;
            state.pieces.push_back((window.start, piece));
            state.fetched = window.end;
            if window.end < self.range.end {
                self.bytes.ahead(&[self::window(&self.range, window.end, self.window_bytes)]);
            }
        }
        Ok(())
    }

    /// Returns some bytes from a position on, or none at the end.
    fn peek(&self, at: u64) -> ParquetResult<Bytes> {
        let mut state = lock(&self.state);
        if at >= self.range.end {
            return Ok(Bytes::new());
        }
        self.fetch(&mut state, at + 1)?;
        let piece = state.pieces.iter().rev().find(|(start, _)| *start <= at);
        Ok(piece.map(|(start, piece)| piece.slice(piece.len().min((at - start) as usize)..)).unwrap_or_default())
    }

    /// Takes bytes, and drops those before them.
    fn take(&self, at: u64, length: usize) -> ParquetResult<Bytes> {
        let end = at.checked_add(length as u64).filter(|end| *end <= self.range.end);
        let end = end.ok_or_else(|| ParquetError::EOF("a page is longer than its column".to_owned()))?;
        let mut state = lock(&self.state);
        if end > state.fetched + self.window_bytes {
            // More than the window to come: a page of this length is held while it is decoded in any case.
            self.held.take(end - state.fetched)?;
            self.held.give_back(end - state.fetched);
        }
        self.fetch(&mut state, end)?;
        state.header = end;
        while let Some((start, piece)) = state.pieces.front()
            && start + piece.len() as u64 <= at
        {
            self.held.give_back(piece.len() as u64);
            state.pieces.pop_front();
        }
        let mut taken = state.pieces.iter().map(|(start, piece)| {
            let within = at.max(*start)..end.min(start + piece.len() as u64);
            piece.slice((within.start - start) as usize..(within.end.max(within.start) - start) as usize)
        });
        let first = taken.next().unwrap_or_default();
        if first.len() == length {
            return Ok(first);
        }
        let mut whole = Vec::with_capacity(length);
        whole.extend_from_slice(&first);
        taken.for_each(|piece| whole.extend_from_slice(&piece));
        Ok(whole.into())
    }

    /// Refuses a page whose header claims to be larger than what may be held, before there is room made for it.
    fn check_header(&self, at: u64) -> ParquetResult<()> {
        if lock(&self.state).header != at {
            return Ok(());
        }
        let head = self.peek(at)?;
        match claimed_bytes(&head[..head.len().min(32)]) {
            Some(bytes) if bytes > HELD_BYTES_MAX => Err(self.held.too_much(bytes)),
            _ => Ok(()),
        }
    }
}

impl Drop for Column {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.held.give_back(state.pieces.iter().map(|(_, piece)| piece.len() as u64).sum());
    }
}

/// Returns the window of a column at a position.
pub(super) fn window(column: &Range<u64>, at: u64, window_bytes: u64) -> Range<u64> {
    at..column.end.min(at + window_bytes)
}

/// Returns the decoded size that the header of a page claims: it is the second field of a Thrift struct, behind the
/// page's type. `None` if it is written in another way.
fn claimed_bytes(header: &[u8]) -> Option<u64> {
    const NEXT_FIELD_I32: u8 = 0x15;
    let mut header = header;
    let mut value = 0;
    for _ in 0..2 {
        header = header.strip_prefix(&[NEXT_FIELD_I32])?;
        value = 0_u64;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = header.split_first()?;
            header = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    // Even numbers stand for positive ones.
    (value % 2 == 0).then_some(value / 2)
}

impl Length for ColumnBytes {
    fn len(&self) -> u64 {
        self.0.range.end
    }
}

impl ChunkReader for ColumnBytes {
    type T = Headers;

    fn get_read(&self, start: u64) -> ParquetResult<Headers> {
        self.0.check_header(start)?;
        Ok(Headers { column: Arc::clone(&self.0), at: start, rest: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.0.take(start, length)
    }
}

/// A reader of the headers of pages.
pub(super) struct Headers {
    column: Arc<Column>,
    at: u64,
    rest: Bytes,
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.column.peek(self.at).map_err(io::Error::other)?;
        }
        let taken = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

/// The pages of a column, which count as held while they are decoded.
pub(super) struct Pages {
    pub(super) pages: SerializedPageReader<ColumnBytes>,
    pub(super) held: Arc<Held>,
    /// Bytes of the dictionary and of the page that is being decoded.
    pub(super) dictionary: u64,
    pub(super) page: u64,
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        self.held.give_back(std::mem::take(&mut self.page));
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            let bytes = page.buffer().len() as u64;
            if page.is_dictionary_page() {
                self.dictionary += bytes;
            } else {
                self.page += bytes;
            }
            self.held.take(bytes)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> ParquetResult<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Pages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.held.give_back(self.dictionary + self.page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_page_says_how_large_it_is() {
        assert_eq!(claimed_bytes(&[0x15, 0x00, 0x15, 0x14, 0x15, 0x14]), Some(10));
        assert_eq!(claimed_bytes(&[0x15, 0x04, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F]), Some(i32::MAX as u64));
        for other in [&[][..], &[0x15], &[0x15, 0x00, 0x19], &[0x15, 0x00, 0x15, 0x01], &[0x15, 0x80]] {
            assert_eq!(claimed_bytes(other), None);
        }
    }
}
