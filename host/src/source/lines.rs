//! Lines into batches: finds line ends and copies records, once, into one buffer with offsets.
//!
//! Owns what a line is and where a batch is cut. Both depend on the bytes alone, never on the pieces they come in.

use std::sync::Arc;

use arrow_array::BinaryArray;
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use memchr::memchr_iter;

use crate::error::{Error, Result};

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The object's name.
    pub object: &'a str,
    /// Where the record starts in it, in bytes after decompression.
    pub offset: u64,
    /// The record as it was read, without its line end.
    pub record: &'a [u8],
}

/// Lines, each with where it came from.
#[derive(Debug)]
pub(super) struct Lines {
    /// The lines without their ends.
    pub(super) records: BinaryArray,
    /// Bytes read for them, line ends included.
    pub(super) bytes: u64,
    /// Where each line starts, from where its segment does.
    starts: Vec<u32>,
    segments: Vec<Segment>,
}

/// Lines of a batch that follow each other in one object.
#[derive(Debug)]
struct Segment {
    first_line: usize,
    object: Arc<str>,
    /// Where the first of the lines starts in the object.
    offset: u64,
}

impl Lines {
    /// Returns where a line came from; panics when there is no such line.
    pub(super) fn origin(&self, line: usize) -> Origin<'_> {
        let segment = self.segments.partition_point(|segment| segment.first_line <= line) - 1;
        let Segment { object, offset, .. } = &self.segments[segment];
        Origin { object, offset: offset + u64::from(self.starts[line]), record: self.records.value(line) }
    }
}

/// How large things may get, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Of a batch, unless it is one line.
    pub(super) batch: u64,
    /// What a line counts at least towards that.
    pub(super) line_min: u64,
    /// Of a line, its end included.
    pub(super) line_max: u64,
}

/// Collects lines until they are a batch.
#[derive(Debug)]
pub(super) struct LineSplitter {
    sizes: Sizes,
    /// The lines collected, and the beginning of the one that is still coming.
    values: Vec<u8>,
    /// Where each line starts in `values`, and where the last one ends.
    offsets: Vec<i32>,
    starts: Vec<u32>,
    segments: Vec<Segment>,
    bytes: u64,
    cost: u64,
    /// Whether the last line no longer fits, and starts the next batch.
    full: bool,
    object: Arc<str>,
    /// Where in the object the next byte comes from.
    position: u64,
    /// Where in the object the line that is still coming starts.
    line_start: u64,
}

impl LineSplitter {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            values: Vec::new(),
            offsets: vec![0],
            starts: Vec::new(),
            segments: Vec::new(),
            bytes: 0,
            cost: 0,
            full: false,
            object: "".into(),
            position: 0,
            line_start: 0,
        }
    }

    /// Says that the next byte is at `offset` of `object` and starts a line.
    pub(super) fn start_slice(&mut self, object: Arc<str>, offset: u64) {
        (self.position, self.line_start) = (offset, offset);
        self.segments.push(Segment { first_line: self.starts.len(), object: Arc::clone(&object), offset });
        self.object = object;
    }

    /// Takes data, up to where a batch is full, and returns how much.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<usize> {
        let begin = self.position;
        let mut at = 0;
        for line_end in memchr_iter(b'\n', data) {
            self.values.extend_from_slice(&data[at..line_end]);
            at = line_end + 1;
            self.position = begin + at as u64;
            if self.values.len() > self.collected() && self.values.last() == Some(&b'\r') {
                self.values.pop();
            }
            self.end_line()?;
            if self.full {
                return Ok(at);
            }
        }
        self.values.extend_from_slice(&data[at..]);
        self.position = begin + data.len() as u64;
        self.check_length()?;
        Ok(data.len())
    }

    /// Ends the slice's last line, which may lack its line end.
    pub(super) fn end_slice(&mut self) -> Result<()> {
        if self.position > self.line_start { self.end_line() } else { Ok(()) }
    }

    /// Returns whether there is a batch to take before any more data.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Returns the lines of a batch: those that fit if it is full, otherwise all so far. Only between lines.
    pub(super) fn take(&mut self) -> Lines {
        let mut next = Self::new(self.sizes);
        (next.position, next.line_start, next.object) = (self.position, self.line_start, Arc::clone(&self.object));
        if self.full {
            next.carry(self);
        }
        let batch = std::mem::replace(self, next);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(batch.offsets));
        let records = BinaryArray::new(offsets, batch.values.into(), None);
        Lines { records, bytes: batch.bytes, starts: batch.starts, segments: batch.segments }
    }

    /// Moves the last line of the batch before to this one.
    fn carry(&mut self, before: &mut Self) {
        before.offsets.pop();
        let start = before.starts.pop().unwrap_or_default();
        let offset = before.segments.last().map_or(0, |segment| segment.offset) + u64::from(start);
        before.segments.pop_if(|segment| segment.first_line == before.starts.len());
        let length = self.position - offset;
        before.bytes -= length;
        let cut = before.collected();
        self.values.reserve(usize::try_from(self.sizes.batch).unwrap_or_default());
        self.values.extend_from_slice(&before.values[cut..]);
        before.values.truncate(cut);
        self.segments.push(Segment { first_line: 0, object: Arc::clone(&self.object), offset });
        self.starts.push(0);
        self.offsets.push(offset_of(self.values.len()));
        (self.bytes, self.cost) = (length, self.cost_of(length));
    }

    fn end_line(&mut self) -> Result<()> {
        self.check_length()?;
        let length = self.position - self.line_start;
        let cost = self.cost_of(length);
        self.full = !self.starts.is_empty() && self.cost + cost > self.sizes.batch;
        let segment_start = self.segments.last().map_or(0, |segment| segment.offset);
        self.starts.push(u32::try_from(self.line_start - segment_start).expect("a batch and a line are below 2 GiB"));
        self.offsets.push(offset_of(self.values.len()));
        self.cost += cost;
        self.bytes += length;
        self.line_start = self.position;
        Ok(())
    }

    fn cost_of(&self, length: u64) -> u64 {
        length.max(self.sizes.line_min)
    }

    fn check_length(&self) -> Result<()> {
        let Self { object, line_start, sizes: Sizes { line_max, .. }, .. } = self;
        if self.position - line_start > *line_max {
            return Err(Error::input(format!(
                "the record at byte {line_start} of object `{object}` is longer than a record may be ({line_max} bytes)"
            )));
        }
        Ok(())
    }

    /// Returns how many bytes of `values` are whole lines.
    fn collected(&self) -> usize {
        let end = self.offsets.last().copied().unwrap_or_default();
        usize::try_from(end).expect("lengths are not negative")
    }
}

fn offset_of(length: usize) -> i32 {
    i32::try_from(length).expect("a batch and a line are below 2 GiB")
}
