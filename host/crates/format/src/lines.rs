//! The format `lines`: each line is a record.
//!
//! A line ends with `\n` or `\r\n`, which are not part of the record; the last line of an object may lack its end. A sink
//! writes the value of each row and `\n`. It refuses what a source would not read back: a null, a value with a line
//! break, and one that ends with a carriage return.

use std::sync::Arc;

use arrow_array::{Array, GenericByteArray, RecordBatch, cast::AsArray, types::ByteArrayType};
use arrow_schema::DataType;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    schema::Schema,
};
use memchr::memchr;

use crate::{
    Decode, Encode, Format, Reading, Reads, Writes, Writing,
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

    fn cuts(&self, _: &Reading) -> Cuts {
        Cuts::AtLineEnds
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        let schema = reading.fields.schema();
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
        "One line per row, for rows of a single text or binary column. Nulls, and values that are no line, are refused."
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

    fn encoder(&self, _: &Writing) -> Box<dyn Encode> {
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
    for (row, value) in column.iter().enumerate() {
        let Some(value) = value else {
            return Err(refused(row, "is null, which a source would read as an empty line"));
        };
        let value: &[u8] = value.as_ref();
        if memchr(b'\n', value).is_some() {
            return Err(refused(row, "holds a line break, which would make two records of one"));
        }
        if value.ends_with(b"\r") {
            return Err(refused(
                row,
                "ends with a carriage return, which a source would take for a part of the line end",
            ));
        }
        buffer.extend_from_slice(value);
        buffer.push(b'\n');
    }
    Ok(())
}

fn refused(row: usize, why: &str) -> Error {
    Error::input(format!("row {row} of a batch {why}: a `lines` sink cannot write it (use `json` or `csv`)"))
}
