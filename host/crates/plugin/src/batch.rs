//! Conversion of batches at the boundary to the guest: Arrow arrays to the columns of `etl:plugin/types`, and back.
//!
//! Lowering, towards the guest, borrows Arrow's buffers; the only copy is the one into the guest's memory. Lifting
//! takes over the buffers that were copied out of the guest's memory, and checks everything in them.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, MapArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray, cast::AsArray, make_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field};
use etl_core::model::{
    reject::shown,
    schema::Schema,
    types::{is_json, type_name},
};

use super::{
    bindings::etl::plugin::types::{BatchParam, BatchResult, ColumnParam, ColumnResult},
    values::check_values,
};

/// The alignment in bytes that every type of Arrow's is content with.
const ALIGNMENT: usize = 16;

/// A batch whose buffers are laid out as the guest expects them: they start at the first row, without slice offsets.
pub(crate) struct Lowered {
    rows: u32,
    columns: Vec<LoweredColumn>,
}

struct LoweredColumn {
    length: u32,
    validity: Option<Buffer>,
    buffers: Vec<Buffer>,
}

impl Lowered {
    /// Prepares a batch. Copies only the bitmaps and offsets that a slice left shifted.
    pub(crate) fn new(batch: &RecordBatch) -> Self {
        let mut columns = Vec::with_capacity(batch.num_columns());
        batch.columns().iter().for_each(|column| lower(column, &mut columns));
        Self { rows: count(batch.num_rows()), columns }
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Calls `f` with the batch in the type that the bindings take.
    pub(crate) fn with<R>(&self, f: impl FnOnce(BatchParam<'_>) -> R) -> R {
        let buffers = self.columns.iter().map(LoweredColumn::slices);
        let buffers: Vec<Vec<&[u8]>> = buffers.collect();
        let columns = self.columns.iter().zip(&buffers).map(|(column, buffers)| {
            let LoweredColumn { length, validity, .. } = column;
            ColumnParam { length: *length, validity: validity.as_deref(), buffers }
        });
        let columns: Vec<ColumnParam<'_>> = columns.collect();
        f(BatchParam { rows: self.rows, columns: &columns })
    }
}

impl LoweredColumn {
    fn slices(&self) -> Vec<&[u8]> {
        self.buffers.iter().map(|buffer| buffer.as_slice()).collect()
    }
}

/// Returns a number of values. Batches are cut by size and hold at most `i32::MAX` bytes, so the number fits.
fn count(values: usize) -> u32 {
    u32::try_from(values).expect("a batch of fewer than 2^32 values")
}

/// Adds a column, and behind it the columns that it is made of.
fn lower(array: &dyn Array, columns: &mut Vec<LoweredColumn>) {
    let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().sliced());
    let add = |buffers| columns.push(LoweredColumn { length: count(array.len()), validity, buffers });
    match array.data_type() {
        DataType::Boolean => add(vec![array.as_boolean().values().sliced()]),
        DataType::Utf8 => add(lower_bytes(array.as_string::<i32>().offsets(), array.as_string::<i32>().values())),
        DataType::Binary => add(lower_bytes(array.as_binary::<i32>().offsets(), array.as_binary::<i32>().values())),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            add(vec![lower_offsets(list.offsets())]);
            let Range { start, end } = used(list.offsets());
            lower(&list.values().slice(start, end - start), columns);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            add(vec![lower_offsets(map.offsets())]);
            let Range { start, end } = used(map.offsets());
            lower(&map.entries().slice(start, end - start), columns);
        }
        DataType::Struct(_) => {
            add(Vec::new());
            array.as_struct().columns().iter().for_each(|member| lower(member, columns));
        }
        _ => add(vec![lower_fixed(&array.to_data())]),
    }
}

fn lower_bytes(offsets: &OffsetBuffer<i32>, bytes: &Buffer) -> Vec<Buffer> {
    let Range { start, end } = used(offsets);
    vec![lower_offsets(offsets), bytes.slice_with_length(start, end - start)]
}

/// Returns offsets that start at 0.
fn lower_offsets(offsets: &OffsetBuffer<i32>) -> Buffer {
    match offsets[0] {
        0 => offsets.inner().inner().clone(),
        first => Buffer::from_vec(offsets.iter().map(|end| end - first).collect::<Vec<i32>>()),
    }
}

/// Returns the range of bytes or items that offsets cover.
fn used(offsets: &OffsetBuffer<i32>) -> Range<usize> {
    let at = |offset: i32| usize::try_from(offset).expect("Arrow's offsets are not negative");
    at(offsets[0])..at(offsets[offsets.len() - 1])
}

fn lower_fixed(data: &ArrayData) -> Buffer {
    let width = width_of(data.data_type());
    data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width)
}

/// Returns the bytes of a value of a type whose values all have the same.
fn width_of(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or_default(),
        other => other.primitive_width().unwrap_or_else(|| unreachable!("a batch has no column of type {other}")),
    }
}

/// Takes over a batch that a guest handed out, and checks all of it against `schema`.
///
/// # Errors
/// Says what is wrong, as a phrase that continues "emitted a batch".
pub(crate) fn lift(batch: BatchResult, schema: &Schema) -> Result<RecordBatch, String> {
    let rows = batch.rows as usize;
    let fields = schema.fields.fields();
    let (got, want) = (batch.columns.len(), schema.nodes());
    if got != want {
        return Err(format!("of {got} columns where its schema has {want} fields"));
    }
    let mut columns = batch.columns.into_iter();
    let lift = |field: &Arc<Field>| {
        let lifted = lift_column(&mut columns, field, rows).and_then(|column| {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err("holds nulls, but the field is not nullable".to_owned());
            }
            Ok(column)
        });
        lifted.map_err(|what| format!("whose column {} {what}", shown(field.name())))
    };
    let columns: Vec<ArrayRef> = fields.iter().map(lift).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(&schema.fields), columns, &options).map_err(|error| invalid(&error))
}

/// Takes a column and, behind it, the columns that it is made of, of which the schema has as many as there are.
fn lift_column(
    columns: &mut impl Iterator<Item = ColumnResult>,
    field: &Field,
    length: usize,
) -> Result<ArrayRef, String> {
    let ColumnResult { length: found, validity, buffers } = columns.next().ok_or("is not there")?;
    if found as usize != length {
        return Err(format!("has {found} values where there are {length}"));
    }
    let nulls = validity.map(|bits| lift_bits(bits, length, "validity")).transpose()?.map(NullBuffer::new);
    let mut part = |part: &Arc<Field>, length| {
        lift_column(columns, part, length).map_err(|what| format!("has a part {} that {what}", shown(part.name())))
    };
    let array: ArrayRef = match field.data_type() {
        DataType::Boolean => {
            let [bits] = take(buffers, field)?;
            Arc::new(BooleanArray::new(lift_bits(bits, length, "values")?, nulls))
        }
        DataType::Utf8 => {
            let [offsets, bytes] = take(buffers, field)?;
            let offsets = lift_offsets(offsets, length, bytes.len(), "bytes")?;
            Arc::new(StringArray::try_new(offsets, bytes.into(), nulls).map_err(|error| invalid(&error))?)
        }
        DataType::Binary => {
            let [offsets, bytes] = take(buffers, field)?;
            let offsets = lift_offsets(offsets, length, bytes.len(), "bytes")?;
            Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls).map_err(|error| invalid(&error))?)
        }
        DataType::List(item) => {
            let [offsets] = take(buffers, field)?;
            let items = last_offset(&offsets)?;
            let offsets = lift_offsets(offsets, length, items, "items")?;
            let items = part(item, items)?;
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, nulls).map_err(|error| invalid(&error))?)
        }
        DataType::Map(entries, _) => {
            let [offsets] = take(buffers, field)?;
            let items = last_offset(&offsets)?;
            let offsets = lift_offsets(offsets, length, items, "entries")?;
            let items = part(entries, items)?.as_struct().clone();
            let map = MapArray::try_new(Arc::clone(entries), offsets, items, nulls, false);
            Arc::new(map.map_err(|error| invalid(&error))?)
        }
        DataType::Struct(members) => {
            let [] = take(buffers, field)?;
            let columns = members.iter().map(|member| part(member, length)).collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(members.clone(), columns, nulls).map_err(|error| invalid(&error))?)
        }
        _ => {
            let [values] = take(buffers, field)?;
            lift_fixed(values, field, length, nulls)?
        }
    };
    check_values(&array, is_json(field))?;
    Ok(array)
}

fn invalid(error: &ArrowError) -> String {
    format!("is not valid: {error}")
}

/// Returns the buffers of a column, of which its type has `N`.
fn take<const N: usize>(buffers: Vec<Vec<u8>>, field: &Field) -> Result<[Vec<u8>; N], String> {
    let found = buffers.len();
    buffers.try_into().map_err(|_| format!("has {found} buffers where {} has {N}", type_name(field)))
}

fn lift_bits(bits: Vec<u8>, values: usize, what: &str) -> Result<BooleanBuffer, String> {
    if bits.len() < values.div_ceil(8) {
        return Err(format!("has {} bytes of {what} bits for {values} values", bits.len()));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bits), 0, values))
}

fn lift_fixed(values: Vec<u8>, field: &Field, length: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
    let width = width_of(field.data_type());
    if values.len() != length * width {
        let (bytes, name) = (values.len(), type_name(field));
        return Err(format!("has {bytes} bytes for {length} values of {name}, which has {width} bytes each"));
    }
    if let DataType::FixedSizeBinary(bytes) = field.data_type() {
        let array = FixedSizeBinaryArray::try_new(*bytes, values.into(), nulls);
        return Ok(Arc::new(array.map_err(|error| invalid(&error))?));
    }
    let data = ArrayData::builder(field.data_type().clone()).len(length).add_buffer(aligned(values)).nulls(nulls);
    Ok(make_array(data.build().map_err(|error| invalid(&error))?))
}

/// Returns bytes as a buffer that starts where values of any type may start. Copies only if they do not.
fn aligned(bytes: Vec<u8>) -> Buffer {
    let buffer = Buffer::from_vec(bytes);
    if buffer.as_ptr().align_offset(ALIGNMENT) == 0 { buffer } else { Buffer::from_slice_ref(buffer.as_slice()) }
}

fn last_offset(offsets: &[u8]) -> Result<usize, String> {
    let last = offsets.last_chunk().ok_or_else(|| format!("has {} bytes of offsets", offsets.len()))?;
    Ok(u32::from_le_bytes(*last) as usize)
}

/// Checks the offsets of `values` values, which must cover `behind` bytes or items.
fn lift_offsets(offsets: Vec<u8>, values: usize, behind: usize, what: &str) -> Result<OffsetBuffer<i32>, String> {
    let (chunks, rest) = offsets.as_chunks::<{ size_of::<i32>() }>();
    if chunks.len() != values + 1 || !rest.is_empty() {
        let bytes = offsets.len();
        return Err(format!(
            "has {bytes} bytes of offsets for {values} values (there must be 4 bytes for each value, and 4 more)"
        ));
    }
    let at = |index: usize| u32::from_le_bytes(chunks[index]);
    let (first, last) = (at(0), at(values));
    if first != 0 || last as usize != behind || i32::try_from(last).is_err() {
        return Err(format!("has offsets from {first} to {last} for {behind} {what}"));
    }
    if let Some(value) = chunks.windows(2).position(|pair| u32::from_le_bytes(pair[0]) > u32::from_le_bytes(pair[1])) {
        return Err(format!("has decreasing offsets at value {value}"));
    }
    Ok(OffsetBuffer::new(ScalarBuffer::new(aligned(offsets), 0, values + 1)))
}
