//! Tests of CSV sources and sinks.

use std::sync::Arc;

use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type,
};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::model::{error::ErrorKind, object::Compression, schema::Schema};
use proptest::{option::of, prelude::*};

use super::*;
use crate::{Chunk, PartWriter, SinkFormat, SourceFormat};

fn typed() -> SourceFormat {
    let fields = ["text=text", "int=int64", "float=float64", "truth=boolean"].map(str::to_owned);
    SourceFormat::new("csv", Some(Schema::parse(&fields, 0).expect("a schema").into())).expect("a format")
}

/// Decodes objects that arrive in pieces of these sizes.
fn decode(objects: &[&[u8]], piece_bytes: usize, sizes: Sizes) -> Result<Vec<SourceBatch>> {
    let mut chunks = Vec::new();
    for (number, data) in objects.iter().enumerate() {
        let object = format!("{number}.csv");
        chunks.push(Ok(Chunk::whole(object, Compression::None)));
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
    let integers = found.batch.column(1).as_primitive::<Int64Type>();
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
fn records_are_no_text_because_they_would_be_one_behind_the_other() {
    let found = batch(b"text,int,float,truth\na,1,1,\xC3\n\xA9b,1,1,true\nc,1,1,true\n");
    assert_eq!(texts(&found), ["c"]);
    let reasons: Vec<_> = found.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(reasons, ["column `truth` is not UTF-8", "column `text` is not UTF-8"]);
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
    let objects: [&[u8]; 4] =
        [b"\xEF\xBB\xBFtext,int,float,truth\na,1,,\n", b"", b"int,truth,float,text\n2,,,b", b"text,int,float,truth"];
    let batches = decode(&objects, usize::MAX, Sizes::default()).expect("decodes");
    assert_eq!(texts(&batches[0]), ["a", "b"]);
    assert_eq!(batches[0].origin(1).object, "2.csv");
    let missing = decode(&[b"text,int,truth\n"], 9, Sizes::default()).expect_err("a column is missing");
    let expected = "object `0.csv` has no column `float` in its header (columns: text, int, truth)";
    assert_eq!((missing.kind(), missing.to_string().as_str()), (ErrorKind::Input, expected));
    let twice = decode(&[b"text,int,float,truth,int\n"], 9, Sizes::default()).expect_err("two columns");
    assert_eq!(twice.to_string(), "object `0.csv` has two columns `int` in its header (pick one by its `position`)");
}

#[test]
fn a_quote_that_is_not_closed_costs_its_line_and_no_more() {
    let found = batch(b"int,float,truth,text\n1,,,a\n2,,,\"b\n3,,,c\n");
    assert_eq!(texts(&found), ["a", "c"]);
    let [reject] = &found.rejects[..] else { panic!("{:?}", found.rejects) };
    assert!(reject.reason.starts_with("a quoted field is not closed within `source.max_record`"), "{reject:?}");
    assert_eq!((reject.offset, reject.record.as_deref()), (Some(27), Some("2,,,\"b")));
    assert_eq!(texts(&batch(b"int,float,truth,text\n1,,,5\" disk")), ["5\" disk"]);
}

#[test]
fn a_quote_that_is_closed_too_late_costs_its_line_and_no_more() {
    let record = |length: usize| format!("1,,,\"{}\nyy\"\n", "x".repeat(length - 10));
    let data = format!("int,float,truth,text\n{}2,,,b\n{}3,,,c\n", record(51), record(50));
    for piece_bytes in [1, 10, 1000] {
        let sizes = Sizes { batch: 1000, record_max: 50 };
        let batches = decode(&[data.as_bytes()], piece_bytes, sizes).expect("decodes");
        let offsets: Vec<_> = batches[0].rejects.iter().map(|reject| reject.offset).collect();
        assert_eq!(offsets, [Some(21), Some(68)], "{:?}", batches[0].rejects);
        assert_eq!(texts(&batches[0]), ["b", &format!("{}\nyy", "x".repeat(40)), "c"]);
    }
}

#[test]
fn a_line_that_is_too_long_is_named() {
    let data = [&b"text,int,float,truth\nab,1,,\n\""[..], &[b'x'; 100]].concat();
    let expected =
        "the record at byte 28 of object `0.csv` is longer than the 50 bytes that `source.max_record` allows";
    for (data, piece_bytes) in [(&data, 10), (&data, 1000), (&[&data[..], b"\"\n"].concat(), 1000)] {
        let error = decode(&[data], piece_bytes, Sizes { batch: 1000, record_max: 50 }).expect_err("too long");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Input, expected));
    }
}

#[test]
fn text_behind_a_closing_quote_is_refused_where_it_is_wanted() {
    let found = batch(b"text,int,float,truth,other\n\"a\"b,1,,,\nc,2,,,\"d\" e\n");
    assert_eq!(texts(&found), ["c"]);
    assert_eq!(found.rejects[0].reason, "column `text` has text behind its closing quote");
}

#[test]
fn a_header_alone_has_no_records_and_a_header_that_cannot_be_read_is_an_error() {
    for data in [&b""[..], b"text,int,float,truth", b"\r\n\r\n"] {
        let batches = decode(&[data], 3, Sizes::default()).expect("decodes");
        assert_eq!(batches.iter().map(SourceBatch::records).sum::<u64>(), 0);
    }
    for (data, expected) in [
        (&b"text,\"int\nfloat,truth\n"[..], "the header of object `0.csv` has a quoted field that is not closed"),
        (b"text,\"int\"x\n", "the header of object `0.csv` cannot be read: column 2 has text behind its closing quote"),
        (b"text,\xFF\n", "the header of object `0.csv` cannot be read: column 2 is not UTF-8"),
    ] {
        let error = decode(&[data], 3, Sizes::default()).expect_err("refused");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Input, expected));
    }
}

#[test]
fn ten_thousand_columns_are_read() {
    let names: Vec<String> = (0..10_000).map(|number| format!("c{number}")).collect();
    let row: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let data = format!("{}\n{}\n", names.join(","), row.join(","));
    let fields = Schema::parse(&["c9999=int64".to_owned(), "c0=int64".to_owned()], 0).expect("a schema");
    let format = SourceFormat::new("csv", Some(fields.into())).expect("a format");
    let batches = read(&format, data.as_bytes()).expect("decodes");
    let value = |column: usize| batches[0].batch.column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!([value(0), value(1)], [9999, 0]);
}

/// Decodes one object of a format.
fn read(format: &SourceFormat, data: &[u8]) -> Result<Vec<SourceBatch>> {
    let chunks = [Ok(Chunk::whole("o.csv", Compression::None)), Ok(Chunk::Data(Bytes::copy_from_slice(data)))];
    let mut decoder = format.decoder(Box::new(
        chunks.into_iter().filter(|chunk| !matches!(chunk, Ok(Chunk::Data(data)) if data.is_empty())),
    ))?;
    std::iter::from_fn(|| decoder.next_batch().transpose()).collect()
}

/// Returns a format of two fields, `a` of text and `n` of int64, taken from these places.
fn picking(a: Pick, n: Pick, optional: bool, csv: CsvSource) -> SourceFormat {
    let wanted = [("a", DataType::Utf8, a), ("n", DataType::Int64, n)].map(|(name, data_type, pick)| WantedField {
        field: Field::new(name, data_type, true),
        pick,
        optional,
    });
    let fields = Fields::new(wanted.to_vec()).expect("valid");
    SourceFormat::new("csv", Some(fields)).and_then(|format| format.with_csv(csv)).expect("a format")
}

fn named(csv: CsvSource) -> SourceFormat {
    picking(Pick::Column("a".to_owned()), Pick::Column("n".to_owned()), false, csv)
}

/// Returns the rows of one batch as text, and the reasons of its rejects.
fn rows(format: &SourceFormat, data: &[u8]) -> (Vec<String>, Vec<String>) {
    let batches = read(format, data).expect("decodes");
    let mut found = (Vec::new(), Vec::new());
    for batch in &batches {
        let (texts, numbers) = (batch.batch.column(0).as_string::<i32>(), batch.batch.column(1));
        let numbers = numbers.as_primitive::<Int64Type>();
        found.0.extend(texts.iter().zip(numbers).map(|row| format!("{row:?}")));
        found.1.extend(batch.rejects.iter().map(|reject| reject.reason.clone()));
    }
    found
}

#[test]
fn fields_are_renamed_picked_by_position_and_may_be_missing() {
    let column = |name: &str| Pick::Column(name.to_owned());
    let data = b"Total (CHF),x,x\n1,p,q\n";
    let format = picking(Pick::Position(3), column("Total (CHF)"), false, CsvSource::default());
    assert_eq!(rows(&format, data).0, [r#"(Some("q"), Some(1))"#]);
    let twice = read(&picking(column("x"), column("Total (CHF)"), false, CsvSource::default()), data);
    let expected = "object `o.csv` has two columns `x` in its header (pick one by its `position`)";
    assert_eq!(twice.expect_err("two").to_string(), expected);
    let far = read(&picking(Pick::Position(4), column("x"), false, CsvSource::default()), data);
    let expected = "object `o.csv` has 3 columns, but `a` is at position 4 (columns: Total (CHF), x, x)";
    assert_eq!(far.expect_err("too far").to_string(), expected);
    let missing = picking(column("gone"), Pick::Position(9), true, CsvSource::default());
    assert_eq!(rows(&missing, data).0, ["(None, None)"]);
}

#[test]
fn objects_without_a_header_are_read_by_position() {
    let csv = CsvSource { header: false, ..CsvSource::default() };
    let format = picking(Pick::Position(2), Pick::Position(1), false, csv.clone());
    let (found, rejects) = rows(&format, b"1,a,x\n2\n3,b\n");
    assert_eq!(found, [r#"(Some("a"), Some(1))"#, r#"(Some("b"), Some(3))"#]);
    assert_eq!(rejects, ["1 fields, but `a` is at position 2"]);
    let refused = named(csv).refused_field().map(|(name, why)| format!("{name} {why}"));
    assert_eq!(
        refused.as_deref(),
        Some("a needs `position`, since the objects have no header (`source.csv.header` is false)")
    );
}

#[test]
fn each_key_of_a_dialect_counts() {
    let default = CsvSource::default;
    let cases: [(CsvSource, &[u8], &[&str]); 9] = [
        (CsvSource { delimiter: b'\t', ..default() }, b"a\tn\nx,y\t1\n", &["x,y 1"]),
        (CsvSource { quote: Some(b'\''), ..default() }, b"a,n\n'x''\n\"',1\n", &["x'\n\" 1"]),
        (CsvSource { quote: None, ..default() }, b"a,n\n\"x,1\ny\",2\n", &["\"x 1", "y\" 2"]),
        (CsvSource { escape: Some(b'\\'), ..default() }, b"a,n\n\"x\\\"\\\\,\",1\n", &["x\"\\, 1"]),
        (CsvSource { comment: Some(b'#'), ..default() }, b"#\"\na,n\n#\"x,1\ny#,2\n", &["y# 2"]),
        (CsvSource { null: vec!["NA".into()], ..default() }, b"a,n\nNA,NA\n\"NA\",1\n,2", &["null null", "NA 1", " 2"]),
        (CsvSource { trim: true, ..default() }, b" a ,n\n x y\t, 1 \n \" z, \" ,2\n", &["x y 1", " z,  2"]),
        (
            CsvSource { encoding: Encoding::Latin1, ..default() },
            b"a,n\nZ\xFCrich \x80,1\n",
            &["Z\u{fc}rich \u{20ac} 1"],
        ),
        (CsvSource { multiline: false, ..default() }, b"a,n\n\"x\",1\n\"y,2\nz\",3\n", &["x 1", "z\" 3"]),
    ];
    for (csv, data, expected) in cases {
        let batches = read(&named(csv.clone()), data).expect("decodes");
        let (texts, numbers) = (batches[0].batch.column(0).as_string::<i32>(), batches[0].batch.column(1));
        let numbers = numbers.as_primitive::<Int64Type>();
        let shown = |number: Option<i64>| number.map_or("null".to_owned(), |number| number.to_string());
        let found: Vec<String> = texts
            .iter()
            .zip(numbers)
            .map(|(text, number)| format!("{} {}", text.unwrap_or("null"), shown(number)))
            .collect();
        assert_eq!(found, expected, "{csv:?}");
    }
}

#[test]
fn utf16_is_read_in_either_order_of_bytes_and_whole() {
    let csv = CsvSource { encoding: Encoding::Utf16, ..CsvSource::default() };
    let text = "\u{feff}a,n\nZ\u{fc}rich \u{1f600},1\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for data in [&little, &big] {
        assert_eq!(rows(&named(csv.clone()), data).0, ["(Some(\"Z\u{fc}rich \u{1f600}\"), Some(1))"]);
    }
    let long: Vec<u8> =
        format!("\u{feff}a,n\n{}", "\u{fc},7\n".repeat(100_000)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(rows(&named(csv.clone()), &long).0.len(), 100_000);
    assert!(matches!(named(csv.clone()).cuts(), Cuts::Never(_)));
    for (data, expected) in [
        (&b"a,n\n"[..], "object `o.csv` does not start with the byte order mark of UTF-16, which"),
        (&little[..little.len() - 1], "object `o.csv` is not UTF-16, which"),
        (b"\xFF\xFE\0\0", "object `o.csv` begins like UTF-32"),
    ] {
        let error = read(&named(csv.clone()), data).expect_err("refused").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let undeclared = read(&named(CsvSource::default()), &little).expect_err("not declared").to_string();
    assert!(undeclared.contains("set `source.csv.encoding = \"utf-16\"` if it is CSV"), "{undeclared}");
}

#[test]
fn nested_fields_cannot_be_read() {
    let schema = Schema::parse(&["b=list<int64>".to_owned()], 0).expect("a schema");
    let format = SourceFormat::new("csv", Some(schema.into())).expect("a format");
    let error = format.decoder(Box::new(std::iter::empty())).err().expect("refused");
    assert!(error.to_string().starts_with("field `b` of a `csv` source cannot be list<int64>"), "{error}");
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
