//! The types of Rust that can be emitted: as values of a row, and as rows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::cell::{Cell, Nested, Parts};
use crate::{Date, Decimal, Duration, Time, Timestamp};

/// A type that can be a value of an emitted row.
///
/// | Rust | column |
/// | --- | --- |
/// | `bool` | `boolean` |
/// | integers | integers that hold the value |
/// | `f32` | `float16`, `float32`, `float64` |
/// | `f64` | `float64` |
/// | [`Decimal`] | `decimal` of enough digits |
/// | [`Date`], [`Time`], [`Timestamp`], [`Duration`] | `date`, `time`, `timestamp`, `duration` of the same unit, or a finer one |
/// | `&str`, `String` | `text`, `json` |
/// | `&[u8]`, `Vec<u8>` | `binary`, `binary(n)` |
/// | slices, `Vec` and arrays of other values | `list` |
/// | slices and `Vec` of pairs, `BTreeMap` | `map` |
/// | structs with `#[derive(Record)]` | `struct` |
/// | `Option` of these | the same, if the column takes nulls |
/// | [`Cell`] | its own |
pub trait Value {
    /// Returns the value as a cell.
    fn cell(&self) -> Cell<'_>;
}

/// A type of which a list can be made. That is any value but a byte: a list of bytes is `binary`.
pub trait Item {}

macro_rules! impl_value {
    ($($type:ty: $self:ident => $cell:expr;)*) => {
        $(impl Value for $type {
            #[inline]
            fn cell(&$self) -> Cell<'_> {
                $cell
            }
        })*
    };
}

macro_rules! impl_item {
    ($($type:ty)*) => {
        $(impl Item for $type {})*
    };
}

impl_value! {
    bool: self => Cell::Boolean(*self);
    i8: self => Cell::Int64((*self).into());
    i16: self => Cell::Int64((*self).into());
    i32: self => Cell::Int64((*self).into());
    i64: self => Cell::Int64(*self);
    u8: self => Cell::UInt64((*self).into());
    u16: self => Cell::UInt64((*self).into());
    u32: self => Cell::UInt64((*self).into());
    u64: self => Cell::UInt64(*self);
    f32: self => Cell::Float32(*self);
    f64: self => Cell::Float64(*self);
    Decimal: self => Cell::Decimal(*self);
    Date: self => Cell::Date(*self);
    Time: self => Cell::Time(*self);
    Timestamp: self => Cell::Timestamp(*self);
    Duration: self => Cell::Duration(*self);
    &str: self => Cell::Text(self);
    String: self => Cell::Text(self);
    Cow<'_, str>: self => Cell::Text(self);
    &[u8]: self => Cell::Binary(self);
    Vec<u8>: self => Cell::Binary(self);
    Cell<'_>: self => *self;
}

impl_item! {
    bool i8 i16 i32 i64 u16 u32 u64 f32 f64 Decimal Date Time Timestamp Duration String Vec<u8> Cell<'_> Cow<'_, str>
    &str &[u8]
}

impl<T: Item> Item for Option<T> {}
impl<T: Item> Item for &T {}
impl<T: Item> Item for Vec<T> {}
impl<K, V> Item for BTreeMap<K, V> {}

impl<V: Value> Value for &V {
    #[inline]
    fn cell(&self) -> Cell<'_> {
        (**self).cell()
    }
}

impl<V: Value> Value for Option<V> {
    #[inline]
    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, Value::cell)
    }
}

impl<const N: usize> Value for [u8; N] {
    #[inline]
    fn cell(&self) -> Cell<'_> {
        Cell::Binary(self)
    }
}

macro_rules! impl_sequence {
    ($($type:ty, $pairs:ty $(, const $n:ident)?;)*) => {
        $(impl<T: Value + Item $(, const $n: usize)?> Value for $type {
            fn cell(&self) -> Cell<'_> {
                Cell::List(Nested::new(self))
            }
        }

        impl<T: Value + Item $(, const $n: usize)?> Parts for $type {
            fn count(&self) -> usize {
                self.len()
            }

            fn part(&self, index: usize) -> Cell<'_> {
                self[index].cell()
            }
        }

        impl<K: Value, V: Value $(, const $n: usize)?> Value for $pairs {
            fn cell(&self) -> Cell<'_> {
                Cell::Map(Nested::new(self))
            }
        }

        impl<K: Value, V: Value $(, const $n: usize)?> Parts for $pairs {
            fn count(&self) -> usize {
                2 * self.len()
            }

            fn part(&self, index: usize) -> Cell<'_> {
                let (key, value) = &self[index / 2];
                if index.is_multiple_of(2) { key.cell() } else { value.cell() }
            }
        })*
    };
}

impl_sequence! {
    Vec<T>, Vec<(K, V)>;
    &[T], &[(K, V)];
    [T; N], [(K, V); N], const N;
}

impl<K: Value, V: Value> Value for BTreeMap<K, V> {
    fn cell(&self) -> Cell<'_> {
        Cell::Map(Nested::new(self))
    }
}

/// Each part is looked for from the start, as a map has no positions. Maps in rows are small.
impl<K: Value, V: Value> Parts for BTreeMap<K, V> {
    fn count(&self) -> usize {
        2 * self.len()
    }

    fn part(&self, index: usize) -> Cell<'_> {
        let (key, value) = self.iter().nth(index / 2).expect("there are twice as many parts as entries");
        if index.is_multiple_of(2) { key.cell() } else { value.cell() }
    }
}

/// A type that can be emitted as one row: a tuple of up to 16 [`Value`]s, or a struct with
/// [`#[derive(Record)]`](crate::Record).
pub trait Row {
    /// Hands over the row's cells, in the order of the schema's columns, up to the first that is refused.
    fn each_cell<E>(&self, each: impl FnMut(Cell<'_>) -> Result<(), E>) -> Result<(), E>;
}

impl<R: Row> Row for &R {
    #[inline]
    fn each_cell<E>(&self, each: impl FnMut(Cell<'_>) -> Result<(), E>) -> Result<(), E> {
        (**self).each_cell(each)
    }
}

macro_rules! impl_row {
    ($first:ident $($value:ident)*) => {
        impl<$first: Value, $($value: Value),*> Row for ($first, $($value,)*) {
            #[inline]
            #[expect(non_snake_case, reason = "a type parameter lends its name to the value of that type")]
            fn each_cell<X>(&self, mut each: impl FnMut(Cell<'_>) -> Result<(), X>) -> Result<(), X> {
                let ($first, $($value,)*) = self;
                each($first.cell())?;
                $(each($value.cell())?;)*
                Ok(())
            }
        }

        impl_row!($($value)*);
    };
    () => {};
}

impl_row!(A B C D E F G H I J K L M N O P);
