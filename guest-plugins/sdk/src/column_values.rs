//! The values of a column, as the types of Rust that they are.

use std::ops::Range;

use crate::column::ColumnValues;
use crate::wire::Node;
use crate::{AnyColumn, Date, Decimal, Duration, Field, Map, Rows, Time, Timestamp, Unit, half, text};

/// A number that columns hold.
pub trait Number: Copy {
    /// The number's bytes.
    type Bytes: Copy;

    /// Returns the numbers that these bytes are, which may lie at any address.
    fn cut(bytes: &[u8]) -> &[Self::Bytes];

    /// Reads a number.
    fn read(bytes: Self::Bytes) -> Self;
}

macro_rules! impl_number {
    ($($type:ty)*) => {
        $(impl Number for $type {
            type Bytes = [u8; size_of::<$type>()];

            #[inline]
            fn cut(bytes: &[u8]) -> &[Self::Bytes] {
                bytes.as_chunks().0
            }

            #[inline]
            fn read(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }
        })*
    };
}

impl_number!(i8 i16 i32 i64 i128 u8 u16 u32 u64 f32 f64);

/// Integers or floating-point numbers.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a, T: Number>(&'a [T::Bytes]);

impl<'a, T: Number> Numbers<'a, T> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(T::cut(bytes))
    }
}

impl<T: Number> ColumnValues for Numbers<'_, T> {
    type Item = T;

    #[inline]
    fn value(&self, row: usize) -> T {
        T::read(self.0[row])
    }
}

/// Booleans, one bit each.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a>(pub(crate) &'a [u8]);

impl ColumnValues for Bits<'_> {
    type Item = bool;

    #[inline]
    fn value(&self, row: usize) -> bool {
        self.0[row / 8] >> (row % 8) & 1 == 1
    }
}

/// Where values without a fixed size begin and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offsets<'a>(&'a [[u8; 4]]);

impl<'a> Offsets<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    #[inline]
    pub(crate) fn range(self, row: usize) -> Range<usize> {
        match &self.0[row..] {
            [start, end, ..] => u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize,
            _ => 0..0,
        }
    }
}

/// Binary values, of variable length.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    pub(crate) offsets: Offsets<'a>,
    pub(crate) bytes: &'a [u8],
}

impl<'a> ColumnValues for Bytes<'a> {
    type Item = &'a [u8];

    #[inline]
    fn value(&self, row: usize) -> &'a [u8] {
        match &self.offsets.0[row..] {
            [start, end, ..] => &self.bytes[u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize],
            _ => &[],
        }
    }
}

/// Text values, of variable length.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a>(pub(crate) Bytes<'a>);

impl<'a> ColumnValues for Texts<'a> {
    type Item = &'a str;

    #[inline]
    fn value(&self, row: usize) -> &'a str {
        text(self.0.value(row)).expect("the host hands over text as valid UTF-8")
    }
}

/// Binary values, all of one length.
#[derive(Clone, Copy, Debug)]
pub struct FixedBytes<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) size: usize,
}

impl<'a> ColumnValues for FixedBytes<'a> {
    type Item = &'a [u8];

    #[inline]
    fn value(&self, row: usize) -> &'a [u8] {
        &self.bytes[row * self.size..(row + 1) * self.size]
    }
}

/// Floating-point numbers of 16 bits.
#[derive(Clone, Copy, Debug)]
pub struct Halves<'a>(pub(crate) Numbers<'a, u16>);

impl ColumnValues for Halves<'_> {
    type Item = f32;

    #[inline]
    fn value(&self, row: usize) -> f32 {
        half::read(self.0.value(row))
    }
}

/// Floating-point numbers of 16 or 32 bits.
#[derive(Clone, Copy, Debug)]
pub enum Singles<'a> {
    /// Numbers of 16 bits.
    Half(Halves<'a>),
    /// Numbers of 32 bits.
    Single(Numbers<'a, f32>),
}

impl ColumnValues for Singles<'_> {
    type Item = f32;

    #[inline]
    fn value(&self, row: usize) -> f32 {
        match self {
            Self::Half(values) => values.value(row),
            Self::Single(values) => values.value(row),
        }
    }
}

/// Binary values, of any length or all of one.
#[derive(Clone, Copy, Debug)]
pub enum Blobs<'a> {
    /// Values of variable length.
    Variable(Bytes<'a>),
    /// Values of one length.
    Fixed(FixedBytes<'a>),
}

impl<'a> ColumnValues for Blobs<'a> {
    type Item = &'a [u8];

    #[inline]
    fn value(&self, row: usize) -> &'a [u8] {
        match self {
            Self::Variable(values) => values.value(row),
            Self::Fixed(values) => values.value(row),
        }
    }
}

/// Exact decimal numbers, all with as many digits behind the point.
#[derive(Clone, Copy, Debug)]
pub struct Decimals<'a> {
    pub(crate) unscaled: Numbers<'a, i128>,
    pub(crate) scale: i8,
}

impl ColumnValues for Decimals<'_> {
    type Item = Decimal;

    #[inline]
    fn value(&self, row: usize) -> Decimal {
        Decimal::new(self.unscaled.value(row), self.scale)
    }
}

/// Days.
#[derive(Clone, Copy, Debug)]
pub struct Dates<'a>(pub(crate) Numbers<'a, i32>);

impl ColumnValues for Dates<'_> {
    type Item = Date;

    #[inline]
    fn value(&self, row: usize) -> Date {
        Date::from_days(self.0.value(row))
    }
}

/// Times of day, all of one unit.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) unit: Unit,
}

impl ColumnValues for Times<'_> {
    type Item = Time;

    #[inline]
    fn value(&self, row: usize) -> Time {
        let value = match self.unit {
            Unit::Second | Unit::Milli => Numbers::<i32>::new(self.bytes).value(row).into(),
            Unit::Micro | Unit::Nano => Numbers::<i64>::new(self.bytes).value(row),
        };
        Time::new(value, self.unit)
    }
}

/// Points in time, all of one unit.
#[derive(Clone, Copy, Debug)]
pub struct Timestamps<'a> {
    pub(crate) values: Numbers<'a, i64>,
    pub(crate) unit: Unit,
}

impl ColumnValues for Timestamps<'_> {
    type Item = Timestamp;

    #[inline]
    fn value(&self, row: usize) -> Timestamp {
        Timestamp::new(self.values.value(row), self.unit)
    }
}

/// Spans of time, all of one unit.
#[derive(Clone, Copy, Debug)]
pub struct Durations<'a> {
    pub(crate) values: Numbers<'a, i64>,
    pub(crate) unit: Unit,
}

impl ColumnValues for Durations<'_> {
    type Item = Duration;

    #[inline]
    fn value(&self, row: usize) -> Duration {
        Duration::new(self.values.value(row), self.unit)
    }
}

/// Lists. A list is a column of its items.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    pub(crate) offsets: Offsets<'a>,
    pub(crate) items: AnyColumn<'a>,
}

impl<'a> ColumnValues for Lists<'a> {
    type Item = AnyColumn<'a>;

    #[inline]
    fn value(&self, row: usize) -> AnyColumn<'a> {
        let items = self.offsets.range(row);
        self.items.slice(items.start, items.end)
    }
}

/// Structs. A struct is one row of its members.
#[derive(Clone, Copy, Debug)]
pub struct Structs<'a> {
    pub(crate) fields: &'a [Field],
    pub(crate) nodes: &'a [Node],
}

impl<'a> ColumnValues for Structs<'a> {
    type Item = Rows<'a>;

    #[inline]
    fn value(&self, row: usize) -> Rows<'a> {
        Rows::new(self.fields, self.nodes, row, row + 1)
    }
}

/// Maps.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    pub(crate) offsets: Offsets<'a>,
    pub(crate) keys: AnyColumn<'a>,
    pub(crate) values: AnyColumn<'a>,
}

impl<'a> ColumnValues for Maps<'a> {
    type Item = Map<'a>;

    #[inline]
    fn value(&self, row: usize) -> Map<'a> {
        let entries = self.offsets.range(row);
        let part = |part: AnyColumn<'a>| part.slice(entries.start, entries.end);
        Map { keys: part(self.keys), values: part(self.values) }
    }
}
