//! Single values that outlive their batch.

use std::cmp::Ordering;

use crate::cell::{Cell, Nested};
use crate::value::{Item, Value};
use crate::{Date, Decimal, Duration, Time, Timestamp};

/// One value of a row, owned: it outlives its batch. Numbers are compared by value: an `Int64` equals a `UInt64`.
#[derive(Clone, Debug)]
pub enum OwnedCell {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// A signed integer, of a column of any width.
    Int64(i64),
    /// An unsigned integer, of a column of any width.
    UInt64(u64),
    /// IEEE 754 number of 16 or 32 bits.
    Float32(f32),
    /// IEEE 754 number of 64 bits.
    Float64(f64),
    /// Exact decimal number.
    Decimal(Decimal),
    /// Day.
    Date(Date),
    /// Time of day.
    Time(Time),
    /// Point in time.
    Timestamp(Timestamp),
    /// Span of time.
    Duration(Duration),
    /// UTF-8 text, or a JSON document.
    Text(String),
    /// Bytes of any kind.
    Binary(Vec<u8>),
    /// The items of a list.
    List(Vec<OwnedCell>),
    /// The members of a struct, in the order of its type.
    Struct(Vec<OwnedCell>),
    /// The keys and values of a map.
    Map(Vec<(OwnedCell, OwnedCell)>),
}

impl From<Cell<'_>> for OwnedCell {
    fn from(cell: Cell<'_>) -> Self {
        let parts = |parts: Nested<'_>| parts.iter().map(Self::from).collect::<Vec<_>>();
        match cell {
            Cell::Null => Self::Null,
            Cell::Boolean(value) => Self::Boolean(value),
            Cell::Int64(value) => Self::Int64(value),
            Cell::UInt64(value) => Self::UInt64(value),
            Cell::Float32(value) => Self::Float32(value),
            Cell::Float64(value) => Self::Float64(value),
            Cell::Decimal(value) => Self::Decimal(value),
            Cell::Date(value) => Self::Date(value),
            Cell::Time(value) => Self::Time(value),
            Cell::Timestamp(value) => Self::Timestamp(value),
            Cell::Duration(value) => Self::Duration(value),
            Cell::Text(value) => Self::Text(value.to_owned()),
            Cell::Binary(value) => Self::Binary(value.to_owned()),
            Cell::List(items) => Self::List(parts(items)),
            Cell::Struct(members) => Self::Struct(parts(members)),
            Cell::Map(entries) => {
                Self::Map(parts(entries).chunks(2).map(|entry| (entry[0].clone(), entry[1].clone())).collect())
            }
        }
    }
}

impl Item for OwnedCell {}

impl Value for OwnedCell {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Int64(value) => Cell::Int64(*value),
            Self::UInt64(value) => Cell::UInt64(*value),
            Self::Float32(value) => Cell::Float32(*value),
            Self::Float64(value) => Cell::Float64(*value),
            Self::Decimal(value) => Cell::Decimal(*value),
            Self::Date(value) => Cell::Date(*value),
            Self::Time(value) => Cell::Time(*value),
            Self::Timestamp(value) => Cell::Timestamp(*value),
            Self::Duration(value) => Cell::Duration(*value),
            Self::Text(value) => Cell::Text(value),
            Self::Binary(value) => Cell::Binary(value),
            Self::List(items) => Cell::List(Nested::new(items)),
            Self::Struct(members) => Cell::Struct(Nested::new(members)),
            Self::Map(entries) => Cell::Map(Nested::new(entries)),
        }
    }
}

impl OwnedCell {
    /// Returns the number of the cell's type in the order of types, in which those of numbers are one.
    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Int64(_) | Self::UInt64(_) => 2,
            Self::Float32(_) | Self::Float64(_) => 3,
            Self::Decimal(_) => 4,
            Self::Date(_) => 5,
            Self::Time(_) => 6,
            Self::Timestamp(_) => 7,
            Self::Duration(_) => 8,
            Self::Text(_) => 9,
            Self::Binary(_) => 10,
            Self::List(_) => 11,
            Self::Struct(_) => 12,
            Self::Map(_) => 13,
        }
    }

    fn integer(&self) -> i128 {
        match self {
            Self::Int64(value) => (*value).into(),
            Self::UInt64(value) => (*value).into(),
            _ => 0,
        }
    }

    fn float(&self) -> f64 {
        match self {
            Self::Float32(value) => (*value).into(),
            Self::Float64(value) => *value,
            _ => 0.0,
        }
    }
}

impl PartialOrd for OwnedCell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.partial_cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.partial_cmp(b),
            (Self::Date(a), Self::Date(b)) => a.partial_cmp(b),
            (Self::Time(a), Self::Time(b)) => a.partial_cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.partial_cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.partial_cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.partial_cmp(b),
            (Self::List(a), Self::List(b)) | (Self::Struct(a), Self::Struct(b)) => a.partial_cmp(b),
            (Self::Map(a), Self::Map(b)) => a.partial_cmp(b),
            (a, b) if a.rank() != b.rank() => a.rank().partial_cmp(&b.rank()),
            (a, b) if a.rank() == Self::Float64(0.0).rank() => a.float().partial_cmp(&b.float()),
            (a, b) => a.integer().partial_cmp(&b.integer()),
        }
    }
}

impl PartialEq for OwnedCell {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other).is_some_and(Ordering::is_eq)
    }
}
