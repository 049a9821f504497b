//! Checks of the values of a column that a guest handed over, beyond how they are laid out.
//!
//! Owns which values a type has although its bits could hold more: what comes behind, such as writing a date as text,
//! need not expect others. The values of nulls mean nothing and are not looked at.

use std::ops::RangeInclusive;

use arrow_array::{
    Array, ArrowPrimitiveType,
    cast::AsArray,
    temporal_conversions::{MICROSECONDS_IN_DAY, MILLISECONDS_IN_DAY, NANOSECONDS_IN_DAY, SECONDS_IN_DAY},
    types::{
        ArrowTimestampType, Date32Type, Decimal128Type, DecimalType, Time32MillisecondType, Time32SecondType,
        Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use arrow_schema::{DataType, TimeUnit};
use serde::de::IgnoredAny;

/// The days from 1970-01-01 to the first and the last day of the years that times are written in, -9999 to 9999.
const DAYS: RangeInclusive<i32> = -4_371_588..=2_932_896;

/// Checks the values of a column; those of its parts are columns of their own.
///
/// # Errors
/// Says what is wrong, as the end of a sentence that begins with the column.
pub(super) fn check_values(column: &dyn Array, is_json: bool) -> Result<(), String> {
    match column.data_type() {
        DataType::Utf8 if is_json => check_json(column),
        DataType::Decimal128(digits, _) => check_decimals(column, *digits),
        DataType::Date32 => {
            check::<Date32Type>(column, |day| DAYS.contains(&day), "a date outside the years -9999 to 9999")
        }
        DataType::Timestamp(TimeUnit::Second, _) => check_timestamps::<TimestampSecondType>(column, SECONDS_IN_DAY),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            check_timestamps::<TimestampMillisecondType>(column, MILLISECONDS_IN_DAY)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            check_timestamps::<TimestampMicrosecondType>(column, MICROSECONDS_IN_DAY)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            check_timestamps::<TimestampNanosecondType>(column, NANOSECONDS_IN_DAY)
        }
        DataType::Time32(TimeUnit::Second) => check_times::<Time32SecondType>(column, SECONDS_IN_DAY),
        DataType::Time32(_) => check_times::<Time32MillisecondType>(column, MILLISECONDS_IN_DAY),
        DataType::Time64(TimeUnit::Microsecond) => check_times::<Time64MicrosecondType>(column, MICROSECONDS_IN_DAY),
        DataType::Time64(_) => check_times::<Time64NanosecondType>(column, NANOSECONDS_IN_DAY),
        _ => Ok(()),
    }
}

fn check<T: ArrowPrimitiveType>(
    column: &dyn Array,
    is_valid: impl Fn(T::Native) -> bool,
    what: &str,
) -> Result<(), String> {
    let column = column.as_primitive::<T>();
    let is_wrong = |row: &usize| column.is_valid(*row) && !is_valid(column.value(*row));
    // Most batches have no such value, and asking for the values alone is several times as fast.
    if column.values().iter().all(|value| is_valid(*value)) {
        return Ok(());
    }
    match (0..column.len()).find(is_wrong) {
        Some(row) => Err(format!("has {what} in row {row}")),
        None => Ok(()),
    }
}

fn check_timestamps<T: ArrowTimestampType>(column: &dyn Array, units_in_day: i64) -> Result<(), String> {
    let is_valid = |value: i64| i32::try_from(value.div_euclid(units_in_day)).is_ok_and(|day| DAYS.contains(&day));
    check::<T>(column, is_valid, "a time outside the years -9999 to 9999")
}

fn check_times<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &dyn Array, units_in_day: i64) -> Result<(), String> {
    check::<T>(column, |value| (0..units_in_day).contains(&value.into()), "a time of day beyond 24 hours")
}

fn check_decimals(column: &dyn Array, digits: u8) -> Result<(), String> {
    let is_valid = |value| Decimal128Type::is_valid_decimal_precision(value, digits);
    check::<Decimal128Type>(column, is_valid, &format!("a decimal of more than {digits} digits"))
}

fn check_json(column: &dyn Array) -> Result<(), String> {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let wrong = column.as_string::<i32>().iter().position(|text| text.is_some_and(|text| !is_json(text)));
    wrong.map_or(Ok(()), |row| Err(format!("has text that is not JSON in row {row}")))
}
