//! The format `json`: JSON objects, one per line or over any number of lines.
//!
//! The decoder makes one pass over each document, straight into Arrow's builders. Fields that are not
//! asked for are not kept. A document goes through [`walk`], which is fast. If [`walk`] cannot decide what the document
//! holds, it goes through [`strict`], which also says what is wrong with it.
//!
//! Owns how JSON values map to column types:
//! - `boolean` takes `true` and `false`, `text` takes strings.
//! - Integers and decimals take the numbers that they can hold exactly, however they are written: `7`, `7.0`, `70e-1`.
//!   A decimal also takes a string of such a number.
//! - `float64` takes numbers as the nearest double, except those that would become an infinity or zero, and what a sink
//!   writes for numbers that JSON does not have: `"NaN"`, `"Infinity"`, `"-Infinity"`. Narrower floats do alike.
//! - Dates, times, durations and bytes take strings, as a CSV source does. A timestamp and a duration also take whole
//!   numbers of their unit, a timestamp since 1970-01-01 UTC.
//! - `json` takes any value, as the text that it is. A list takes an array; a struct takes an object, from which it
//!   takes its members; a map takes an object.
//! - A missing field and `null` are null. If a field is given twice, the last value counts, and each has to be of its
//!   type.
//!
//! A field lies under a path of keys. Nothing but an object, or null, may stand where the path goes on.
//!
//! Anything else makes the record a reject, as does a document that is malformed or not an object.
//!
//! A sink writes one object per row, with the fields in the schema's order, and nulls as `null`. [`NonFinite`](crate::NonFinite) says what
//! becomes of the numbers that JSON does not have.

mod documents;
mod encode;
mod infer;
mod row;
mod shape;
mod strict;
#[cfg(test)]
mod suite;
mod value;
mod walk;

use std::sync::Arc;

use arrow_array::{Array, BinaryArray, RecordBatch, RecordBatchOptions};
use arrow_schema::DataType;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE, shown},
    schema::Schema,
    types::{parts, type_name},
};

use self::{
    documents::DocumentDecoder,
    row::{JsonColumns, Row},
    walk::Keys,
};
use crate::{
    Decode, Encode, Format, Options, Pick, Reading, Reads, WantedField, Writes, Writing,
    columns::Column,
    compression::Inflate,
    cuts::Cuts,
    decoder::{ChunkIter, LineDecoder, Sizes, SourceBatch},
    encoder::check_not_lines,
    line_splitter::LineBatch,
    origin::Origins,
    sample::{Inferred, SampledObjects},
};

/// How the documents of an object are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonLayout {
    /// One document a line.
    #[default]
    Lines,
    /// Documents over any number of lines, one behind the other, or as the items of an array.
    Documents,
}

/// The format.
pub(crate) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn reads(&self) -> Option<&dyn Reads> {
        Some(self)
    }

    fn writes(&self) -> Option<&dyn Writes> {
        Some(self)
    }
}

impl Reads for Json {
    fn about(&self) -> &'static str {
        "Each line, or each document over any number of lines, is a JSON object, and its chosen fields become columns that \
         may hold nulls. Whole numbers are exact."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn refuses(&self, wanted: &WantedField, _: &Reading) -> Option<String> {
        match wanted.pick {
            Pick::Position(_) => Some("cannot have `position` (it goes with `csv`)".to_owned()),
            _ => None,
        }
    }

    fn infer(&self, objects: SampledObjects<'_>, reading: &Reading) -> Result<Inferred> {
        infer::infer(objects, reading)
    }

    fn lacking(&self, objects: SampledObjects<'_>, reading: &Reading) -> Result<Option<(String, String)>> {
        infer::lacking(objects, reading)
    }

    fn options(&self, reading: &Reading) -> Options {
        match reading.json {
            JsonLayout::Lines => Options::new(),
            JsonLayout::Documents => vec![("json.layout", "documents".into())],
        }
    }

    fn cuts(&self, reading: &Reading) -> Cuts {
        match reading.json {
            JsonLayout::Lines => Cuts::AtLineEnds,
            JsonLayout::Documents => Cuts::Never("holds documents over any number of lines"),
        }
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        let paths: Vec<_> = reading.fields.wanted().iter().map(path).collect();
        let columns = JsonColumns::new(reading.fields.schema(), &paths);
        if reading.json == JsonLayout::Documents {
            return Ok(Box::new(DocumentDecoder::new(Inflate::new(chunks), columns, sizes)));
        }
        let decode = move |lines: LineBatch| {
            let bytes = lines.bytes;
            let (batch, mut rejects, line_of_row) = decode(&columns, &lines.records, &lines)?;
            rejects.iter_mut().for_each(explain);
            Ok(SourceBatch::new(batch, rejects, bytes, Box::new(lines), Some(line_of_row)))
        };
        Ok(Box::new(LineDecoder::new(Inflate::new(chunks), reading.fields.schema(), sizes, decode)))
    }
}

impl Writes for Json {
    fn about(&self) -> &'static str {
        "One JSON object per line."
    }

    fn extension(&self) -> &'static str {
        "json"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        check_not_lines("json", schema)?;
        match schema.fields.fields().iter().find(|field| has_other_keys(field.data_type())) {
            None => Ok(()),
            Some(field) => Err(Error::config(format!(
                "a `json` sink cannot take field {}, which is {} (the keys of an object are text)",
                shown(field.name()),
                type_name(field)
            ))),
        }
    }

    fn has_no_non_finite(&self) -> bool {
        true
    }

    fn encoder(&self, writing: &Writing) -> Box<dyn Encode> {
        Box::new(encode::JsonEncoder::new(writing.non_finite))
    }
}

/// Returns the keys that lead to the value of a wanted field.
fn path(wanted: &WantedField) -> Vec<String> {
    match &wanted.pick {
        Pick::Column(key) => vec![key.clone()],
        Pick::Path(keys) => keys.clone(),
        Pick::Position(position) => unreachable!("position {position} was refused"),
    }
}

/// Adds to a reject what to do if its line looks like a part of a document over several lines.
fn explain(reject: &mut Reject) {
    let line = reject.record.as_deref().unwrap_or_default().trim();
    if line == "{" || line.starts_with('[') {
        reject.reason.push_str("; are the documents not lines? then set `source.json.layout` to `documents`");
    }
}

/// Returns whether a type has maps whose keys are not text, which JSON does not have.
fn has_other_keys(data_type: &DataType) -> bool {
    let inner = parts(data_type).iter().any(|part| has_other_keys(part.data_type()));
    let DataType::Map(entries, _) = data_type else { return inner };
    inner || parts(entries.data_type()).first().is_none_or(|key| *key.data_type() != DataType::Utf8)
}

/// Returns the rows, the rejects, and the record of each row.
fn decode(
    asked: &JsonColumns,
    records: &BinaryArray,
    origins: &dyn Origins,
) -> Result<(RecordBatch, Vec<Reject>, Vec<usize>)> {
    let (mut rejects, mut line_of_row) = (Vec::new(), Vec::with_capacity(records.len()));
    let fields = asked.schema.fields();
    let mut columns: Vec<Column> = fields.iter().filter_map(|field| Column::new(field, records.len())).collect();
    let mut row = Row::new(fields.len());
    let mut keys = Keys::default();
    for (line, record) in records.iter().flatten().enumerate() {
        if record.iter().all(|byte| is_white_space(*byte)) {
            continue;
        }
        match row.parse(record, &mut keys, asked) {
            Ok(()) => {
                let values = columns.iter_mut().zip(&row.values);
                values.for_each(|(column, value)| column.append(value, &row.unescaped));
                line_of_row.push(line);
            }
            Err(error) => {
                let origin = origins.origin(line);
                let reject = Reject::new(SOURCE, &reason(&error)).at(origin.object, origin.at);
                rejects.push(reject.with_record(record));
            }
        }
    }
    let arrays = columns.into_iter().map(Column::finish).collect();
    let rows = RecordBatchOptions::new().with_row_count(Some(line_of_row.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&asked.schema), arrays, &rows)
        .or_kind(ErrorKind::Internal, || "cannot make a batch of JSON records")?;
    Ok((batch, rejects, line_of_row))
}

/// Returns whether a byte may stand between what JSON is made of.
fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Returns what is wrong with a document and where. A document is one line, so only the column is given.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(text) => format!("{text} (at byte {} of the record)", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use etl_core::model::object::Compression;

    use super::*;
    use crate::{Chunk, PartWriter, SinkFormat, SourceFormat};

    fn read(fields: &[&str], text: &str) -> (RecordBatch, Vec<Reject>) {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let format = SourceFormat::new("json", Some(Schema::parse(&fields, 0).expect("a schema").into()));
        let format = format.expect("a format");
        let start = Chunk::Start { object: "o".into(), offset: 0, compression: Compression::None, head: Bytes::new() };
        let chunks = [start, Chunk::Data(Bytes::from(text.to_owned()))].map(Ok);
        let mut decoder = format.decoder(Box::new(chunks.into_iter())).expect("fields of JSON");
        let found = decoder.next_batch().expect("reads").expect("a batch");
        (found.batch, found.rejects)
    }

    fn written(batch: &RecordBatch) -> String {
        let schema = Schema { fields: batch.schema(), key_fields: 0 };
        let mut part = PartWriter::new(SinkFormat::new("json").expect("known"), &schema, Vec::new()).expect("fits");
        part.write(batch).expect("writes");
        String::from_utf8(part.finish().expect("finishes")).expect("text")
    }

    #[test]
    fn values_of_all_types_are_read_as_they_are_written() {
        for (written_type, values) in [
            ("int8", &["-128", "null"][..]),
            ("uint64", &["18446744073709551615"]),
            ("float32", &["0.1", "-1.5"]),
            ("float16", &["0.5"]),
            ("decimal(20,2)", &["123456789012345678.90"]),
            ("date", &["\"2024-02-29\""]),
            ("time(us)", &["\"23:59:59.000001\""]),
            ("timestamp(ms)", &["\"2024-02-29T12:00:00.250\""]),
            ("timestamp(s, Europe/Zurich)", &["\"2024-07-01T10:00:00Z\""]),
            ("duration(ms)", &["\"PT1.5S\""]),
            ("list<binary>", &["[\"00ff\",\"\"]"]),
            ("binary(2)", &["\"00ff\""]),
            ("json", &["{\"a\": [1, null]}", "\"text\"", "7"]),
            ("list<int64>", &["[1,null,3]", "[]", "null"]),
            (
                "list<struct<a: text, b: list<date>>>",
                &["[{\"a\":\"x\\n\",\"b\":[\"2024-01-01\"]},{\"a\":null,\"b\":null},null]"],
            ),
            ("list<json>", &["[{\"a\":1},null,\"x\"]"]),
            ("map<text, json>", &["{\"k\":[1],\"\":null}", "{}"]),
            ("struct<\"a b\": boolean>", &["{\"a b\":true}", "null"]),
        ] {
            let lines: String = values.iter().map(|value| format!("{{\"v\":{value}}}\n")).collect();
            let (batch, rejects) = read(&[&format!("v={written_type}")], &lines);
            assert_eq!(rejects, [], "{written_type}");
            assert_eq!(written(&batch), lines, "{written_type}");
        }
    }

    #[test]
    fn values_that_a_type_cannot_hold_are_rejected_with_the_value() {
        for (written_type, value, reason) in [
            ("int8", "128", "`128` in field `v` is not of type int8"),
            ("decimal(4,2)", "1.255", "`1.255` in field `v` is not of type decimal(4,2)"),
            ("date", "\"2023-02-29\"", "`\"2023-02-29\"` in field `v` is not of type date"),
            ("date", "20240229", "`20240229` in field `v` is not of type date"),
            ("list<int64>", "[1,\"2\"]", "`\"2\"` in field `item` is not of type int64"),
            ("struct<a: int64>", "[]", "`[]` in field `v` is not of type struct<a: int64>"),
            ("text", "{}", "invalid type: map, expected text for field `v`"),
        ] {
            let (batch, rejects) = read(&[&format!("v={written_type}")], &format!("{{\"v\":{value}}}\n"));
            assert_eq!(batch.num_rows(), 0, "{written_type}");
            assert!(rejects[0].reason.starts_with(reason), "{}", rejects[0].reason);
        }
    }

    #[test]
    fn times_may_be_numbers_of_their_unit_and_decimals_may_be_strings() {
        let lines = "{\"t\":1700000000000,\"d\":\"12.5\",\"m\":{\"a\":1,\"a\":2}}\n";
        let (batch, _) = read(&["t=timestamp(ms, UTC)", "d=decimal(10,2)", "m=map<text, int64>"], lines);
        let expected = "{\"t\":\"2023-11-14T22:13:20Z\",\"d\":12.50,\"m\":{\"a\":2}}\n";
        assert_eq!(written(&batch), expected);
    }

    #[test]
    fn a_map_whose_keys_are_not_text_is_refused() {
        let schema = Schema::parse(&["m=list<map<int64, text>>".to_owned()], 0).expect("a schema");
        let error = SinkFormat::new("json").and_then(|json| json.check(&schema)).expect_err("refused").to_string();
        assert!(error.starts_with("a `json` sink cannot take field `m`, which is list<map<int64, text>>"), "{error}");
    }
}
