//! The format `json`: one JSON object per line.
//!
//! The decoder makes one pass over each document, straight into Arrow's builders. Fields that are not
//! asked for are not kept. A document goes through [`walk`], which is fast. If [`walk`] cannot decide what the document
//! holds, it goes through [`strict`], which also says what is wrong with it.
//!
//! Owns how JSON values map to column types:
//! - `boolean` takes `true` and `false`, `text` takes strings.
//! - `int64` takes the numbers that are exactly an int64, however they are written: `7`, `7.0`, `70e-1`.
//! - `float64` takes numbers as the nearest double, except those that would become an infinity or zero, and what a sink
//!   writes for numbers that JSON does not have: `"NaN"`, `"Infinity"`, `"-Infinity"`.
//! - A missing field and `null` are null. If a field is given twice, the last value counts, and each has to be of its
//!   type.
//!
//! Anything else makes the record a reject, as does a document that is malformed or not an object.
//!
//! A sink writes one object per row, with the fields in the schema's order, and nulls as `null`. [`NonFinite`](crate::NonFinite) says what
//! becomes of the numbers that JSON does not have.

mod encode;
mod strict;
mod walk;

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE},
    schema::Schema,
};

use self::walk::Keys;
use crate::{
    Decode, Encode, Format, Reads, Writes, Writing,
    columns::{Column, Value, check_fields},
    compression::Inflate,
    cuts::Cuts,
    decoder::{ChunkIter, LineDecoder, Sizes, SourceBatch},
    encoder::check_printable,
    line_splitter::LineBatch,
    origin::Origins,
};

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
        "Each line is a JSON object, and its chosen fields become columns that may hold nulls. Whole numbers are exact."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn cuts(&self) -> Cuts {
        Cuts::AtLineEnds
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, schema: &Schema, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        let columns = JsonColumns::new(schema)?;
        let decode = move |lines: LineBatch| {
            let bytes = lines.bytes;
            let (batch, rejects, line_of_row) = columns.decode(&lines)?;
            Ok(SourceBatch::new(batch, rejects, bytes, Box::new(lines), Some(line_of_row)))
        };
        Ok(Box::new(LineDecoder::new(Inflate::new(chunks), schema, sizes, decode)))
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
        check_printable("json", schema)
    }

    fn has_no_non_finite(&self) -> bool {
        true
    }

    fn encoder(&self, writing: &Writing) -> Box<dyn Encode> {
        Box::new(encode::JsonEncoder::new(writing.non_finite))
    }
}

/// The fields that are asked for, as columns.
pub(super) struct JsonColumns {
    schema: SchemaRef,
    /// Names of the fields with their columns, sorted by name.
    by_name: Vec<(String, usize)>,
}

impl JsonColumns {
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        check_fields("json", schema)?;
        let fields = schema.fields.fields();
        let mut by_name: Vec<_> =
            fields.iter().enumerate().map(|(column, field)| (field.name().clone(), column)).collect();
        by_name.sort_unstable();
        Ok(Self { schema: Arc::clone(&schema.fields), by_name })
    }

    /// Returns the rows, the rejects, and the line of each row.
    pub(super) fn decode(&self, lines: &LineBatch) -> Result<(RecordBatch, Vec<Reject>, Vec<usize>)> {
        let (mut rejects, mut line_of_row) = (Vec::new(), Vec::with_capacity(lines.records.len()));
        let fields = self.schema.fields();
        let mut columns: Vec<Column> =
            fields.iter().filter_map(|field| Column::new(field, lines.records.len())).collect();
        let mut row = Row { values: vec![Value::Null; fields.len()], unescaped: String::new() };
        let mut keys = Keys::default();
        for (line, record) in lines.records.iter().flatten().enumerate() {
            if record.trim_ascii().is_empty() {
                continue;
            }
            match row.parse(record, &mut keys, self) {
                Ok(()) => {
                    let values = columns.iter_mut().zip(&row.values);
                    values.for_each(|(column, value)| column.append(value, &row.unescaped));
                    line_of_row.push(line);
                }
                Err(error) => {
                    let origin = lines.origin(line);
                    let reject = Reject::new(SOURCE, &reason(&error)).at(origin.object, origin.at);
                    rejects.push(reject.with_record(record));
                }
            }
        }
        let arrays = columns.into_iter().map(Column::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .or_kind(ErrorKind::Internal, || "cannot make a batch of JSON records")?;
        Ok((batch, rejects, line_of_row))
    }

    fn column_of(&self, name: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|(known, _)| known.as_str().cmp(name));
        found.ok().map(|index| self.by_name[index].1)
    }
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

/// The values of one document, by column. Reused, so that a record costs no allocation.
struct Row<'a> {
    values: Vec<Value<'a>>,
    unescaped: String,
}

impl<'a> Row<'a> {
    fn parse(&mut self, document: &'a [u8], keys: &mut Keys, columns: &JsonColumns) -> Result<(), serde_json::Error> {
        self.clear();
        if walk::walk(document, keys, columns, self).is_some() {
            return Ok(());
        }
        self.clear();
        strict::parse(document, columns, self)
    }

    fn clear(&mut self) {
        self.values.fill(Value::Null);
        self.unescaped.clear();
    }
}
