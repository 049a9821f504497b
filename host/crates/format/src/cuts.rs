//! Where an object may be cut into slices.

use memchr::memchr;

/// Where the objects of a format may be cut. A compressed object is never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cuts {
    /// Anywhere: records end with `\n`, and a record belongs to the slice in which it starts.
    AtLineEnds,
    /// Anywhere, and the object is read by position: see [`Section`](crate::Section). This many bytes at its end are
    /// fetched first.
    ByPosition {
        /// Number of bytes.
        end_bytes: u64,
    },
    /// Not at all: the only slice of an object is the whole object.
    Never,
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
