//! Dialects of CSV: how the records of a source are written, and how those of a sink are.

use serde_json::Value;

use super::grammar::Grammar;
use crate::{Options, RECORD_BYTES};

/// How the text of a source is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16 of either order of bytes, with a byte order mark that says which.
    Utf16,
    /// The encoding of the Western Windows, of which ISO 8859-1 is a part.
    Latin1,
}

impl Encoding {
    /// Returns the name of the encoding, as `pipeline.toml` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Latin1 => "latin1",
        }
    }
}

/// How the CSV of a source is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSource {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What stands around a field that holds other signs; `None` if nothing does.
    pub quote: Option<u8>,
    /// What stands within quotes before a byte that means itself. Without it, a quote is doubled.
    pub escape: Option<u8>,
    /// Whether the first record of an object names its columns.
    pub header: bool,
    /// What a line starts with that is no record.
    pub comment: Option<u8>,
    /// Texts that stand for null when they are not quoted.
    pub null: Vec<String>,
    /// Whether blanks around fields, and around their quotes, are no part of them.
    pub trim: bool,
    /// How the text is encoded.
    pub encoding: Encoding,
    /// Whether a quoted field may hold line ends.
    pub multiline: bool,
}

impl Default for CsvSource {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header: true,
            comment: None,
            null: vec![String::new()],
            trim: false,
            encoding: Encoding::Utf8,
            multiline: true,
        }
    }
}

impl CsvSource {
    /// Returns the options that are not the default, among them the longest record, behind which a quote that is not
    /// closed is given up.
    pub(super) fn options(&self, record_max: u64) -> Options {
        unlike(self.all(record_max), &Self::default().all(RECORD_BYTES))
    }

    fn all(&self, record_max: u64) -> Options {
        vec![
            ("csv.delimiter", sign(Some(self.delimiter))),
            ("csv.quote", sign(self.quote)),
            ("csv.escape", sign(self.escape)),
            ("csv.comment", sign(self.comment)),
            ("csv.header", self.header.into()),
            ("csv.null", self.null.clone().into()),
            ("csv.trim", self.trim.into()),
            ("csv.encoding", self.encoding.name().into()),
            ("csv.multiline", self.multiline.into()),
            ("max_record", record_max.into()),
        ]
    }

    /// Returns what the bytes mean, if a record has at most `record_max` of them.
    pub(super) fn grammar(&self, record_max: u64) -> Grammar {
        Grammar {
            delimiter: self.delimiter,
            quote: self.quote,
            escape: self.escape.filter(|escape| Some(*escape) != self.quote),
            comment: self.comment,
            trim: self.trim,
            multiline: self.multiline && self.quote.is_some(),
            record_max: usize::try_from(record_max).unwrap_or(usize::MAX),
        }
    }
}

/// How a sink writes CSV. A source of the same dialect reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSink {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What stands around a field that holds other signs; `None` if nothing does, so that such a field is refused.
    pub quote: Option<u8>,
    /// Whether the first record of a part names its columns.
    pub header: bool,
    /// What stands for null.
    pub null: String,
}

impl Default for CsvSink {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), header: true, null: String::new() }
    }
}

impl CsvSink {
    /// Returns the options that are not the default.
    pub(super) fn options(&self) -> Options {
        unlike(self.all(), &Self::default().all())
    }

    fn all(&self) -> Options {
        vec![
            ("csv.delimiter", sign(Some(self.delimiter))),
            ("csv.quote", sign(self.quote)),
            ("csv.header", self.header.into()),
            ("csv.null", self.null.as_str().into()),
        ]
    }
}

fn unlike(options: Options, defaults: &Options) -> Options {
    options.into_iter().filter(|option| !defaults.contains(option)).collect()
}

/// Returns one character of a dialect, or nothing, as it is written.
fn sign(sign: Option<u8>) -> Value {
    sign.map(char::from).map(String::from).unwrap_or_default().into()
}
