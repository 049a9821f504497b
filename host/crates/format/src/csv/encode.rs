//! Encoder of rows as CSV. What it writes is read back as it was, or refused.

use std::io::Write;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, SchemaRef};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::shown,
};

use crate::{Encode, content::BYTE_ORDER_MARK};

/// Writes a header, and a record for each row.
pub(super) struct CsvEncoder;

impl Encode for CsvEncoder {
    fn begin(&mut self, fields: &SchemaRef, buffer: &mut Vec<u8>) -> Result<()> {
        for (index, field) in fields.fields().iter().enumerate() {
            separate(index, buffer);
            append_text(field.name(), buffer);
        }
        buffer.push(b'\n');
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
        let columns = batch.columns().iter().map(|column| Cells::new(column)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                separate(index, buffer);
                column.append(row, buffer);
            }
            if let [only] = &columns[..]
                && batch.column(0).is_null(row)
            {
                only.append_only_null(batch.schema_ref().field(0).name(), row, buffer)?;
            }
            buffer.push(b'\n');
        }
        Ok(())
    }
}

/// The cells of a column, as they are written.
enum Cells<'a> {
    Text(&'a StringArray),
    Other(ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn new(column: &'a dyn Array) -> Result<Self> {
        if *column.data_type() == DataType::Utf8 {
            return Ok(Self::Text(column.as_string()));
        }
        let formatter = ArrayFormatter::try_new(column, &FormatOptions::default());
        Ok(Self::Other(formatter.or_kind(ErrorKind::Internal, || "cannot write rows as csv")?))
    }

    fn append(&self, row: usize, buffer: &mut Vec<u8>) {
        match self {
            Self::Text(column) if column.is_null(row) => {}
            Self::Text(column) => append_text(column.value(row), buffer),
            // A null is written as nothing; a buffer in memory takes any write.
            Self::Other(column) => _ = write!(buffer, "{}", column.value(row)),
        }
    }

    /// Appends what stands for a null that is the whole record, because a source skips an empty line.
    fn append_only_null(&self, name: &str, row: usize, buffer: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Text(_) => Err(Error::input(format!(
                "field {} is null in row {row} of a batch, and the only field: a `csv` sink cannot tell it from an \
                 empty line (use `json`, or emit another field, too)",
                shown(name)
            ))),
            Self::Other(_) => {
                buffer.extend_from_slice(b"\"\"");
                Ok(())
            }
        }
    }
}

fn separate(index: usize, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(if index == 0 { b"" } else { b"," });
}

/// Appends text, in quotes if it needs them: also if it is empty, which tells it from null, and if a source would take
/// its start for the mark of an encoding.
fn append_text(text: &str, buffer: &mut Vec<u8>) {
    let is_special = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if !text.is_empty() && !text.bytes().any(is_special) && !text.as_bytes().starts_with(BYTE_ORDER_MARK) {
        return buffer.extend_from_slice(text.as_bytes());
    }
    buffer.push(b'"');
    buffer.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    buffer.push(b'"');
}
