//! Timestamps with a time zone as text: in UTC, which is exact. A local time with its offset is not where the offset has
//! seconds, as in most zones before they had standard time.

use std::io::Write;

use arrow_array::{
    Array,
    cast::AsArray,
    types::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType},
};
use arrow_schema::{DataType, TimeUnit};

/// Returns whether values of a type are instants: timestamps with a time zone.
pub(crate) fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// Appends the instant in a row, as `2024-07-01T10:00:00.250Z`. Appends nothing if the column has no instants, or the
/// year is not one that a batch may have.
pub(crate) fn append_instant(column: &dyn Array, row: usize, buffer: &mut Vec<u8>) {
    let DataType::Timestamp(unit, _) = column.data_type() else { return };
    let time = match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value_as_datetime(row),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().value_as_datetime(row),
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().value_as_datetime(row),
        TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().value_as_datetime(row),
    };
    if let Some(time) = time {
        // A buffer in memory takes any write.
        _ = write!(buffer, "{time:?}Z");
    }
}
