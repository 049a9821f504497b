//! Rows that a step emitted, each beside the record it was made of.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use etl_core::{
    model::error::{ErrorKind, Result, ResultExt},
    text::rows::record_of,
};

use super::{Place, Sample, Trial};

/// Returns the rows that a mapper emitted, with two more columns: where the record was that each was made of, and its
/// content, both null if the mapper did not say.
///
/// # Errors
/// [`ErrorKind::Internal`] when no batch can have the columns.
pub(crate) fn traced(trial: &Trial, sample: &Sample) -> Result<RecordBatch> {
    let at = trial.origins.iter().map(|origin| origin.map(|row| at(&sample.place(row))));
    let record = |row: usize| String::from_utf8_lossy(&record_of(&sample.rows.slice(row, 1))).into_owned();
    let records = trial.origins.iter().map(|origin| origin.map(record));
    let more: [(&str, ArrayRef); 2] = [
        ("trace.at", Arc::new(at.collect::<StringArray>())),
        ("trace.record", Arc::new(records.collect::<StringArray>())),
    ];
    let fields = trial.schema.fields.fields().iter().map(Arc::clone);
    let fields = fields.chain(more.iter().map(|(name, _)| Arc::new(Field::new(*name, DataType::Utf8, true))));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = trial.rows.columns().iter().cloned().chain(more.into_iter().map(|(_, column)| column)).collect();
    RecordBatch::try_new(Arc::new(schema), columns).or_kind(ErrorKind::Internal, || "cannot trace rows")
}

fn at(place: &Place) -> String {
    match place {
        Place::Object { name, position } => format!("{name}{position}"),
        Place::Row(row) => format!("row {}", row + 1),
    }
}
