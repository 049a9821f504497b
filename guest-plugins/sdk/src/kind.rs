//! What a column takes, as far as building it depends on that.

use crate::{DataType, Unit};

/// What a column takes, in a form that is quickly compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    Decimal(u8, i8),
    Date,
    Time(Unit),
    Timestamp(Unit),
    Duration(Unit),
    Text,
    Binary,
    FixedBinary(u32),
    List,
    Struct,
    Map,
}

impl Kind {
    /// Returns what a column of this type takes.
    pub(crate) const fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt8 => Self::UInt8,
            DataType::UInt16 => Self::UInt16,
            DataType::UInt32 => Self::UInt32,
            DataType::UInt64 => Self::UInt64,
            DataType::Float16 => Self::Float16,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal { precision, scale } => Self::Decimal(*precision, *scale),
            DataType::Date => Self::Date,
            DataType::Time(unit) => Self::Time(*unit),
            DataType::Timestamp { unit, .. } => Self::Timestamp(*unit),
            DataType::Duration(unit) => Self::Duration(*unit),
            DataType::Text | DataType::Json => Self::Text,
            DataType::Binary => Self::Binary,
            DataType::FixedBinary(size) => Self::FixedBinary(*size),
            DataType::List(_) => Self::List,
            DataType::Struct(_) => Self::Struct,
            DataType::Map(..) => Self::Map,
        }
    }

    /// Returns whether a column takes integers.
    pub(crate) const fn is_integer(self) -> bool {
        use Kind::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
        matches!(self, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
    }

    /// Returns the number of bytes of each value; 0 for kinds that have no fixed size.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 | Self::Float16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 | Self::Date | Self::Time(Unit::Second | Unit::Milli) => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 | Self::Time(_) | Self::Timestamp(_) | Self::Duration(_) => 8,
            Self::Decimal(..) => 16,
            Self::FixedBinary(size) => size as usize,
            Self::Boolean | Self::Text | Self::Binary | Self::List | Self::Struct | Self::Map => 0,
        }
    }
}
