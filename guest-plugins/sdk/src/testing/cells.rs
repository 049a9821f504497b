//! Owned rows, which a test can compare.

use crate::bindings::map::etl::plugin::types as wire;
use crate::value::Row;
use crate::{OwnedCell, Rows, Schema, wire as boundary};

/// Converts tuples, or records, to rows that an outcome can be compared with.
pub fn rows(rows: impl IntoIterator<Item = impl Row>) -> Vec<Vec<OwnedCell>> {
    rows.into_iter().map(|row| owned(&row)).collect()
}

fn owned(row: &impl Row) -> Vec<OwnedCell> {
    let mut cells = Vec::new();
    let done: Result<(), ()> = row.each_cell(|cell| {
        cells.push(cell.into());
        Ok(())
    });
    done.expect("no cell is refused");
    cells
}

/// Returns the rows of a batch with this schema.
pub(super) fn rows_of(batch: &wire::Batch, schema: &Schema) -> Vec<Vec<OwnedCell>> {
    let nodes = boundary::read_batch(batch.clone(), &schema.fields);
    let view = Rows::new(&schema.fields, &nodes, 0, batch.rows as usize);
    let row = |row| (0..schema.fields.len()).map(|column| view.cell(column, row).into()).collect();
    (0..view.len()).map(row).collect()
}
