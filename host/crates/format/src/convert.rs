//! Values of a file as values of the fields, exactly or not at all.
//!
//! Owns which types become which, and which values do not fit. What is read
//! has text as bytes, because nothing else has checked it.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Int64Array, ListArray, MapArray, StringArray,
    StructArray, cast::AsArray, make_array, new_null_array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_ord::cmp::not_distinct;
use arrow_schema::{ArrowError, DataType, Field, TimeUnit};
use etl_core::model::types::is_json;

use crate::{columns::Column, plain};

/// A column as the field has it.
pub(crate) struct Converted {
    pub(crate) array: ArrayRef,
    /// The values that do not fit, which are null in the array; `None` if all fit.
    pub(crate) wrong: Option<BooleanBuffer>,
}

/// Returns whether values of a type can become values of another: what the pair of names would be in a message is not
/// in here, so a struct or a list asks for its parts.
pub(crate) fn can_convert(from: &Field, to: &Field) -> bool {
    let (of, into) = (from.data_type(), to.data_type());
    match (of, into) {
        (DataType::Null, _) => true,
        (DataType::Struct(_) | DataType::List(_) | DataType::Map(..), _)
        | (_, DataType::Struct(_) | DataType::List(_) | DataType::Map(..)) => false,
        (DataType::Utf8 | DataType::Binary, DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_)) => true,
        (DataType::FixedSizeBinary(_), DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_)) => true,
        (DataType::Utf8, _) => Column::new(to, 0).is_some(),
        (DataType::Binary | DataType::FixedSizeBinary(_), _) | (_, DataType::Binary | DataType::FixedSizeBinary(_)) => {
            false
        }
        _ if is_json(to) => false,
        _ => can_cast_types(of, into) && (*into == DataType::Utf8 || can_cast_types(into, of)),
    }
}

/// Returns a column as a field has it. `from` is the column's field in the file, whose type passed
/// [`can_convert`].
///
/// # Errors
/// When the library cannot make the column, which is not expected.
pub(crate) fn convert(array: &ArrayRef, from: &Field, to: &Field) -> Result<Converted, ArrowError> {
    match (from.data_type(), to.data_type()) {
        (DataType::Null, other) => Ok(fits(new_null_array(other, array.len()))),
        (DataType::Struct(_), DataType::Struct(_)) => members(array.as_struct(), from, to),
        (DataType::List(from), DataType::List(to)) => items(array.as_list::<i32>(), from, to),
        (DataType::Map(from, _), DataType::Map(to, _)) => entries(array.as_map(), from, to),
        (DataType::Utf8 | DataType::Binary, _) => of_bytes(&as_binary(array)?, from, to),
        (DataType::Timestamp(..), _) if is_int96(array) => of_int96(array.as_fixed_size_binary(), to.data_type()),
        (DataType::FixedSizeBinary(bytes), DataType::FixedSizeBinary(wanted)) if bytes == wanted => {
            Ok(fits(Arc::clone(array)))
        }
        (DataType::FixedSizeBinary(_), _) => of_bytes(&as_binary(array)?, from, to),
        (_, other) => cast(array, other),
    }
}

fn fits(array: ArrayRef) -> Converted {
    Converted { array, wrong: None }
}

/// Returns whether values of times are those of 96 bits.
pub(crate) fn is_int96(array: &ArrayRef) -> bool {
    *array.data_type() == DataType::FixedSizeBinary(INT96_BYTES)
}

const INT96_BYTES: i32 = 12;

/// Converts times of 96 bits: the nanoseconds of a day, and the number of the day since 4713 BC.
fn of_int96(times: &FixedSizeBinaryArray, to: &DataType) -> Result<Converted, ArrowError> {
    let unit = match to {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Microsecond,
    };
    let nanos_in_unit = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let in_units = |time: &[u8]| {
        let nanos = int96_nanos(time)?;
        (nanos % nanos_in_unit == 0).then_some(nanos / nanos_in_unit).and_then(|units| i64::try_from(units).ok())
    };
    let units: Int64Array = times.iter().map(|time| time.and_then(in_units)).collect();
    let wrong = lost(times, &units);
    let plain: ArrayRef =
        make_array(units.to_data().into_builder().data_type(DataType::Timestamp(unit, None)).build()?);
    let made = cast(&plain, to)?;
    Ok(Converted { array: made.array, wrong: either(wrong, made.wrong) })
}

/// Returns the nanoseconds from 1970 to a time of 96 bits.
fn int96_nanos(time: &[u8]) -> Option<i128> {
    const EPOCH_DAY: i128 = 2_440_588;
    const NANOS_IN_DAY: i128 = 86_400_000_000_000;
    let (nanos, day) = time.split_first_chunk::<8>()?;
    let day = i128::from(i32::from_le_bytes(day.try_into().ok()?)) - EPOCH_DAY;
    Some(day * NANOS_IN_DAY + i128::from(i64::from_le_bytes(*nanos)))
}

fn as_binary(array: &ArrayRef) -> Result<BinaryArray, ArrowError> {
    Ok(cast_with_options(array, &DataType::Binary, &EXACT)?.as_binary::<i32>().clone())
}

/// How values are cast: what does not fit becomes null.
const EXACT: CastOptions<'static> =
    CastOptions { safe: true, format_options: arrow_cast::display::FormatOptions::new() };

/// Casts values and back. What does not come back as it was does not fit.
fn cast(array: &ArrayRef, to: &DataType) -> Result<Converted, ArrowError> {
    if array.data_type() == to {
        return Ok(fits(Arc::clone(array)));
    }
    let made = cast_with_options(array, to, &EXACT)?;
    if *to == DataType::Utf8 {
        return Ok(fits(made));
    }
    let back = cast_with_options(&made, array.data_type(), &EXACT)?;
    let same = not_distinct(&back, array)?;
    Ok(Converted { array: made, wrong: some(!same.values()) })
}

/// Returns the values that do not fit, if there are any.
fn some(wrong: BooleanBuffer) -> Option<BooleanBuffer> {
    (wrong.count_set_bits() > 0).then_some(wrong)
}

fn either(one: Option<BooleanBuffer>, other: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (one, other) {
        (Some(one), Some(other)) => Some(&one | &other),
        (one, other) => one.or(other),
    }
}

/// Converts bytes, which may be text.
fn of_bytes(bytes: &BinaryArray, from: &Field, to: &Field) -> Result<Converted, ArrowError> {
    match to.data_type() {
        DataType::Binary => Ok(fits(Arc::new(bytes.clone()))),
        DataType::FixedSizeBinary(length) => {
            let is_it = |value: &&[u8]| i32::try_from(value.len()).is_ok_and(|bytes| bytes == *length);
            let fitting = bytes.iter().map(|value| value.filter(|value| is_it(value)));
            let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fitting, *length)?;
            Ok(Converted { wrong: lost(bytes, &array), array: Arc::new(array) })
        }
        DataType::Utf8 if !is_json(to) => Ok(as_text(bytes)),
        _ if *from.data_type() == DataType::Utf8 || is_json(to) => Ok(of_text(bytes, to)),
        other => Err(ArrowError::CastError(format!("bytes cannot become {other}"))),
    }
}

/// Returns the values that are null only in the second array.
fn lost(before: &dyn Array, after: &dyn Array) -> Option<BooleanBuffer> {
    let is_lost = |row: usize| before.is_valid(row) && after.is_null(row);
    (before.null_count() != after.null_count())
        .then(|| BooleanBuffer::collect_bool(before.len(), is_lost))
        .and_then(some)
}

fn as_text(bytes: &BinaryArray) -> Converted {
    let (offsets, values, nulls) = bytes.clone().into_parts();
    if let Ok(text) = StringArray::try_new(offsets, values, nulls) {
        return fits(Arc::new(text));
    }
    let text: StringArray = bytes.iter().map(|value| value.and_then(|value| str::from_utf8(value).ok())).collect();
    Converted { wrong: lost(bytes, &text), array: Arc::new(text) }
}

/// Converts text as formats of text read it.
fn of_text(bytes: &BinaryArray, to: &Field) -> Converted {
    let mut column = Column::new(to, bytes.len()).expect("checked by `can_convert`");
    for value in bytes {
        let value = value.and_then(|value| str::from_utf8(value).ok()).and_then(|text| plain::value(to, text));
        column.append(&value.unwrap_or(crate::columns::Value::Null), "");
    }
    let array = column.finish();
    Converted { wrong: lost(bytes, &array), array }
}

fn members(array: &StructArray, from: &Field, to: &Field) -> Result<Converted, ArrowError> {
    let (DataType::Struct(of), DataType::Struct(into)) = (from.data_type(), to.data_type()) else {
        return Err(ArrowError::CastError("a struct becomes a struct".to_owned()));
    };
    let (mut columns, mut wrong) = (Vec::with_capacity(into.len()), None);
    for member in into {
        let found = of.iter().find(|other| other.name() == member.name()).zip(array.column_by_name(member.name()));
        let (of, column) = found.ok_or_else(|| ArrowError::CastError(format!("no member `{}`", member.name())))?;
        let converted = convert(column, of, member)?;
        wrong = either(wrong, converted.wrong);
        columns.push(converted.array);
    }
    let array = StructArray::try_new_with_length(into.clone(), columns, array.nulls().cloned(), array.len())?;
    Ok(Converted { array: Arc::new(array), wrong })
}

fn items(array: &ListArray, from: &Field, to: &Arc<Field>) -> Result<Converted, ArrowError> {
    let converted = convert(array.values(), from, to)?;
    let wrong = converted.wrong.and_then(|wrong| of_rows(array.offsets(), &wrong));
    let list = ListArray::try_new(Arc::clone(to), array.offsets().clone(), converted.array, array.nulls().cloned())?;
    Ok(Converted { array: Arc::new(list), wrong })
}

fn entries(array: &MapArray, from: &Field, to: &Arc<Field>) -> Result<Converted, ArrowError> {
    let (DataType::Struct(of), DataType::Struct(into)) = (from.data_type(), to.data_type()) else {
        return Err(ArrowError::CastError("the entries of a map are a struct".to_owned()));
    };
    let ([key, value], [to_key, to_value]) = (&of[..], &into[..]) else {
        return Err(ArrowError::CastError("an entry of a map is a key and a value".to_owned()));
    };
    let (keys, values) = (convert(array.keys(), key, to_key)?, convert(array.values(), value, to_value)?);
    let wrong = either(keys.wrong, values.wrong).and_then(|wrong| of_rows(array.offsets(), &wrong));
    let keys = if wrong.is_some() { without_nulls(&keys.array)? } else { keys.array };
    let entries = StructArray::try_new(into.clone(), vec![keys, values.array], None)?;
    let map = MapArray::try_new(Arc::clone(to), array.offsets().clone(), entries, array.nulls().cloned(), false)?;
    Ok(Converted { array: Arc::new(map), wrong })
}

/// Returns keys with any values in the place of nulls: those are of rows that are dropped.
fn without_nulls(keys: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(make_array(keys.to_data().into_builder().nulls(None).build()?))
}

/// Returns the rows of which an item does not fit.
fn of_rows(offsets: &OffsetBuffer<i32>, items: &BooleanBuffer) -> Option<BooleanBuffer> {
    let at = |row: usize| usize::try_from(offsets[row]).unwrap_or_default();
    let is_wrong = |row: usize| items.slice(at(row), at(row + 1) - at(row)).count_set_bits() > 0;
    some(BooleanBuffer::collect_bool(offsets.len() - 1, is_wrong))
}

/// Returns the rows that are kept.
pub(crate) fn kept(wrong: &BooleanBuffer) -> BooleanArray {
    BooleanArray::new(!wrong, None::<NullBuffer>)
}
