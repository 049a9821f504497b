//! Columns that are built from the values in blocks.
//!
//! Owns how each type of Avro becomes values of Arrow's. Text is kept as bytes, which are checked when they are
//! converted.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    ArrayRef, ListArray, MapArray, NullArray, StructArray,
    builder::{BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder},
};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};

use super::{
    cursor::{Broken, Cursor, KEPT_BYTES, SKIPPED_BYTES},
    schema::{AvroSchema, Type, TypeId},
};
use crate::columns::BitsBuilder;

/// Number of bytes of any number of 38 digits.
const DECIMAL_BYTES: usize = 16;

/// Builder of one column.
pub(super) enum Column {
    Null(usize),
    Boolean(BooleanBuilder),
    /// A number of 32 bits, and whatever is written like it.
    Int(BitsBuilder),
    Long(BitsBuilder),
    Float(BitsBuilder),
    Double(BitsBuilder),
    Decimal {
        values: BitsBuilder,
        digits: u8,
        bytes: Option<usize>,
    },
    Bytes(BinaryBuilder),
    Enum(Arc<[String]>, BinaryBuilder),
    Uuid(BinaryBuilder),
    Fixed(usize, FixedSizeBinaryBuilder),
    Duration(Vec<BitsBuilder>, Fields, NullBufferBuilder),
    List(Box<Column>, Rows),
    Map(BinaryBuilder, Box<Column>, Rows),
    Struct(Record, NullBufferBuilder),
    /// A union with at most one type besides null, which has this number.
    Union {
        null: Option<usize>,
        choices: usize,
        of: Box<Column>,
    },
}

/// How many items each row has.
pub(super) struct Rows {
    lengths: Vec<usize>,
    validity: NullBufferBuilder,
}

impl Rows {
    fn new() -> Self {
        Self { lengths: Vec::new(), validity: NullBufferBuilder::new(0) }
    }

    fn append(&mut self, items: Option<usize>) {
        self.lengths.push(items.unwrap_or_default());
        self.validity.append(items.is_some());
    }

    fn offsets(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths))
    }
}

/// Builders of those fields of a record that are read.
pub(super) struct Record {
    /// All fields of the record, in order: its builder, or the type that is skipped.
    fields: Vec<Member>,
    names: Vec<String>,
    columns: Vec<Column>,
    /// Which of the described fields each column is.
    described: Vec<usize>,
}

enum Member {
    /// Read into these columns: more than one, if several fields are made of it.
    Kept(Range<usize>),
    Skipped(TypeId),
}

impl Record {
    /// Creates the builders of fields that are `described` for a record.
    pub(super) fn new(file: &AvroSchema, fields: &[(String, TypeId)], described: &Fields) -> Self {
        let mut record = Self { fields: Vec::new(), names: Vec::new(), columns: Vec::new(), described: Vec::new() };
        for (name, id) in fields {
            let first = record.columns.len();
            for (index, field) in described.iter().enumerate().filter(|(_, field)| field.name() == name) {
                record.names.push(name.clone());
                record.columns.push(Column::new(file, *id, field));
                record.described.push(index);
            }
            let columns = first..record.columns.len();
            record.fields.push(if columns.is_empty() { Member::Skipped(*id) } else { Member::Kept(columns) });
        }
        record
    }

    /// Returns the number of the column that is made of a described field.
    pub(super) fn column_of(&self, described: usize) -> Option<usize> {
        self.described.iter().position(|index| *index == described)
    }

    pub(super) fn read(&mut self, file: &AvroSchema, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
        for member in &self.fields {
            match member {
                Member::Kept(columns) => {
                    let start = cursor.rest();
                    for column in &mut self.columns[columns.clone()] {
                        cursor.go_to(start);
                        column.read(file, cursor)?;
                    }
                }
                Member::Skipped(id) => skip(file, *id, cursor)?,
            }
        }
        Ok(())
    }

    /// Returns the columns, by name.
    pub(super) fn finish(&mut self) -> (Fields, Vec<ArrayRef>) {
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let field = |(name, array): (&String, &ArrayRef)| Field::new(name, array.data_type().clone(), true);
        (self.names.iter().zip(&arrays).map(field).collect(), arrays)
    }
}

impl Column {
    /// Creates the builder of a type that was described as a field.
    fn new(file: &AvroSchema, id: TypeId, field: &Field) -> Self {
        let bits = || BitsBuilder::new(field.data_type()).expect("such a type has a width");
        match (file.get(id), field.data_type()) {
            (Type::Union(branches), _) => {
                let null = branches.iter().position(|branch| *file.get(*branch) == Type::Null);
                let (of, _) = file.nullable(branches).expect("other unions are not described");
                Self::Union { null, choices: branches.len(), of: Box::new(Self::new(file, of, field)) }
            }
            (Type::Boolean, _) => Self::Boolean(BooleanBuilder::new()),
            (Type::Int | Type::Date | Type::TimeMillis, _) => Self::Int(bits()),
            (Type::Long | Type::TimeMicros | Type::Timestamp(..), _) => Self::Long(bits()),
            (Type::Float, _) => Self::Float(bits()),
            (Type::Double, _) => Self::Double(bits()),
            (Type::Decimal(.., bytes), DataType::Decimal128(digits, _)) => {
                Self::Decimal { values: bits(), digits: *digits, bytes: *bytes }
            }
            (Type::Bytes | Type::Text, _) => Self::Bytes(BinaryBuilder::new()),
            (Type::Enum(symbols), _) => Self::Enum(Arc::clone(symbols), BinaryBuilder::new()),
            (Type::Uuid, _) => Self::Uuid(BinaryBuilder::new()),
            (Type::Fixed(bytes), DataType::FixedSizeBinary(width)) => {
                Self::Fixed(*bytes, FixedSizeBinaryBuilder::new(*width))
            }
            (Type::Duration, DataType::Struct(members)) => {
                let part = |_| BitsBuilder::new(&DataType::UInt32).expect("such a type has a width");
                Self::Duration(members.iter().map(part).collect(), members.clone(), NullBufferBuilder::new(0))
            }
            (Type::Array(item), DataType::List(described)) => {
                Self::List(Box::new(Self::new(file, *item, described)), Rows::new())
            }
            (Type::Map(value), DataType::Map(entries, _)) => {
                let DataType::Struct(parts) = entries.data_type() else { unreachable!("entries are a struct") };
                Self::Map(BinaryBuilder::new(), Box::new(Self::new(file, *value, &parts[1])), Rows::new())
            }
            (Type::Record(fields), DataType::Struct(members)) => {
                Self::Struct(Record::new(file, fields, members), NullBufferBuilder::new(0))
            }
            _ => Self::Null(0),
        }
    }

    /// Reads a value.
    fn read(&mut self, file: &AvroSchema, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
        cursor.spend(KEPT_BYTES)?;
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(values) => values.append_value(cursor.boolean()?),
            Self::Int(values) => values.append(Some(cursor.int()?.into())),
            Self::Long(values) => values.append(Some(cursor.long()?.into())),
            Self::Float(values) => values.append(Some(u32::from_le_bytes(cursor.array()?).into())),
            Self::Double(values) => values.append(Some(u64::from_le_bytes(cursor.array()?).into())),
            Self::Decimal { values, digits, bytes } => {
                let written = match *bytes {
                    Some(bytes) => cursor.take(bytes)?,
                    None => cursor.bytes()?,
                };
                values.append(Some(decimal(written, *digits)?));
            }
            Self::Bytes(values) => values.append_value(cursor.bytes()?),
            Self::Enum(symbols, values) => {
                let symbol = &symbols[cursor.choice(symbols.len())?];
                cursor.spend(symbol.len() as u64)?;
                values.append_value(symbol);
            }
            Self::Uuid(values) => {
                cursor.spend(36)?;
                values.append_value(uuid(cursor.array()?));
            }
            Self::Fixed(bytes, values) => {
                let value = cursor.take(*bytes)?;
                cursor.spend(*bytes as u64)?;
                values.append_value(value).expect("the length is that of the type");
            }
            Self::Duration(parts, _, validity) => {
                for part in parts {
                    part.append(Some(u32::from_le_bytes(cursor.array()?).into()));
                }
                validity.append_non_null();
            }
            Self::List(items, rows) => {
                let count = cursor.nested(|cursor| cursor.items(|cursor| items.read(file, cursor)))?;
                rows.append(Some(count));
            }
            Self::Map(keys, values, rows) => {
                let count = cursor.nested(|cursor| {
                    cursor.items(|cursor| {
                        keys.append_value(cursor.bytes()?);
                        values.read(file, cursor)
                    })
                })?;
                rows.append(Some(count));
            }
            Self::Struct(record, validity) => {
                cursor.nested(|cursor| record.read(file, cursor))?;
                validity.append_non_null();
            }
            Self::Union { null, choices, of } => match Some(cursor.choice(*choices)?) {
                choice if choice == *null => of.append_null(),
                _ => of.read(file, cursor)?,
            },
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(values) => values.append_null(),
            Self::Int(values) | Self::Long(values) | Self::Float(values) | Self::Double(values) => values.append(None),
            Self::Decimal { values, .. } => values.append(None),
            Self::Bytes(values) | Self::Enum(_, values) | Self::Uuid(values) => values.append_null(),
            Self::Fixed(_, values) => values.append_null(),
            Self::Duration(parts, _, validity) => {
                // The parts of a duration are never null; nobody sees those of a null.
                parts.iter_mut().for_each(|part| part.append(Some(0)));
                validity.append_null();
            }
            Self::List(_, rows) | Self::Map(.., rows) => rows.append(None),
            Self::Struct(record, validity) => {
                record.columns.iter_mut().for_each(Self::append_null);
                validity.append_null();
            }
            Self::Union { of, .. } => of.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        match self {
            Self::Null(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int(values) | Self::Long(values) | Self::Float(values) | Self::Double(values) => values.finish(),
            Self::Decimal { values, .. } => values.finish(),
            Self::Bytes(values) | Self::Enum(_, values) | Self::Uuid(values) => Arc::new(values.finish()),
            Self::Fixed(_, values) => Arc::new(values.finish()),
            Self::Duration(parts, members, validity) => {
                let parts = parts.iter_mut().map(BitsBuilder::finish).collect();
                Arc::new(StructArray::new(members.clone(), parts, validity.finish()))
            }
            Self::List(items, rows) => {
                let items = items.finish();
                let item = field("item", &items);
                Arc::new(ListArray::new(item, rows.offsets(), items, rows.validity.finish()))
            }
            Self::Map(keys, values, rows) => {
                let (keys, values): (ArrayRef, _) = (Arc::new(keys.finish()), values.finish());
                let key = Arc::new(Field::new("key", DataType::Binary, false));
                let parts = Fields::from(vec![key, field("value", &values)]);
                let entries = Arc::new(Field::new("entries", DataType::Struct(parts.clone()), false));
                let of = StructArray::new(parts, vec![keys, values], None);
                Arc::new(MapArray::new(entries, rows.offsets(), of, rows.validity.finish(), false))
            }
            Self::Struct(record, validity) => {
                let (fields, columns) = record.finish();
                let rows = validity.len();
                let made = StructArray::try_new_with_length(fields, columns, validity.finish(), rows);
                Arc::new(made.expect("each record has a value in each column"))
            }
            Self::Union { of, .. } => of.finish(),
        }
    }
}

/// Reads a decimal number from the bytes of its digits as one number, the greatest first.
fn decimal(bytes: &[u8], digits: u8) -> Result<i128, Broken> {
    let sign = bytes.first().map_or(0, |first| if *first < 0x80 { 0 } else { 0xFF });
    let (extra, last) = bytes.split_at(bytes.len().saturating_sub(DECIMAL_BYTES));
    let mut all = [sign; DECIMAL_BYTES];
    all[DECIMAL_BYTES - last.len()..].copy_from_slice(last);
    let value = i128::from_be_bytes(all);
    let fits = extra.iter().all(|byte| *byte == sign) && (value < 0) == (sign != 0);
    if !fits || value.unsigned_abs() >= 10_u128.pow(digits.into()) {
        return Err(Broken::Damaged(format!("a decimal number in it has more than {digits} digits")));
    }
    Ok(value)
}

/// Returns a UUID as text.
fn uuid(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Skips a value.
fn skip(file: &AvroSchema, id: TypeId, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
    cursor.spend(SKIPPED_BYTES)?;
    match file.get(id) {
        Type::Null => {}
        Type::Boolean => _ = cursor.boolean()?,
        Type::Int | Type::Date | Type::TimeMillis => _ = cursor.int()?,
        Type::Long | Type::TimeMicros | Type::Timestamp(..) => _ = cursor.long()?,
        Type::Float => _ = cursor.array::<4>()?,
        Type::Double => _ = cursor.array::<8>()?,
        Type::Bytes | Type::Text | Type::Decimal(.., None) => _ = cursor.bytes()?,
        Type::Fixed(bytes) | Type::Decimal(.., Some(bytes)) => _ = cursor.take(*bytes)?,
        Type::Uuid => _ = cursor.array::<16>()?,
        Type::Duration => _ = cursor.array::<12>()?,
        Type::Enum(symbols) => _ = cursor.choice(symbols.len())?,
        Type::Array(item) => _ = cursor.nested(|cursor| cursor.items(|cursor| skip(file, *item, cursor)))?,
        Type::Map(value) => {
            cursor.nested(|cursor| {
                cursor.items(|cursor| {
                    cursor.bytes()?;
                    skip(file, *value, cursor)
                })
            })?;
        }
        Type::Record(fields) => {
            cursor.nested(|cursor| fields.iter().try_for_each(|(_, id)| skip(file, *id, cursor)))?;
        }
        Type::Union(branches) => {
            let branch = branches[cursor.choice(branches.len())?];
            cursor.nested(|cursor| skip(file, branch, cursor))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_any_number_of_bytes_and_no_more_digits_than_they_say() {
        for (bytes, digits, number) in [
            (&b""[..], 1, 0),
            (b"\x01\x2c", 3, 300),
            (b"\xff", 1, -1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x9d", 2, -99),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x63", 2, 99),
        ] {
            assert_eq!(decimal(bytes, digits), Ok(number));
        }
        for bytes in
            [&b"\x64"[..], b"\x9c", b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"\0\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(decimal(bytes, 2), Err("a decimal number in it has more than 2 digits".into()), "{bytes:?}");
        }
    }

    #[test]
    fn a_uuid_is_text() {
        let bytes = *b"\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\0";
        assert_eq!(uuid(bytes), "123e4567-e89b-12d3-a456-426614174000");
    }
}
