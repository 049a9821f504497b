//! Tests of the format: what is written is read back, wherever an object is cut, and what others wrote wrongly is
//! refused by name.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use bytes::Bytes;
use etl_core::{
    model::{
        error::{ErrorKind, Result},
        position::Position,
        schema::Schema,
        types::{parse, type_name},
    },
    text::rows::values,
};
use proptest::prelude::*;

use super::{Avro, codec};
use crate::{
    AvroCompression, AvroSink, Chunk, PartWriter, Reads, Section, SinkFormat, Sizes, SourceBatch, SourceFormat,
    tables::{Random, TYPES, damaged, table},
};

const COMPRESSIONS: [AvroCompression; 6] = [
    AvroCompression::Deflate,
    AvroCompression::Zstd,
    AvroCompression::Snappy,
    AvroCompression::Bzip2,
    AvroCompression::Xz,
    AvroCompression::None,
];

fn format() -> SinkFormat {
    SinkFormat::new("avro").expect("a format")
}

fn fits(name: &str) -> bool {
    let field = parse("f", name).expect("a type");
    format().check(&Schema::new(vec![field], 0).expect("a schema")).is_ok()
}

/// Returns the numbers of the types that Avro has.
fn types() -> Vec<usize> {
    (0..TYPES.len()).filter(|kind| fits(TYPES[*kind])).collect()
}

fn some_types() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(proptest::sample::select(types()), 1..5)
}

fn schema_of(rows: &RecordBatch) -> Schema {
    Schema { fields: rows.schema(), key_fields: 0 }
}

fn write(batches: &[RecordBatch], sink: AvroSink) -> Result<Bytes> {
    let mut part = PartWriter::new(format().with_avro(sink)?, &schema_of(&batches[0]), Vec::new())?;
    batches.iter().try_for_each(|batch| part.write(batch).map(drop))?;
    part.finish().map(Bytes::from)
}

pub(super) fn reading(schema: Schema) -> SourceFormat {
    SourceFormat::new("avro", Some(schema.into())).expect("a format")
}

/// Reads an object in slices that end at these positions.
pub(super) fn read_cut(
    format: &SourceFormat,
    object: &Bytes,
    cuts: impl IntoIterator<Item = u64>,
    sizes: Sizes,
) -> Result<Vec<SourceBatch>> {
    let size = object.len() as u64;
    let mut ends: Vec<u64> = cuts.into_iter().map(|cut| cut % (size + 1)).chain([size]).collect();
    ends.sort_unstable();
    let whole = Section::in_memory("o.avro", object.clone());
    let mut start = 0;
    let sections: Vec<_> = ends
        .into_iter()
        .map(|end| Ok(Chunk::Section(Section { range: std::mem::replace(&mut start, end)..end, ..whole.clone() })))
        .collect();
    let mut decoder = format.decoder_with(Box::new(sections.into_iter()), sizes)?;
    std::iter::from_fn(|| decoder.next_batch().transpose()).collect()
}

fn read(format: &SourceFormat, object: &Bytes) -> Result<Vec<SourceBatch>> {
    read_cut(format, object, [], Sizes::default())
}

/// Returns the rows of batches in one, and the position of each.
pub(super) fn joined(batches: &[SourceBatch], schema: &Schema) -> (RecordBatch, Vec<Position>) {
    let rows = arrow_select::concat::concat_batches(&schema.fields, batches.iter().map(|batch| &batch.batch));
    let at = batches.iter().flat_map(|batch| (0..batch.batch.num_rows()).map(|row| batch.origin(row).at));
    (rows.expect("one schema"), at.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_written_is_read_back_wherever_the_object_is_cut(
        seed in any::<u64>(),
        types in some_types(),
        rows in 1..60_usize,
        block_bytes in 1..400_u64,
        compression in proptest::sample::select(COMPRESSIONS.to_vec()),
        cuts in proptest::collection::vec(any::<u64>(), 0..6),
        batch in 16..4000_u64,
    ) {
        let rows = table(seed, &types, rows);
        let middle = rows.num_rows() / 2;
        let batches = [rows.slice(0, middle), rows.slice(middle, rows.num_rows() - middle)];
        let object = write(&batches, AvroSink { compression, block_bytes }).expect("writes");
        let format = reading(schema_of(&rows));
        let whole = joined(&read(&format, &object).expect("reads"), format.schema());
        prop_assert_eq!(&whole.0, &rows);
        let sizes = Sizes { batch, ..Sizes::default() };
        let found = joined(&read_cut(&format, &object, cuts, sizes).expect("reads"), format.schema());
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn damaged_objects_are_read_or_refused_by_name(
        seed in any::<u64>(),
        types in some_types(),
        compression in proptest::sample::select(COMPRESSIONS.to_vec()),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let rows = table(seed, &types, 30);
        let object = write(std::slice::from_ref(&rows), AvroSink { compression, block_bytes: 100 }).expect("writes");
        if let Err(error) = read(&reading(schema_of(&rows)), &damaged(&object, &flips, cut)) {
            prop_assert!(matches!(error.kind(), ErrorKind::Input), "{error}");
            prop_assert!(error.to_string().contains("`o.avro`"), "{error}");
        }
    }
}

#[test]
fn an_object_may_be_cut_at_any_two_bytes() {
    let rows = table(11, &[4, 26], 40);
    let object =
        write(std::slice::from_ref(&rows), AvroSink { block_bytes: 60, ..AvroSink::default() }).expect("writes");
    let format = reading(schema_of(&rows));
    let whole = joined(&read(&format, &object).expect("reads"), format.schema());
    assert!(whole.1.iter().filter(|at| at.row() == Some(0)).count() > 4, "several blocks");
    let size = object.len() as u64;
    for first in (0..=size).step_by(3) {
        for second in (first..=size).step_by(7) {
            let found = read_cut(&format, &object, [first, second], Sizes::default()).expect("reads");
            assert_eq!(joined(&found, format.schema()), whole, "cut at {first} and {second}");
        }
    }
}

#[test]
fn the_same_batches_give_the_same_bytes_in_each_compression() {
    let rows = table(7, &types(), 500);
    for compression in COMPRESSIONS {
        let sink = AvroSink { compression, ..AvroSink::default() };
        let object = write(std::slice::from_ref(&rows), sink).expect("writes");
        assert_eq!(object, write(std::slice::from_ref(&rows), sink).expect("writes"), "{compression:?}");
        let parts: Vec<RecordBatch> = (0..5).map(|part| rows.slice(part * 100, 100)).collect();
        assert_eq!(object, write(&parts, sink).expect("writes"), "{compression:?}: batches do not matter");
        let found = read(&reading(schema_of(&rows)), &object).expect("reads");
        assert_eq!(joined(&found, &schema_of(&rows)).0, rows, "{compression:?}");
    }
}

#[test]
fn a_part_without_rows_is_a_header() {
    let rows = table(7, &[4], 1).slice(0, 0);
    let object = write(std::slice::from_ref(&rows), AvroSink::default()).expect("writes");
    assert!(read(&reading(schema_of(&rows)), &object).expect("reads").is_empty());
}

#[test]
fn types_that_avro_lacks_are_refused_by_name() {
    let refused: Vec<&str> = TYPES.into_iter().filter(|name| !fits(name)).collect();
    assert_eq!(refused, ["float16", "time(ns)", "duration(s)", "duration(ns)", "map<int32, struct<x: float64>>"]);
    for (name, written, why) in [
        (
            "f",
            "duration(s)",
            "an `avro` sink cannot take field `f`, which is duration(s), which Avro does not have (use `int64`)",
        ),
        ("f", "list<struct<a: decimal(3,-2)>>", "an `avro` sink cannot take field `f.item.a`, which is decimal(3,-2)"),
        ("f", "map<int32, text>", "which is map<int32, text>, which Avro does not have (keys of maps are text"),
        ("a b", "text", "an `avro` sink cannot take field `a b`, whose name is no name in Avro"),
    ] {
        let schema = Schema::new(vec![parse(name, written).expect("a type")], 0).expect("a schema");
        let error = format().check(&schema).expect_err(written);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn times_in_seconds_are_written_in_milliseconds_and_read_back_as_they_were() {
    let fields = Schema::parse(&["a=timestamp(s)", "b=time(s)", "c=timestamp(s, Europe/Zurich)"].map(str::to_owned), 0)
        .expect("a schema");
    let mut random = Random(3);
    let columns = fields.fields.fields().iter().map(|field| random.column(field, 20)).collect();
    let rows = RecordBatch::try_new(Arc::clone(&fields.fields), columns).expect("rows");
    let object = write(std::slice::from_ref(&rows), AvroSink::default()).expect("writes");
    assert_eq!(joined(&read(&reading(fields.clone()), &object).expect("reads"), &fields).0, rows);
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    let rows = RecordBatch::try_from_iter_with_nullable([("at", far, true)]).expect("a column");
    let error = write(&[rows], AvroSink::default()).expect_err("too far away");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().starts_with("cannot write field `at` as `avro`"), "{error}");
}

/// An object of this schema, with these blocks of records, each a number of records and their bytes.
struct Made<'a> {
    schema: &'a str,
    codec: &'a str,
    blocks: &'a [(i64, &'a [u8])],
}

impl Made<'_> {
    const MARKER: [u8; 16] = *b"0123456789abcdef";

    fn long(number: i64, out: &mut Vec<u8>) {
        let mut bits = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while bits >= 0x80 {
            out.push((bits & 0x7F) as u8 | 0x80);
            bits >>= 7;
        }
        out.push(bits as u8);
    }

    fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
        Self::long(bytes.len() as i64, out);
        out.extend_from_slice(bytes);
    }

    fn object(&self) -> Bytes {
        let mut out = b"Obj\x01".to_vec();
        Self::long(2, &mut out);
        for (key, value) in [("avro.codec", self.codec), ("avro.schema", self.schema)] {
            Self::bytes(key.as_bytes(), &mut out);
            Self::bytes(value.as_bytes(), &mut out);
        }
        Self::long(0, &mut out);
        out.extend_from_slice(&Self::MARKER);
        for (records, bytes) in self.blocks {
            let stored = codec::by_name(self.codec.as_bytes())
                .map_or_else(|| bytes.to_vec(), |codec| codec::compress(codec, bytes).expect("compresses"));
            Self::long(*records, &mut out);
            Self::bytes(&stored, &mut out);
            out.extend_from_slice(&Self::MARKER);
        }
        out.into()
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#)
}

fn made(fields: &str, blocks: &[(i64, &[u8])]) -> Bytes {
    Made { schema: &record(fields), codec: "null", blocks }.object()
}

/// Reads fields. Returns the rows as JSON.
fn rows_of(object: &Bytes, fields: &[&str]) -> Result<Vec<String>> {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    let format = reading(Schema::parse(&fields, 0).expect("a schema"));
    let batches = read(&format, object)?;
    let of = |batch: &SourceBatch| -> Vec<String> {
        (0..batch.batch.num_rows()).map(|row| serde_json::Value::from(values(&batch.batch, row)).to_string()).collect()
    };
    Ok(batches.iter().flat_map(of).collect())
}

/// Returns the names of the fields that an object offers, with their types.
fn offered(object: &Bytes) -> Vec<String> {
    let offered = Avro.fields_of(&Section::in_memory("o.avro", object.clone())).expect("offers").expect("says so");
    let shown = |(name, field): (String, Option<arrow_schema::Field>)| {
        format!("{name}: {}", field.map_or("-".to_owned(), |field| type_name(&field)))
    };
    offered.into_iter().map(shown).collect()
}

fn refused(object: &Bytes, fields: &[&str]) -> String {
    let error = rows_of(object, fields).expect_err("cannot be read");
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    let text = error.to_string();
    assert!(text.contains("`o.avro`"), "{text}");
    text
}

#[test]
fn a_value_that_does_not_fit_its_field_makes_its_record_a_reject() {
    let fields = r#"{"name":"n","type":"long"},{"name":"t","type":"string"}"#;
    let object = made(fields, &[(2, b"\x02\x02a\xd8\x04\x02b"), (2, b"\x04\x02c\x06\x02\xff")]);
    let format = reading(Schema::parse(&["n=int8".to_owned(), "t=text".to_owned()], 0).expect("a schema"));
    let batches = read(&format, &object).expect("reads");
    let rejects: Vec<String> = batches.iter().flat_map(|batch| &batch.rejects).map(|one| one.to_string()).collect();
    let [number, text] = &rejects[..] else { panic!("{rejects:?}") };
    let first = object.len() - 2 * (2 + 16) - 7 - 6;
    let second = first + 7 + 2 + 16;
    assert_eq!(
        *number,
        format!(
            "`o.avro` at byte {first}, row 1: `300` in column `n` is int64, which does not fit int8: record \
             `{{\"n\":300,\"t\":\"b\"}}`"
        )
    );
    assert!(text.starts_with(&format!("`o.avro` at byte {second}, row 1: `ff` in column `t` is text")), "{text}");
    let positions = joined(&batches, format.schema()).1;
    assert_eq!(positions, [Position::InBlock(first as u64, 0), Position::InBlock(second as u64, 0)]);
}

#[test]
fn all_types_are_read_as_values_of_their_kind() {
    for (of, bytes, wanted, value) in [
        (r#""boolean""#, &b"\x01"[..], "boolean", "true"),
        (r#""int""#, b"\x03", "int64", "-2"),
        (r#""float""#, b"\0\0\x80\x3f", "float64", "1.0"),
        (r#""double""#, b"\0\0\0\0\0\0\xf0\x3f", "float64", "1.0"),
        (r#""bytes""#, b"\x04\x00\xff", "binary", "\"00ff\""),
        (r#""string""#, b"\x04\xc3\xa9", "text", "\"é\""),
        (r#""string""#, b"\x0410", "int64", "10"),
        (r#""null""#, b"", "int64", "null"),
        (r#"["null","int"]"#, b"\x00", "int64", "null"),
        (r#"["int","null"]"#, b"\x00\x02", "int64", "1"),
        (r#"["int"]"#, b"\x00\x02", "int32", "1"),
        (r#"{"type":"enum","name":"e","symbols":["A","B"]}"#, b"\x02", "text", "\"B\""),
        (r#"{"type":"fixed","name":"f","size":2}"#, b"\x00\xff", "binary(2)", "\"00ff\""),
        (r#"{"type":"array","items":"int"}"#, b"\x02\x02\x01\x02\x04\x00", "list<int64>", "[1,2]"),
        (r#"{"type":"map","values":"int"}"#, b"\x02\x02a\x02\x00", "map<text, int64>", r#"[{"key":"a","value":1}]"#),
        (
            r#"{"type":"record","name":"s","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}"#,
            b"\x02\x02x",
            "struct<b: text>",
            r#"{"b":"x"}"#,
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
            b"\x04\xff\x38",
            "decimal(6,2)",
            "\"-2.00\"",
        ),
        (
            r#"{"type":"fixed","name":"d","size":3,"logicalType":"decimal","precision":4,"scale":2}"#,
            b"\0\x01\x2c",
            "decimal(4,2)",
            "\"3.00\"",
        ),
        (
            r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#,
            b"\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\0",
            "text",
            "\"123e4567-e89b-12d3-a456-426614174000\"",
        ),
        (
            r#"{"type":"fixed","name":"u","size":12,"logicalType":"duration"}"#,
            b"\x01\0\0\0\x02\0\0\0\x03\0\0\0",
            "struct<days: uint32, months: int64>",
            r#"{"days":2,"months":1}"#,
        ),
        (r#"{"type":"int","logicalType":"date"}"#, b"\x02", "date", "\"1970-01-02\""),
        (r#"{"type":"int","logicalType":"time-millis"}"#, b"\x02", "time(ms)", "\"00:00:00.001\""),
        (r#"{"type":"long","logicalType":"time-micros"}"#, b"\x02", "time(us)", "\"00:00:00.000001\""),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            b"\x02",
            "timestamp(ms, UTC)",
            "\"1970-01-01T00:00:00.001Z\"",
        ),
        (
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            b"\x02",
            "timestamp(us)",
            "\"1970-01-01T00:00:00.000001\"",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
            b"\x02",
            "timestamp(ns, UTC)",
            "\"1970-01-01T00:00:00.000000001Z\"",
        ),
    ] {
        let object = made(&format!(r#"{{"name":"v","type":{of}}}"#), &[(1, bytes)]);
        let found = rows_of(&object, &[&format!("v={wanted}")]).unwrap_or_else(|error| panic!("{of}: {error}"));
        assert_eq!(found, [format!("[{value}]")], "{of} as {wanted}");
    }
}

#[test]
fn what_is_not_asked_for_is_skipped_whatever_it_is() {
    let list = r#"{"type":"record","name":"node","fields":[{"name":"next","type":["null","node"]}]}"#;
    let union = r#"["int","string",{"type":"map","values":["long","null"]}]"#;
    let fields = format!(
        r#"{{"name":"a","type":{list}}},{{"name":"b","type":{union}}},{{"name":"c","type":"int"}},
           {{"name":"d","type":{{"type":"array","items":"a.Fixed"}}}}"#
    )
    .replace("\"a.Fixed\"", r#"{"type":"fixed","name":"a.Fixed","size":2}"#);
    let object = made(&fields, &[(2, b"\x02\x02\x00\x04\x02\x02k\x02\x00\x06\x02xx\x00\x00\x02\x02y\x08\x00")]);
    assert_eq!(rows_of(&object, &["c=int32"]).expect("reads"), ["[3]", "[4]"]);
    let error = refused(&object, &["a=struct<next: text>"]);
    assert!(error.contains("has a column `a` of a type that is nested deeper than 16 levels"), "{error}");
    let error = refused(&object, &["b=text"]);
    assert!(
        error.ends_with("has a column `b` of type union of int, string, map, which is not read: leave the column out")
    );
    assert_eq!(offered(&object), ["a: -", "b: -", "c: int32", "d: list<binary(2)>"]);
}

#[test]
fn what_an_object_lacks_is_named() {
    let object = made(
        r#"{"name":"a","type":"int"},{"name":"s","type":{"type":"record","name":"s","fields":[]}}"#,
        &[(1, b"\x02")],
    );
    for (field, why) in [
        ("b=text", "object `o.avro` has no column `b` (columns: a, s)"),
        ("a=binary", "object `o.avro` has a column `a` of type int32, which cannot become binary"),
        ("s=struct<x: text>", "object `o.avro` has a column `s` of type record, which has no member `x`"),
        ("a=list<int32>", "object `o.avro` has a column `a` of type int32, which cannot become list<int32>"),
    ] {
        assert_eq!(refused(&object, &[field]), why);
    }
    let number = Made { schema: r#""int""#, codec: "null", blocks: &[(1, b"\x02")] }.object();
    assert_eq!(refused(&number, &["a=text"]), "object `o.avro` holds values of type int, not records with fields");
}

#[test]
fn damage_is_named_with_its_place() {
    let fields = r#"{"name":"a","type":"string"}"#;
    let good = made(fields, &[(1, b"\x02x"), (1, b"\x02y")]);
    let cut = |bytes: usize| good.slice(..good.len() - bytes);
    let mut marker = good.to_vec();
    let at = marker.len() - 1;
    marker[at] = b'!';
    let second = good.len() - 20;
    for (object, why) in [
        (Bytes::new(), "object `o.avro` is no Avro: it is empty".to_owned()),
        (Bytes::from_static(b"a,b\n1,2\n"), "object `o.avro` is no Avro: it begins like plain text".to_owned()),
        (Bytes::from_static(b"PAR1\0\0\0\0"), "object `o.avro` is no Avro: it begins like Parquet".to_owned()),
        (good.slice(..30), "object `o.avro` is damaged: its header is cut off or makes no sense".to_owned()),
        (cut(1), format!("object `o.avro` is damaged: the block at byte {second} goes on behind the end of the object, which is cut off or damaged")),
        (cut(19), format!("object `o.avro` is damaged: the block at byte {second} goes on behind the end of the object, which is cut off or damaged")),
        (marker.into(), format!("object `o.avro` is damaged: the block at byte {second} does not end with the marker of the object")),
        (made(fields, &[(1, b"\x04x")]), format!("object `o.avro` is damaged: record 0 of the block at byte {}: it goes on behind the end of its block", second - 20)),
        (made(fields, &[(1, b"\x02xy")]), format!("object `o.avro` is damaged: the block at byte {} has 1 bytes behind its 1 records", second - 20)),
        (made(fields, &[(-1, b"")]), format!("object `o.avro` is damaged: at byte {} is no number of records of a block", second - 20)),
        (made(fields, &[(i64::MAX, b"\x02x")]), format!("object `o.avro` is damaged: the block at byte {} has 2 bytes, which are no {} records", second - 20, i64::MAX)),
        (Made { schema: &record(fields), codec: "lzo", blocks: &[] }.object(), "object `o.avro` has blocks compressed as `lzo`, which is not read (known: null, deflate, snappy, zstandard, bzip2, xz)".to_owned()),
        (Made { schema: "{}", codec: "null", blocks: &[] }.object(), "object `o.avro` is damaged: its schema cannot be read: a type in it lacks `type`".to_owned()),
    ] {
        assert_eq!(refused(&object, &["a=text"]), why);
    }
}

#[test]
fn lengths_that_are_not_true_take_no_memory() {
    let most = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    let nulls = r#"{"name":"a","type":{"type":"array","items":"null"}},{"name":"b","type":"int"}"#;
    let object = made(nulls, &[(1, most)]);
    for field in ["a=list<text>", "b=int32"] {
        let error = refused(&object, &[field]);
        assert!(error.contains("takes more than the 8388608 bytes that `source.max_record` allows"), "{error}");
    }
    let text = made(r#"{"name":"a","type":"string"}"#, &[(1, most)]);
    assert!(refused(&text, &["a=text"]).ends_with("it goes on behind the end of its block"));
    let twice = |of: &str, name: &str| {
        format!(
            r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":{of}}},{{"name":"y","type":"{}"}}]}}"#,
            name_of(of)
        )
    };
    let mut deep = r#"{"type":"record","name":"r0","fields":[]}"#.to_owned();
    for level in 1..40 {
        deep = twice(&deep, &format!("r{level}"));
    }
    let object = made(&format!(r#"{{"name":"a","type":{deep}}},{{"name":"b","type":"int"}}"#), &[(1, b"\x02")]);
    assert!(refused(&object, &["b=int32"]).contains("`source.max_record` allows"));
    assert_eq!(offered(&object), ["a: -", "b: int32"]);
    let itself = made(r#"{"name":"a","type":"r"},{"name":"b","type":"int"}"#, &[(1, b"\x02")]);
    assert!(refused(&itself, &["b=int32"]).ends_with("it is nested deeper than 64 levels"));
}

fn name_of(record: &str) -> &str {
    let start = record.find(r#""name":""#).expect("a name") + 8;
    record[start..].split('"').next().expect("a name")
}

#[test]
fn a_block_is_read_in_batches_of_the_wanted_size() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(100); 3000]));
    let numbers: ArrayRef = Arc::new((0..3000).collect::<Int64Array>());
    let rows = RecordBatch::try_from_iter_with_nullable([("t", texts, true), ("n", numbers, true)]).expect("columns");
    let object =
        write(std::slice::from_ref(&rows), AvroSink { block_bytes: 1 << 20, ..AvroSink::default() }).expect("writes");
    let format = reading(schema_of(&rows));
    let batches = read_cut(&format, &object, [], Sizes { batch: 10_000, ..Sizes::default() }).expect("reads");
    assert!(batches.len() > 30 && batches.iter().all(|batch| batch.batch.num_rows() < 100), "{}", batches.len());
    assert_eq!(joined(&batches, format.schema()).0, rows);
}

#[test]
fn an_object_larger_than_its_windows_is_read_whole() {
    let mut random = Random(5);
    let texts: ArrayRef =
        Arc::new((0..3000).map(|_| Some(format!("{:x}", random.below(u64::MAX)).repeat(80))).collect::<StringArray>());
    let rows = RecordBatch::try_from_iter_with_nullable([("t", texts, true)]).expect("columns");
    let sink = AvroSink { compression: AvroCompression::None, block_bytes: 300_000 };
    let object = write(std::slice::from_ref(&rows), sink).expect("writes");
    assert!(object.len() > 2 << 20, "{}", object.len());
    let format = reading(schema_of(&rows));
    for cuts in [vec![], vec![1_500_000], vec![100, 299_000, 1_048_576, 1_048_577, 2_000_000]] {
        let found = read_cut(&format, &object, cuts, Sizes::default()).expect("reads");
        assert_eq!(joined(&found, format.schema()).0, rows);
    }
}
