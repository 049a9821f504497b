//! `source.csv` and `sink.csv`: dialects of CSV.

use etl_core::model::error::Result;
use etl_format::{CsvSink, CsvSource};

use super::{file, key::KeyPath, validate::Validator};

impl Validator<'_> {
    pub(super) fn source_csv(&self, at: &KeyPath, table: file::SourceCsv) -> Result<CsvSource> {
        let default = CsvSource::default();
        let csv = CsvSource {
            delimiter: self.sign(&at.key("delimiter"), table.delimiter.as_deref())?.unwrap_or(default.delimiter),
            quote: self.quote(at, table.quote.as_deref())?,
            escape: self.sign(&at.key("escape"), table.escape.as_deref())?,
            comment: self.sign(&at.key("comment"), table.comment.as_deref())?,
            header: table.header.unwrap_or(default.header),
            null: table.null.unwrap_or(default.null),
            trim: table.trim.unwrap_or(default.trim),
            encoding: table.encoding.map_or(default.encoding, Into::into),
            multiline: table.multiline.unwrap_or(default.multiline),
        };
        if csv.escape.is_some() && csv.quote.is_none() {
            return Err(self.wrong(&at.key("escape"), "counts only within quotes, but `quote` is empty"));
        }
        let escape = csv.escape.filter(|escape| Some(*escape) != csv.quote);
        let signs =
            [("delimiter", Some(csv.delimiter)), ("quote", csv.quote), ("escape", escape), ("comment", csv.comment)];
        self.differ(at, &signs)?;
        Ok(csv)
    }

    pub(super) fn sink_csv(&self, at: &KeyPath, table: &file::SinkCsv) -> Result<CsvSink> {
        let default = CsvSink::default();
        let csv = CsvSink {
            delimiter: self.sign(&at.key("delimiter"), table.delimiter.as_deref())?.unwrap_or(default.delimiter),
            quote: self.quote(at, table.quote.as_deref())?,
            header: table.header.unwrap_or(default.header),
            null: table.null.clone().unwrap_or(default.null),
        };
        self.differ(at, &[("delimiter", Some(csv.delimiter)), ("quote", csv.quote)])?;
        let is_special = |byte: u8| matches!(byte, b'\r' | b'\n') || byte == csv.delimiter || Some(byte) == csv.quote;
        if csv.null.bytes().any(is_special) {
            let what = "must not hold the delimiter, the quote or a line end";
            return Err(self.wrong(&at.key("null"), what));
        }
        Ok(csv)
    }

    fn quote(&self, at: &KeyPath, written: Option<&str>) -> Result<Option<u8>> {
        match written {
            None => Ok(Some(b'"')),
            Some("") => Ok(None),
            written => self.sign(&at.key("quote"), written),
        }
    }

    /// Returns the one character that is written.
    fn sign(&self, at: &KeyPath, written: Option<&str>) -> Result<Option<u8>> {
        let Some(text) = written else { return Ok(None) };
        let is_sign = |byte: u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\r\n+-.".contains(&byte);
        match text.as_bytes() {
            [sign] if is_sign(*sign) => Ok(Some(*sign)),
            br"\t" => Ok(Some(b'\t')),
            _ => {
                let what = format!(
                    "is `{}`, but must be one character of ASCII (no letter or digit, `+`, `-`, `.` or line end)",
                    text.escape_debug()
                );
                Err(self.wrong(at, what))
            }
        }
    }

    /// Checks that no two signs are the same.
    fn differ(&self, at: &KeyPath, signs: &[(&str, Option<u8>)]) -> Result<()> {
        for (index, (name, sign)) in signs.iter().enumerate() {
            let same = signs[..index].iter().find(|(_, other)| sign.is_some() && other == sign);
            if let Some((other, _)) = same {
                return Err(self.wrong(&at.key(name), format!("is the same as `{other}`")));
            }
        }
        Ok(())
    }
}
