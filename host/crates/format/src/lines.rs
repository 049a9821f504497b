//! The format `lines`: each line is a record.
//!
//! A line ends with `\n` or `\r\n`, which are not part of the record; the last line of an object may lack its end. A sink
//! writes the value of each row and `\n`, and an empty line for a null.

use std::sync::Arc;

use arrow_array::{Array, GenericByteArray, RecordBatch, cast::AsArray, types::ByteArrayType};
use arrow_schema::DataType;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    schema::Schema,
};
use memchr::memchr;

use crate::{
    Decode, Encode, Format, Reads, Writes,
    compression::Inflate,
    cuts::Cuts,
    decoder::{ChunkIter, LineDecoder, Sizes, SourceBatch},
    line_splitter::LineBatch,
};

/// The format.
pub(crate) struct Lines;

impl Format for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn reads(&self) -> Option<&dyn Reads> {
        Some(self)
    }

    fn writes(&self) -> Option<&dyn Writes> {
        Some(self)
    }
}

impl Reads for Lines {
    fn about(&self) -> &'static str {
        "Each line, ended by `\\n` or `\\r\\n`, is a record of one binary column."
    }

    fn takes_fields(&self) -> bool {
        false
    }

    fn cuts(&self) -> Cuts {
        Cuts::AtLineEnds
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, schema: &Schema, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        let fields = Arc::clone(&schema.fields);
        let decode = move |lines: LineBatch| {
            let batch = RecordBatch::try_new(Arc::clone(&fields), vec![Arc::new(lines.records.clone())])
                .or_kind(ErrorKind::Internal, || "cannot make a batch of lines")?;
            Ok(SourceBatch::new(batch, Vec::new(), lines.bytes, Box::new(lines), None))
        };
        Ok(Box::new(LineDecoder::new(Inflate::new(chunks), schema, sizes, decode)))
    }
}

impl Writes for Lines {
    fn about(&self) -> &'static str {
        "One line per row, for rows of a single text or binary column."
    }

    fn extension(&self) -> &'static str {
        "txt"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        match schema.fields.fields().as_ref() {
            [field] if matches!(field.data_type(), DataType::Utf8 | DataType::Binary) => Ok(()),
            _ => Err(Error::config(format!(
                "a `lines` sink takes one column of text or binary, not ({schema}): emit that, or use `json` or `csv`"
            ))),
        }
    }

    fn encoder(&self) -> Box<dyn Encode> {
        Box::new(LineEncoder)
    }
}

#[derive(Debug)]
struct LineEncoder;

impl Encode for LineEncoder {
    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
        let column = batch.column(0);
        match column.data_type() {
            DataType::Utf8 => append_lines(column.as_string::<i32>(), buffer),
            _ => append_lines(column.as_binary::<i32>(), buffer),
        }
    }
}

fn append_lines<T: ByteArrayType<Offset = i32>>(column: &GenericByteArray<T>, buffer: &mut Vec<u8>) -> Result<()> {
    if let Some(row) = line_break(column) {
        return Err(Error::input(format!(
            "row {row} of a batch holds a line break, which would make two records of one in a `lines` sink (use \
             `json` or `csv`)"
        )));
    }
    for value in column {
        buffer.extend_from_slice(value.map_or(&[], AsRef::as_ref));
        buffer.push(b'\n');
    }
    Ok(())
}

/// Returns the first row that holds a line break.
fn line_break<T: ByteArrayType<Offset = i32>>(column: &GenericByteArray<T>) -> Option<usize> {
    let offset = |row: usize| usize::try_from(column.value_offsets()[row]).unwrap_or_default();
    memchr(b'\n', &column.value_data()[offset(0)..offset(column.len())])?;
    // Bytes under a null are not written, so the line break that was found may not matter.
    column.iter().position(|value| value.is_some_and(|value| memchr(b'\n', value.as_ref()).is_some()))
}
