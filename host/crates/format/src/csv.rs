//! The format `csv`: RFC 4180 and its relatives.
//!
//! Owns what a record is and what its fields stand for, in each [dialect](dialect). Lines end with `\n`, `\r\n` or `\r`,
//! and empty ones are skipped. A quote opens a field only at its start; quoted fields may hold delimiters, quotes and
//! line ends. `boolean` takes `true` and `false`; numbers are taken as by a JSON source, and floats also take `NaN` and
//! `inf`; dates, times and durations are taken as ISO 8601 writes them; all of these take a null text, quoted or not.
//! `text`, `json`, and `binary` as hexadecimal digits, are null if they are a null text without quotes. A record with other fields than that is a reject, as is one with more or fewer fields than the
//! header, or with text behind a closing quote.
//!
//! A quote that is not closed within the length of a record, or by the end of the object, makes a reject of the first
//! line of its record, and reading goes on behind that line.
//!
//! A sink writes the header, also in a part without rows; quotes stand around fields that need them, and `\n` after each
//! row. A source of the same dialect reads back what a sink writes.

mod cells;
mod dialect;
mod encode;
#[cfg(test)]
mod exact;
mod grammar;
mod header;
mod infer;
mod kinds;
mod reader;
mod rows;
mod starts;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod tests;
mod text;

use etl_core::model::{
    error::{Error, Result},
    schema::Schema,
};

pub(crate) use self::grammar::Grammar;
use self::{
    cells::Cells,
    grammar::{Cell, Found},
    header::Layout,
    reader::Records,
    rows::Rows,
    text::Text,
};
pub use self::{
    dialect::{CsvSink, CsvSource, Encoding},
    starts::RecordStarts,
};
use crate::{
    Decode, Encode, Format, Options, Reads, Writes,
    chosen::{Reading, Writing},
    columns::check_plain,
    content::BYTE_ORDER_MARK,
    cuts::{Cuts, RecordCuts},
    decoder::{ChunkIter, Sizes, SourceBatch, too_long},
    encoder::check_printable,
    fields::{Fields, Pick, WantedField},
    sample::{Inferred, SampledObjects},
};

/// The format.
pub(crate) struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn reads(&self) -> Option<&dyn Reads> {
        Some(self)
    }

    fn writes(&self) -> Option<&dyn Writes> {
        Some(self)
    }
}

impl Reads for Csv {
    fn about(&self) -> &'static str {
        "RFC 4180 and its relatives, as `[source.csv]` says; the chosen fields become columns. An empty field is null, and \
         `\"\"` is empty text."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn refuses(&self, wanted: &WantedField, reading: &Reading) -> Option<String> {
        if matches!(wanted.pick, Pick::Path(_)) {
            return Some("cannot have `path` (it goes with `json`)".to_owned());
        }
        let is_named = matches!(wanted.pick, Pick::Column(_));
        (is_named && !reading.csv.header)
            .then(|| "needs `position`, since the objects have no header (`source.csv.header` is false)".to_owned())
    }

    fn infer(&self, objects: SampledObjects<'_>, reading: &Reading) -> Result<Inferred> {
        infer::infer(objects, reading)
    }

    fn options(&self, reading: &Reading) -> Options {
        reading.csv.options(reading.record_max)
    }

    fn cuts(&self, reading: &Reading) -> Cuts {
        let CsvSource { header, encoding, .. } = reading.csv;
        let cuts = RecordCuts { grammar: reading.csv.grammar(reading.record_max), header };
        match encoding {
            Encoding::Utf16 => Cuts::Never("has an encoding that is read as a whole"),
            Encoding::Utf8 | Encoding::Latin1 => Cuts::AtRecords(cuts),
        }
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        check_plain("csv", reading.fields.schema())?;
        Ok(Box::new(CsvDecoder::new(chunks, reading, sizes.bounded())))
    }
}

impl Writes for Csv {
    fn about(&self) -> &'static str {
        "RFC 4180 and its relatives, as `[sink.csv]` says. A null is an empty field, and empty text is `\"\"`."
    }

    fn extension(&self) -> &'static str {
        "csv"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        check_printable("csv", schema)
    }

    fn options(&self, writing: &Writing) -> Options {
        writing.csv.options()
    }

    fn encoder(&self, writing: &Writing) -> Box<dyn Encode> {
        Box::new(encode::CsvEncoder::new(writing.csv.clone()))
    }
}

/// Decodes slices.
struct CsvDecoder<'a> {
    records: Records<'a>,
    fields: Fields,
    cells: Cells,
    batch_bytes: u64,
    /// Whether each object has a header, and the layout of the records once it is known.
    has_header: bool,
    layout: Option<Layout>,
    /// The fields of the record that was read.
    found: Vec<Cell>,
    rows: Rows,
}

impl<'a> CsvDecoder<'a> {
    fn new(chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Self {
        let cells = Cells::new(&reading.csv, sizes.record_max);
        let records = Records::new(Text::new(chunks, reading.csv.encoding), cells.grammar);
        let (fields, has_header) = (reading.fields.clone(), reading.csv.header);
        let (found, rows) = (Vec::new(), Rows::new(fields.wanted().len()));
        Self { records, fields, cells, batch_bytes: sizes.batch, has_header, layout: None, found, rows }
    }

    /// Moves to the next slice, if there is one.
    fn next_slice(&mut self) -> Result<bool> {
        let Some(head) = self.records.next_slice()? else { return Ok(false) };
        self.layout = match head.is_empty() {
            _ if !self.has_header => Some(Layout::of_positions(self.fields.wanted())),
            true => None,
            false => Some(self.header_of(&head)?),
        };
        Ok(true)
    }

    /// Returns the layout that the first bytes of an object give, which end with its header.
    fn header_of(&mut self, head: &[u8]) -> Result<Layout> {
        let Self { records, fields, cells, found, .. } = self;
        found.clear();
        let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
        let (skipped, header) = cells.grammar.next(head, true, |cell| found.push(cell));
        match header {
            Found::Record(text, _) => {
                let text = &head[skipped..skipped + text];
                Layout::of_header(text, found, cells, fields.wanted(), records.object())
            }
            Found::Unclosed(..) => Err(unclosed_header(records.object())),
            Found::TooLong | Found::More => {
                Err(too_long(cells.grammar.record_max as u64, records.object(), skipped as u64))
            }
        }
    }

    /// Reads the next record of the slice into the batch, if there is one. The first record of an object is its header.
    fn next_record(&mut self) -> Result<bool> {
        let Self { records, fields, cells, found, rows, layout, .. } = self;
        let Some(record) = records.next(found)? else { return Ok(false) };
        let Some(layout) = layout else {
            if record.is_unclosed {
                return Err(unclosed_header(record.object));
            }
            rows.bytes += record.bytes;
            *layout = Some(Layout::of_header(record.text, found, cells, fields.wanted(), record.object)?);
            return Ok(true);
        };
        rows.push(&record, |picked| match record.is_unclosed {
            true => Err(format!(
                "a quoted field is not closed {}, so its first line is set aside",
                if cells.grammar.multiline {
                    "within `source.max_record` or by the end of the object"
                } else {
                    "in its line"
                }
            )),
            false => layout.pick(found, fields.wanted(), picked),
        });
        Ok(true)
    }
}

fn unclosed_header(object: &str) -> Error {
    Error::input(format!("the header of object `{object}` has a quoted field that is not closed"))
}

impl Decode for CsvDecoder<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        while self.rows.size() < self.batch_bytes {
            if !self.next_record()? && !self.next_slice()? {
                break;
            }
        }
        self.rows.finish(&self.fields.schema().fields, &self.cells)
    }
}
