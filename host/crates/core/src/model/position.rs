//! Positions of records in the objects they came from.

use std::fmt;

/// Where a record is in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The byte at which it starts, after decompression.
    Byte(u64),
    /// The number of its row, from 0, in a format that keeps the values of a record apart.
    Row(u64),
}

impl Position {
    /// Returns the byte, or the number of the row.
    pub fn number(self) -> u64 {
        match self {
            Self::Byte(number) | Self::Row(number) => number,
        }
    }
}

impl From<u64> for Position {
    fn from(offset: u64) -> Self {
        Self::Byte(offset)
    }
}

/// Writes the position as it stands behind the name of an object: ` at byte 59`, `, row 17`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(offset) => write!(f, " at byte {offset}"),
            Self::Row(row) => write!(f, ", row {row}"),
        }
    }
}
