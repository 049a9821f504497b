//! The fuzz target for batches that guests emit.

use std::sync::Arc;

use arbitrary::{Arbitrary, Result as Taken, Unstructured};
use arrow_schema::{DataType, Field};
use etl_core::{
    model::schema::Schema,
    testing::{check_batch, typed_schema},
};

use crate::{
    batch::{Lowered, lift},
    bindings::etl::plugin::types as wit,
};

/// The most rows that a fuzzed batch claims to have.
const ROWS_MAX: u32 = 64;

/// Checks batches of a guest: a batch that is accepted is sound and comes back unchanged; every other batch is refused.
pub fn guest_batch(data: &[u8]) {
    let mut fields = typed_schema().fields.fields().to_vec();
    fields.push(Arc::new(Field::new("binary", DataType::Binary, false)));
    let schema = Schema::new(fields.iter().map(|field| Field::clone(field)).collect(), 0).expect("a schema");
    let Ok(batch) = batch_of(&mut Unstructured::new(data)) else { return };
    let Ok(lifted) = lift(batch, &schema) else { return };
    check_batch(&lifted);
    let again = Lowered::new(&lifted).with(|batch| lift(returned(&batch), &schema)).expect("it was sound");
    assert_eq!(again, lifted);
}

/// Makes a batch of five columns, mostly of the expected types.
fn batch_of(input: &mut Unstructured<'_>) -> Taken<wit::BatchResult> {
    let rows = input.int_in_range(0..=ROWS_MAX)?;
    let columns: Taken<Vec<_>> = (0..5).map(|column| column_of(input, column, rows as usize)).collect();
    Ok(wit::BatchResult { rows, columns: columns? })
}

fn column_of(input: &mut Unstructured<'_>, column: u8, rows: usize) -> Taken<wit::ColumnResult> {
    let kind = if input.ratio(1, 16)? { input.int_in_range(0..=4)? } else { column };
    let values = match kind {
        0 => wit::ValuesResult::Text(variable_of(input, rows)?),
        1 => wit::ValuesResult::Int64(items(input, rows)?),
        2 => wit::ValuesResult::Float64(items(input, rows)?),
        3 => wit::ValuesResult::Boolean(items(input, rows.div_ceil(8))?),
        _ => wit::ValuesResult::Binary(variable_of(input, rows)?),
    };
    let validity = if input.arbitrary()? { Some(items(input, rows.div_ceil(8))?) } else { None };
    Ok(wit::ColumnResult { values, validity })
}

/// Makes values of variable length, with offsets that mostly rise.
fn variable_of(input: &mut Unstructured<'_>, rows: usize) -> Taken<wit::VariableResult> {
    let mut offsets: Vec<u32> = vec![0];
    for _ in 0..rows {
        offsets.push(offsets[offsets.len() - 1] + u32::from(input.int_in_range(0..=9_u8)?));
    }
    if input.ratio(1, 8)? {
        let wrong = input.choose_index(offsets.len())?;
        offsets[wrong] = input.arbitrary()?;
    }
    let bytes = (offsets[offsets.len() - 1] as usize).min(input.len());
    Ok(wit::VariableResult { offsets, bytes: input.bytes(bytes)?.to_vec() })
}

/// Takes `count` items, or now and then one fewer.
fn items<'a, T: Arbitrary<'a>>(input: &mut Unstructured<'a>, count: usize) -> Taken<Vec<T>> {
    let count = if input.ratio(1, 32)? { count.saturating_sub(1) } else { count };
    (0..count).map(|_| input.arbitrary()).collect()
}

/// Returns a batch that the host hands out in the form in which a guest would hand it back.
fn returned(batch: &wit::BatchParam<'_>) -> wit::BatchResult {
    let variable = |values: &wit::VariableParam<'_>| wit::VariableResult {
        offsets: values.offsets.to_vec(),
        bytes: values.bytes.to_vec(),
    };
    let column = |column: &wit::ColumnParam<'_>| wit::ColumnResult {
        values: match &column.values {
            wit::ValuesParam::Boolean(bits) => wit::ValuesResult::Boolean(bits.to_vec()),
            wit::ValuesParam::Int64(values) => wit::ValuesResult::Int64(values.to_vec()),
            wit::ValuesParam::Float64(values) => wit::ValuesResult::Float64(values.to_vec()),
            wit::ValuesParam::Text(values) => wit::ValuesResult::Text(variable(values)),
            wit::ValuesParam::Binary(values) => wit::ValuesResult::Binary(variable(values)),
        },
        validity: column.validity.map(<[u8]>::to_vec),
    };
    wit::BatchResult { rows: batch.rows, columns: batch.columns.iter().map(column).collect() }
}

#[cfg(test)]
mod tests {
    use etl_core::testing::check_target;

    use super::*;

    #[test]
    fn batches_of_guests() {
        check_target("guest_batch", vec![vec![0; 900], (0..900).map(|n| (n * 151 % 256) as u8).collect()], guest_batch);
    }
}
