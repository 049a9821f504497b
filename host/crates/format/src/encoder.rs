//! Encoder of batches into the bytes of one part. The same batches give the same bytes.

use std::io::{Error as IoError, Write};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use etl_core::model::{
    error::{Error, Result},
    reject::shown,
    schema::Schema,
    types::type_name,
};

use crate::{
    Encode, SinkFormat,
    compression::Packer,
    content::{BYTE_ORDER_MARK, HEAD_BYTES, check_written},
};

/// Bytes of room that a part keeps between two batches.
pub const BUFFER_BYTES: usize = 1 << 20;

/// Writes one part to `writer`, batch by batch.
pub struct PartWriter<W: Write> {
    format: SinkFormat,
    encoder: Box<dyn Encode>,
    packer: Packer<W>,
    /// The first bytes of the part before compression, up to [`HEAD_BYTES`].
    head: Vec<u8>,
    /// Bytes of the batch being written. Reused for each batch.
    buffer: Vec<u8>,
    /// Bytes that the encoder holds back.
    held: u64,
}

impl<W: Write + Send> PartWriter<W> {
    /// Creates a writer of rows of `schema`, and writes what the format puts in front of the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the format does not take the schema; any
    /// error of `writer`.
    pub fn new(format: SinkFormat, schema: &Schema, writer: W) -> Result<Self> {
        format.check(schema)?;
        let packer = Packer::new(writer, format.compression())?;
        let encoder = format.encoder();
        let mut part = Self { format, encoder, packer, head: Vec::new(), buffer: Vec::new(), held: 0 };
        part.encoder.begin(&schema.fields, &mut part.buffer)?;
        part.flush_buffer()?;
        Ok(part)
    }

    /// Writes the rows of a batch, which must have the schema. Returns the number of bytes that they take before
    /// compression, those included that are held back.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when the format cannot hold a value; any error of
    /// `writer`.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<u64> {
        self.encoder.rows(batch, &mut self.buffer)?;
        let written = self.flush_buffer()?;
        let held = self.encoder.held_bytes();
        let taken = (written + held).saturating_sub(self.held);
        self.held = held;
        Ok(taken)
    }

    /// Completes the part and returns `writer`, flushed but not closed.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when a source would not take the part for records;
    /// any error of `writer`.
    pub fn finish(mut self) -> Result<W> {
        self.encoder.end(&mut self.buffer)?;
        self.flush_buffer()?;
        if self.format.is_text() {
            check_written(self.format.name(), &self.head)?;
        }
        let mut writer = self.packer.finish().map_err(cannot_write)?;
        writer.flush().map_err(cannot_write)?;
        Ok(writer)
    }

    /// Writes the buffer, empties it, and returns its length.
    fn flush_buffer(&mut self) -> Result<u64> {
        if self.head.is_empty() && self.buffer.starts_with(BYTE_ORDER_MARK) {
            // A source skips one, and the other is a part of the first value.
            self.buffer.splice(..0, BYTE_ORDER_MARK.iter().copied());
        }
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend(self.buffer.iter().take(missing));
        self.packer.write_all(&self.buffer).map_err(cannot_write)?;
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        Ok(bytes)
    }
}

fn cannot_write(error: IoError) -> Error {
    Error::from_io(error).context("cannot write to the sink")
}

/// Checks that every column of a schema can be written as a text without structure.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the field and the choices.
pub(crate) fn check_printable(format: &str, schema: &Schema) -> Result<()> {
    check_not_lines(format, schema)?;
    match schema.fields.fields().iter().find(|field| field.data_type().is_nested()) {
        None => Ok(()),
        Some(field) => Err(Error::config(format!(
            "a `{format}` sink cannot take field {}, which is {} (it takes what is not nested; use `json`)",
            shown(field.name()),
            type_name(field)
        ))),
    }
}

/// Checks that the rows are not lines: a single column of bytes, which would become hexadecimal digits.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the field and the choices.
pub(crate) fn check_not_lines(format: &str, schema: &Schema) -> Result<()> {
    match &schema.fields.fields()[..] {
        [only] if *only.data_type() == DataType::Binary => Err(Error::config(format!(
            "a `{format}` sink cannot take field {}, which is binary and the only one (a single binary column can go to \
             `lines`; emit it as text, or with other fields)",
            shown(only.name())
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow_schema::Field;

    use etl_core::model::{error::ErrorKind, types};

    use super::*;
    use crate::NonFinite;

    fn schema_of(batch: &RecordBatch) -> Schema {
        Schema { fields: batch.schema(), key_fields: 0 }
    }

    fn write(format: &str, batches: &[RecordBatch]) -> String {
        let mut part = PartWriter::new(SinkFormat::new(format).expect("known"), &schema_of(&batches[0]), Vec::new())
            .expect("fits");
        batches.iter().for_each(|batch| _ = part.write(batch).expect("writes"));
        String::from_utf8(part.finish().expect("finishes")).expect("text")
    }

    fn mixed() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("name", Arc::new(StringArray::from(vec![Some("a,\"b\"\n"), None, Some("")])), true),
            ("ok", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), true),
            ("count", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(-1)])), true),
            ("mean", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1e300)])), true),
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
            r#"{"name":"","ok":false,"count":-1,"mean":1.0e300}"#,
            "\n",
        );
        assert_eq!(write("json", &[mixed()]), expected);
        assert_eq!(write("json", &[mixed(), mixed()]), expected.repeat(2));
        assert_eq!(write("json", &[mixed().slice(0, 0)]), "");
    }

    #[test]
    fn csv_has_one_header_whatever_follows() {
        let header = "name,ok,count,mean\n";
        let rows = "\"a,\"\"b\"\"\n\",true,9223372036854775807,0.1\n,,,\n\"\",false,-1,1e300\n";
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
    fn a_number_that_json_lacks_is_refused_and_named_unless_told_otherwise() {
        let column = Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(f64::NEG_INFINITY)]);
        let batch = one_column(column);
        let written = |non_finite| {
            let format = SinkFormat::new("json").and_then(|json| json.with_non_finite(non_finite)).expect("known");
            let mut part = PartWriter::new(format, &schema_of(&batch), Vec::new())?;
            part.write(&batch).and_then(|_| part.finish()).map(|part| String::from_utf8(part).expect("text"))
        };
        let refused = written(NonFinite::Refuse).expect_err("not in JSON");
        assert_eq!(refused.kind(), ErrorKind::Input);
        let expected = "field `line` is NaN in row 2 of a batch, which JSON does not have (set `sink.non_finite` to \
                        `null` or `text`, or use `csv`)";
        assert_eq!(refused.to_string(), expected);
        let lines = |values: [&str; 4]| values.map(|value| format!("{{\"line\":{value}}}\n")).concat();
        assert_eq!(written(NonFinite::Null).expect("writes"), lines(["1.0", "null", "null", "null"]));
        assert_eq!(written(NonFinite::Text).expect("writes"), lines(["1.0", "null", "\"NaN\"", "\"-Infinity\""]));
        assert_eq!(write("csv", &[batch]), "line\n1.0\n\"\"\nNaN\n-inf\n");
        let error = SinkFormat::new("csv").and_then(|csv| csv.with_non_finite(NonFinite::Null)).expect_err("has them");
        assert_eq!(error.to_string(), "cannot be used with format `csv` (it goes with `json`)");
    }

    #[test]
    fn lines_are_values_and_line_ends() {
        let text = one_column(StringArray::from(vec!["a", "b\rc", ""]));
        assert_eq!(write("lines", &[text.clone(), text.slice(1, 1)]), "a\nb\rc\n\nb\rc\n");
        assert_eq!(write("lines", &[one_column(StringArray::from(vec!["\u{feff}a", "\u{feff}"]))]), {
            "\u{feff}\u{feff}a\n\u{feff}\n"
        });
        let mut part =
            PartWriter::new(SinkFormat::new("lines").expect("known"), &Schema::lines(), Vec::new()).expect("fits");
        part.write(&one_column(BinaryArray::from(vec![&b"\xff\x00"[..]]))).expect("writes");
        assert_eq!(part.finish().expect("finishes"), b"\xff\x00\n");
    }

    #[test]
    fn a_value_that_is_no_line_is_refused_and_named() {
        let batch = one_column(StringArray::from(vec![Some("a\n"), Some("b"), Some("c\nd"), Some("e\r"), None]));
        let mut part =
            PartWriter::new(SinkFormat::new("lines").expect("known"), &schema_of(&batch), Vec::new()).expect("fits");
        for (start, why) in [
            (1, "row 1 of a batch holds a line break"),
            (3, "row 0 of a batch ends with a carriage return"),
            (4, "row 0 of a batch is null"),
        ] {
            let error = part.write(&batch.slice(start, batch.num_rows() - start)).expect_err(why);
            assert_eq!(error.kind(), ErrorKind::Input);
            assert!(error.to_string().starts_with(why), "{error}");
            assert!(error.to_string().ends_with("a `lines` sink cannot write it (use `json` or `csv`)"), "{error}");
        }
        part.write(&batch.slice(1, 1)).expect("its own value is one line");
    }

    #[test]
    fn a_part_that_a_source_would_take_for_something_else_is_refused() {
        let mut part =
            PartWriter::new(SinkFormat::new("lines").expect("known"), &Schema::lines(), Vec::new()).expect("fits");
        part.write(&one_column(BinaryArray::from(vec![&b"PK\x03\x04"[..]]))).expect("writes");
        let error = part.finish().expect_err("looks like zip").to_string();
        assert!(error.starts_with("the first rows of a part begin like zip"), "{error}");
    }

    fn schema(types: &[DataType]) -> Schema {
        let field = |(index, data_type): (usize, &DataType)| Field::new(format!("f{index}"), data_type.clone(), true);
        Schema::new(types.iter().enumerate().map(field).collect(), 0).expect("valid")
    }

    #[test]
    fn nested_columns_go_to_json_and_one_column_goes_to_lines() {
        let list = || types::parse("l", "list<int64>").expect("a type").data_type().clone();
        let of = |format: &str, last| SinkFormat::new(format).expect("known").check(&schema(&[DataType::Utf8, last]));
        of("json", list()).expect("fits");
        of("csv", DataType::Binary).expect("fits");
        for format in ["json", "csv"].map(|name| SinkFormat::new(name).expect("known")) {
            let error = format.check(&Schema::lines()).expect_err("lines").to_string();
            assert!(error.contains("field `line`, which is binary and the only one"), "{error}");
        }
        let error = of("csv", list()).expect_err("nested").to_string();
        assert!(error.contains("field `f1`, which is list<int64>"), "{error}");
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
