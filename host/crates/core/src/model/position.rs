//! Positions of records in the objects they came from.

use std::fmt;

/// Where a record is in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The byte at which it starts, after decompression.
    Byte(u64),
    /// The number of its row, from 0, in a format that keeps the values of a record apart.
    Row(u64),
    /// The byte at which its block starts, and the number of its row in the block, from 0, in a format that keeps
    /// records in compressed blocks.
    InBlock(u64, u64),
}

impl Position {
    /// Returns the position that has this byte, this row, or both; `None` if it has neither.
    pub fn of(offset: Option<u64>, row: Option<u64>) -> Option<Self> {
        match (offset, row) {
            (Some(offset), Some(row)) => Some(Self::InBlock(offset, row)),
            (offset, row) => offset.map(Self::Byte).or(row.map(Self::Row)),
        }
    }

    /// Returns the byte of the position, if it has one.
    pub fn offset(self) -> Option<u64> {
        match self {
            Self::Byte(offset) | Self::InBlock(offset, _) => Some(offset),
            Self::Row(_) => None,
        }
    }

    /// Returns the row of the position, if it has one.
    pub fn row(self) -> Option<u64> {
        match self {
            Self::Row(row) | Self::InBlock(_, row) => Some(row),
            Self::Byte(_) => None,
        }
    }

    /// Returns the position of the row that is `rows` further on; the position itself if it has no row.
    #[must_use]
    pub fn further(self, rows: u64) -> Self {
        match self {
            Self::Row(row) => Self::Row(row + rows),
            Self::InBlock(offset, row) => Self::InBlock(offset, row + rows),
            Self::Byte(_) => self,
        }
    }

    /// Returns the byte, or the number of the row.
    pub fn number(self) -> u64 {
        match self {
            Self::Byte(number) | Self::Row(number) | Self::InBlock(_, number) => number,
        }
    }
}

impl From<u64> for Position {
    fn from(offset: u64) -> Self {
        Self::Byte(offset)
    }
}

/// Writes the position as it stands behind the name of an object: ` at byte 59`, `, row 17`, ` at byte 59, row 17`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(offset) => write!(f, " at byte {offset}"),
            Self::Row(row) => write!(f, ", row {row}"),
            Self::InBlock(offset, row) => write!(f, " at byte {offset}, row {row}"),
        }
    }
}
