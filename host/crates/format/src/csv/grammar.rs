//! The grammar of CSV: where a record ends, and where its fields are.
//!
//! Owns what a quote, an escape, a comment and a line end mean. The decoder and the search for the starts of records
//! both read by it, so they agree about every byte, also in malformed data.

use memchr::{memchr2, memchr3};

use crate::content::BYTE_ORDER_MARK;

/// What the bytes of CSV mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grammar {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What stands around a field that holds other signs; `None` if nothing does.
    pub quote: Option<u8>,
    /// What stands within quotes before a byte that means itself. Without it, a quote is doubled.
    pub escape: Option<u8>,
    /// What a line starts with that is no record.
    pub comment: Option<u8>,
    /// Whether blanks around fields, and around their quotes, are no part of them.
    pub trim: bool,
    /// Whether a quoted field may hold line ends.
    pub multiline: bool,
    /// Maximum length of a record in bytes, its line end included.
    pub record_max: usize,
}

/// A field of a record: the range of its bytes within the record, without the quotes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub start: u32,
    pub end: u32,
    pub form: Form,
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without quotes.
    Plain,
    /// In quotes.
    Quoted,
    /// In quotes, with quotes or escapes to resolve.
    Escaped,
    /// In quotes, with text behind them.
    Overrun,
    /// Not at all, because the object has no such column.
    Missing,
}

/// What stands at the start of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A record: its length without its line end, and with it.
    Record(usize, usize),
    /// A record with a quote that is not closed in time: the length of its first line, which is all that is taken for
    /// it, without the line end and with it.
    Unclosed(usize, usize),
    /// A first line that is longer than a record may be.
    TooLong,
    /// More bytes are needed.
    More,
}

/// Where a field stops.
enum Stop {
    Delimiter,
    /// A line end of some bytes, or the end of the object.
    Line(usize),
    More,
    Unclosed,
}

impl Grammar {
    /// Returns what stands at the start of `bytes`, which is the start of a record: neither a line end nor a comment.
    /// `at_end` says whether the object ends behind them. `cell` is called for each field; what it was given counts
    /// only if a record is found.
    pub(super) fn record(&self, bytes: &[u8], at_end: bool, cell: impl FnMut(Cell)) -> Found {
        // One byte more tells whether a carriage return is all of a line end.
        let window = &bytes[..bytes.len().min(self.record_max.saturating_add(1))];
        let is_longer = window.len() > self.record_max;
        let (text, stop) = self.cells(window, at_end && !is_longer, cell);
        match stop {
            Stop::Line(line_end) if text + line_end <= self.record_max => Found::Record(text, text + line_end),
            Stop::More if !is_longer => Found::More,
            Stop::Line(_) | Stop::Delimiter | Stop::More | Stop::Unclosed => self.first_line(bytes, at_end),
        }
    }

    /// Returns the length of the line ends and comments in front of the next record, as far as they are whole, and what
    /// stands behind them, as [`Grammar::record`] does. Nothing more stands behind them if more bytes are needed at the
    /// end of the object.
    pub(super) fn next(&self, bytes: &[u8], at_end: bool, cell: impl FnMut(Cell)) -> (usize, Found) {
        let mut at = 0;
        loop {
            at += bytes[at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let rest = &bytes[at..];
            if rest.is_empty() {
                return (at, Found::More);
            }
            if rest.first() != self.comment.as_ref() {
                return (at, self.record(rest, at_end, cell));
            }
            match line(rest, at_end) {
                Some((text, _)) if text >= self.record_max => return (at, Found::TooLong),
                Some((_, end)) => at += end,
                None if rest.len() > self.record_max => return (at, Found::TooLong),
                None => return (at, Found::More),
            }
        }
    }

    /// Returns the length of `bytes`, the first ones of an object, up to the end of its header; `None` if more bytes are
    /// needed to tell.
    pub(crate) fn head_end(&self, bytes: &[u8], at_end: bool) -> Option<usize> {
        let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let (skipped, found) = self.next(&bytes[mark..], at_end, |_| {});
        match found {
            Found::Record(_, end) | Found::Unclosed(_, end) => Some(mark + skipped + end),
            Found::More => at_end.then_some(bytes.len()),
            Found::TooLong => Some(bytes.len()),
        }
    }

    fn first_line(&self, bytes: &[u8], at_end: bool) -> Found {
        match line(bytes, at_end) {
            Some((text, _)) if text >= self.record_max => Found::TooLong,
            Some((text, end)) => Found::Unclosed(text, end),
            None if bytes.len() > self.record_max => Found::TooLong,
            None => Found::More,
        }
    }

    /// Reads fields up to the end of the record. Returns where it stopped.
    fn cells(&self, bytes: &[u8], at_end: bool, mut cell: impl FnMut(Cell)) -> (usize, Stop) {
        let mut at = 0;
        loop {
            let start = self.behind_blanks(bytes, at);
            let (found, stop) = match self.quote {
                Some(quote) if bytes.get(start) == Some(&quote) => self.quoted(bytes, start + 1, at_end, quote),
                _ => self.plain(bytes, start, at_end),
            };
            at = found.1;
            match stop {
                Stop::Delimiter => at += 1,
                Stop::Line(_) => {}
                Stop::More | Stop::Unclosed => return (at, stop),
            }
            cell(found.0);
            if matches!(stop, Stop::Line(_)) {
                return (at, stop);
            }
        }
    }

    /// Reads a field without quotes. Returns it with the position behind it.
    #[inline]
    fn plain(&self, bytes: &[u8], start: usize, at_end: bool) -> ((Cell, usize), Stop) {
        let (end, stop) = self.stop(bytes, start, at_end);
        let mut text_end = end;
        while self.trim && text_end > start && self.is_blank(bytes[text_end - 1]) {
            text_end -= 1;
        }
        ((cell(start, text_end, Form::Plain), end), stop)
    }

    /// Reads the rest of a field whose opening quote was read.
    fn quoted(&self, bytes: &[u8], start: usize, at_end: bool, quote: u8) -> ((Cell, usize), Stop) {
        let (mut at, mut form) = (start, Form::Quoted);
        let open = |stop| ((cell(start, start, Form::Quoted), start), stop);
        let short = if at_end { Stop::Unclosed } else { Stop::More };
        let escape = self.escape.unwrap_or(quote);
        let line_end = if self.multiline { quote } else { b'\n' };
        loop {
            let Some(found) = memchr3(quote, escape, line_end, &bytes[at..]) else { return open(short) };
            at += found;
            let (byte, next) = (bytes[at], bytes.get(at + 1));
            if byte != quote && byte != escape {
                return open(Stop::Unclosed);
            }
            match (byte == escape, next) {
                (true, None) if byte != quote || !at_end => return open(short),
                (true, Some(next)) if byte != quote || *next == quote => {
                    if *next == b'\n' && !self.multiline {
                        return open(Stop::Unclosed);
                    }
                    form = Form::Escaped;
                    at += 2;
                }
                _ => break,
            }
        }
        let behind = self.behind_blanks(bytes, at + 1);
        let (end, stop) = self.stop(bytes, behind, at_end);
        let form = if end > behind { Form::Overrun } else { form };
        ((cell(start, at, form), end), stop)
    }

    /// Returns the position of the delimiter or line end at or behind `at`.
    #[inline]
    fn stop(&self, bytes: &[u8], at: usize, at_end: bool) -> (usize, Stop) {
        match memchr3(self.delimiter, b'\n', b'\r', &bytes[at..]) {
            None if at_end => (bytes.len(), Stop::Line(0)),
            None => (bytes.len(), Stop::More),
            Some(length) if bytes[at + length] == self.delimiter => (at + length, Stop::Delimiter),
            Some(length) => {
                let line_end = line_end(&bytes[at + length..], at_end);
                (at + length, line_end.map_or(Stop::More, Stop::Line))
            }
        }
    }

    #[inline]
    fn behind_blanks(&self, bytes: &[u8], mut at: usize) -> usize {
        while self.trim && bytes.get(at).is_some_and(|byte| self.is_blank(*byte)) {
            at += 1;
        }
        at
    }

    fn is_blank(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && byte != self.delimiter
    }

    /// Appends the text of a field in quotes, without its escapes.
    pub(super) fn unescape(&self, quoted: &[u8], text: &mut Vec<u8>) {
        let Some(escape) = self.escape.or(self.quote) else { return text.extend_from_slice(quoted) };
        let mut rest = quoted;
        while let Some(at) = memchr::memchr(escape, rest) {
            text.extend_from_slice(&rest[..at]);
            text.extend(rest.get(at + 1));
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        text.extend_from_slice(rest);
    }
}

fn cell(start: usize, end: usize, form: Form) -> Cell {
    let small = |at: usize| u32::try_from(at).expect("a record has at most 1 GiB");
    Cell { start: small(start), end: small(end), form }
}

impl Cell {
    /// A field of a column that the object does not have.
    pub(super) const MISSING: Self = Self { start: 0, end: 0, form: Form::Missing };

    /// Returns the bytes of the field, as they are written.
    pub(super) fn of<'r>(&self, record: &'r [u8]) -> &'r [u8] {
        &record[self.start as usize..self.end as usize]
    }
}

/// Returns the length of the first line of `bytes` without its line end and with it; `None` if more bytes are needed.
pub(super) fn line(bytes: &[u8], at_end: bool) -> Option<(usize, usize)> {
    match memchr2(b'\n', b'\r', bytes) {
        Some(text) => Some((text, text + line_end(&bytes[text..], at_end)?)),
        None => at_end.then_some((bytes.len(), bytes.len())),
    }
}

/// Returns the length of the line end that `bytes` start with; `None` if more bytes are needed.
fn line_end(bytes: &[u8], at_end: bool) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r'] if !at_end => None,
        _ => Some(1),
    }
}
