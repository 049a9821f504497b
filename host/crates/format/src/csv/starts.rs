//! The search for the starts of records, so that an object can be cut at any byte and yet be read exactly.
//!
//! Owns where a cut moves. Without quotes every line end ends a record, so the search goes from quote to quote, and reads
//! only the records that have some.

use memchr::{memchr, memchr2, memrchr2};

use super::grammar::{Found, Grammar, line};
use crate::content::BYTE_ORDER_MARK;

/// Finds the first record that starts at or behind each cut of an object, whose bytes are pushed in order.
#[derive(Debug)]
pub struct RecordStarts {
    grammar: Grammar,
    /// Whether the first record is a header, which stays with what is in front of it.
    header: bool,
    /// Cuts that are still to be moved, the first one last.
    cuts: Vec<u64>,
    starts: Vec<u64>,
    /// Bytes of which those behind `at` are still to be looked at. These start with a line that is known to start a
    /// record.
    bytes: Vec<u8>,
    at: usize,
    /// Offset in the object of the bytes behind `at`.
    offset: u64,
    /// Number of these bytes in which no quote is.
    plain: usize,
    /// Number of these bytes with which there is no point in trying again.
    tried: usize,
    /// Whether what comes is the rest of a line that is too long.
    is_skipping: bool,
}

impl RecordStarts {
    /// Starts a search for `cuts`, which are sorted.
    pub(crate) fn new(grammar: Grammar, header: bool, cuts: &[u64]) -> Self {
        let starts: Vec<u64> = cuts.iter().copied().take_while(|cut| *cut == 0).collect();
        let cuts = cuts[starts.len()..].iter().rev().copied().collect();
        let bytes = Vec::new();
        Self { grammar, header, cuts, starts, bytes, at: 0, offset: 0, plain: 0, tried: 0, is_skipping: false }
    }

    /// Returns whether all cuts are moved, so that no more bytes are needed.
    pub fn is_done(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Takes the next bytes of the object.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
        if self.rest().len() >= self.tried {
            self.search(false);
        }
    }

    /// Returns where each cut moves: to the start of a record, or to the end of the object.
    pub fn finish(mut self) -> Vec<u64> {
        self.search(true);
        let end = self.offset + self.rest().len() as u64;
        self.starts.extend(self.cuts.iter().map(|_| end));
        self.starts
    }

    /// Looks at the bytes as far as they are known to be whole records.
    fn search(&mut self, at_end: bool) {
        if self.offset == 0 && self.rest().starts_with(BYTE_ORDER_MARK) {
            if self.header {
                self.drop_front(BYTE_ORDER_MARK.len());
            } else {
                self.take(BYTE_ORDER_MARK.len());
            }
        }
        while !self.is_done() && self.step(at_end) {}
        self.tried = if self.is_done() { 0 } else { 2 * self.rest().len() };
        if self.is_done() {
            (self.bytes, self.at) = (Vec::new(), 0);
        }
    }

    /// Takes some lines or one record. Returns whether there is more to take.
    fn step(&mut self, at_end: bool) -> bool {
        if self.is_skipping {
            return self.skip_line(at_end);
        }
        if self.header {
            return self.take_header(at_end);
        }
        let quote = self.grammar.quote.and_then(|quote| memchr(quote, &self.rest()[self.plain..]));
        let plain = quote.map_or(self.rest().len(), |at| self.plain + at);
        let lines = self.lines(plain, at_end);
        self.plain = plain - lines;
        self.take_lines(lines);
        match quote {
            Some(_) => self.take_record(at_end),
            None if self.rest().len() > self.grammar.record_max => self.start_skipping(),
            None => false,
        }
    }

    /// Returns the length of the whole lines in the first `plain` bytes.
    fn lines(&self, plain: usize, at_end: bool) -> usize {
        match memrchr2(b'\n', b'\r', &self.rest()[..plain]) {
            Some(end) if self.rest()[end] == b'\n' => end + 1,
            Some(end) if self.rest().get(end + 1) == Some(&b'\n') => end + 2,
            Some(end) if end + 1 < self.rest().len() || at_end => end + 1,
            // It may be the first half of a line end.
            Some(end) => self.lines(end, at_end),
            None => 0,
        }
    }

    /// Takes whole lines without quotes, each of which may start a record.
    fn take_lines(&mut self, length: usize) {
        while let Some(cut) = self.cuts.pop_if(|cut| *cut <= self.offset + length as u64) {
            let at = usize::try_from(cut - self.offset).expect("the bytes are in memory");
            self.starts.push(self.offset + self.line_start(at) as u64);
        }
        self.drop_front(length);
    }

    /// Returns the position of the first line that starts at or behind `at`, which whole lines follow.
    fn line_start(&self, at: usize) -> usize {
        let is_start = at == 0
            || match self.rest()[at - 1] {
                b'\n' => true,
                b'\r' => self.rest().get(at) != Some(&b'\n'),
                _ => false,
            };
        if is_start {
            return at;
        }
        match memchr2(b'\n', b'\r', &self.rest()[at..]) {
            Some(end) if self.rest()[at + end] == b'\r' && self.rest().get(at + end + 1) == Some(&b'\n') => {
                at + end + 2
            }
            Some(end) => at + end + 1,
            None => self.rest().len(),
        }
    }

    /// Takes the line that holds the next quote: a comment or a record.
    fn take_record(&mut self, at_end: bool) -> bool {
        if self.grammar.comment.is_some_and(|comment| self.rest().first() == Some(&comment)) {
            return match line(self.rest(), at_end) {
                Some((_, end)) => self.take(end),
                None if self.rest().len() > self.grammar.record_max => self.start_skipping(),
                None => false,
            };
        }
        match self.grammar.record(self.rest(), at_end, |_| {}) {
            Found::Record(_, end) | Found::Unclosed(_, end) => self.take(end),
            Found::TooLong => self.start_skipping(),
            Found::More => false,
        }
    }

    /// Takes everything up to the end of the header.
    fn take_header(&mut self, at_end: bool) -> bool {
        let (skipped, found) = self.grammar.next(self.rest(), at_end, |_| {});
        self.header = found == Found::More;
        match found {
            Found::Record(_, end) | Found::Unclosed(_, end) => self.take(skipped + end),
            Found::TooLong => self.start_skipping(),
            Found::More => {
                self.drop_front(skipped);
                false
            }
        }
    }

    /// Takes bytes in which no record starts except at their start.
    fn take(&mut self, length: usize) -> bool {
        let end = self.offset + length as u64;
        while self.cuts.pop_if(|cut| *cut <= end).is_some() {
            self.starts.push(end);
        }
        self.drop_front(length);
        self.plain = 0;
        length > 0
    }

    /// Begins to skip the rest of a line that no decoder reads on behind.
    fn start_skipping(&mut self) -> bool {
        self.is_skipping = true;
        true
    }

    fn skip_line(&mut self, at_end: bool) -> bool {
        match line(self.rest(), at_end) {
            Some((_, end)) => {
                self.is_skipping = false;
                self.take(end)
            }
            None => {
                // A carriage return at the end may be the first half of a line end.
                let keep = usize::from(self.rest().last() == Some(&b'\r'));
                self.drop_front(self.rest().len() - keep);
                self.plain = 0;
                false
            }
        }
    }

    fn drop_front(&mut self, length: usize) {
        self.at += length;
        self.offset += length as u64;
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}
