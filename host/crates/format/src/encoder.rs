//! Writer of batches as the bytes of one part.
//!
//! Owns what each format looks like. The same batches give the same bytes:
//! - `json`: one object per line, fields in the schema's order, nulls written as `null`. NaN and the infinities, which
//!   JSON does not have, are `null` too.
//! - `csv`: a header, also in a part without rows; `,` between fields, `"` around fields that need it, `\n` after each
//!   row. A null is an empty field, like empty text.
//! - `lines`: the value and `\n`. A null is an empty line.

use std::io::Write;

use arrow_array::{Array, GenericByteArray, RecordBatch, cast::AsArray, types::ByteArrayType};
use arrow_json::LineDelimitedWriter;
use arrow_schema::{ArrowError, DataType};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    schema::Schema,
};
use memchr::memchr;

use super::check_schema;
use crate::SinkFormat;

/// Writes one part to `writer`, batch by batch.
#[derive(Debug)]
pub struct PartWriter<W> {
    format: SinkFormat,
    writer: W,
    /// Bytes of the batch being written. Reused from batch to batch.
    buffer: Vec<u8>,
}

impl<W: Write + Send> PartWriter<W> {
    /// Creates a writer of rows of `schema`, and writes what the format puts in front of the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the format does not take the schema; any error of `writer`.
    pub fn new(format: SinkFormat, schema: &Schema, writer: W) -> Result<Self> {
        check_schema(format, schema)?;
        let mut part = Self { format, writer, buffer: Vec::new() };
        if format == SinkFormat::Csv {
            let none = RecordBatch::new_empty(schema.fields.clone());
            csv(&none, true, &mut part.buffer).or_kind(ErrorKind::Internal, || "cannot write the csv header")?;
            part.flush_buffer()?;
        }
        Ok(part)
    }

    /// Writes the rows of a batch, which must have the schema.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when a value holds a line break and the format is `lines`; any error of `writer`.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let encoded = match self.format {
            SinkFormat::Json => json(batch, &mut self.buffer),
            SinkFormat::Csv => csv(batch, false, &mut self.buffer),
            SinkFormat::Lines => {
                lines(batch, &mut self.buffer)?;
                Ok(())
            }
        };
        encoded.or_kind(ErrorKind::Internal, || "cannot write rows to the sink")?;
        self.flush_buffer()
    }

    /// Ends the part and returns `writer`, flushed but not closed.
    ///
    /// # Errors
    /// Any error of `writer`.
    pub fn finish(mut self) -> Result<W> {
        self.writer.flush().map_err(cannot_write)?;
        Ok(self.writer)
    }

    fn flush_buffer(&mut self) -> Result<()> {
        self.writer.write_all(&self.buffer).map_err(cannot_write)?;
        self.buffer.clear();
        Ok(())
    }
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::from_io(error).context("cannot write to the sink")
}

fn json(batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<(), ArrowError> {
    let builder = arrow_json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer: LineDelimitedWriter<_> = builder.build(buffer);
    writer.write(batch)?;
    writer.finish()
}

fn csv(batch: &RecordBatch, header: bool, buffer: &mut Vec<u8>) -> Result<(), ArrowError> {
    arrow_csv::WriterBuilder::new().with_header(header).build(buffer).write(batch)
}

fn lines(batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
    let column = batch.column(0);
    match column.data_type() {
        DataType::Utf8 => append_lines(column.as_string::<i32>(), buffer),
        _ => append_lines(column.as_binary::<i32>(), buffer),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow_buffer::{NullBuffer, OffsetBuffer};
    use arrow_schema::Field;

    use super::*;

    fn schema_of(batch: &RecordBatch) -> Schema {
        Schema { fields: batch.schema(), key_fields: 0 }
    }

    fn write(format: SinkFormat, batches: &[RecordBatch]) -> String {
        let mut part = PartWriter::new(format, &schema_of(&batches[0]), Vec::new()).expect("fits");
        batches.iter().for_each(|batch| part.write(batch).expect("writes"));
        String::from_utf8(part.finish().expect("finishes")).expect("text")
    }

    fn mixed() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("name", Arc::new(StringArray::from(vec![Some("a,\"b\"\n"), None, Some("")])), true),
            ("ok", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), true),
            ("count", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(-1)])), true),
            ("mean", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::NAN)])), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("equal lengths")
    }

    #[test]
    fn json_has_one_object_per_row_with_all_fields() {
        let expected = concat!(
            r#"{"name":"a,\"b\"\n","ok":true,"count":9223372036854775807,"mean":0.1}"#,
            "\n",
            r#"{"name":null,"ok":null,"count":null,"mean":null}"#,
            "\n",
            r#"{"name":"","ok":false,"count":-1,"mean":null}"#,
            "\n",
        );
        assert_eq!(write(SinkFormat::Json, &[mixed()]), expected);
        assert_eq!(write(SinkFormat::Json, &[mixed(), mixed()]), expected.repeat(2));
        assert_eq!(write(SinkFormat::Json, &[mixed().slice(0, 0)]), "");
    }

    #[test]
    fn csv_has_one_header_whatever_follows() {
        let header = "name,ok,count,mean\n";
        let rows = "\"a,\"\"b\"\"\n\",true,9223372036854775807,0.1\n,,,\n,false,-1,NaN\n";
        assert_eq!(write(SinkFormat::Csv, &[mixed()]), format!("{header}{rows}"));
        assert_eq!(write(SinkFormat::Csv, &[mixed(), mixed()]), format!("{header}{rows}{rows}"));
        assert_eq!(write(SinkFormat::Csv, &[mixed().slice(0, 0)]), header);
    }

    #[test]
    fn an_empty_csv_part_still_has_its_header() {
        let part = PartWriter::new(SinkFormat::Csv, &schema_of(&mixed()), Vec::new()).expect("fits");
        assert_eq!(part.finish().expect("finishes"), b"name,ok,count,mean\n");
    }

    fn one_column(column: impl Array + 'static) -> RecordBatch {
        let field = Field::new("line", column.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(vec![field])), vec![Arc::new(column)]).expect("fits")
    }

    #[test]
    fn lines_are_values_and_line_ends() {
        let text = one_column(StringArray::from(vec![Some("a"), None, Some("b\r"), Some("")]));
        assert_eq!(write(SinkFormat::Lines, &[text.clone(), text.slice(2, 1)]), "a\n\nb\r\n\nb\r\n");
        let mut part = PartWriter::new(SinkFormat::Lines, &Schema::lines(), Vec::new()).expect("fits");
        part.write(&one_column(BinaryArray::from(vec![&b"\xff\x00"[..]]))).expect("writes");
        assert_eq!(part.finish().expect("finishes"), b"\xff\x00\n");
    }

    #[test]
    fn a_line_break_in_a_line_is_refused_and_named() {
        let batch = one_column(StringArray::from(vec!["a\n", "b", "c\nd"]));
        let mut part = PartWriter::new(SinkFormat::Lines, &schema_of(&batch), Vec::new()).expect("fits");
        let error = part.write(&batch.slice(1, 2)).expect_err("two lines");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().starts_with("row 1 of a batch holds a line break"), "{error}");
        part.write(&batch.slice(1, 1)).expect("its own value is one line");
    }

    #[test]
    fn a_line_break_under_a_null_is_not_written() {
        let nulls = NullBuffer::from(vec![false, true]);
        let values = StringArray::new(OffsetBuffer::from_lengths([1, 1]), b"\nx".as_slice().into(), Some(nulls));
        assert_eq!(write(SinkFormat::Lines, &[one_column(values)]), "\nx\n");
    }
}
