//! The content of a row as the text of a record.

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::DataType;

use crate::model::error::{ErrorKind, Result, ResultExt};

/// Returns the content that a reject keeps of a row that does not come straight from the source: the value of its only
/// column if that is text or bytes, otherwise the row as a JSON object.
///
/// # Errors
/// Fails when the row cannot be written as JSON.
pub fn record_of(row: &RecordBatch) -> Result<Vec<u8>> {
    let column = row.column(0);
    match column.data_type() {
        DataType::Binary if row.num_columns() == 1 && column.is_valid(0) => {
            Ok(column.as_binary::<i32>().value(0).to_vec())
        }
        DataType::Utf8 if row.num_columns() == 1 && column.is_valid(0) => {
            Ok(column.as_string::<i32>().value(0).as_bytes().to_vec())
        }
        _ => {
            let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
            let written = writer.write(row).and_then(|()| writer.finish());
            written.or_kind(ErrorKind::Internal, || "cannot write a rejected row as JSON")?;
            Ok(writer.into_inner().trim_ascii_end().to_vec())
        }
    }
}
