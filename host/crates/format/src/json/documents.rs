//! Documents that are not lines: each over any number of lines, one behind the other or as the items of an array.
//!
//! Owns where a document starts and ends. What it means is up to the parsers, as for a line: text between two ends that
//! is no document becomes a reject. What stands between documents must be white space, or in an array a comma.

use std::sync::Arc;

use etl_core::model::error::{Error, Result};
use memchr::memchr2;

use super::{decode, is_white_space, row::JsonColumns};
use crate::{
    Decode,
    compression::{Inflate, SliceStart},
    decoder::{COLUMN_BYTES, ChunkIter, Sizes, SourceBatch, too_long},
    origin::PlacedRecords,
};

/// Decodes whole objects.
pub(super) struct DocumentDecoder<'a> {
    input: Inflate<ChunkIter<'a>>,
    columns: JsonColumns,
    sizes: Sizes,
    object: Arc<str>,
    /// Offset in the object of the next byte.
    position: u64,
    scanner: Scanner,
    /// The beginning of the document that is still arriving, and its offset.
    document: Vec<u8>,
    start: u64,
    records: PlacedRecords,
    bytes: u64,
}

impl<'a> DocumentDecoder<'a> {
    pub(super) fn new(input: Inflate<ChunkIter<'a>>, columns: JsonColumns, sizes: Sizes) -> Self {
        Self {
            input,
            columns,
            sizes: sizes.bounded(),
            object: "".into(),
            position: 0,
            scanner: Scanner::default(),
            document: Vec::new(),
            start: 0,
            records: PlacedRecords::default(),
            bytes: 0,
        }
    }

    /// Takes what has arrived of the object, up to the end of a document. Returns whether there was anything.
    fn take(&mut self) -> Result<bool> {
        let data = self.input.fill()?;
        if data.is_empty() {
            return Ok(false);
        }
        let Step { taken, part, ends } = self.scanner.step(data).map_err(|what| {
            let (object, at) = (&self.object, self.position);
            Error::input(format!("object `{object}` is no stream of JSON documents: {what} behind byte {at}"))
        })?;
        if self.document.is_empty() {
            self.start = self.position + (taken - part) as u64;
        }
        self.document.extend_from_slice(&data[taken - part..taken]);
        self.input.consume(taken);
        self.position += taken as u64;
        self.bytes += taken as u64;
        if self.document.len() as u64 > self.sizes.record_max {
            return Err(too_long(self.sizes.record_max, &self.object, self.start));
        }
        if ends {
            self.end_document();
        }
        Ok(true)
    }

    fn end_document(&mut self) {
        let end = self.document.iter().rposition(|byte| !is_white_space(*byte)).map_or(0, |last| last + 1);
        self.records.push(&self.document[..end], &self.object, self.start);
        self.document.clear();
    }

    /// Ends the object, and moves to the next one, if there is one.
    fn next_object(&mut self) -> Result<bool> {
        if self.scanner.is_in_array() {
            return Err(Error::input(format!(
                "object `{}` ends within an array of JSON documents: it is cut off, or lacks a `]`",
                self.object
            )));
        }
        if !self.document.is_empty() {
            self.end_document();
        }
        let Some(SliceStart { object, offset, .. }) = self.input.next_slice()? else { return Ok(false) };
        (self.object, self.position, self.scanner) = (object, offset, Scanner::default());
        Ok(true)
    }

    fn is_full(&self) -> bool {
        let columns = self.columns.schema.fields().len().max(1) as u64;
        let least = self.records.len() as u64 * COLUMN_BYTES * columns;
        (self.records.text().len() as u64).max(least) >= self.sizes.batch
    }
}

impl Decode for DocumentDecoder<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        while !self.is_full() && (self.take()? || self.next_object()?) {}
        if self.records.len() == 0 {
            return Ok(None);
        }
        let (records, bytes) = (std::mem::take(&mut self.records).finish(), std::mem::take(&mut self.bytes));
        let (batch, rejects, rows) = decode(&self.columns, records.texts(), &records)?;
        Ok(Some(SourceBatch::new(batch, rejects, bytes, Box::new(records), Some(rows))))
    }
}

/// What a piece of an object holds.
struct Step {
    /// Number of bytes looked at.
    taken: usize,
    /// Number of these bytes, the last ones, that belong to the document.
    part: usize,
    /// Whether the document ends with them.
    ends: bool,
}

/// Where in an object the next byte stands.
#[derive(Debug, Default)]
struct Scanner {
    /// Number of braces and brackets that are open in the document.
    depth: usize,
    at: At,
    /// Whether the documents are items of an array.
    in_array: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Where a document may begin.
    #[default]
    Start,
    /// Behind the opening bracket of an array, where a document begins, or the array ends.
    First,
    /// Behind a comma of an array, where a document must begin.
    Next,
    /// Behind a document in an array, where a comma or the end of the array must be.
    Between,
    /// In a document, and there in no text.
    Document,
    /// In a document, and there in text.
    Text,
    /// In text, behind a backslash.
    Escape,
}

impl Scanner {
    fn is_in_array(&self) -> bool {
        self.in_array
    }

    /// Looks at bytes, which are not empty: up to the end of a document, or all of them.
    fn step(&mut self, data: &[u8]) -> Result<Step, String> {
        let begun = matches!(self.at, At::Document | At::Text | At::Escape);
        let start = if begun { 0 } else { self.skip(data)? };
        let mut taken = start;
        while taken < data.len() {
            if self.at == At::Text {
                taken += memchr2(b'"', b'\\', &data[taken..]).unwrap_or(data.len() - taken);
                let Some(sign) = data.get(taken) else { break };
                self.at = if *sign == b'"' { At::Document } else { At::Escape };
                taken += 1;
                continue;
            }
            match (self.at, data[taken]) {
                (At::Escape, _) => self.at = At::Text,
                (_, b'"') => self.at = At::Text,
                (_, b'{' | b'[') => self.depth += 1,
                (_, b'}' | b']') if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(self.end(taken + 1, start));
                    }
                }
                // A document that is neither an object nor an array ends with what may not be in it.
                (_, byte) if self.depth == 0 && (is_white_space(byte) || matches!(byte, b',' | b']')) => {
                    return Ok(self.end(taken, start));
                }
                _ => {}
            }
            taken += 1;
        }
        Ok(Step { taken, part: taken - start, ends: false })
    }

    fn end(&mut self, taken: usize, start: usize) -> Step {
        self.at = if self.in_array { At::Between } else { At::Start };
        Step { taken, part: taken - start, ends: true }
    }

    /// Returns the number of bytes before a document begins.
    fn skip(&mut self, data: &[u8]) -> Result<usize, String> {
        for (index, byte) in data.iter().enumerate() {
            self.at = match (self.at, byte) {
                (at, byte) if is_white_space(*byte) => at,
                (At::Start, b'[') => {
                    self.in_array = true;
                    At::First
                }
                (At::First | At::Between, b']') => {
                    self.in_array = false;
                    At::Start
                }
                (At::Between, b',') => At::Next,
                (At::Start | At::First | At::Next, _) if !matches!(byte, b',' | b']' | b'}') => {
                    self.at = At::Document;
                    return Ok(index);
                }
                (at, _) => {
                    let wanted = if at == At::Between { "a comma or `]`" } else { "a document" };
                    return Err(format!("`{}` stands where {wanted} belongs", byte.escape_ascii()));
                }
            };
        }
        Ok(data.len())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use etl_core::model::{object::Compression, schema::Schema};
    use proptest::prelude::*;

    use super::*;
    use crate::{Chunk, JsonLayout, SourceFormat};

    /// The values of `a` with the offsets of their documents, and the offsets of rejects.
    type Read = (Vec<(i64, u64)>, Vec<u64>);

    fn read(text: &str, piece: usize) -> Result<Read, String> {
        let schema = Schema::parse(&["a=int64".to_owned()], 0).expect("a schema");
        let format = SourceFormat::new("json", Some(schema.into())).expect("a format");
        let format = format.with_json(JsonLayout::Documents).expect("it is JSON");
        let start = Chunk::Start { object: "o".into(), offset: 0, compression: Compression::None, head: Bytes::new() };
        let data = text.as_bytes().chunks(piece).map(|piece| Chunk::Data(Bytes::copy_from_slice(piece)));
        let chunks = [start].into_iter().chain(data).map(Ok);
        let mut decoder = format.decoder(Box::new(chunks)).expect("fields of JSON");
        let (mut values, mut rejects) = (Vec::new(), Vec::new());
        while let Some(found) = decoder.next_batch().map_err(|error| error.to_string())? {
            use arrow_array::{cast::AsArray, types::Int64Type};
            let column = found.batch.column(0).as_primitive::<Int64Type>();
            values.extend((0..column.len()).map(|row| (column.value(row), found.origin(row).at.number())));
            rejects.extend(found.rejects.iter().filter_map(|reject| reject.offset));
        }
        Ok((values, rejects))
    }

    #[test]
    fn documents_stand_one_behind_the_other_or_in_an_array() {
        for (text, values, rejects) in [
            ("{\"a\":\n 1}\n\n{\"a\":2}{\"a\":3}", &[(1, 0), (2, 11), (3, 18)][..], &[][..]),
            ("[\n{\"a\":1},\n{\"a\":2, \"b\":\"]}\\\"\"}\n]\n", &[(1, 2), (2, 11)], &[]),
            ("[]", &[], &[]),
            ("[{\"a\":1}] [{\"a\":2}] {\"a\":3}", &[(1, 1), (2, 11), (3, 20)], &[]),
            ("{\"a\":1} 7 \"x\" [2]", &[(1, 0)], &[8, 10, 15]),
            ("[{\"a\":\"x\"}, {\"a\":2}, null]", &[(2, 12)], &[1, 21]),
            ("{\"a\":1}\n{\"a\":", &[(1, 0)], &[8]),
            ("", &[], &[]),
        ] {
            for piece in [1, 3, 1000] {
                let found = read(text, piece).expect(text);
                assert_eq!((&found.0[..], &found.1[..]), (values, rejects), "{text} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_stream_of_documents_is_an_error_that_says_where() {
        for (text, why) in [
            ("[{\"a\":1}", "object `o` ends within an array of JSON documents"),
            ("[{\"a\":1} {\"a\":2}]", "`{` stands where a comma or `]` belongs"),
            ("[{\"a\":1},]", "`]` stands where a document belongs"),
            ("{\"a\":1}}", "`}` stands where a document belongs"),
            ("{\"a\":1},{\"a\":2}", "`,` stands where a document belongs"),
        ] {
            let error = read(text, 1000).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[\\[\\]{}\":, \\\\\na1]{0,40}", piece in 1..7_usize) {
            let (whole, pieces) = (read(&text, 1000), read(&text, piece));
            prop_assert_eq!(whole.is_ok(), pieces.is_ok(), "{}", text);
            if whole.is_ok() {
                prop_assert_eq!(whole, pieces);
            }
        }
    }
}
