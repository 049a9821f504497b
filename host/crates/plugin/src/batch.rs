//! Conversion of batches at the boundary to the guest: Arrow arrays to the columns of `etl:plugin/types`, and back.
//!
//! Lowering, towards the guest, borrows Arrow's buffers; the only copy is the one into the guest's memory. Lifting
//! takes over the buffers that were copied out of the guest's memory, and checks everything in them.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use etl_core::model::{
    reject::shown,
    schema::{Schema, type_name},
};

use super::bindings::etl::plugin::types::{self as wit, BatchParam, BatchResult, ColumnParam, ColumnResult};

/// A batch whose buffers are laid out as the guest expects them: they start at the first row, without slice offsets.
pub(crate) struct Lowered {
    rows: u32,
    columns: Vec<LoweredColumn>,
}

struct LoweredColumn {
    values: LoweredValues,
    validity: Option<Buffer>,
}

enum LoweredValues {
    Boolean(Buffer),
    Int64(ScalarBuffer<i64>),
    Float64(ScalarBuffer<f64>),
    Text(Buffer, Buffer),
    Binary(Buffer, Buffer),
}

impl Lowered {
    /// Prepares a batch of the five column types. Copies only the bitmaps and offsets that a slice left shifted.
    pub(crate) fn new(batch: &RecordBatch) -> Self {
        // Batches are cut by size and hold at most i32::MAX bytes, so the number of rows fits.
        let rows = u32::try_from(batch.num_rows()).expect("a batch of fewer than 2^32 rows");
        Self { rows, columns: batch.columns().iter().map(lower_column).collect() }
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Calls `f` with the batch in the type that the bindings take.
    pub(crate) fn with<R>(&self, f: impl FnOnce(BatchParam<'_>) -> R) -> R {
        let columns: Vec<ColumnParam<'_>> = self.columns.iter().map(LoweredColumn::param).collect();
        f(BatchParam { rows: self.rows, columns: &columns })
    }
}

impl LoweredColumn {
    fn param(&self) -> ColumnParam<'_> {
        let variable = |offsets, bytes| wit::VariableParam { offsets, bytes };
        let values = match &self.values {
            LoweredValues::Boolean(bits) => wit::ValuesParam::Boolean(bits),
            LoweredValues::Int64(values) => wit::ValuesParam::Int64(values),
            LoweredValues::Float64(values) => wit::ValuesParam::Float64(values),
            LoweredValues::Text(offsets, bytes) => wit::ValuesParam::Text(variable(offsets.typed_data(), bytes)),
            LoweredValues::Binary(offsets, bytes) => wit::ValuesParam::Binary(variable(offsets.typed_data(), bytes)),
        };
        ColumnParam { values, validity: self.validity.as_deref() }
    }
}

fn lower_column(array: &ArrayRef) -> LoweredColumn {
    let values = match array.data_type() {
        DataType::Boolean => LoweredValues::Boolean(array.as_boolean().values().sliced()),
        DataType::Int64 => LoweredValues::Int64(array.as_primitive::<Int64Type>().values().clone()),
        DataType::Float64 => LoweredValues::Float64(array.as_primitive::<Float64Type>().values().clone()),
        DataType::Utf8 => {
            let array: &StringArray = array.as_string();
            let (offsets, bytes) = lower_variable(array.offsets(), array.values());
            LoweredValues::Text(offsets, bytes)
        }
        DataType::Binary => {
            let array: &BinaryArray = array.as_binary();
            let (offsets, bytes) = lower_variable(array.offsets(), array.values());
            LoweredValues::Binary(offsets, bytes)
        }
        other => unreachable!("a batch has one of the five column types, not {other}"),
    };
    let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().sliced());
    LoweredColumn { values, validity }
}

fn lower_variable(offsets: &OffsetBuffer<i32>, bytes: &Buffer) -> (Buffer, Buffer) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let used = bytes.slice_with_length(offset(first), offset(last - first));
    if first == 0 {
        return (offsets.inner().inner().clone(), used);
    }
    (Buffer::from_vec(offsets.iter().map(|end| end - first).collect::<Vec<i32>>()), used)
}

fn offset(value: i32) -> usize {
    usize::try_from(value).expect("Arrow's offsets are not negative")
}

/// Takes over a batch that a guest handed out, and checks all of it against `schema`.
///
/// # Errors
/// Says what is wrong, as a phrase that continues "emitted a batch".
pub(crate) fn lift(batch: BatchResult, schema: &Schema) -> Result<RecordBatch, String> {
    let rows = batch.rows as usize;
    let fields = schema.fields.fields();
    if batch.columns.len() != fields.len() {
        let (got, want) = (batch.columns.len(), fields.len());
        return Err(format!("of {got} columns where its schema has {want} fields"));
    }
    let columns: Result<Vec<ArrayRef>, String> = batch
        .columns
        .into_iter()
        .zip(fields)
        .map(|(column, field)| {
            lift_column(column, field, rows).map_err(|what| format!("whose column {} {what}", shown(field.name())))
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(&schema.fields), columns?, &options)
        .map_err(|error| format!("that is not valid: {error}"))
}

fn lift_column(column: ColumnResult, field: &Field, rows: usize) -> Result<ArrayRef, String> {
    let nulls = column.validity.map(|bits| lift_bits(bits, rows, "validity")).transpose()?.map(NullBuffer::new);
    if !field.is_nullable() && nulls.as_ref().is_some_and(|nulls| nulls.null_count() > 0) {
        return Err("holds nulls, but the field is not nullable".to_owned());
    }
    let invalid = |error: arrow_schema::ArrowError| format!("is not valid: {error}");
    match (column.values, field.data_type()) {
        (wit::ValuesResult::Boolean(bits), DataType::Boolean) => {
            Ok(Arc::new(BooleanArray::new(lift_bits(bits, rows, "values")?, nulls)))
        }
        (wit::ValuesResult::Int64(values), DataType::Int64) => {
            check_length(values.len(), rows)?;
            Ok(Arc::new(Int64Array::new(values.into(), nulls)))
        }
        (wit::ValuesResult::Float64(values), DataType::Float64) => {
            check_length(values.len(), rows)?;
            Ok(Arc::new(Float64Array::new(values.into(), nulls)))
        }
        (wit::ValuesResult::Text(variable), DataType::Utf8) => {
            let (offsets, bytes) = lift_variable(variable, rows)?;
            Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(invalid)?))
        }
        (wit::ValuesResult::Binary(variable), DataType::Binary) => {
            let (offsets, bytes) = lift_variable(variable, rows)?;
            Ok(Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(invalid)?))
        }
        (values, wanted) => Err(format!("is {}, but the schema says {}", values_name(&values), type_name(wanted))),
    }
}

fn values_name(values: &wit::ValuesResult) -> &'static str {
    match values {
        wit::ValuesResult::Boolean(_) => "boolean",
        wit::ValuesResult::Int64(_) => "int64",
        wit::ValuesResult::Float64(_) => "float64",
        wit::ValuesResult::Text(_) => "text",
        wit::ValuesResult::Binary(_) => "binary",
    }
}

fn check_length(values: usize, rows: usize) -> Result<(), String> {
    if values == rows { Ok(()) } else { Err(format!("has {values} values for {rows} rows")) }
}

fn lift_bits(bits: Vec<u8>, rows: usize, what: &str) -> Result<BooleanBuffer, String> {
    if bits.len() < rows.div_ceil(8) {
        return Err(format!("has {} bytes of {what} bits for {rows} rows", bits.len()));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows))
}

fn lift_variable(variable: wit::VariableResult, rows: usize) -> Result<(OffsetBuffer<i32>, Buffer), String> {
    let wit::VariableResult { offsets, bytes } = variable;
    if offsets.len() != rows + 1 {
        return Err(format!("has {} offsets for {rows} rows (there must be one more than rows)", offsets.len()));
    }
    if offsets[0] != 0 || offsets[rows] as usize != bytes.len() || bytes.len() > i32::MAX as usize {
        let (first, last) = (offsets[0], offsets[rows]);
        return Err(format!("has offsets from {first} to {last} for {} bytes", bytes.len()));
    }
    if let Some(row) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(format!("has decreasing offsets at row {row}"));
    }
    let offsets = ScalarBuffer::<i32>::new(Buffer::from_vec(offsets), 0, rows + 1);
    Ok((OffsetBuffer::new(offsets), Buffer::from_vec(bytes)))
}

/// Takes over the schema that a guest's `open` returned, and checks it.
///
/// # Errors
/// Says what is wrong with the schema.
pub(super) fn lift_schema(schema: wit::SchemaResult) -> etl_core::model::error::Result<Schema> {
    let fields = schema.fields.into_iter().map(|field| {
        let data_type = match field.data_type {
            wit::DataType::Boolean => DataType::Boolean,
            wit::DataType::Int64 => DataType::Int64,
            wit::DataType::Float64 => DataType::Float64,
            wit::DataType::Text => DataType::Utf8,
            wit::DataType::Binary => DataType::Binary,
        };
        Field::new(field.name, data_type, field.nullable)
    });
    Schema::new(fields.collect(), schema.key_fields as usize)
}
