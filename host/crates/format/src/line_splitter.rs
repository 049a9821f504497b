//! Splitter of bytes into lines: finds line ends and copies records, once, into one buffer with offsets.
//!
//! Owns what a line is and where a batch is cut. Both depend on the bytes alone, never on the pieces they arrive in.

use std::{ops::Range, sync::Arc};

use arrow_array::BinaryArray;
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use etl_core::model::error::{Error, Result};
use memchr::memchr_iter;

use crate::{
    decoder::too_long,
    origin::{Origin, Origins},
};

/// Lines of up to this many bytes are copied as if they had this many bytes.
const SHORT_BYTES: usize = 32;

/// Room in bytes that is made for the first lines of a shard.
const ROOM_BYTES_MIN: usize = 4096;

/// Reason why numbers of lines and bytes fit in 31 bits.
const SMALL: &str = "a batch and a line are below 2 GiB";

/// Lines, each with the place it came from.
#[derive(Debug)]
pub(super) struct LineBatch {
    /// Lines without their line ends.
    pub(super) records: BinaryArray,
    /// Number of bytes read for the lines, line ends included.
    pub(super) bytes: u64,
    /// Numbers of the lines that had a carriage return before their line end.
    returns: Vec<u32>,
    segments: Vec<Segment>,
}

/// Lines of a batch that follow each other in one object.
#[derive(Debug)]
struct Segment {
    first_line: usize,
    object: Arc<str>,
    /// Offset in the object of the first of these lines.
    offset: u64,
}

impl Origins for LineBatch {
    fn origin(&self, line: usize) -> Origin<'_> {
        let segment = self.segments.partition_point(|segment| segment.first_line <= line) - 1;
        let segment = &self.segments[segment];
        let offset = segment.offset + distance(self.records.value_offsets(), &self.returns, segment.first_line, line);
        Origin { object: &segment.object, at: offset.into(), record: self.records.value(line).into() }
    }
}

/// Returns the distance in bytes between the starts of line `first` and of a later line of its segment. The distance is
/// made up of the bytes kept of the lines in between, and their line ends.
fn distance(offsets: &[i32], returns: &[u32], first: usize, line: usize) -> u64 {
    let before = |line: usize| returns.partition_point(|&number| (number as usize) < line);
    let kept = offsets[line].abs_diff(offsets[first]);
    u64::from(kept) + (line - first) as u64 + (before(line) - before(first)) as u64
}

/// Size limits in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineSizes {
    /// Maximum size of a batch, unless the batch is one line.
    pub(super) batch: u64,
    /// Minimum that a line counts towards the size of a batch.
    pub(super) line_min: u64,
    /// Maximum length of a line, its line end included.
    pub(super) line_max: u64,
}

/// Collects lines into batches.
#[derive(Debug)]
pub(super) struct LineSplitter {
    sizes: LineSizes,
    /// Lines collected so far, and the beginning of the line that is still arriving.
    values: Vec<u8>,
    /// Room in bytes to make next. Little at first, because a shard may be tiny.
    room: usize,
    /// Offset of each line in `values`, and the end of the last line.
    offsets: Vec<i32>,
    returns: Vec<u32>,
    segments: Vec<Segment>,
    bytes: u64,
    cost: u64,
    /// Whether the last line no longer fits, so that it starts the next batch.
    full: bool,
    object: Arc<str>,
    /// Offset in the object of the next byte.
    position: u64,
    /// Offset in the object of the line that is still arriving.
    line_start: u64,
}

impl LineSplitter {
    pub(super) fn new(sizes: LineSizes) -> Self {
        Self::with_capacity(sizes, 1)
    }

    fn with_capacity(sizes: LineSizes, offsets: usize) -> Self {
        let mut collected = Vec::with_capacity(offsets);
        collected.push(0);
        Self {
            sizes,
            values: Vec::new(),
            room: ROOM_BYTES_MIN,
            offsets: collected,
            returns: Vec::new(),
            segments: Vec::new(),
            bytes: 0,
            cost: 0,
            full: false,
            object: "".into(),
            position: 0,
            line_start: 0,
        }
    }

    /// Starts a slice: the next byte is at `offset` of `object` and starts a line.
    pub(super) fn start_slice(&mut self, object: Arc<str>, offset: u64) {
        (self.position, self.line_start) = (offset, offset);
        self.segments.push(Segment { first_line: self.lines(), object: Arc::clone(&object), offset });
        self.object = object;
    }

    /// Takes data until a batch is full, and returns the number of bytes taken.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<usize> {
        let begin = self.position;
        let mut at = 0;
        for line_end in memchr_iter(b'\n', data) {
            self.append(data, at..line_end);
            at = line_end + 1;
            self.position = begin + at as u64;
            self.strip_return();
            self.end_line()?;
            if self.full {
                return Ok(at);
            }
        }
        self.append(data, at..data.len());
        self.position = begin + data.len() as u64;
        self.check_length()?;
        Ok(data.len())
    }

    /// Appends a part of `data` to the line that is still arriving.
    #[inline(always)]
    fn append(&mut self, data: &[u8], part: Range<usize>) {
        let length = part.len();
        match data[part.start..].first_chunk::<SHORT_BYTES>() {
            // Copying a fixed length, with the bytes behind the line, is several times as fast as copying the exact
            // length.
            Some(from) if length <= SHORT_BYTES && self.values.capacity() - self.values.len() >= SHORT_BYTES => {
                let filled = self.values.len() + length;
                self.values.extend_from_slice(from);
                self.values.truncate(filled);
            }
            _ => self.append_long(&data[part]),
        }
    }

    #[inline(never)]
    fn append_long(&mut self, data: &[u8]) {
        if self.values.capacity() - self.values.len() < data.len() + SHORT_BYTES {
            let end = self.values.len() + data.len();
            let capacity = (self.room + SHORT_BYTES).max(end + end / 2);
            self.values.reserve_exact(capacity - self.values.len());
            self.room = self.batch_bytes().min(self.room * 8);
        }
        self.values.extend_from_slice(data);
    }

    /// Removes the carriage return from the line that just ended.
    #[inline(always)]
    fn strip_return(&mut self) {
        if self.values.len() > self.collected() && self.values.last() == Some(&b'\r') {
            self.values.pop();
            self.returns.push(u32::try_from(self.lines()).expect(SMALL));
        }
    }

    /// Ends the slice's last line, which may lack its line end.
    pub(super) fn end_slice(&mut self) -> Result<()> {
        if self.position > self.line_start { self.end_line() } else { Ok(()) }
    }

    /// Returns whether a batch has to be taken before more data is pushed.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Returns the lines of a batch: those that fit if the batch is full, otherwise all lines so far. Must be called
    /// only between two lines.
    pub(super) fn take(&mut self) -> LineBatch {
        let mut next = Self::with_capacity(self.sizes, self.offsets.len() + self.offsets.len() / 8);
        (next.position, next.line_start, next.object) = (self.position, self.line_start, Arc::clone(&self.object));
        next.room = self.batch_bytes();
        if self.full {
            next.carry(self);
        }
        let batch = std::mem::replace(self, next);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(batch.offsets));
        let records = BinaryArray::new(offsets, batch.values.into(), None);
        LineBatch { records, bytes: batch.bytes, returns: batch.returns, segments: batch.segments }
    }

    /// Moves the last line of the previous batch to this one.
    fn carry(&mut self, before: &mut Self) {
        let line = before.lines() - 1;
        let offset = before
            .segments
            .last()
            .map_or(0, |segment| segment.offset + distance(&before.offsets, &before.returns, segment.first_line, line));
        before.offsets.pop();
        before.segments.pop_if(|segment| segment.first_line == line);
        if before.returns.pop_if(|number| *number as usize == line).is_some() {
            self.returns.push(0);
        }
        let length = self.position - offset;
        before.bytes -= length;
        let cut = before.collected();
        self.append_long(&before.values[cut..]);
        before.values.truncate(cut);
        self.segments.push(Segment { first_line: 0, object: Arc::clone(&self.object), offset });
        self.offsets.push(offset_of(self.values.len()));
        (self.bytes, self.cost) = (length, self.cost_of(length));
    }

    #[inline(always)]
    fn end_line(&mut self) -> Result<()> {
        self.check_length()?;
        let length = self.position - self.line_start;
        let cost = self.cost_of(length);
        self.full = self.lines() > 0 && self.cost + cost > self.sizes.batch;
        self.offsets.push(offset_of(self.values.len()));
        self.cost += cost;
        self.bytes += length;
        self.line_start = self.position;
        Ok(())
    }

    fn batch_bytes(&self) -> usize {
        usize::try_from(self.sizes.batch).unwrap_or_default()
    }

    #[inline]
    fn cost_of(&self, length: u64) -> u64 {
        length.max(self.sizes.line_min)
    }

    #[inline]
    fn check_length(&self) -> Result<()> {
        if self.position - self.line_start <= self.sizes.line_max { Ok(()) } else { Err(self.too_long()) }
    }

    #[cold]
    fn too_long(&self) -> Error {
        let Self { object, line_start, sizes: LineSizes { line_max, .. }, .. } = self;
        too_long(*line_max, object, *line_start)
    }

    /// Returns the number of complete lines.
    #[inline]
    fn lines(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the number of bytes in `values` that belong to complete lines.
    #[inline]
    fn collected(&self) -> usize {
        let end = self.offsets.last().copied().unwrap_or_default();
        usize::try_from(end).expect("lengths are not negative")
    }
}

#[inline]
fn offset_of(length: usize) -> i32 {
    i32::try_from(length).expect(SMALL)
}
