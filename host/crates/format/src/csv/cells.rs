//! The text of fields, and the values that it stands for.

use arrow_schema::{DataType, Field};
use encoding_rs::WINDOWS_1252;
use etl_core::model::types::{is_json, type_name};

use super::{
    dialect::{CsvSource, Encoding},
    grammar::{Cell, Form, Grammar},
};
use crate::{
    columns::{Value, shown},
    plain,
};

/// What is needed to read fields.
pub(super) struct Cells {
    pub(super) grammar: Grammar,
    dialect: CsvSource,
}

impl Cells {
    pub(super) fn new(dialect: &CsvSource, record_max: u64) -> Self {
        Self { grammar: dialect.grammar(record_max), dialect: dialect.clone() }
    }

    /// Returns the text of records, if it can be taken as it is.
    pub(super) fn as_text<'r>(&self, records: &'r [u8]) -> Option<&'r str> {
        let is_other = self.dialect.encoding == Encoding::Latin1 && !records.is_ascii();
        str::from_utf8(records).ok().filter(|_| !is_other)
    }

    /// Returns the text of a field of a record, if it is written as it is and does not stand for null.
    pub(super) fn as_it_is<'r>(&self, cell: &Cell, record: &'r str) -> Option<&'r str> {
        let is_written = matches!(cell.form, Form::Plain | Form::Quoted);
        let text = record.get(cell.start as usize..cell.end as usize).filter(|_| is_written)?;
        (!self.dialect.null.iter().any(|null| null == text)).then_some(text)
    }

    /// Returns the text of a field of a record.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn text(&self, cell: &Cell, record: &[u8]) -> Result<String, &'static str> {
        let mut unescaped = String::new();
        let text = self.read(cell, record, &mut unescaped)?;
        Ok(text.map_or_else(|| unescaped.clone(), str::to_owned))
    }

    /// Returns the text of a field of a record, unless it stands for null in a column that is not text.
    ///
    /// # Errors
    /// As [`Cells::text`].
    pub(super) fn not_null(&self, cell: &Cell, record: &[u8]) -> Result<Option<String>, &'static str> {
        let text = self.text(cell, record)?;
        Ok((!self.dialect.null.contains(&text)).then_some(text))
    }

    /// Returns the value that a field of a record has in a column. Text that is not in the record as such is appended to
    /// `unescaped`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn value<'a>(
        &self,
        field: &Field,
        cell: &Cell,
        record: &'a [u8],
        unescaped: &mut String,
    ) -> Result<Value<'a>, String> {
        if cell.form == Form::Missing {
            return Ok(Value::Null);
        }
        let start = unescaped.len();
        let found = self.read(cell, record, unescaped).map_err(|what| format!("column `{}` {what}", field.name()))?;
        let text = found.unwrap_or(&unescaped[start..]);
        let is_text = is_text(field.data_type());
        if (cell.form == Form::Plain || !is_text) && self.dialect.null.iter().any(|null| null == text) {
            return Ok(Value::Null);
        }
        let value = match found {
            Some(text) => plain::value(field, text),
            None if *field.data_type() == DataType::Utf8 && !is_json(field) => {
                Some(Value::Unescaped(start..unescaped.len()))
            }
            None => plain::value(field, text).map(Value::into_owned),
        };
        value.ok_or_else(|| {
            let (name, expected) = (field.name(), type_name(field));
            format!("`{}` in column `{name}` is not of type {expected}", shown(text))
        })
    }

    /// Returns the text of a field, or `None` if it was appended to `unescaped`.
    fn read<'a>(&self, cell: &Cell, record: &'a [u8], other: &mut String) -> Result<Option<&'a str>, &'static str> {
        let written = cell.of(record);
        match cell.form {
            Form::Overrun => return Err("has text behind its closing quote"),
            Form::Escaped => {
                let mut bytes = Vec::with_capacity(written.len());
                self.grammar.unescape(written, &mut bytes);
                other.push_str(&self.decode(&bytes)?);
                return Ok(None);
            }
            Form::Plain | Form::Quoted | Form::Missing => {}
        }
        if self.dialect.encoding == Encoding::Latin1 && !written.is_ascii() {
            other.push_str(&self.decode(written)?);
            return Ok(None);
        }
        str::from_utf8(written).map(Some).map_err(|_| "is not UTF-8")
    }

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<std::borrow::Cow<'a, str>, &'static str> {
        match self.dialect.encoding {
            Encoding::Latin1 => Ok(WINDOWS_1252.decode_without_bom_handling(bytes).0),
            Encoding::Utf8 | Encoding::Utf16 => str::from_utf8(bytes).map(Into::into).map_err(|_| "is not UTF-8"),
        }
    }
}

/// Returns whether the values of a type may be any text, so that only quotes tell them from null.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_))
}
