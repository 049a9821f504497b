//! The builder of one column, or of a part of a nested column.

use std::fmt;

use crate::bindings::map::etl::plugin::types::Column;
use crate::cell::{Cell, Nested};
use crate::column::ColumnValues;
use crate::column_values::{Bits, Bytes, Offsets};
use crate::{AnyColumn, DataType, Decimal, Field, StepError, Unit, half, short};

/// Builds a column value by value, straight into the buffers that cross to the host.
#[derive(Debug)]
pub(crate) struct ColumnBuilder {
    name: String,
    data_type: DataType,
    nullable: bool,
    length: usize,
    validity: Option<Vec<u8>>,
    /// The values of fixed size, or the bytes of all values.
    values: Vec<u8>,
    /// The ends of values that have no fixed size, after a first 0.
    offsets: Vec<u8>,
    children: Vec<ColumnBuilder>,
}

/// A value that a column does not take.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// The names of the parts that lead to the value, innermost first.
    path: Vec<String>,
    what: String,
}

impl Misfit {
    fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.push(name.to_owned());
        self
    }
}

impl From<Box<Misfit>> for StepError {
    #[cold]
    fn from(misfit: Box<Misfit>) -> Self {
        let path: Vec<_> = misfit.path.iter().rev().map(String::as_str).collect();
        Self::Fatal(format!("column `{}` {}", path.join("."), misfit.what))
    }
}

impl ColumnBuilder {
    pub(crate) fn new(field: &Field) -> Self {
        let entry;
        let children = match &field.data_type {
            DataType::List(item) => std::slice::from_ref(&**item),
            DataType::Struct(members) => members,
            DataType::Map(key, value) => {
                entry = [Field::new("entry", DataType::Struct(vec![(**key).clone(), (**value).clone()]))];
                &entry
            }
            _ => &[],
        };
        let children = children.iter().map(Self::new).collect();
        let mut column = Self {
            name: field.name.clone(),
            data_type: field.data_type.clone(),
            nullable: field.nullable,
            length: 0,
            validity: None,
            values: Vec::new(),
            offsets: Vec::new(),
            children,
        };
        column.clear();
        column
    }

    /// Appends a value and returns about how many bytes it takes.
    #[inline(always)]
    pub(crate) fn push(&mut self, cell: Cell<'_>) -> Result<usize, Box<Misfit>> {
        let bytes = match (cell, &self.data_type) {
            (Cell::Int64(value), DataType::Int64) => self.push_fixed(value.to_le_bytes()),
            (Cell::Float64(value), DataType::Float64) => self.push_fixed(value.to_le_bytes()),
            (Cell::Text(value), DataType::Text | DataType::Json) => self.push_bytes(value.as_bytes()),
            (Cell::Binary(value), DataType::Binary) => self.push_bytes(value),
            (Cell::Boolean(value), DataType::Boolean) => push_bit(&mut self.values, self.length, value),
            (Cell::Null, _) => return self.push_null(cell),
            _ => self.push_other(cell)?,
        };
        if let Some(validity) = &mut self.validity {
            push_bit(validity, self.length, true);
        }
        self.length += 1;
        Ok(bytes)
    }

    /// Appends these rows of a column, and returns about how many bytes they take.
    pub(crate) fn push_selected(&mut self, column: AnyColumn<'_>, rows: &[u32]) -> Result<usize, Box<Misfit>> {
        let (node, start, end) = column.stored();
        let takes_nulls = self.nullable || node.validity.is_none();
        if !takes_nulls || *column.data_type() != self.data_type || !self.is_copied() {
            return rows.iter().map(|row| self.push(column.cell(*row as usize))).sum();
        }
        let rows = rows.iter().map(|row| {
            let row = start + *row as usize;
            assert!(row < end, "row {row} is not below {end}");
            row
        });
        let bytes = self.push_stored(&node.buffers, rows.clone());
        if node.validity.is_some() || self.validity.is_some() {
            let validity = self.validity.get_or_insert_with(|| all_present(self.length));
            let present = node.validity.as_deref().map(Bits);
            for (length, row) in (self.length..).zip(rows.clone()) {
                push_bit(validity, length, present.is_none_or(|present| present.value(row)));
            }
        }
        self.length += rows.len();
        Ok(bytes)
    }

    /// Appends values of these rows as they are stored, but not whether they are null.
    fn push_stored(&mut self, [first, second]: &[Vec<u8>; 2], rows: impl Iterator<Item = usize>) -> usize {
        let before = self.values.len() + self.offsets.len();
        match self.data_type.size() {
            0 => {
                let bytes = Bytes { offsets: Offsets::new(first), bytes: second };
                rows.for_each(|row| _ = self.push_bytes(bytes.value(row)));
            }
            1 => append::<1>(&mut self.values, first, rows),
            2 => append::<2>(&mut self.values, first, rows),
            4 => append::<4>(&mut self.values, first, rows),
            8 => append::<8>(&mut self.values, first, rows),
            16 => append::<16>(&mut self.values, first, rows),
            size => rows.for_each(|row| self.values.extend_from_slice(&first[row * size..][..size])),
        }
        self.values.len() + self.offsets.len() - before
    }

    /// Returns whether values are whole bytes, so that they can be copied as they are stored.
    const fn is_copied(&self) -> bool {
        self.data_type.size() > 0 || matches!(self.data_type, DataType::Text | DataType::Json | DataType::Binary)
    }

    /// Appends a value of a type that is less common, or not quite the column's.
    #[inline(never)]
    fn push_other(&mut self, cell: Cell<'_>) -> Result<usize, Box<Misfit>> {
        let bytes = match (cell, &self.data_type) {
            (Cell::Int64(value), _) => self.push_integer(value.into()),
            (Cell::UInt64(value), _) => self.push_integer(value.into()),
            (Cell::Float32(value), DataType::Float16) => Some(self.push_fixed(half::write(value).to_le_bytes())),
            (Cell::Float32(value), DataType::Float32) => Some(self.push_fixed(value.to_le_bytes())),
            (Cell::Float32(value), DataType::Float64) => Some(self.push_fixed(f64::from(value).to_le_bytes())),
            (Cell::Decimal(value), &DataType::Decimal { precision, scale }) => {
                self.push_decimal(value, precision, scale)
            }
            (Cell::Date(value), DataType::Date) => Some(self.push_fixed(value.days().to_le_bytes())),
            (Cell::Time(value), &DataType::Time(unit)) if value.unit() <= unit => {
                value.to_unit(unit).and_then(|time| self.push_time(time.value(), unit))
            }
            (Cell::Timestamp(value), &DataType::Timestamp { unit, .. }) if value.unit() <= unit => {
                value.to_unit(unit).map(|point| self.push_fixed(point.value().to_le_bytes()))
            }
            (Cell::Duration(value), &DataType::Duration(unit)) if value.unit() <= unit => {
                value.to_unit(unit).map(|span| self.push_fixed(span.value().to_le_bytes()))
            }
            (Cell::Binary(value), &DataType::FixedBinary(size)) if value.len() == size as usize => {
                self.values.extend_from_slice(value);
                Some(value.len())
            }
            (Cell::List(items), DataType::List(_)) => Some(self.push_list(items)?),
            (Cell::Struct(members), DataType::Struct(_)) => Some(self.push_struct(members)?),
            (Cell::Map(entries), DataType::Map(..)) => Some(self.push_map(entries)?),
            _ => None,
        };
        bytes.ok_or_else(|| self.misfit(cell))
    }

    fn push_integer(&mut self, value: i128) -> Option<usize> {
        Some(match &self.data_type {
            DataType::Int8 => self.push_fixed(i8::try_from(value).ok()?.to_le_bytes()),
            DataType::Int16 => self.push_fixed(i16::try_from(value).ok()?.to_le_bytes()),
            DataType::Int32 => self.push_fixed(i32::try_from(value).ok()?.to_le_bytes()),
            DataType::Int64 => self.push_fixed(i64::try_from(value).ok()?.to_le_bytes()),
            DataType::UInt8 => self.push_fixed(u8::try_from(value).ok()?.to_le_bytes()),
            DataType::UInt16 => self.push_fixed(u16::try_from(value).ok()?.to_le_bytes()),
            DataType::UInt32 => self.push_fixed(u32::try_from(value).ok()?.to_le_bytes()),
            DataType::UInt64 => self.push_fixed(u64::try_from(value).ok()?.to_le_bytes()),
            _ => return None,
        })
    }

    fn push_decimal(&mut self, value: Decimal, precision: u8, scale: i8) -> Option<usize> {
        let value = value.rescale(scale).filter(|value| value.fits(precision))?;
        Some(self.push_fixed(value.unscaled().to_le_bytes()))
    }

    fn push_time(&mut self, value: i64, unit: Unit) -> Option<usize> {
        match unit {
            Unit::Second | Unit::Milli => Some(self.push_fixed(i32::try_from(value).ok()?.to_le_bytes())),
            Unit::Micro | Unit::Nano => Some(self.push_fixed(value.to_le_bytes())),
        }
    }

    #[inline]
    fn push_fixed<const N: usize>(&mut self, value: [u8; N]) -> usize {
        self.values.extend_from_slice(&value);
        N
    }

    #[inline]
    fn push_bytes(&mut self, value: &[u8]) -> usize {
        short::append(&mut self.values, value);
        self.push_offset(self.values.len()) + value.len()
    }

    #[inline]
    fn push_offset(&mut self, end: usize) -> usize {
        // A guest has 32-bit addresses, and batches are handed over long before.
        let end = u32::try_from(end).expect("a batch is smaller than 4 GiB");
        self.offsets.extend_from_slice(&end.to_le_bytes());
        size_of::<u32>()
    }

    fn push_list(&mut self, items: Nested<'_>) -> Result<usize, Box<Misfit>> {
        let list = &mut self.children[0];
        let bytes = items.iter().try_fold(0, |bytes, item| Ok::<_, Box<Misfit>>(bytes + list.push(item)?));
        let bytes = bytes.map_err(|misfit| misfit.within(&self.name))?;
        Ok(bytes + self.push_offset(self.children[0].length))
    }

    fn push_struct(&mut self, members: Nested<'_>) -> Result<usize, Box<Misfit>> {
        if members.len() != self.children.len() {
            return Err(self.misfit(Cell::Struct(members)));
        }
        let mut parts = self.children.iter_mut().zip(members.iter());
        let bytes = parts.try_fold(0, |bytes, (part, cell)| Ok::<_, Box<Misfit>>(bytes + part.push(cell)?));
        bytes.map_err(|misfit| misfit.within(&self.name))
    }

    fn push_map(&mut self, entries: Nested<'_>) -> Result<usize, Box<Misfit>> {
        let [entry] = self.children.as_mut_slice() else { unreachable!("a map has one child") };
        let mut bytes = 0;
        for (index, cell) in entries.iter().enumerate() {
            let pushed = entry.children[index % 2].push(cell);
            bytes += pushed.map_err(|misfit| misfit.within(&self.name))?;
        }
        entry.length += entries.len() / 2;
        let end = entry.length;
        Ok(bytes + self.push_offset(end))
    }

    #[inline(never)]
    fn push_null(&mut self, cell: Cell<'_>) -> Result<usize, Box<Misfit>> {
        if !self.nullable {
            return Err(self.misfit(cell));
        }
        let validity = self.validity.get_or_insert_with(|| all_present(self.length));
        push_bit(validity, self.length, false);
        Ok(self.push_blank() + 1)
    }

    /// Appends a value that means nothing, for a null in this column or in the one that contains it.
    fn push_blank(&mut self) -> usize {
        let bytes = match &self.data_type {
            DataType::Boolean => push_bit(&mut self.values, self.length, false),
            DataType::Text | DataType::Json | DataType::Binary => self.push_offset(self.values.len()),
            DataType::List(_) | DataType::Map(..) => self.push_offset(self.children[0].length),
            DataType::Struct(_) => self.children.iter_mut().map(Self::push_blank_part).sum(),
            fixed => {
                let bytes = fixed.size();
                self.values.resize(self.values.len() + bytes, 0);
                bytes
            }
        };
        self.length += 1;
        bytes
    }

    fn push_blank_part(&mut self) -> usize {
        if let Some(validity) = &mut self.validity {
            push_bit(validity, self.length, true);
        }
        self.push_blank()
    }

    /// Moves the column and its parts to `columns`, in the form in which they cross to the host.
    pub(crate) fn take(&mut self, columns: &mut Vec<Column>) {
        let (values, offsets) = (std::mem::take(&mut self.values), std::mem::take(&mut self.offsets));
        let buffers = match &self.data_type {
            DataType::Text | DataType::Json | DataType::Binary => vec![offsets, values],
            DataType::List(_) | DataType::Map(..) => vec![offsets],
            DataType::Struct(_) => Vec::new(),
            _ => vec![values],
        };
        let length = u32::try_from(self.length).expect("a batch has fewer values");
        columns.push(Column { length, validity: self.validity.take(), buffers });
        self.children.iter_mut().for_each(|child| child.take(columns));
    }

    /// Takes the memory of a column back, empties it, and does so with its parts.
    pub(crate) fn reuse(&mut self, columns: &mut impl Iterator<Item = Column>) {
        let mut buffers = columns.next().expect("the column was taken from here").buffers.into_iter();
        if !self.offsets_are_missing() {
            self.offsets = buffers.next().unwrap_or_default();
        }
        self.values = buffers.next().unwrap_or_default();
        self.clear();
        self.children.iter_mut().for_each(|child| child.reuse(columns));
    }

    const fn offsets_are_missing(&self) -> bool {
        !matches!(
            self.data_type,
            DataType::Text | DataType::Json | DataType::Binary | DataType::List(_) | DataType::Map(..)
        )
    }

    /// Removes the column's own values.
    fn clear(&mut self) {
        self.length = 0;
        self.validity = None;
        self.values.clear();
        self.offsets.clear();
        if !self.offsets_are_missing() {
            self.push_offset(0);
        }
    }

    #[cold]
    fn misfit(&self, cell: Cell<'_>) -> Box<Misfit> {
        let (data_type, found) = (&self.data_type, cell.type_name());
        let what = match (cell, &self.data_type) {
            (Cell::Null, _) if !self.nullable => "takes no nulls, the row has one".to_owned(),
            (Cell::Int64(value), kind) if kind.is_integer() => does_not_hold(data_type, value),
            (Cell::UInt64(value), kind) if kind.is_integer() => does_not_hold(data_type, value),
            (Cell::Decimal(value), DataType::Decimal { .. }) => does_not_hold(data_type, value),
            (Cell::Time(value), &DataType::Time(unit)) => self.misfit_of_time(value.value(), value.unit(), unit),
            (Cell::Timestamp(value), &DataType::Timestamp { unit, .. }) => {
                self.misfit_of_time(value.value(), value.unit(), unit)
            }
            (Cell::Duration(value), &DataType::Duration(unit)) => {
                self.misfit_of_time(value.value(), value.unit(), unit)
            }
            (Cell::Binary(value), DataType::FixedBinary(_)) => {
                format!("is {data_type}, the row has {} bytes", value.len())
            }
            (Cell::Struct(members), DataType::Struct(_)) => {
                format!("is {data_type}, the row has a struct of {} members", members.len())
            }
            _ => format!("is {data_type}, the row has {found}"),
        };
        Box::new(Misfit { path: vec![self.name.clone()], what })
    }

    fn misfit_of_time(&self, value: i64, unit: Unit, takes: Unit) -> String {
        let Self { data_type, .. } = self;
        match unit > takes {
            true => format!("is {data_type}, the row has one of a finer unit ({unit})"),
            false => does_not_hold(data_type, format_args!("{value}{unit}")),
        }
    }
}

fn does_not_hold(data_type: &DataType, value: impl fmt::Display) -> String {
    format!("is {data_type}, which does not hold {value}")
}

/// Appends values of `N` bytes.
fn append<const N: usize>(values: &mut Vec<u8>, stored: &[u8], rows: impl Iterator<Item = usize>) {
    let stored = stored.as_chunks::<N>().0;
    rows.for_each(|row| values.extend_from_slice(&stored[row]));
}

/// Appends bit number `len` and returns the number of bytes it takes, rounded up.
fn push_bit(bits: &mut Vec<u8>, len: usize, bit: bool) -> usize {
    if len.is_multiple_of(8) {
        bits.push(0);
    }
    bits[len / 8] |= u8::from(bit) << (len % 8);
    1
}

/// Returns the validity of `len` values without nulls.
fn all_present(len: usize) -> Vec<u8> {
    let mut bits = vec![u8::MAX; len.div_ceil(8)];
    if let (Some(last), 1..) = (bits.last_mut(), len % 8) {
        *last = (1 << (len % 8)) - 1;
    }
    bits
}
