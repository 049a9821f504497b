//! Gathers rows of several chunks into one batch, in any order.
//!
//! Integers, floats, text and bytes without nulls have fast code of their own, because every shuffled row is gathered
//! two times or more. All other columns go through Arrow's `interleave`.

use std::{hint::black_box, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, PrimitiveArray, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use arrow_select::interleave::interleave;
use etl_core::model::error::{ErrorKind, Result, ResultExt};

use super::{BATCH_BYTES, chunk::Chunk, entry::Entry};

/// Values of up to this many bytes are copied as if they had this many, which is several times as fast as the exact
/// length.
const SHORT_BYTES: usize = 32;

/// Values of up to this many bytes are copied as if they had this many. A value this short usually lies in one cache
/// line.
const SHORTEST_BYTES: usize = 16;

/// Number of values that are located before any of them is copied. Locating a value costs accesses to memory, and those
/// of several values overlap when they are made together.
const TOGETHER: usize = 64;

/// Returns the rows of the given entries, of which there must be at least one.
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

/// Gathers values of variable length. `values` holds, for each chunk, the offsets of its values and their bytes.
fn gather_bytes(values: &[(&[i32], &[u8])], rows: &[Entry]) -> (OffsetBuffer<i32>, Buffer) {
    let mut gathered = Gathered::with_room_for(rows.len());
    let mut found = [(&[][..], 0); TOGETHER];
    for rows in rows.chunks(TOGETHER) {
        let found = &mut found[..rows.len()];
        for (value, row) in found.iter_mut().zip(rows) {
            let (ends, bytes) = values[row.chunk()];
            let (start, end) = (ends[row.row()] as usize, ends[row.row() + 1] as usize);
            *value = (&bytes[start..], end - start);
        }
        // Touch each value once so that the cache misses overlap; `black_box` keeps the loads.
        black_box(found.iter().fold(0, |all, (from, _)| all ^ from.first().copied().unwrap_or_default()));
        found.iter().for_each(|(from, length)| gathered.push(from, *length));
    }
    gathered.finish()
}

/// Values one behind the other, with their offsets.
struct Gathered {
    /// Buffer of the values' bytes, longer than the bytes in use.
    bytes: Vec<u8>,
    /// Number of bytes in use.
    length: usize,
    offsets: Vec<i32>,
}

impl Gathered {
    fn with_room_for(values: usize) -> Self {
        let bytes = vec![0; (values * SHORT_BYTES).min(BATCH_BYTES) + SHORT_BYTES];
        let mut offsets = Vec::with_capacity(values + 1);
        offsets.push(0);
        Self { bytes, length: 0, offsets }
    }

    /// Appends the first `length` bytes of `from`.
    #[inline]
    fn push(&mut self, from: &[u8], length: usize) {
        let copied = if length <= SHORTEST_BYTES {
            self.copy::<SHORTEST_BYTES>(from)
        } else if length <= SHORT_BYTES {
            self.copy::<SHORT_BYTES>(from)
        } else {
            None
        };
        if copied.is_none() {
            self.copy_exactly(&from[..length]);
        }
        self.length += length;
        self.offsets.push(i32::try_from(self.length).expect("a batch is far below 2 GiB"));
    }

    /// Copies the first `BYTES` bytes of `from` to the end. Returns `None` if `from` is shorter or the buffer has no
    /// room.
    #[inline]
    fn copy<const BYTES: usize>(&mut self, from: &[u8]) -> Option<()> {
        let from = from.first_chunk::<BYTES>()?;
        let to = self.bytes.get_mut(self.length..)?.first_chunk_mut::<BYTES>()?;
        *to = *from;
        Some(())
    }

    #[inline(never)]
    fn copy_exactly(&mut self, value: &[u8]) {
        let end = self.length + value.len();
        if self.bytes.len() < end {
            // A batch ends soon after `BATCH_BYTES`, so more room behind a large value would stay empty.
            self.bytes.resize(end + (end / 2).min(BATCH_BYTES) + SHORT_BYTES, 0);
        }
        self.bytes[self.length..end].copy_from_slice(value);
    }

    fn finish(mut self) -> (OffsetBuffer<i32>, Buffer) {
        self.bytes.truncate(self.length);
        (OffsetBuffer::new(ScalarBuffer::from(self.offsets)), Buffer::from_vec(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    fn values() -> impl Strategy<Value = Vec<String>> {
        vec(prop_oneof!["[a-z]{0,8}", "[a-zü]{0,40}", "[a-z]{100,400}"], 1..50)
    }

    proptest! {
        #[test]
        fn what_is_gathered_is_what_is_interleaved(
            chunks in vec(values(), 1..5),
            rows in vec(any::<[Index; 2]>(), 1..300),
        ) {
            let row = |[chunk, row]: &[Index; 2]| {
                let chunk = chunk.index(chunks.len());
                (chunk, row.index(chunks[chunk].len()))
            };
            let rows: Vec<_> = rows.iter().map(row).collect();
            let entries: Vec<_> = rows.iter().map(|&(chunk, row)| Entry::new(0, chunk, row)).collect();
            let check = |arrays: Vec<ArrayRef>| {
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                let interleaved = interleave(&arrays, &rows).expect("equal types");
                assert_eq!(&gather_column(&arrays, &entries).expect("it gathers"), &interleaved);
            };
            check(chunks.iter().map(|chunk| Arc::new(StringArray::from_iter_values(chunk)) as ArrayRef).collect());
            check(chunks.iter().map(|chunk| Arc::new(BinaryArray::from_iter_values(chunk)) as ArrayRef).collect());
            let lengths = |chunk: &Vec<String>| chunk.iter().map(|text| text.len() as i64).collect::<Int64Array>();
            check(chunks.iter().map(|chunk| Arc::new(lengths(chunk)) as ArrayRef).collect());
        }
    }
}
