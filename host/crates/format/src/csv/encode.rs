//! Encoder of rows as CSV. What it writes is read back as it was, or refused.

use std::io::Write;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, SchemaRef};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::shown,
};

use super::{cells::is_text, dialect::CsvSink};
use crate::{
    Encode,
    content::BYTE_ORDER_MARK,
    instants::{append_instant, is_instant},
};

/// Writes a header, and a record for each row.
pub(super) struct CsvEncoder {
    dialect: CsvSink,
}

impl CsvEncoder {
    pub(super) fn new(dialect: CsvSink) -> Self {
        Self { dialect }
    }

    fn separate(&self, index: usize, buffer: &mut Vec<u8>) {
        if index > 0 {
            buffer.push(self.dialect.delimiter);
        }
    }

    /// Appends text, in quotes if it needs them.
    ///
    /// # Errors
    /// Why it cannot be told from something else, in a dialect without quotes, as the end of a sentence.
    fn append_text(&self, text: &str, is_alone: bool, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        let Some(flaw) = self.flaw(text, is_alone) else {
            buffer.extend_from_slice(text.as_bytes());
            return Ok(());
        };
        let quote = self.dialect.quote.ok_or(flaw)?;
        buffer.push(quote);
        for byte in text.bytes() {
            buffer.extend((byte == quote).then_some(quote));
            buffer.push(byte);
        }
        buffer.push(quote);
        Ok(())
    }

    /// Returns why text is not read back as it is unless quotes are around it.
    fn flaw(&self, text: &str, is_alone: bool) -> Option<&'static str> {
        let CsvSink { delimiter, quote, null, .. } = &self.dialect;
        let has = |byte: u8| text.as_bytes().contains(&byte);
        if text == null {
            return Some("is what stands for null");
        }
        if text.is_empty() && (quote.is_some() || is_alone) {
            return Some("is empty, and the only field");
        }
        if has(*delimiter) || has(b'\r') || has(b'\n') {
            return Some("holds the delimiter or a line break");
        }
        // A source would take the start for the mark of an encoding.
        (quote.is_some_and(has) || text.as_bytes().starts_with(BYTE_ORDER_MARK)).then_some("starts with a mark")
    }

    fn append_null(&self, is_text: bool, is_alone: bool, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        let null = self.dialect.null.as_bytes();
        match self.dialect.quote {
            // A source skips an empty line.
            _ if !is_alone || !null.is_empty() => buffer.extend_from_slice(null),
            Some(quote) if !is_text => buffer.extend_from_slice(&[quote, quote]),
            _ => return Err("is null, and the only field"),
        }
        Ok(())
    }
}

impl Encode for CsvEncoder {
    fn begin(&mut self, fields: &SchemaRef, buffer: &mut Vec<u8>) -> Result<()> {
        if !self.dialect.header {
            return Ok(());
        }
        for (index, field) in fields.fields().iter().enumerate() {
            self.separate(index, buffer);
            let name = field.name();
            if let Err(flaw) = self.append_text(name, fields.fields().len() == 1, buffer) {
                let name = shown(name);
                return Err(Error::input(format!(
                    "the name {name} {flaw}: a `csv` sink cannot write it (set `sink.csv.quote`, or `sink.csv.header` \
                     to false)"
                )));
            }
        }
        buffer.push(b'\n');
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
        let columns = batch.columns().iter().map(|column| Cells::new(column)).collect::<Result<Vec<_>>>()?;
        let is_alone = columns.len() == 1;
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                self.separate(index, buffer);
                column
                    .append(row, is_alone, self, buffer)
                    .map_err(|flaw| refused(batch.schema_ref().field(index), row, flaw))?;
            }
            buffer.push(b'\n');
        }
        Ok(())
    }
}

fn refused(field: &Field, row: usize, flaw: &str) -> Error {
    Error::input(format!(
        "field {} in row {row} of a batch {flaw}: a `csv` sink cannot write it so that it is read back (use `json`, \
         emit another field, too, or change `sink.csv`)",
        shown(field.name())
    ))
}

/// The cells of a column, as they are written.
enum Cells<'a> {
    Text(&'a StringArray),
    Other(&'a dyn Array, ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn new(column: &'a dyn Array) -> Result<Self> {
        if *column.data_type() == DataType::Utf8 {
            return Ok(Self::Text(column.as_string()));
        }
        let formatter = ArrayFormatter::try_new(column, &FormatOptions::default());
        Ok(Self::Other(column, formatter.or_kind(ErrorKind::Internal, || "cannot write rows as csv")?))
    }

    fn append(
        &self,
        row: usize,
        is_alone: bool,
        encoder: &CsvEncoder,
        buffer: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        match self {
            Self::Text(column) if column.is_null(row) => encoder.append_null(true, is_alone, buffer),
            Self::Text(column) => encoder.append_text(column.value(row), is_alone, buffer),
            Self::Other(column, _) if column.is_null(row) => {
                encoder.append_null(is_text(column.data_type()), is_alone, buffer)
            }
            Self::Other(column, formatter) => {
                let start = buffer.len();
                if is_instant(column.data_type()) {
                    append_instant(*column, row, buffer);
                } else {
                    // A buffer in memory takes any write.
                    _ = write!(buffer, "{}", formatter.value(row));
                }
                let written = String::from_utf8_lossy(&buffer[start..]);
                if written == encoder.dialect.null && !is_text(column.data_type()) {
                    return Err("is what stands for null");
                }
                if encoder.flaw(&written, is_alone).is_none() {
                    return Ok(());
                }
                let written = written.into_owned();
                buffer.truncate(start);
                encoder.append_text(&written, is_alone, buffer)
            }
        }
    }
}
