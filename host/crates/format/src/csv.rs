//! The format `csv`: RFC 4180, with a header.
//!
//! A source reads the first record of each object as its header, and the chosen fields by their names in it, in any order.
//! Fields may be quoted, and quoted fields may hold commas, quotes and line ends; lines end with `\n` or `\r\n`, and empty
//! lines are skipped. `boolean` takes `true` and `false`; `int64` and `float64` take numbers as a JSON source does, and
//! `float64` also `NaN` and `inf`; all three take an empty field as null. `text` takes any field: an empty one without
//! quotes is null, and `""` is empty text. A record with other fields than that is a reject, as is one with more or fewer
//! fields than the header.
//!
//! A sink writes the header, also in a part without rows; `,` between fields, `"` around fields that need it, and `\n`
//! after each row. A null is empty, and empty text is `""`, so a source reads back what a sink writes.

mod encode;

use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch, builder::BinaryBuilder};
use arrow_schema::{DataType, Field, SchemaRef};
use csv_core::{ReadRecordResult, Reader};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE},
    schema::Schema,
    types::type_name,
};

use crate::{
    Decode, Encode, Format, Origin, Reads, Writes, Writing,
    columns::{Column, SHOWN_CHARACTERS_MAX, Value, check_fields, cut, shown},
    compression::Inflate,
    cuts::Cuts,
    decoder::{ChunkIter, Sizes, SourceBatch, too_long},
    encoder::check_printable,
    origin::Origins,
    plain,
};

/// Room in bytes that is made at first for the fields of a record.
const FIELDS_BYTES_MIN: usize = 1024;

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
        "RFC 4180 with a header, whose chosen fields become columns. An empty field is null, and `\"\"` is empty text. An \
         object is never cut into slices."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn cuts(&self) -> Cuts {
        Cuts::Never
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, schema: &Schema, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        check_fields("csv", schema)?;
        Ok(Box::new(CsvDecoder::new(chunks, schema, sizes.bounded())))
    }
}

impl Writes for Csv {
    fn about(&self) -> &'static str {
        "RFC 4180, with a header. A null is an empty field, and empty text is `\"\"`."
    }

    fn extension(&self) -> &'static str {
        "csv"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        check_printable("csv", schema)
    }

    fn encoder(&self, _: &Writing) -> Box<dyn Encode> {
        Box::new(encode::CsvEncoder)
    }
}

/// Decodes whole objects.
struct CsvDecoder<'a> {
    input: Inflate<ChunkIter<'a>>,
    fields: SchemaRef,
    sizes: Sizes,
    reader: Reader,
    record: Record,
    /// The object being read, and its header once that is read.
    object: Arc<str>,
    header: Option<Header>,
    /// Offset in the object of the next byte.
    position: u64,
    batch: Collected,
}

impl<'a> CsvDecoder<'a> {
    fn new(chunks: ChunkIter<'a>, schema: &Schema, sizes: Sizes) -> Self {
        let fields = Arc::clone(&schema.fields);
        let batch = Collected::new(&fields);
        let (input, reader, record) = (Inflate::new(chunks), Reader::new(), Record::default());
        Self { input, fields, sizes, reader, record, object: "".into(), header: None, position: 0, batch }
    }

    /// Moves to the next object, if there is one.
    fn next_object(&mut self) -> Result<bool> {
        let Some((object, offset)) = self.input.next_slice()? else { return Ok(false) };
        (self.object, self.position, self.header) = (object, offset, None);
        self.reader.reset();
        Ok(true)
    }

    /// Reads the next record of the object, if there is one.
    fn next_record(&mut self) -> Result<bool> {
        self.record.clear();
        loop {
            let data = self.input.fill()?;
            let (result, taken) = self.record.read(&mut self.reader, data);
            self.input.consume(taken);
            if self.record.raw.len() as u64 > self.sizes.record_max {
                return Err(too_long(self.sizes.record_max, &self.object, self.position));
            }
            match result {
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
        }
    }

    /// Adds the record to the batch, as a row or as a reject. The first record of an object is its header.
    fn take_record(&mut self) -> Result<()> {
        let offset = self.position + self.record.blank_bytes() as u64;
        self.position += self.record.raw.len() as u64;
        self.batch.bytes += self.record.raw.len() as u64;
        let Some(header) = &self.header else {
            self.header = Some(Header::new(&self.record, &self.fields, &self.object)?);
            return Ok(());
        };
        match self.record.values(header, &self.fields) {
            Ok(values) => self.batch.push(&values, self.record.text(), &self.object, offset),
            Err(reason) => {
                let reject = Reject::new(SOURCE, &reason).at(&self.object, offset);
                self.batch.rejects.push(reject.with_record(self.record.text()));
            }
        }
        Ok(())
    }
}

impl Decode for CsvDecoder<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        while self.batch.bytes < self.sizes.batch {
            if self.next_record()? {
                self.take_record()?;
            } else if !self.next_object()? {
                break;
            }
        }
        let next = Collected::new(&self.fields);
        std::mem::replace(&mut self.batch, next).finish(&self.fields)
    }
}

/// Where the chosen fields are in the records of an object.
struct Header {
    /// Number of fields of a record.
    width: usize,
    /// Position of each chosen field.
    positions: Vec<usize>,
}

impl Header {
    fn new(record: &Record, fields: &SchemaRef, object: &str) -> Result<Self> {
        let names: Vec<&[u8]> = (0..record.ended).map(|index| record.field(index)).collect();
        let position = |field: &Arc<Field>| {
            let is_it = |name: &&[u8]| *name == field.name().as_bytes();
            let shown = || names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(", ");
            match names.iter().filter(|name| is_it(name)).count() {
                1 => Ok(names.iter().position(is_it).expect("there is one")),
                0 => Err(Error::input(format!(
                    "object `{object}` has no column `{}` in its header (columns: {})",
                    field.name(),
                    cut(&shown(), 10 * SHOWN_CHARACTERS_MAX)
                ))),
                _ => Err(Error::input(format!("object `{object}` has two columns `{}` in its header", field.name()))),
            }
        };
        Ok(Self { width: names.len(), positions: fields.fields().iter().map(position).collect::<Result<_>>()? })
    }
}

/// The record that is being read.
#[derive(Default)]
struct Record {
    /// Its bytes as they were read, with the line ends around it.
    raw: Vec<u8>,
    /// Its fields without quotes, one behind the other, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How much of `fields` and `ends` is filled.
    filled: usize,
    ended: usize,
    /// Whether the object ended before the record did.
    at_end: bool,
}

impl Record {
    fn clear(&mut self) {
        self.raw.clear();
        (self.filled, self.ended, self.at_end) = (0, 0, false);
    }

    /// Reads more of the record from `data`, which is empty at the end of the object. Returns the number of bytes
    /// taken.
    fn read(&mut self, reader: &mut Reader, data: &[u8]) -> (ReadRecordResult, usize) {
        if self.filled == self.fields.len() {
            self.fields.resize((self.filled * 2).max(FIELDS_BYTES_MIN), 0);
        }
        if self.ended == self.ends.len() {
            self.ends.resize((self.ended * 2).max(16), 0);
        }
        let (fields, ends) = (&mut self.fields[self.filled..], &mut self.ends[self.ended..]);
        let (result, taken, filled, ended) = reader.read_record(data, fields, ends);
        self.raw.extend_from_slice(&data[..taken]);
        self.filled += filled;
        self.ended += ended;
        self.at_end = data.is_empty();
        (result, taken)
    }

    /// Returns the number of bytes of line ends before the record.
    fn blank_bytes(&self) -> usize {
        self.raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
    }

    /// Returns the record without the line ends around it.
    fn text(&self) -> &[u8] {
        let text = &self.raw[self.blank_bytes()..];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        text.strip_suffix(b"\r").unwrap_or(text)
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields[start..self.ends[index]]
    }

    /// Returns whether a field was written with quotes.
    fn is_quoted(&self, index: usize) -> bool {
        enum At {
            Start,
            Plain,
            Quoted,
            Quote,
        }
        let (mut at, mut field) = (At::Start, 0);
        for byte in self.text() {
            at = match (at, byte) {
                (At::Start, b'"') if field == index => return true,
                (At::Start | At::Quote, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => At::Quoted,
                (_, b',') if field == index => return false,
                (_, b',') => {
                    field += 1;
                    At::Start
                }
                _ => At::Plain,
            };
        }
        false
    }

    /// Returns the values of the chosen fields, or what is wrong with the record.
    fn values(&self, header: &Header, fields: &SchemaRef) -> Result<Vec<Value<'_>>, String> {
        if self.is_unclosed() {
            return Err("a quoted field is not closed, so it takes up the rest of the object".to_owned());
        }
        if self.ended != header.width {
            return Err(format!("{} fields, but the header has {}", self.ended, header.width));
        }
        let value = |(field, position): (&Arc<Field>, &usize)| match value(field, self.field(*position))? {
            Value::Text("") if !self.is_quoted(*position) => Ok(Value::Null),
            value => Ok(value),
        };
        fields.fields().iter().zip(&header.positions).map(value).collect()
    }

    /// Returns whether the object ended within quotes. Quotes in pairs are closed; one that is left over may stand in a
    /// field without quotes, but then the record is a single line.
    fn is_unclosed(&self) -> bool {
        let quotes = || self.raw.iter().filter(|byte| **byte == b'"').count();
        self.at_end && self.text().contains(&b'\n') && quotes() % 2 == 1
    }
}

/// Returns the value that a field has as its column's type.
fn value<'a>(field: &Field, bytes: &'a [u8]) -> Result<Value<'a>, String> {
    let wrong = |text: &str| {
        let (name, expected) = (field.name(), type_name(field));
        format!("`{}` in column `{name}` is not of type {expected}", shown(text))
    };
    let text = str::from_utf8(bytes).map_err(|_| format!("column `{}` is not UTF-8", field.name()))?;
    let value = match (field.data_type(), text) {
        (DataType::Utf8, "") => Some(Value::Text("")),
        (_, "") => Some(Value::Null),
        _ => plain::value(field, text),
    };
    value.ok_or_else(|| wrong(text))
}

/// The rows of the next batch, so far.
struct Collected {
    columns: Vec<Column>,
    records: BinaryBuilder,
    /// Object and offset of each record.
    places: Vec<(Arc<str>, u64)>,
    rejects: Vec<Reject>,
    bytes: u64,
}

impl Collected {
    fn new(fields: &SchemaRef) -> Self {
        let columns = fields.fields().iter().filter_map(|field| Column::new(field, 0)).collect();
        Self { columns, records: BinaryBuilder::new(), places: Vec::new(), rejects: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, values: &[Value<'_>], record: &[u8], object: &Arc<str>, offset: u64) {
        self.columns.iter_mut().zip(values).for_each(|(column, value)| column.append(value, ""));
        self.records.append_value(record);
        self.places.push((Arc::clone(object), offset));
    }

    /// Returns the batch, unless nothing was read.
    fn finish(mut self, fields: &SchemaRef) -> Result<Option<SourceBatch>> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let columns = self.columns.into_iter().map(Column::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(fields), columns)
            .or_kind(ErrorKind::Internal, || "cannot make a batch of CSV records")?;
        let origins = CsvOrigins { records: self.records.finish(), places: self.places };
        Ok(Some(SourceBatch::new(batch, self.rejects, self.bytes, Box::new(origins), None)))
    }
}

/// The records of a batch and their places.
struct CsvOrigins {
    records: BinaryArray,
    places: Vec<(Arc<str>, u64)>,
}

impl Origins for CsvOrigins {
    fn origin(&self, record: usize) -> Origin<'_> {
        let (object, offset) = &self.places[record];
        Origin { object, at: (*offset).into(), record: self.records.value(record).into() }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, StringArray, cast::AsArray};
    use bytes::Bytes;
    use etl_core::model::object::Compression;
    use proptest::{option::of, prelude::*};

    use super::*;
    use crate::{Chunk, PartWriter, SinkFormat, SourceFormat};

    fn typed() -> SourceFormat {
        let fields = ["text=text", "int=int64", "float=float64", "truth=boolean"].map(str::to_owned);
        SourceFormat::new("csv", Some(Schema::parse(&fields, 0).expect("a schema"))).expect("a format")
    }

    /// Decodes objects that arrive in pieces of these sizes.
    fn decode(objects: &[&[u8]], piece_bytes: usize, sizes: Sizes) -> Result<Vec<SourceBatch>> {
        let mut chunks = Vec::new();
        for (number, data) in objects.iter().enumerate() {
            let object = format!("{number}.csv").into();
            chunks.push(Ok(Chunk::Start { object, offset: 0, compression: Compression::None }));
            chunks.extend(data.chunks(piece_bytes).map(|piece| Ok(Chunk::Data(Bytes::copy_from_slice(piece)))));
        }
        let mut decoder = typed().decoder_with(Box::new(chunks.into_iter()), sizes)?;
        std::iter::from_fn(|| decoder.next_batch().transpose()).collect()
    }

    /// Decodes one object as one batch.
    fn batch(data: &[u8]) -> SourceBatch {
        let mut batches = decode(&[data], usize::MAX, Sizes::default()).expect("decodes");
        assert_eq!(batches.len(), 1);
        batches.remove(0)
    }

    fn texts(batch: &SourceBatch) -> Vec<&str> {
        batch.batch.column(0).as_string::<i32>().iter().map(|text| text.unwrap_or("(null)")).collect()
    }

    #[test]
    fn fields_are_taken_by_name_in_any_order() {
        let found =
            batch(b"truth,extra,int,text,float\ntrue,x,7,a,0.5\r\n\r\n,,,\"\",\nfalse,\"y\n\",-1,\"q\"\"\r\n,q\",1e3");
        assert_eq!(texts(&found), ["a", "", "q\"\r\n,q"]);
        let integers = found.batch.column(1).as_primitive::<arrow_array::types::Int64Type>();
        assert_eq!(integers.iter().collect::<Vec<_>>(), [Some(7), None, Some(-1)]);
        assert_eq!(found.batch.column(3).null_count(), 1);
        let (first, last) = (found.origin(0), found.origin(2));
        assert_eq!((first.at, &*first.record), (27.into(), &b"true,x,7,a,0.5"[..]));
        assert_eq!((last.object, last.at), ("0.csv", 52.into()));
        assert!(last.record.starts_with(b"false,\"y\n") && last.record.ends_with(b"1e3"));
    }

    #[test]
    fn an_empty_field_is_null_and_quotes_make_it_empty_text() {
        let found = batch(b"int,text,float,truth\n\"1,\"\"\",,,\n1,\"\",,\n\"2\",,\"\",\n3,\"\"\"\",,\n4,a\"\",,\n");
        assert_eq!(texts(&found), ["", "(null)", "\"", "a\"\""]);
        assert_eq!(found.rejects.len(), 1);
    }

    #[test]
    fn rejects_say_where_and_why() {
        let data =
            b"text,int,float,truth\na,x,1,true\nb,1\nc,1,2,yes\n\xff,1,2,true\nd,1,2,true\ne,9223372036854775808,1,\n";
        let found = batch(data);
        assert_eq!(texts(&found), ["d"]);
        let rejects: Vec<_> = found.rejects.iter().map(|reject| (reject.offset, reject.reason.as_str())).collect();
        assert_eq!(
            rejects,
            [
                (Some(21), "`x` in column `int` is not of type int64"),
                (Some(32), "2 fields, but the header has 4"),
                (Some(36), "`yes` in column `truth` is not of type boolean"),
                (Some(46), "column `text` is not UTF-8"),
                (Some(68), "`9223372036854775808` in column `int` is not of type int64"),
            ]
        );
        assert_eq!(found.rejects[1].record.as_deref(), Some("b,1"));
        assert_eq!((found.records(), found.bytes), (6, data.len() as u64));
    }

    #[test]
    fn each_object_has_a_header_of_its_own() {
        let objects: [&[u8]; 4] = [
            b"\xEF\xBB\xBFtext,int,float,truth\na,1,,\n",
            b"",
            b"int,truth,float,text\n2,,,b",
            b"text,int,float,truth",
        ];
        let batches = decode(&objects, usize::MAX, Sizes::default()).expect("decodes");
        assert_eq!(texts(&batches[0]), ["a", "b"]);
        assert_eq!(batches[0].origin(1).object, "2.csv");
        let missing = decode(&[b"text,int,truth\n"], 9, Sizes::default()).expect_err("a column is missing");
        let expected = "object `0.csv` has no column `float` in its header (columns: text, int, truth)";
        assert_eq!((missing.kind(), missing.to_string().as_str()), (ErrorKind::Input, expected));
        let twice = decode(&[b"text,int,float,truth,int\n"], 9, Sizes::default()).expect_err("two columns");
        assert_eq!(twice.to_string(), "object `0.csv` has two columns `int` in its header");
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_pass_for_a_long_value() {
        let found = batch(b"int,float,truth,text\n1,,,a\n2,,,\"b\n3,,,c\n");
        assert_eq!(texts(&found), ["a"]);
        assert!(found.rejects[0].reason.starts_with("a quoted field is not closed"), "{:?}", found.rejects);
        assert_eq!(texts(&batch(b"int,float,truth,text\n1,,,5\" disk")), ["5\" disk"]);
    }

    #[test]
    fn a_record_that_is_too_long_is_named() {
        let data = [&b"text,int,float,truth\nab,1,,\n\""[..], &[b'x'; 100]].concat();
        let expected =
            "the record at byte 28 of object `0.csv` is longer than the 50 bytes that `source.max_record` allows";
        for (data, piece_bytes) in [(&data, 10), (&data, 1000), (&[&data[..], b"\"\n"].concat(), 1000)] {
            let error = decode(&[data], piece_bytes, Sizes { batch: 1000, record_max: 50 }).expect_err("too long");
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Input, expected));
        }
    }

    #[test]
    fn binary_fields_cannot_be_read() {
        let schema = Schema::new(vec![Field::new("b", DataType::Binary, true)], 0).expect("a schema");
        let format = SourceFormat::new("csv", Some(schema)).expect("a format");
        let error = format.decoder(Box::new(std::iter::empty())).err().expect("refused");
        assert!(error.to_string().starts_with("field `b` of a `csv` source cannot be binary"), "{error}");
    }

    fn written(rows: &RecordBatch) -> Vec<u8> {
        let schema = Schema { fields: rows.schema(), key_fields: 0 };
        let mut part = PartWriter::new(SinkFormat::new("csv").expect("a format"), &schema, Vec::new()).expect("fits");
        part.write(rows).expect("written");
        part.finish().expect("finishes")
    }

    proptest! {
        #[test]
        fn what_a_sink_writes_a_source_reads_back_however_it_arrives(
            rows in proptest::collection::vec(
                (of(".{0,12}"), any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<bool>>()), 0..20),
            piece_bytes in 1..50_usize,
            batch_bytes in 1..200_u64,
        ) {
            let rows = RecordBatch::try_new(Arc::clone(&typed().schema().fields), vec![
                Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0.as_deref()))),
                Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
                Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
                Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.3))),
            ]).expect("rows");
            let data = written(&rows);
            let read = decode(&[&data], piece_bytes, Sizes { batch: batch_bytes, record_max: 1000 }).expect("decodes");
            prop_assert!(read.iter().all(|batch| batch.rejects.is_empty()));
            prop_assert_eq!(read.iter().map(|batch| batch.bytes).sum::<u64>(), data.len() as u64);
            let batches: Vec<RecordBatch> = read.into_iter().map(|batch| batch.batch).collect();
            let again: Vec<u8> = batches.iter().flat_map(|batch| {
                let text = written(batch);
                text[b"text,int,float,truth\n".len()..].to_vec()
            }).collect();
            prop_assert_eq!(again, &data[b"text,int,float,truth\n".len()..]);
        }
    }
}
