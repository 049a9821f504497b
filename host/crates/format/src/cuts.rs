//! Where an object may be cut into slices.

use std::ops::Range;

use memchr::memchr;

/// Where the objects of a format may be cut. A compressed object is never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cuts {
    /// Anywhere: records end with `\n`, and a record belongs to the slice in which it starts.
    AtLineEnds,
    /// Anywhere, and the object is read by position: see [`Section`](crate::Section).
    ByPosition {
        /// What is fetched first.
        first: First,
    },
    /// Not at all: the only slice of an object is the whole object.
    Never,
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
    /// Returns the position behind the first end of a record in `bytes`, or `None` if no record is known to end there.
    pub fn behind_record(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::AtLineEnds => memchr(b'\n', bytes).map(|end| end + 1),
            Self::ByPosition { .. } | Self::Never => None,
        }
    }

    /// Returns whether a record is known to end with the last of these bytes.
    pub fn ends_record(self, bytes: &[u8]) -> bool {
        self == Self::AtLineEnds && bytes.last() == Some(&b'\n')
    }
}
