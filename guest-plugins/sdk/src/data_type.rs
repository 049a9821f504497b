//! The types of columns.

use std::fmt;

use crate::Field;

/// The type of a column, or of a part of a nested column.
///
/// Its `Display` is the type's name in `pipeline.toml`: `int64`, `decimal(10,2)`, `list<text>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataType {
    /// True or false.
    Boolean,
    /// Signed integers of 8 bits.
    Int8,
    /// Signed integers of 16 bits.
    Int16,
    /// Signed integers of 32 bits.
    Int32,
    /// Signed integers of 64 bits.
    Int64,
    /// Unsigned integers of 8 bits.
    UInt8,
    /// Unsigned integers of 16 bits.
    UInt16,
    /// Unsigned integers of 32 bits.
    UInt32,
    /// Unsigned integers of 64 bits.
    UInt64,
    /// IEEE 754 numbers of 16 bits, which are read and written as `f32`.
    Float16,
    /// IEEE 754 numbers of 32 bits.
    Float32,
    /// IEEE 754 numbers of 64 bits.
    Float64,
    /// Exact decimal numbers.
    Decimal {
        /// Number of digits, 1 to 38.
        precision: u8,
        /// Number of digits behind the point.
        scale: i8,
    },
    /// Days.
    Date,
    /// Times of day.
    Time(Unit),
    /// Points in time, counted from 1970-01-01.
    Timestamp {
        /// What is counted.
        unit: Unit,
        /// The time zone in which the points are shown; without one, they are local times of nowhere in particular.
        zone: Option<String>,
    },
    /// Spans of time.
    Duration(Unit),
    /// UTF-8 text.
    Text,
    /// Bytes of any kind.
    Binary,
    /// Bytes of any kind, always this many.
    FixedBinary(u32),
    /// JSON documents, as text.
    Json,
    /// Lists of items.
    List(Box<Field>),
    /// Structs of these members.
    Struct(Vec<Field>),
    /// Maps of keys to values.
    Map(Box<Field>, Box<Field>),
}

/// A unit in which time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Milli,
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl Unit {
    /// All units, from the coarsest to the finest.
    pub(crate) const ALL: [Self; 4] = [Self::Second, Self::Milli, Self::Micro, Self::Nano];

    /// Returns how many of the unit make a second.
    pub const fn per_second(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Milli => 1_000,
            Self::Micro => 1_000_000,
            Self::Nano => 1_000_000_000,
        }
    }
}

impl DataType {
    /// Returns the type of lists of items of this type, some of which may be null.
    pub fn list(items: Self) -> Self {
        Self::List(Box::new(Field::nullable("item", items)))
    }

    /// Returns the type of maps of these keys to these values, some of which may be null.
    pub fn map(keys: Self, values: Self) -> Self {
        Self::Map(Box::new(Field::new("key", keys)), Box::new(Field::nullable("value", values)))
    }

    /// Returns whether the types have the same name. Whether parts may be null, and the names of items, keys and values,
    /// make no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |a: &Field, b: &Field| a.data_type.is_same(&b.data_type);
        match (self, other) {
            (Self::List(a), Self::List(b)) => same(a, b),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                same(key, other_key) && same(value, other_value)
            }
            (Self::Struct(a), Self::Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && same(a, b))
            }
            _ => self == other,
        }
    }

    /// Returns whether a record whose field has type `other` can read columns of this type: structs may have more members
    /// than are read, in any order.
    pub(crate) fn can_be_read_as(&self, other: &Self) -> bool {
        let part = |a: &Field, b: &Field| a.data_type.can_be_read_as(&b.data_type);
        match (self, other) {
            (Self::List(a), Self::List(b)) => part(a, b),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                part(key, other_key) && part(value, other_value)
            }
            (Self::Struct(a), Self::Struct(b)) => b.iter().all(|b| a.iter().any(|a| a.name == b.name && part(a, b))),
            _ => self == other,
        }
    }

    /// Returns whether the values are integers.
    pub(crate) const fn is_integer(&self) -> bool {
        use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
        matches!(self, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
    }

    /// Returns the number of bytes of each value; 0 for types whose values have no whole bytes of their own.
    pub(crate) const fn size(&self) -> usize {
        match self {
            Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 | Self::Float16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 | Self::Date | Self::Time(Unit::Second | Unit::Milli) => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 | Self::Time(_) | Self::Timestamp { .. } | Self::Duration(_) => {
                8
            }
            Self::Decimal { .. } => 16,
            Self::FixedBinary(size) => *size as usize,
            Self::Boolean | Self::Text | Self::Binary | Self::Json => 0,
            Self::List(_) | Self::Struct(_) | Self::Map(..) => 0,
        }
    }

    /// Returns the method of [`Rows`](crate::Rows) that reads columns of this type.
    pub(crate) const fn reader(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::UInt8 => "uint8",
            Self::UInt16 => "uint16",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Decimal { .. } => "decimal",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::Timestamp { .. } => "timestamp",
            Self::Duration(_) => "duration",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::FixedBinary(_) => "fixed_binary",
            Self::Json => "json",
            Self::List(_) => "list",
            Self::Struct(_) => "structure",
            Self::Map(..) => "map",
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Time(unit) => write!(f, "time({unit})"),
            Self::Timestamp { unit, zone: None } => write!(f, "timestamp({unit})"),
            Self::Timestamp { unit, zone: Some(zone) } => write!(f, "timestamp({unit}, {zone})"),
            Self::Duration(unit) => write!(f, "duration({unit})"),
            Self::FixedBinary(bytes) => write!(f, "binary({bytes})"),
            Self::List(item) => write!(f, "list<{}>", item.data_type),
            Self::Map(key, value) => write!(f, "map<{}, {}>", key.data_type, value.data_type),
            Self::Struct(members) => {
                f.write_str("struct<")?;
                for (i, member) in members.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    write_name(f, &member.name)?;
                    write!(f, ": {}", member.data_type)?;
                }
                f.write_str(">")
            }
            plain => f.write_str(plain.reader()),
        }
    }
}

/// Writes the name of a struct's member, in quotes if it is not a plain word.
fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if !name.is_empty() && name.chars().all(is_plain) {
        return f.write_str(name);
    }
    write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "s",
            Self::Milli => "ms",
            Self::Micro => "us",
            Self::Nano => "ns",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_written_as_in_pipeline_toml() {
        let zone = |zone: &str| Some(zone.to_owned());
        let members = vec![Field::new("a", DataType::Int64), Field::nullable("b \"c\" \\", DataType::Text)];
        let types = [
            (DataType::Boolean, "boolean"),
            (DataType::UInt8, "uint8"),
            (DataType::Float16, "float16"),
            (DataType::Decimal { precision: 10, scale: 2 }, "decimal(10,2)"),
            (DataType::Date, "date"),
            (DataType::Time(Unit::Micro), "time(us)"),
            (DataType::Timestamp { unit: Unit::Micro, zone: None }, "timestamp(us)"),
            (DataType::Timestamp { unit: Unit::Milli, zone: zone("Europe/Zurich") }, "timestamp(ms, Europe/Zurich)"),
            (DataType::Duration(Unit::Second), "duration(s)"),
            (DataType::FixedBinary(16), "binary(16)"),
            (DataType::Json, "json"),
            (DataType::list(DataType::Int64), "list<int64>"),
            (DataType::Struct(members), r#"struct<a: int64, "b \"c\" \\": text>"#),
            (DataType::map(DataType::Text, DataType::Int64), "map<text, int64>"),
        ];
        for (data_type, name) in types {
            assert_eq!(data_type.to_string(), name);
        }
    }

    #[test]
    fn nulls_and_the_names_of_items_make_no_other_type() {
        let list = |item| DataType::List(Box::new(item));
        assert!(list(Field::new("element", DataType::Int64)).is_same(&DataType::list(DataType::Int64)));
        assert!(!DataType::list(DataType::Int32).is_same(&DataType::list(DataType::Int64)));
    }
}
