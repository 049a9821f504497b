//! Encoder of batches into the bytes of one part. The same batches give the same bytes.

use std::io::{Error as IoError, Write};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use etl_core::model::{
    error::{Error, Result},
    schema::{Schema, type_name},
};

use crate::{Encode, SinkFormat};

/// Writes one part to `writer`, batch by batch.
pub struct PartWriter<W> {
    encoder: Box<dyn Encode>,
    writer: W,
    /// Bytes of the batch being written. Reused for each batch.
    buffer: Vec<u8>,
}

impl<W: Write + Send> PartWriter<W> {
    /// Creates a writer of rows of `schema`, and writes what the format puts in front of the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the format does not take the schema; any
    /// error of `writer`.
    pub fn new(format: SinkFormat, schema: &Schema, writer: W) -> Result<Self> {
        format.check(schema)?;
        let mut part = Self { encoder: format.encoder(), writer, buffer: Vec::new() };
        part.encoder.begin(&schema.fields, &mut part.buffer)?;
        part.flush_buffer()?;
        Ok(part)
    }

    /// Writes the rows of a batch, which must have the schema.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when the format cannot hold a value; any error of
    /// `writer`.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.rows(batch, &mut self.buffer)?;
        self.flush_buffer()
    }

    /// Completes the part and returns `writer`, flushed but not closed.
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

fn cannot_write(error: IoError) -> Error {
    Error::from_io(error).context("cannot write to the sink")
}

/// Checks that every column of a schema can be written as text.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the field and the choices.
pub(crate) fn check_printable(format: &str, schema: &Schema) -> Result<()> {
    let is_printable = |data_type: &DataType| {
        matches!(data_type, DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8)
    };
    match schema.fields.fields().iter().find(|field| !is_printable(field.data_type())) {
        None => Ok(()),
        Some(field) => Err(Error::config(format!(
            "a `{format}` sink cannot take field `{}`, which is {} (it takes boolean, int64, float64 and text; a single \
             binary column can go to `lines`)",
            field.name(),
            type_name(field.data_type())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow_buffer::{NullBuffer, OffsetBuffer};
    use arrow_schema::Field;

    use etl_core::model::error::ErrorKind;

    use super::*;

    fn schema_of(batch: &RecordBatch) -> Schema {
        Schema { fields: batch.schema(), key_fields: 0 }
    }

    fn write(format: &str, batches: &[RecordBatch]) -> String {
        let mut part = PartWriter::new(SinkFormat::new(format).expect("known"), &schema_of(&batches[0]), Vec::new())
            .expect("fits");
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
        assert_eq!(write("json", &[mixed()]), expected);
        assert_eq!(write("json", &[mixed(), mixed()]), expected.repeat(2));
        assert_eq!(write("json", &[mixed().slice(0, 0)]), "");
    }

    #[test]
    fn csv_has_one_header_whatever_follows() {
        let header = "name,ok,count,mean\n";
        let rows = "\"a,\"\"b\"\"\n\",true,9223372036854775807,0.1\n,,,\n,false,-1,NaN\n";
        assert_eq!(write("csv", &[mixed()]), format!("{header}{rows}"));
        assert_eq!(write("csv", &[mixed(), mixed()]), format!("{header}{rows}{rows}"));
        assert_eq!(write("csv", &[mixed().slice(0, 0)]), header);
    }

    #[test]
    fn an_empty_csv_part_still_has_its_header() {
        let part =
            PartWriter::new(SinkFormat::new("csv").expect("known"), &schema_of(&mixed()), Vec::new()).expect("fits");
        assert_eq!(part.finish().expect("finishes"), b"name,ok,count,mean\n");
    }

    fn one_column(column: impl Array + 'static) -> RecordBatch {
        let field = Field::new("line", column.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(vec![field])), vec![Arc::new(column)]).expect("fits")
    }

    #[test]
    fn lines_are_values_and_line_ends() {
        let text = one_column(StringArray::from(vec![Some("a"), None, Some("b\r"), Some("")]));
        assert_eq!(write("lines", &[text.clone(), text.slice(2, 1)]), "a\n\nb\r\n\nb\r\n");
        let mut part =
            PartWriter::new(SinkFormat::new("lines").expect("known"), &Schema::lines(), Vec::new()).expect("fits");
        part.write(&one_column(BinaryArray::from(vec![&b"\xff\x00"[..]]))).expect("writes");
        assert_eq!(part.finish().expect("finishes"), b"\xff\x00\n");
    }

    #[test]
    fn a_line_break_in_a_line_is_refused_and_named() {
        let batch = one_column(StringArray::from(vec!["a\n", "b", "c\nd"]));
        let mut part =
            PartWriter::new(SinkFormat::new("lines").expect("known"), &schema_of(&batch), Vec::new()).expect("fits");
        let error = part.write(&batch.slice(1, 2)).expect_err("two lines");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().starts_with("row 1 of a batch holds a line break"), "{error}");
        part.write(&batch.slice(1, 1)).expect("its own value is one line");
    }

    #[test]
    fn a_line_break_under_a_null_is_not_written() {
        let nulls = NullBuffer::from(vec![false, true]);
        let values = StringArray::new(OffsetBuffer::from_lengths([1, 1]), b"\nx".as_slice().into(), Some(nulls));
        assert_eq!(write("lines", &[one_column(values)]), "\nx\n");
    }

    fn schema(types: &[DataType]) -> Schema {
        let field = |(index, data_type): (usize, &DataType)| Field::new(format!("f{index}"), data_type.clone(), true);
        Schema::new(types.iter().enumerate().map(field).collect(), 0).expect("valid")
    }

    #[test]
    fn binary_goes_to_lines_only_and_alone() {
        for format in ["json", "csv"].map(|name| SinkFormat::new(name).expect("known")) {
            format.check(&schema(&[DataType::Utf8, DataType::Int64])).expect("fits");
            let error = format.check(&schema(&[DataType::Utf8, DataType::Binary])).expect_err("binary");
            assert!(error.to_string().contains("field `f1`, which is binary"), "{error}");
        }
        let lines = SinkFormat::new("lines").expect("known");
        for data_type in [DataType::Utf8, DataType::Binary] {
            lines.check(&schema(&[data_type])).expect("fits");
        }
        for types in [&[DataType::Int64][..], &[DataType::Utf8, DataType::Utf8]] {
            let error = lines.check(&schema(types)).expect_err("does not fit");
            assert!(error.to_string().contains("f0"), "{error}");
        }
    }
}
