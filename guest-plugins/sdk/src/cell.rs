//! Single values of a row.

use std::cmp::Ordering;
use std::fmt;

use crate::wire::Node;
use crate::{AnyColumn, DataType, Date, Decimal, Duration, Time, Timestamp};

/// One value of a row, borrowed.
///
/// A cell is a value and not a type: integers of all widths are `Int64` or `UInt64`, and a JSON document is text. The
/// column that takes the cell knows its type, and refuses what does not fit.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
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
    Text(&'a str),
    /// Bytes of any kind.
    Binary(&'a [u8]),
    /// The items of a list.
    List(Nested<'a>),
    /// The members of a struct, in the order of its type.
    Struct(Nested<'a>),
    /// The keys and values of a map: a key, its value, the next key, and so on.
    Map(Nested<'a>),
}

impl Cell<'_> {
    /// Returns how two values of a column are ordered; `None` if they have no order, because they are nested or of
    /// different types.
    ///
    /// Null comes first, false before true. Numbers and times are ordered by value, text and binary by bytes. Zeros are
    /// equal whatever their sign, and what is not a number comes last.
    #[inline]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Int64(a), Self::Int64(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::UInt64(a), Self::UInt64(b)) => a.cmp(b),
            (Self::Int64(a), Self::UInt64(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Self::UInt64(a), Self::Int64(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Self::Float32(a), Self::Float32(b)) => compare_floats((*a).into(), (*b).into()),
            (Self::Float32(a), Self::Float64(b)) => compare_floats((*a).into(), *b),
            (Self::Float64(a), Self::Float32(b)) => compare_floats(*a, (*b).into()),
            (Self::Float64(a), Self::Float64(b)) => compare_floats(*a, *b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            _ => return None,
        })
    }

    /// Returns the name of the value's type, for messages.
    pub(crate) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Int64(_) => "int64",
            Self::UInt64(_) => "uint64",
            Self::Float32(_) => "float32",
            Self::Float64(_) => "float64",
            Self::Decimal(_) => "decimal",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
            Self::List(_) => "list",
            Self::Struct(_) => "struct",
            Self::Map(_) => "map",
        }
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Writes the value, for messages. Text and bytes are not cut.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Int64(value) => value.fmt(f),
            Self::UInt64(value) => value.fmt(f),
            Self::Float32(value) => value.fmt(f),
            Self::Float64(value) => value.fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Date(value) => value.fmt(f),
            Self::Time(value) => value.fmt(f),
            Self::Timestamp(value) => value.fmt(f),
            Self::Duration(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::Binary(value) => value.escape_ascii().fmt(f),
            Self::List(parts) | Self::Struct(parts) | Self::Map(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if i == 0 { "[" } else { ", " })?;
                }
                f.write_str(if parts.is_empty() { "[]" } else { "]" })
            }
        }
    }
}

/// The parts of a nested value.
#[derive(Clone, Copy)]
pub struct Nested<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A value of the author's.
    Value(&'a dyn Parts),
    /// A value of a batch: its column, and its row there. The parts are looked up when they are asked for, because a
    /// cell with more in it would be larger, and most cells are not nested.
    Column(&'a DataType, &'a Node, usize),
}

/// A value that has parts: a list, a struct, or a map, whose parts are a key, its value, the next key, and so on.
pub trait Parts {
    /// Returns the number of parts.
    fn count(&self) -> usize;

    /// Returns a part.
    fn part(&self, index: usize) -> Cell<'_>;
}

impl<'a> Nested<'a> {
    /// Returns the parts of a value.
    pub fn new(value: &'a dyn Parts) -> Self {
        Self(Source::Value(value))
    }

    pub(crate) const fn of_column(data_type: &'a DataType, node: &'a Node, row: usize) -> Self {
        Self(Source::Column(data_type, node, row))
    }

    /// Returns the number of parts.
    pub fn len(&self) -> usize {
        match self.0 {
            Source::Value(value) => value.count(),
            Source::Column(DataType::Struct(members), ..) => members.len(),
            Source::Column(DataType::Map(..), node, row) => 2 * node.parts_of(row).len(),
            Source::Column(_, node, row) => node.parts_of(row).len(),
        }
    }

    /// Returns whether there are no parts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a part.
    ///
    /// # Panics
    /// When there is no such part.
    pub fn get(&self, index: usize) -> Cell<'a> {
        match self.0 {
            Source::Value(value) => value.part(index),
            Source::Column(DataType::Struct(members), node, row) => {
                AnyColumn::new(&members[index], &node.children[index], row, row + 1).cell(0)
            }
            Source::Column(DataType::List(item), node, row) => {
                let items = node.parts_of(row);
                AnyColumn::new(item, &node.children[0], items.start, items.end).cell(index)
            }
            Source::Column(DataType::Map(key, value), node, row) => {
                let (entries, parts) = (node.parts_of(row), &node.children[0].children);
                let field = if index.is_multiple_of(2) { key } else { value };
                AnyColumn::new(field, &parts[index % 2], entries.start, entries.end).cell(index / 2)
            }
            Source::Column(..) => unreachable!("no other type has parts"),
        }
    }

    /// Returns the parts, in order.
    pub fn iter(&self) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let parts = *self;
        (0..parts.len()).map(move |index| parts.get(index))
    }
}

impl fmt::Debug for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn a_cell_is_shown_as_its_value() {
        let shown = |value: &dyn Value| value.cell().to_string();
        assert_eq!(shown(&"x"), "x");
        assert_eq!(shown(&b"a\xff"), "a\\xff");
        assert_eq!(shown(&vec![Some(1), None]), "[1, null]");
        assert_eq!(shown(&vec![("k", Vec::<i8>::new())]), "[k, []]");
        assert_eq!(shown(&Date::from_days(0)), "1970-01-01");
    }

    #[test]
    fn cells_of_a_column_are_ordered_by_value() {
        let ordered = [
            vec![Cell::Null, Cell::Boolean(false), Cell::Boolean(true)],
            vec![Cell::Null, Cell::Int64(-1), Cell::UInt64(1), Cell::Int64(2), Cell::UInt64(u64::MAX)],
            vec![Cell::Float64(f64::NEG_INFINITY), Cell::Float32(-0.0), Cell::Float64(1.0), Cell::Float64(-f64::NAN)],
            vec![Cell::Decimal(Decimal::new(5, 1)), Cell::Decimal(1.into()), Cell::Decimal(Decimal::new(1001, 3))],
            vec![Cell::Date(Date::from_days(-1)), Cell::Date(Date::from_days(0))],
            vec![Cell::Timestamp(Timestamp::from_seconds(1)), Cell::Timestamp(Timestamp::from_millis(1001))],
            vec![Cell::Text(""), Cell::Text("Z"), Cell::Text("a"), Cell::Text("é")],
            vec![Cell::Binary(b"\x7f"), Cell::Binary(b"\x80")],
        ];
        for cells in ordered {
            for (i, a) in cells.iter().enumerate() {
                for (j, b) in cells.iter().enumerate() {
                    assert_eq!(a.compare(b), Some(i.cmp(&j)), "{a} and {b}");
                }
            }
        }
        assert_eq!(Cell::Float64(0.0).compare(&Cell::Float64(-0.0)), Some(Ordering::Equal));
        assert_eq!(Cell::Text("1").compare(&Cell::Int64(1)), None);
        let list = vec![1_i64];
        assert_eq!(list.cell().compare(&list.cell()), None);
    }
}
