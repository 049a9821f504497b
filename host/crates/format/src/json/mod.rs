//! Decoder of JSON Lines into columns: one pass over each document, straight into Arrow's builders. Fields that are not
//! asked for are not kept. A document goes through [`walk`], which is fast. If [`walk`] cannot decide what the document
//! holds, it goes through [`strict`], which also says what is wrong with it.
//!
//! Owns how JSON values map to column types:
//! - `boolean` takes `true` and `false`, `text` takes strings, `float64` takes any number (the nearest double).
//! - `int64` takes numbers without a fraction that fit: `7`, and also `7.0` and `7e0` up to 2^53, because JSON does not
//!   tell them apart.
//! - A missing field and `null` are null. If a field is given twice, the last value counts, and each has to be of its
//!   type.
//!
//! Anything else makes the record a reject, as does a document that is malformed or not an object.

mod strict;
mod walk;

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder},
};
use arrow_schema::{DataType, Field, SchemaRef};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE},
    schema::{Schema, type_name},
};

use self::walk::Keys;
use super::lines::Lines;

/// Byte order mark, which some tools write in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The fields that are asked for, as columns.
pub(super) struct JsonColumns {
    schema: SchemaRef,
    /// Names of the fields with their columns, sorted by name.
    by_name: Vec<(String, usize)>,
}

impl JsonColumns {
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        let fields = schema.fields.fields();
        if let Some(field) = fields.iter().find(|field| Column::new(field, 0).is_none()) {
            return Err(Error::config(format!(
                "field `{}` of a `json` source cannot be {} (use boolean, int64, float64 or text)",
                field.name(),
                type_name(field.data_type())
            )));
        }
        let mut by_name: Vec<_> =
            fields.iter().enumerate().map(|(column, field)| (field.name().clone(), column)).collect();
        by_name.sort_unstable();
        Ok(Self { schema: Arc::clone(&schema.fields), by_name })
    }

    /// Returns the rows, the rejects, and the line of each row.
    pub(super) fn decode(&self, lines: &Lines) -> Result<(RecordBatch, Vec<Reject>, Vec<usize>)> {
        let (mut rejects, mut line_of_row) = (Vec::new(), Vec::with_capacity(lines.records.len()));
        let fields = self.schema.fields();
        let mut columns: Vec<Column> =
            fields.iter().filter_map(|field| Column::new(field, lines.records.len())).collect();
        let mut row = Row { values: vec![Value::Null; fields.len()], unescaped: String::new() };
        let mut keys = Keys::default();
        for (line, record) in lines.records.iter().flatten().enumerate() {
            let document = match record.strip_prefix(BYTE_ORDER_MARK) {
                Some(document) if lines.origin(line).offset == 0 => document,
                _ => record,
            };
            if document.trim_ascii().is_empty() {
                continue;
            }
            match row.parse(document, &mut keys, self) {
                Ok(()) => {
                    let values = columns.iter_mut().zip(&row.values);
                    values.for_each(|(column, value)| column.append(value, &row.unescaped));
                    line_of_row.push(line);
                }
                Err(error) => {
                    let origin = lines.origin(line);
                    let reject = Reject::new(SOURCE, &reason(&error)).at(origin.object, origin.offset);
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

/// A value of a document, held until the whole document is known to be valid.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Null,
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Text(&'a str),
    /// Text that is not in the document as such, as a range of `Row::unescaped`.
    Unescaped(Range<usize>),
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

/// Builder of one column.
enum Column {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
}

impl Column {
    fn new(field: &Field, rows: usize) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            DataType::Utf8 => Self::Text(StringBuilder::with_capacity(rows, 0)),
            _ => return None,
        })
    }

    /// Appends a value of the column's type. Any other value can only be null and appends a null.
    fn append(&mut self, value: &Value<'_>, unescaped: &str) {
        match (self, value) {
            (Self::Boolean(column), Value::Boolean(value)) => column.append_value(*value),
            (Self::Boolean(column), _) => column.append_null(),
            (Self::Int64(column), Value::Int64(value)) => column.append_value(*value),
            (Self::Int64(column), _) => column.append_null(),
            (Self::Float64(column), Value::Float64(value)) => column.append_value(*value),
            (Self::Float64(column), _) => column.append_null(),
            (Self::Text(column), Value::Text(value)) => column.append_value(value),
            (Self::Text(column), Value::Unescaped(range)) => column.append_value(&unescaped[range.clone()]),
            (Self::Text(column), _) => column.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut column) => Arc::new(column.finish()),
            Self::Int64(mut column) => Arc::new(column.finish()),
            Self::Float64(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
        }
    }
}
