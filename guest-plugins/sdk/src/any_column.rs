//! A column of any type, which says its type and gives its values.

use crate::cell::{Cell, Nested};
use crate::column::{Column, ColumnValues};
use crate::column_values::{
    Bits, Blobs, Bytes, Dates, Decimals, Durations, FixedBytes, Halves, Lists, Maps, Numbers, Offsets, Singles,
    Structs, Texts, Times, Timestamps,
};
use crate::schema::wrong_type;
use crate::wire::Node;
use crate::{DataType, Field, StepError};

/// A column of any type: one of [`Rows`](crate::Rows), the items of a list, or the keys or values of a map.
#[derive(Clone, Copy, Debug)]
pub struct AnyColumn<'a> {
    name: &'a str,
    data_type: &'a DataType,
    node: &'a Node,
    start: usize,
    end: usize,
}

/// One map of a column.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    pub(crate) keys: AnyColumn<'a>,
    pub(crate) values: AnyColumn<'a>,
}

impl<'a> Map<'a> {
    /// Returns the number of entries.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys, as a column.
    pub const fn keys(&self) -> AnyColumn<'a> {
        self.keys
    }

    /// Returns the values, as a column: the first belongs to the first key.
    pub const fn values(&self) -> AnyColumn<'a> {
        self.values
    }
}

macro_rules! readers {
    ($($(#[$doc:meta])* $reader:ident($self:ident, $types:pat) -> $values:ty { $value:expr })*) => {
        impl<'a> AnyColumn<'a> {
            $($(#[$doc])*
            #[inline]
            pub fn $reader(&$self) -> Result<Column<'a, $values>, StepError> {
                let $types = $self.data_type else { return Err($self.wrong_type(stringify!($reader))) };
                Ok($self.column($value))
            })*
        }

        impl<'a> crate::Rows<'a> {
            $($(#[$doc])*
            #[inline]
            pub fn $reader(&self, column: impl crate::ColumnName) -> Result<Column<'a, $values>, StepError> {
                self.any(column)?.$reader()
            })*
        }
    };
}

readers! {
    /// Returns a column of booleans.
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when there is no such column or it has another type. The methods for the other types
    /// fail in the same way.
    boolean(self, DataType::Boolean) -> Bits<'a> { Bits(self.buffer(0)) }
    /// Returns a column of integers of 8 bits.
    int8(self, DataType::Int8) -> Numbers<'a, i8> { Numbers::new(self.buffer(0)) }
    /// Returns a column of integers of 16 bits.
    int16(self, DataType::Int16) -> Numbers<'a, i16> { Numbers::new(self.buffer(0)) }
    /// Returns a column of integers of 32 bits.
    int32(self, DataType::Int32) -> Numbers<'a, i32> { Numbers::new(self.buffer(0)) }
    /// Returns a column of integers of 64 bits.
    int64(self, DataType::Int64) -> Numbers<'a, i64> { Numbers::new(self.buffer(0)) }
    /// Returns a column of unsigned integers of 8 bits.
    uint8(self, DataType::UInt8) -> Numbers<'a, u8> { Numbers::new(self.buffer(0)) }
    /// Returns a column of unsigned integers of 16 bits.
    uint16(self, DataType::UInt16) -> Numbers<'a, u16> { Numbers::new(self.buffer(0)) }
    /// Returns a column of unsigned integers of 32 bits.
    uint32(self, DataType::UInt32) -> Numbers<'a, u32> { Numbers::new(self.buffer(0)) }
    /// Returns a column of unsigned integers of 64 bits.
    uint64(self, DataType::UInt64) -> Numbers<'a, u64> { Numbers::new(self.buffer(0)) }
    /// Returns a column of floating-point numbers of 16 bits.
    float16(self, DataType::Float16) -> Halves<'a> { Halves(Numbers::new(self.buffer(0))) }
    /// Returns a column of floating-point numbers of 32 bits.
    float32(self, DataType::Float32) -> Numbers<'a, f32> { Numbers::new(self.buffer(0)) }
    /// Returns a column of floating-point numbers of 64 bits.
    float64(self, DataType::Float64) -> Numbers<'a, f64> { Numbers::new(self.buffer(0)) }
    /// Returns a column of exact decimal numbers.
    decimal(self, DataType::Decimal { scale, .. }) -> Decimals<'a> {
        Decimals { unscaled: Numbers::new(self.buffer(0)), scale: *scale }
    }
    /// Returns a column of days.
    date(self, DataType::Date) -> Dates<'a> { Dates(Numbers::new(self.buffer(0))) }
    /// Returns a column of times of day.
    time(self, DataType::Time(unit)) -> Times<'a> { Times { bytes: self.buffer(0), unit: *unit } }
    /// Returns a column of points in time.
    timestamp(self, DataType::Timestamp { unit, .. }) -> Timestamps<'a> {
        Timestamps { values: Numbers::new(self.buffer(0)), unit: *unit }
    }
    /// Returns a column of spans of time.
    duration(self, DataType::Duration(unit)) -> Durations<'a> {
        Durations { values: Numbers::new(self.buffer(0)), unit: *unit }
    }
    /// Returns a column of text.
    text(self, DataType::Text) -> Texts<'a> { Texts(self.bytes()) }
    /// Returns a column of bytes. A column of text or JSON can be read as bytes, too.
    binary(self, (DataType::Binary | DataType::Text | DataType::Json)) -> Bytes<'a> { self.bytes() }
    /// Returns a column of bytes, always as many.
    fixed_binary(self, DataType::FixedBinary(size)) -> FixedBytes<'a> {
        FixedBytes { bytes: self.buffer(0), size: *size as usize }
    }
    /// Returns a column of JSON documents, as text.
    json(self, DataType::Json) -> Texts<'a> { Texts(self.bytes()) }
    /// Returns a column of lists. Each is a column of its items: `rows.list("tags")?.get(0)` has `text()` and so on.
    list(self, DataType::List(item)) -> Lists<'a> {
        Lists { offsets: Offsets::new(self.buffer(0)), items: self.part(item, &self.node.children[0]) }
    }
    /// Returns a column of structs. Each is a row of its members; [`Column::members`] returns them as columns.
    structure(self, DataType::Struct(fields)) -> Structs<'a> { Structs { fields, nodes: &self.node.children } }
    /// Returns a column of maps.
    map(self, DataType::Map(key, value)) -> Maps<'a> {
        {
            let entries = &self.node.children[0].children;
            let (keys, values) = (self.part(key, &entries[0]), self.part(value, &entries[1]));
            Maps { offsets: Offsets::new(self.buffer(0)), keys, values }
        }
    }
}

impl<'a> AnyColumn<'a> {
    #[inline]
    pub(crate) const fn new(field: &'a Field, node: &'a Node, start: usize, end: usize) -> Self {
        Self { name: field.name.as_str(), data_type: &field.data_type, node, start, end }
    }

    /// Returns the items from `start` up to `end` of the batch.
    #[inline]
    pub(crate) const fn slice(self, start: usize, end: usize) -> Self {
        Self { start, end, ..self }
    }

    /// Returns the type of the values.
    pub const fn data_type(&self) -> &'a DataType {
        self.data_type
    }

    /// Returns the number of values.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns whether there are no values.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns one value.
    ///
    /// # Panics
    /// When there is no such value.
    #[inline]
    pub fn cell(&self, row: usize) -> Cell<'a> {
        let row = self.start + row;
        assert!(row < self.end, "row {row} is not below {}", self.end);
        if self.node.validity.as_ref().is_some_and(|bits| !Bits(bits).value(row)) {
            return Cell::Null;
        }
        match self.data_type {
            DataType::Int64 => Cell::Int64(Numbers::<i64>::new(self.buffer(0)).value(row)),
            DataType::Text => Cell::Text(Texts(self.bytes()).value(row)),
            _ => self.rare_cell(row).unwrap_or_else(|_| unreachable!("each type is read by its own method")),
        }
    }

    /// Returns a value, which must not be null, of a type that is not the most common.
    #[inline(never)]
    fn rare_cell(&self, row: usize) -> Result<Cell<'a>, StepError> {
        Ok(match self.data_type {
            DataType::Boolean => Cell::Boolean(self.boolean()?.values.value(row)),
            DataType::Int8 => Cell::Int64(self.int8()?.values.value(row).into()),
            DataType::Int16 => Cell::Int64(self.int16()?.values.value(row).into()),
            DataType::Int32 => Cell::Int64(self.int32()?.values.value(row).into()),
            DataType::Int64 => Cell::Int64(self.int64()?.values.value(row)),
            DataType::UInt8 => Cell::UInt64(self.uint8()?.values.value(row).into()),
            DataType::UInt16 => Cell::UInt64(self.uint16()?.values.value(row).into()),
            DataType::UInt32 => Cell::UInt64(self.uint32()?.values.value(row).into()),
            DataType::UInt64 => Cell::UInt64(self.uint64()?.values.value(row)),
            DataType::Float16 => Cell::Float32(self.float16()?.values.value(row)),
            DataType::Float32 => Cell::Float32(self.float32()?.values.value(row)),
            DataType::Float64 => Cell::Float64(self.float64()?.values.value(row)),
            DataType::Decimal { .. } => Cell::Decimal(self.decimal()?.values.value(row)),
            DataType::Date => Cell::Date(self.date()?.values.value(row)),
            DataType::Time(_) => Cell::Time(self.time()?.values.value(row)),
            DataType::Timestamp { .. } => Cell::Timestamp(self.timestamp()?.values.value(row)),
            DataType::Duration(_) => Cell::Duration(self.duration()?.values.value(row)),
            DataType::Text | DataType::Json => Cell::Text(self.texts()?.values.value(row)),
            DataType::Binary | DataType::FixedBinary(_) => Cell::Binary(self.blobs()?.values.value(row)),
            DataType::List(_) => Cell::List(self.nested(row)),
            DataType::Struct(_) => Cell::Struct(self.nested(row)),
            DataType::Map(..) => Cell::Map(self.nested(row)),
        })
    }

    const fn nested(&self, row: usize) -> Nested<'a> {
        Nested::of_column(self.data_type, self.node, row)
    }

    /// Returns a column of floating-point numbers of 16 or 32 bits.
    #[inline]
    pub(crate) fn singles(&self) -> Result<Column<'a, Singles<'a>>, StepError> {
        Ok(match self.data_type {
            DataType::Float16 => self.column(Singles::Half(self.float16()?.values)),
            _ => self.column(Singles::Single(self.float32()?.values)),
        })
    }

    /// Returns a column of text or of JSON documents.
    #[inline]
    pub(crate) fn texts(&self) -> Result<Column<'a, Texts<'a>>, StepError> {
        if matches!(self.data_type, DataType::Json) { self.json() } else { self.text() }
    }

    /// Returns a column of bytes, whether or not always as many.
    #[inline]
    pub(crate) fn blobs(&self) -> Result<Column<'a, Blobs<'a>>, StepError> {
        Ok(match self.data_type {
            DataType::FixedBinary(_) => self.column(Blobs::Fixed(self.fixed_binary()?.values)),
            _ => self.column(Blobs::Variable(self.binary()?.values)),
        })
    }

    /// Returns where the column's values begin and end in the batch, and what they are stored as.
    pub(crate) const fn stored(&self) -> (&'a Node, usize, usize) {
        (self.node, self.start, self.end)
    }

    /// Returns the column if its values have this type.
    #[doc(hidden)]
    pub fn expect(self, wanted: &DataType) -> Result<Self, StepError> {
        if self.data_type.is_same(wanted) {
            return Ok(self);
        }
        Err(wrong_type(self.name, self.data_type, wanted))
    }

    /// Returns a part of the column, named like the column.
    fn part(&self, field: &'a Field, node: &'a Node) -> Self {
        Self { name: self.name, data_type: &field.data_type, node, start: 0, end: node.length }
    }

    #[inline]
    fn column<V>(&self, values: V) -> Column<'a, V> {
        Column { values, validity: self.node.validity.as_deref().map(Bits), start: self.start, end: self.end }
    }

    #[inline]
    fn buffer(&self, index: usize) -> &'a [u8] {
        &self.node.buffers[index]
    }

    #[inline]
    fn bytes(&self) -> Bytes<'a> {
        Bytes { offsets: Offsets::new(self.buffer(0)), bytes: self.buffer(1) }
    }

    #[cold]
    fn wrong_type(&self, wanted: &str) -> StepError {
        let Self { name, data_type, .. } = self;
        let reader = data_type.reader();
        let wanted = match wanted {
            "structure" => "struct",
            "fixed_binary" => "binary(n)",
            plain => plain,
        };
        StepError::InvalidInput(format!(
            "column `{name}` of the input is {data_type}, not {wanted} (the method `{reader}` reads it)"
        ))
    }
}
