//! The fuzz target for batches that guests emit.

use arbitrary::{Result as Taken, Unstructured};
use arrow_schema::{DataType, Field};
use etl_core::{
    model::{
        schema::Schema,
        types::{parse, parts},
    },
    testing::{check_batch, typed_schema},
};

use crate::{
    batch::{Lowered, lift},
    bindings::etl::plugin::types as wit,
};

/// The most rows that a fuzzed batch claims to have.
const ROWS_MAX: u32 = 64;

/// The most values that a part of a nested column claims to have.
const BEHIND_MAX: u32 = 1024;

/// Checks batches of a guest: a batch that is accepted is sound and comes back unchanged; every other batch is refused.
pub fn guest_batch(data: &[u8]) {
    let schema = schema();
    let Ok(batch) = batch_of(&mut Unstructured::new(data), &schema) else { return };
    let Ok(lifted) = lift(batch, &schema) else { return };
    check_batch(&lifted);
    let again = Lowered::new(&lifted).with(|batch| lift(returned(&batch), &schema)).expect("it was sound");
    assert_eq!(again, lifted);
}

/// Returns the schema of the tests, with columns of further types.
fn schema() -> Schema {
    let further = [
        "binary",
        "decimal(5,2)",
        "time(ms)",
        "json",
        "list<int16>",
        "struct<a: uint32, b: list<text>>",
        "map<text, date>",
    ];
    let further = further.iter().enumerate().map(|(n, name)| parse(&format!("further {n}"), name).expect("a type"));
    let fields = typed_schema().fields.fields().iter().map(|field| Field::clone(field)).chain(further).collect();
    Schema::new(fields, 0).expect("a schema")
}

/// Makes a batch whose columns are mostly of the expected types.
fn batch_of(input: &mut Unstructured<'_>, schema: &Schema) -> Taken<wit::BatchResult> {
    let rows = input.int_in_range(0..=ROWS_MAX)?;
    let mut columns = Vec::new();
    schema.fields.fields().iter().try_for_each(|field| add_column(input, field, rows, &mut columns))?;
    Ok(wit::BatchResult { rows, columns })
}

/// Adds a column, and those that it is made of.
fn add_column(
    input: &mut Unstructured<'_>,
    field: &Field,
    values: u32,
    columns: &mut Vec<wit::ColumnResult>,
) -> Taken<()> {
    let values = if input.ratio(1, 64)? { values + 1 } else { values };
    let bits = values.div_ceil(8) as usize;
    let (buffers, behind) = match field.data_type() {
        DataType::Boolean => (vec![items(input, bits)?], values),
        DataType::Utf8 | DataType::Binary => {
            let (offsets, bytes) = offsets(input, values)?;
            let bytes = (bytes as usize).min(input.len());
            (vec![offsets, input.bytes(bytes)?.to_vec()], 0)
        }
        DataType::List(_) | DataType::Map(..) => {
            let (offsets, items) = offsets(input, values)?;
            (vec![offsets], items)
        }
        DataType::Struct(_) => (Vec::new(), values),
        other => (vec![items(input, values as usize * other.primitive_width().unwrap_or(8))?], 0),
    };
    let validity = if input.arbitrary()? { Some(items(input, bits)?) } else { None };
    columns.push(wit::ColumnResult { length: values, validity, buffers });
    parts(field.data_type()).iter().try_for_each(|part| add_column(input, part, behind.min(BEHIND_MAX), columns))
}

/// Makes offsets that mostly rise, and returns the last one, too.
fn offsets(input: &mut Unstructured<'_>, values: u32) -> Taken<(Vec<u8>, u32)> {
    let mut offsets: Vec<u32> = vec![0];
    for _ in 0..values {
        offsets.push(offsets[offsets.len() - 1] + u32::from(input.int_in_range(0..=9_u8)?));
    }
    let last = offsets[offsets.len() - 1];
    if input.ratio(1, 8)? {
        let wrong = input.choose_index(offsets.len())?;
        offsets[wrong] = input.arbitrary()?;
    }
    Ok((offsets.into_iter().flat_map(u32::to_le_bytes).collect(), last))
}

/// Takes `count` bytes, or now and then one fewer.
fn items(input: &mut Unstructured<'_>, count: usize) -> Taken<Vec<u8>> {
    let count = if input.ratio(1, 32)? { count.saturating_sub(1) } else { count };
    (0..count).map(|_| input.arbitrary()).collect()
}

/// Returns a batch that the host hands out in the form in which a guest would hand it back.
fn returned(batch: &wit::BatchParam<'_>) -> wit::BatchResult {
    let column = |column: &wit::ColumnParam<'_>| wit::ColumnResult {
        length: column.length,
        validity: column.validity.map(<[u8]>::to_vec),
        buffers: column.buffers.iter().map(|buffer| buffer.to_vec()).collect(),
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
