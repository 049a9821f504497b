//! The records that a splitter made for a shard, as an Arrow IPC file in the run store.

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_ipc::{reader::FileReader, writer::FileWriter};
use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    schema::Schema,
    slices::SLICE_ROWS_MAX,
};

/// The records that a splitter made for one shard, as batches.
pub type SplitRecords = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The approximate size of a batch of a splitter's records, in bytes.
const RECORDS_BATCH_BYTES: usize = 256 * 1024;

/// Reads the records that a splitter made for a shard, and cuts them into batches.
///
/// # Errors
/// [`ErrorKind::Changed`] when the file is damaged or does not have the source's schema. Damage found later is an item.
pub fn read_records(key: &str, file: Bytes, schema: &Schema) -> Result<SplitRecords> {
    let damaged = format!("`{key}` in the run store is damaged");
    let reader = FileReader::try_new(Cursor::new(file), None).or_kind(ErrorKind::Changed, || damaged.clone())?;
    if reader.schema() != schema.fields {
        return Err(Error::changed(format!("`{key}` in the run store has the wrong columns")));
    }
    let batches = reader.map(move |batch| batch.or_kind(ErrorKind::Changed, || damaged.clone()));
    Ok(Box::new(batches.flat_map(|batch| match batch {
        Ok(batch) => cut_batch(&batch).into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })))
}

fn cut_batch(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    let pieces = batch.get_array_memory_size().div_ceil(RECORDS_BATCH_BYTES).max(1);
    let piece_rows = rows.div_ceil(pieces).clamp(1, SLICE_ROWS_MAX);
    (0..rows).step_by(piece_rows).map(|start| batch.slice(start, piece_rows.min(rows - start))).collect()
}

/// Returns the Arrow IPC file of the records that a splitter made for a shard.
///
/// # Errors
/// Fails when Arrow cannot write the records.
pub fn records_file(batch: &RecordBatch) -> Result<Vec<u8>, arrow_schema::ArrowError> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}
