//! Puts rows of several chunks together, in any order.
//!
//! Integers, floats, text and bytes without nulls go a way of their own, since every row that is shuffled goes it two
//! times or more; everything else goes through Arrow's `interleave`.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, PrimitiveArray, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use arrow_select::interleave::interleave;

use super::{BATCH_BYTES, chunk::Chunk, entry::Entry};
use crate::error::{ErrorKind, Result, ResultExt};

/// Values of up to this many bytes are copied as if they had this many: several times as fast as the exact length.
const SHORT_BYTES: usize = 32;

/// Returns the rows at these entries, at least one.
pub(super) fn gather(chunks: &[Chunk], rows: &[Entry]) -> Result<RecordBatch> {
    let schema = chunks[rows[0].chunk()].batch().schema();
    let column = |column| {
        let arrays: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk.batch().column(column).as_ref()).collect();
        gather_column(&arrays, rows)
    };
    let columns = (0..schema.fields().len()).map(column).collect::<Result<_>>()?;
    RecordBatch::try_new(schema, columns).or_kind(ErrorKind::Internal, || "cannot put sorted rows together")
}

fn gather_column(arrays: &[&dyn Array], rows: &[Entry]) -> Result<ArrayRef> {
    let failed = || "cannot put a sorted column together";
    let no_nulls = arrays.iter().all(|array| array.null_count() == 0);
    Ok(match arrays[rows[0].chunk()].data_type() {
        DataType::Int64 if no_nulls => Arc::new(gather_numbers::<Int64Type>(arrays, rows)),
        DataType::Float64 if no_nulls => Arc::new(gather_numbers::<Float64Type>(arrays, rows)),
        DataType::Utf8 if no_nulls => {
            let values = arrays.iter().map(|array| {
                let array = array.as_string::<i32>();
                (array.value_offsets(), array.value_data())
            });
            let (offsets, bytes) = gather_bytes(&values.collect::<Vec<_>>(), rows);
            Arc::new(StringArray::try_new(offsets, bytes, None).or_kind(ErrorKind::Internal, failed)?)
        }
        DataType::Binary if no_nulls => {
            let values = arrays.iter().map(|array| {
                let array = array.as_binary::<i32>();
                (array.value_offsets(), array.value_data())
            });
            let (offsets, bytes) = gather_bytes(&values.collect::<Vec<_>>(), rows);
            Arc::new(BinaryArray::try_new(offsets, bytes, None).or_kind(ErrorKind::Internal, failed)?)
        }
        _ => {
            let rows: Vec<_> = rows.iter().map(|row| (row.chunk(), row.row())).collect();
            interleave(arrays, &rows).or_kind(ErrorKind::Internal, failed)?
        }
    })
}

fn gather_numbers<T: ArrowPrimitiveType>(arrays: &[&dyn Array], rows: &[Entry]) -> PrimitiveArray<T> {
    let values: Vec<&[T::Native]> = arrays.iter().map(|array| array.as_primitive::<T>().values().as_ref()).collect();
    let gathered: Vec<T::Native> = rows.iter().map(|row| values[row.chunk()][row.row()]).collect();
    PrimitiveArray::new(gathered.into(), None)
}

/// Gathers values, given by where each starts and ends in the bytes of its chunk.
fn gather_bytes(values: &[(&[i32], &[u8])], rows: &[Entry]) -> (OffsetBuffer<i32>, Buffer) {
    let mut gathered = vec![0; (rows.len() * SHORT_BYTES).min(BATCH_BYTES) + SHORT_BYTES];
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    offsets.push(0);
    let mut at = 0;
    for row in rows {
        let (ends, bytes) = values[row.chunk()];
        let (start, end) = (ends[row.row()] as usize, ends[row.row() + 1] as usize);
        let length = end - start;
        let from = bytes.get(start..).and_then(|from| from.first_chunk::<SHORT_BYTES>());
        let to = gathered.get_mut(at..).and_then(|to: &mut [u8]| to.first_chunk_mut::<SHORT_BYTES>());
        match (from, to) {
            (Some(from), Some(to)) if length <= SHORT_BYTES => *to = *from,
            _ => put(&mut gathered, at, &bytes[start..end]),
        }
        at += length;
        offsets.push(i32::try_from(at).expect("a batch is far below 2 GiB"));
    }
    gathered.truncate(at);
    (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(gathered))
}

/// Copies a value to `at`, which may be all there is room for.
#[inline(never)]
fn put(gathered: &mut Vec<u8>, at: usize, value: &[u8]) {
    let end = at + value.len();
    if gathered.len() < end {
        gathered.resize(end + end / 2 + SHORT_BYTES, 0);
    }
    gathered[at..end].copy_from_slice(value);
}
