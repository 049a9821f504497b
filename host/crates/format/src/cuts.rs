//! Where an object may be cut into slices.

use std::ops::Range;

use memchr::memchr;

use crate::csv::{Grammar, RecordStarts};

/// Where the objects of a format may be cut. A compressed object is never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cuts {
    /// Anywhere: records end with `\n`, and a record belongs to the slice in which it starts.
    AtLineEnds,
    /// Anywhere, as [`RecordCuts`] says.
    AtRecords(RecordCuts),
    /// Anywhere, and the object is read by position: see [`Section`](crate::Section).
    ByPosition {
        /// What is fetched first.
        first: First,
    },
    /// Not at all: the only slice of an object is the whole object, for this reason.
    Never(&'static str),
}

/// How objects of CSV are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordCuts {
    pub(crate) grammar: Grammar,
    /// Whether the first record of an object is a header, which the readers of all slices need.
    pub(crate) header: bool,
}

/// The bytes of an object that are fetched first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// This many at its start.
    Start(u64),
    /// This many at its end.
    End(u64),
}

impl First {
    /// Returns where these bytes are in an object of a size.
    pub fn range(self, size: u64) -> Range<u64> {
        match self {
            Self::Start(bytes) => 0..bytes.min(size),
            Self::End(bytes) => size.saturating_sub(bytes)..size,
        }
    }
}

impl Cuts {
    /// Returns whether slices start where records do, so that a search for these has to move each cut before the slices
    /// are read. Otherwise a slice may start anywhere, and its reader finds the first record by a line end.
    pub fn are_exact(self) -> bool {
        matches!(self, Self::AtRecords(cuts) if cuts.grammar.multiline)
    }

    /// Starts the search for the records that start at or behind these cuts, which are sorted; `None` if slices may
    /// start anywhere.
    pub fn record_starts(self, cuts: &[u64]) -> Option<RecordStarts> {
        match self {
            Self::AtRecords(at) if self.are_exact() => Some(RecordStarts::new(at.grammar, at.header, cuts)),
            _ => None,
        }
    }

    /// Returns whether the reader of a slice needs the header of its object.
    pub fn needs_head(self) -> bool {
        matches!(self, Self::AtRecords(cuts) if cuts.header)
    }

    /// Returns the length of the first bytes of an object, up to the end of its header; `None` if more bytes are needed
    /// to tell. `at_end` says whether the object ends with these bytes.
    pub fn head_end(self, bytes: &[u8], at_end: bool) -> Option<usize> {
        match self {
            Self::AtRecords(cuts) if cuts.header => cuts.grammar.head_end(bytes, at_end),
            _ => Some(0),
        }
    }

    /// Returns the position behind the first end of a record in `bytes`, or `None` if no record is known to end there.
    pub fn behind_record(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::AtLineEnds | Self::AtRecords(_) => memchr(b'\n', bytes).map(|end| end + 1),
            Self::ByPosition { .. } | Self::Never(_) => None,
        }
    }

    /// Returns whether a record is known to end with the last of these bytes, which end a slice.
    pub fn ends_record(self, bytes: &[u8]) -> bool {
        self.are_exact() || (!matches!(self, Self::Never(_)) && bytes.last() == Some(&b'\n'))
    }
}
