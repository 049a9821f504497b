//! The types that a field of a record can have.

use std::collections::BTreeMap;

use crate::column::Column;
use crate::column_values::{
    Bits, Blobs, Dates, Decimals, Durations, Lists, Maps, Numbers, Singles, Structs, Texts, Times, Timestamps,
};
use crate::value::Item;
use crate::{AnyColumn, DataType, Date, Decimal, Duration, Field, Record, StepError, Time, Timestamp};

/// A type that a field of a [`Record`] can have.
pub trait RecordField<'a>: Sized {
    /// Whether the field takes nulls.
    const NULLABLE: bool = false;

    /// The column that is read.
    type Column: Copy;

    /// Returns the column, if it can be read as values of this type.
    fn column(column: AnyColumn<'a>) -> Result<Self::Column, StepError>;

    /// Returns whether the value of a row is null.
    fn is_null(column: &Self::Column, row: usize) -> bool;

    /// Returns whether the value of a row is null, or contains a null, and the type takes none.
    #[inline]
    fn is_missing(column: &Self::Column, row: usize) -> bool {
        Self::is_null(column, row)
    }

    /// Reads the value of a row, which must not be missing.
    fn read(column: &Self::Column, row: usize) -> Self;
}

/// A type of Rust that stands for one type of columns.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` does not say the type of its column",
    note = "say it, as in `#[record(decimal(10, 2))]` or `#[record(timestamp(us, \"UTC\"))]`"
)]
pub trait ColumnType {
    /// Whether values may be null.
    const NULLABLE: bool = false;

    /// Returns the type of columns.
    fn data_type() -> DataType;

    /// Checks a column's type. Parts of a nested column are checked when they are read.
    #[inline]
    fn check(column: AnyColumn<'_>) -> Result<AnyColumn<'_>, StepError> {
        column.expect(&Self::data_type())
    }
}

macro_rules! record_field {
    ($($type:ty, $values:ty, $column:path, $value:ident => $read:expr $(, $data_type:expr)?;)*) => {
        $(impl<'a> RecordField<'a> for $type {
            type Column = Column<'a, $values>;

            #[inline]
            fn column(column: AnyColumn<'a>) -> Result<Self::Column, StepError> {
                $column(&column)
            }

            #[inline]
            fn is_null(column: &Self::Column, row: usize) -> bool {
                column.is_null(row)
            }

            #[inline]
            fn read(column: &Self::Column, row: usize) -> Self {
                let $value = column.get_present(row);
                $read
            }
        }

        $(impl ColumnType for $type {
            fn data_type() -> DataType {
                $data_type
            }
        })?)*
    };
}

record_field! {
    bool, Bits<'a>, AnyColumn::boolean, value => value, DataType::Boolean;
    i8, Numbers<'a, i8>, AnyColumn::int8, value => value, DataType::Int8;
    i16, Numbers<'a, i16>, AnyColumn::int16, value => value, DataType::Int16;
    i32, Numbers<'a, i32>, AnyColumn::int32, value => value, DataType::Int32;
    i64, Numbers<'a, i64>, AnyColumn::int64, value => value, DataType::Int64;
    u8, Numbers<'a, u8>, AnyColumn::uint8, value => value, DataType::UInt8;
    u16, Numbers<'a, u16>, AnyColumn::uint16, value => value, DataType::UInt16;
    u32, Numbers<'a, u32>, AnyColumn::uint32, value => value, DataType::UInt32;
    u64, Numbers<'a, u64>, AnyColumn::uint64, value => value, DataType::UInt64;
    f32, Singles<'a>, AnyColumn::singles, value => value, DataType::Float32;
    f64, Numbers<'a, f64>, AnyColumn::float64, value => value, DataType::Float64;
    Decimal, Decimals<'a>, AnyColumn::decimal, value => value;
    Date, Dates<'a>, AnyColumn::date, value => value, DataType::Date;
    Time, Times<'a>, AnyColumn::time, value => value;
    Timestamp, Timestamps<'a>, AnyColumn::timestamp, value => value;
    Duration, Durations<'a>, AnyColumn::duration, value => value;
    &'a str, Texts<'a>, AnyColumn::texts, value => value;
    String, Texts<'a>, AnyColumn::texts, value => value.to_owned(), DataType::Text;
    &'a [u8], Blobs<'a>, AnyColumn::blobs, value => value;
    Vec<u8>, Blobs<'a>, AnyColumn::blobs, value => value.to_owned(), DataType::Binary;
}

impl ColumnType for &str {
    fn data_type() -> DataType {
        DataType::Text
    }
}

impl ColumnType for &[u8] {
    fn data_type() -> DataType {
        DataType::Binary
    }
}

impl<'a, T: RecordField<'a>> RecordField<'a> for Option<T> {
    const NULLABLE: bool = true;

    type Column = T::Column;

    #[inline]
    fn column(column: AnyColumn<'a>) -> Result<T::Column, StepError> {
        T::column(column)
    }

    #[inline]
    fn is_null(column: &T::Column, row: usize) -> bool {
        T::is_null(column, row)
    }

    #[inline]
    fn is_missing(column: &T::Column, row: usize) -> bool {
        !T::is_null(column, row) && T::is_missing(column, row)
    }

    #[inline]
    fn read(column: &T::Column, row: usize) -> Self {
        (!T::is_null(column, row)).then(|| T::read(column, row))
    }
}

impl<T: ColumnType> ColumnType for Option<T> {
    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        T::data_type()
    }

    #[inline]
    fn check(column: AnyColumn<'_>) -> Result<AnyColumn<'_>, StepError> {
        T::check(column)
    }
}

impl<'a, T: RecordField<'a> + Item> RecordField<'a> for Vec<T> {
    /// The lists, and all of their items.
    type Column = (Column<'a, Lists<'a>>, T::Column);

    fn column(column: AnyColumn<'a>) -> Result<Self::Column, StepError> {
        let lists = column.list()?;
        Ok((lists, T::column(lists.values.items)?))
    }

    fn is_null((lists, _): &Self::Column, row: usize) -> bool {
        lists.is_null(row)
    }

    fn is_missing((lists, items): &Self::Column, row: usize) -> bool {
        lists.is_null(row) || lists.range(row).any(|item| T::is_missing(items, item))
    }

    fn read((lists, items): &Self::Column, row: usize) -> Self {
        lists.range(row).map(|item| T::read(items, item)).collect()
    }
}

impl<T: ColumnType + Item> ColumnType for Vec<T> {
    fn data_type() -> DataType {
        DataType::List(Box::new(Field { name: "item".to_owned(), data_type: T::data_type(), nullable: T::NULLABLE }))
    }

    fn check(column: AnyColumn<'_>) -> Result<AnyColumn<'_>, StepError> {
        T::check(column.list()?.values.items)?;
        Ok(column)
    }
}

impl<'a, K: RecordField<'a> + Ord, V: RecordField<'a>> RecordField<'a> for BTreeMap<K, V> {
    /// The maps, all of their keys, and all of their values.
    type Column = (Column<'a, Maps<'a>>, K::Column, V::Column);

    fn column(column: AnyColumn<'a>) -> Result<Self::Column, StepError> {
        let maps = column.map()?;
        Ok((maps, K::column(maps.values.keys)?, V::column(maps.values.values)?))
    }

    fn is_null((maps, ..): &Self::Column, row: usize) -> bool {
        maps.is_null(row)
    }

    fn is_missing((maps, keys, values): &Self::Column, row: usize) -> bool {
        maps.is_null(row) || maps.range(row).any(|entry| K::is_missing(keys, entry) || V::is_missing(values, entry))
    }

    fn read((maps, keys, values): &Self::Column, row: usize) -> Self {
        maps.range(row).map(|entry| (K::read(keys, entry), V::read(values, entry))).collect()
    }
}

impl<K: ColumnType, V: ColumnType> ColumnType for BTreeMap<K, V> {
    fn data_type() -> DataType {
        let values = Field { name: "value".to_owned(), data_type: V::data_type(), nullable: V::NULLABLE };
        DataType::Map(Box::new(Field::new("key", K::data_type())), Box::new(values))
    }

    fn check(column: AnyColumn<'_>) -> Result<AnyColumn<'_>, StepError> {
        let maps = column.map()?;
        K::check(maps.values.keys)?;
        V::check(maps.values.values)?;
        Ok(column)
    }
}

impl<'a, R: Record<'a>> RecordField<'a> for R {
    /// The structs, and their members.
    type Column = (Column<'a, Structs<'a>>, R::Columns);

    fn column(column: AnyColumn<'a>) -> Result<Self::Column, StepError> {
        let structs = column.structure()?;
        Ok((structs, R::columns(structs.members())?))
    }

    fn is_null((structs, _): &Self::Column, row: usize) -> bool {
        structs.is_null(row)
    }

    fn is_missing((structs, members): &Self::Column, row: usize) -> bool {
        structs.is_null(row) || R::missing(members, row).is_some()
    }

    fn read((_, members): &Self::Column, row: usize) -> Self {
        R::read(members, row)
    }
}
