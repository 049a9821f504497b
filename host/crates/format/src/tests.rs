//! Tests of the decoder: what records and rejects each format makes of bytes.

use std::io::Write;

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    object::Compression,
    schema::Schema,
};
use proptest::prelude::*;

use crate::{Chunk, ChunkIter, Decode, Sizes, SourceBatch, SourceFormat};

fn batches(mut decoder: Box<dyn Decode + '_>) -> Result<Vec<SourceBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = decoder.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

fn start(object: &str, compression: Compression) -> Chunk {
    Chunk::whole(object, compression)
}

/// Returns the chunks of one whole object.
fn whole(object: &str, data: &[u8]) -> ChunkIter<'static> {
    let data = Bytes::copy_from_slice(data);
    Box::new(vec![Ok(start(object, Compression::of(object))), Ok(Chunk::Data(data))].into_iter())
}

#[test]
fn a_long_record_is_a_batch_of_its_own_and_a_too_long_one_an_error() {
    let data = [&b"a\nb\n"[..], &[b'x'; 50], b"\nc\n"].concat();
    let rows = |max| -> Result<Vec<usize>> {
        let decoder = SourceFormat::lines().decoder_with(whole("o", &data), Sizes { batch: 24, record_max: max })?;
        Ok(batches(decoder)?.iter().map(|batch| batch.batch.num_rows()).collect())
    };
    assert_eq!(rows(51).expect("fits"), [2, 1, 1]);
    let error = rows(50).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(
        error.to_string(),
        "the record at byte 4 of object `o` is longer than the 50 bytes that `source.max_record` allows"
    );
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("writes");
    encoder.finish().expect("finishes")
}

fn zstandard(data: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(data, 1).expect("encodes")
}

#[test]
fn broken_compressed_objects_are_named() {
    let text = b"some text, some text, some text\n".repeat(100);
    let cut = |data: &[u8]| data[..data.len() - 6].to_vec();
    let cases = [
        ("a.gz", b"not gzip at all".to_vec(), "`a.gz` is named like gzip, but begins like plain text"),
        ("b.gz", cut(&gzip(&text)), "`b.gz` cannot be decompressed as gzip"),
        ("c.zst", b"not zstd at all".to_vec(), "`c.zst` is named like zstd, but begins like plain text"),
        ("d.zst", cut(&zstandard(&text)), "`d.zst` cannot be decompressed as zstd"),
    ];
    for (name, data, expected) in cases {
        let decoder = SourceFormat::lines().decoder(whole(name, &data)).expect("a format");
        let error = batches(decoder).expect_err("broken");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_error_of_the_fetch_keeps_its_kind_through_decompression() {
    let failed = || Err(Error::new(ErrorKind::Unavailable, anyhow::anyhow!("no answer")));
    for name in ["a", "a.gz", "a.zst"] {
        let chunks = vec![Ok(start(name, Compression::of(name))), failed()];
        let error = batches(SourceFormat::lines().decoder(Box::new(chunks.into_iter())).expect("a format"));
        let error = error.expect_err("failed");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unavailable, "no answer"));
    }
}

fn json_format(fields: &[(&str, DataType)]) -> SourceFormat {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    let schema = Schema::new(fields.iter().map(field).collect(), 0).expect("valid");
    SourceFormat::new("json", Some(schema.into())).expect("known")
}

fn typed() -> SourceFormat {
    json_format(&[("t", DataType::Utf8), ("i", DataType::Int64), ("f", DataType::Float64), ("b", DataType::Boolean)])
}

fn decode_json(format: &SourceFormat, data: &[u8]) -> SourceBatch {
    let decoder = format.decoder(whole("o.json", data)).expect("a format");
    let mut all = batches(decoder).expect("decodes");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Returns a row of [`typed`] as JSON values.
fn row(batch: &RecordBatch, row: usize) -> [serde_json::Value; 4] {
    let value = |column: usize, value: serde_json::Value| {
        if batch.column(column).is_null(row) { serde_json::Value::Null } else { value }
    };
    [
        value(0, batch.column(0).as_string::<i32>().value(row).into()),
        value(1, batch.column(1).as_primitive::<Int64Type>().value(row).into()),
        value(2, batch.column(2).as_primitive::<Float64Type>().value(row).into()),
        value(3, batch.column(3).as_boolean().value(row).into()),
    ]
}

/// Returns the values [`typed`] takes of a document, found in a whole `serde_json::Value`; `None` for a reject.
fn expected_row(document: &str) -> Option<[serde_json::Value; 4]> {
    use serde_json::Value;
    let document: Value = serde_json::from_str(document).ok()?;
    let fields = document.as_object()?;
    let get = |name: &str| fields.get(name).cloned().unwrap_or(Value::Null);
    let pick = |value: Value, typed: Option<Value>| if value.is_null() { Some(value) } else { typed };
    let integral = |value: f64| value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    let (t, i, f, b) = (get("t"), get("i"), get("f"), get("b"));
    #[expect(clippy::cast_possible_truncation, reason = "checked to be integral and small")]
    let integer = i.as_i64().or(i.as_f64().filter(|value| i.is_f64() && integral(*value)).map(|value| value as i64));
    Some([
        pick(t.clone(), t.is_string().then_some(t))?,
        pick(i, integer.map(Value::from))?,
        pick(f.clone(), f.as_f64().map(Value::from))?,
        pick(b.clone(), b.is_boolean().then_some(b))?,
    ])
}

fn json_value() -> impl Strategy<Value = String> {
    let text = proptest::collection::vec(any::<char>(), 0..5).prop_map(|text| text.into_iter().collect::<String>());
    let quoted = text.prop_map(|text| serde_json::to_string(&text).expect("text"));
    let fixed = |value: &'static str| Just(value.to_owned());
    prop_oneof![
        quoted,
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("a double tells whole numbers up to 2^53 apart", |value| !(9e15..1e19).contains(&value.abs()))
            .prop_map(|value| serde_json::to_string(&value).expect("a number, or null")),
        fixed("true"),
        fixed("false"),
        fixed("null"),
        fixed("1.0"),
        fixed("-0"),
        fixed("1e3"),
        fixed("0.1"),
        fixed(r#""\u00e9\n\ud83d\ude00""#),
        fixed(r#"{"t":[1,{"i":2}]}"#),
        fixed("[]"),
    ]
}

fn json_document() -> impl Strategy<Value = String> {
    let fields = ["t", "i", "f", "b", "other", "ü"].map(|name| {
        proptest::option::of(json_value()).prop_map(move |value| value.map(|value| format!("\"{name}\" : {value}")))
    });
    let object = fields.prop_map(|fields| {
        let fields: Vec<String> = fields.into_iter().flatten().collect();
        format!("{{{}}}", fields.join(","))
    });
    let object = object.boxed();
    prop_oneof![
        8 => object.clone(),
        2 => (object, any::<prop::sample::Index>()).prop_map(|(mut object, end)| {
            object.truncate(object.floor_char_boundary(end.index(object.len())));
            object
        }),
        1 => json_value(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn json_columns_equal_those_picked_from_whole_documents(
        documents in proptest::collection::vec(json_document(), 1..20),
    ) {
        let data = documents.join("\n") + "\n";
        let found = decode_json(&typed(), data.as_bytes());
        let present: Vec<&String> = documents.iter().filter(|document| !document.trim().is_empty()).collect();
        let (good, bad): (Vec<&String>, Vec<&String>) =
            present.iter().partition(|document| expected_row(document).is_some());
        prop_assert_eq!(found.batch.num_rows(), good.len());
        for (index, document) in good.iter().enumerate() {
            let expected = expected_row(document).expect("is good");
            prop_assert_eq!(row(&found.batch, index), expected, "{}", document);
            prop_assert_eq!(&*found.origin(index).record, document.as_bytes());
        }
        let rejected: Vec<_> = found.rejects.iter().map(|reject| reject.record.as_ref()).collect();
        prop_assert_eq!(rejected, bad.into_iter().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(found.bytes, data.len() as u64);
    }
}

#[test]
fn rejects_say_where_and_why() {
    let data = b"{\"i\":1}\n\n  \r\n{\"i\":\"x\"}\n{\"i\":1.5}\n[1]\n{\"i\":\n{\"t\":\"\xff\"}\n{\"i\":2} x\n{\"i\":3}";
    let found = decode_json(&typed(), data);
    assert_eq!(found.batch.num_rows(), 2);
    assert_eq!(row(&found.batch, 1)[1], 3);
    let origin = found.origin(1);
    assert_eq!((origin.object, &*origin.record), ("o.json", &b"{\"i\":3}"[..]));
    assert_eq!(origin.at, ((data.len() - 7) as u64).into());
    let rejects: Vec<_> = found.rejects.iter().map(|reject| (reject.offset, reject.reason.as_str())).collect();
    assert_eq!(
        rejects,
        [
            (Some(13), "`\"x\"` in field `i` is not of type int64 (at byte 9 of the record)"),
            (Some(23), "`1.5` in field `i` is not of type int64 (at byte 9 of the record)"),
            (
                Some(33),
                "invalid type: sequence, expected an object (at byte 1 of the record); are the documents not lines? then \
                 set `source.json.layout` to `documents`"
            ),
            (Some(37), "EOF while parsing a value (at byte 5 of the record)"),
            (Some(43), "invalid unicode code point (at byte 7 of the record)"),
            (Some(53), "trailing characters (at byte 9 of the record)"),
        ]
    );
    assert!(found.rejects.iter().all(|reject| reject.step == "source" && reject.object.as_deref() == Some("o.json")));
    assert_eq!(found.rejects[4].record_hex.as_deref(), Some("7b2274223a22ff227d"));
    assert_eq!(found.records(), 8);
}

#[test]
fn numbers_are_exact_or_rejected_in_plain_documents_and_others() {
    let taken = |field: &str, number: &str| {
        let documents =
            [format!(r#"{{"{field}":{number}}}"#), format!(r#"{{"\u00{:x}":{number}}}"#, field.as_bytes()[0])];
        let taken = documents.map(|document| {
            let found = decode_json(&typed(), document.as_bytes());
            assert_eq!(found.records(), 1);
            (found.rejects.is_empty()).then(|| row(&found.batch, 0)[if field == "i" { 1 } else { 2 }].to_string())
        });
        assert_eq!(taken[0], taken[1], "{number}");
        taken[0].clone()
    };
    for (number, expected) in [
        ("9007199254740993.0", Some("9007199254740993")),
        ("-9007199254740993.0", Some("-9007199254740993")),
        ("9.007199254740993e15", Some("9007199254740993")),
        ("9007199254740994.0", Some("9007199254740994")),
        ("1e3", Some("1000")),
        ("0.99999999999999999999", None),
        ("3.0000000000000001", None),
        ("1e-400", None),
        ("\"1\"", None),
    ] {
        assert_eq!(taken("i", number).as_deref(), expected, "{number}");
    }
    let doubles = [("0.1", Some("0.1")), ("7", Some("7.0")), ("1e-400", None), ("1e400", None), ("\"inf\"", None)];
    for (number, expected) in doubles {
        assert_eq!(taken("f", number).as_deref(), expected, "{number}");
    }
}

#[test]
fn the_last_of_two_equal_fields_counts() {
    let found = decode_json(&typed(), br#"{"i":1,"t":"a","\u0069":2,"t":"\u0062"}"#);
    assert_eq!(row(&found.batch, 0)[..2], ["b".into(), serde_json::Value::from(2)]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_record_of_any_format() {
    let mark = b"\xEF\xBB\xBF";
    let found = decode_json(&typed(), &[mark, &b"{\"i\":1}\n"[..], mark, b"{\"i\":2}\n"].concat());
    assert_eq!((found.batch.num_rows(), found.rejects.len()), (1, 1));
    assert_eq!(found.origin(0).at, 3.into());
    for name in ["a", "a.gz"] {
        let plain = [mark, &b"x\n"[..], mark, b"x"].concat();
        let data = if name == "a" { plain } else { gzip(&plain) };
        let found = batches(SourceFormat::lines().decoder(whole(name, &data)).expect("a format")).expect("decodes");
        let lines: Vec<_> = found[0].batch.column(0).as_binary::<i32>().iter().flatten().collect();
        assert_eq!(lines, [&b"x"[..], b"\xEF\xBB\xBFx"]);
        assert_eq!([found[0].origin(0).at, found[0].origin(1).at], [3.into(), 5.into()]);
    }
    assert!(batches(SourceFormat::lines().decoder(whole("a", mark)).expect("a format")).expect("decodes").is_empty());
}

/// Returns the lines of an object that arrives in pieces, or why it is refused.
fn lines_in_pieces(object: &str, offset: u64, data: &[u8], piece_bytes: usize) -> Result<Vec<Vec<u8>>, String> {
    let start =
        Chunk::Start { object: object.into(), offset, compression: Compression::of(object), head: Bytes::new() };
    let pieces = data.chunks(piece_bytes).map(|piece| Ok(Chunk::Data(Bytes::copy_from_slice(piece))));
    let chunks: Vec<_> = [Ok(start)].into_iter().chain(pieces).collect();
    let decoder = SourceFormat::lines().decoder(Box::new(chunks.into_iter())).expect("a format");
    let batches = batches(decoder).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Input);
        error.to_string()
    })?;
    Ok(batches
        .iter()
        .flat_map(|batch| batch.batch.column(0).as_binary::<i32>())
        .flatten()
        .map(<[u8]>::to_vec)
        .collect())
}

#[test]
fn what_holds_no_records_is_refused_however_it_arrives_but_not_in_the_middle_of_an_object() {
    let tar = [&b"a.txt"[..], &[0; 252], b"ustar\x0000", &[b'\n'; 300]].concat();
    for piece_bytes in [1, 7, 1000] {
        let refused =
            |object: &str, data: &[u8]| lines_in_pieces(object, 0, data, piece_bytes).expect_err("no records");
        assert_eq!(lines_in_pieces("o", 0, &gzip(b"x"), piece_bytes).expect("decompressed"), [b"x"]);
        assert!(refused("o", &tar).starts_with("object `o` begins like tar"));
        assert!(refused("o.gz", &gzip(&tar)).starts_with("object `o.gz` begins like tar"));
        assert!(refused("o.gz", &gzip(&gzip(b"x"))).starts_with("object `o.gz` is compressed twice, with gzip inside"));
        assert!(refused("o.tar.gz", &gzip(b"x")).starts_with("object `o.tar.gz` is named like tar"));
        assert!(refused("o.xz", b"x").starts_with("object `o.xz` is named like xz, but begins like plain text"));
        let middle = lines_in_pieces("o", 100, b"\x1F\x8B\x08\n\xEF\xBB\xBF", piece_bytes).expect("lines");
        assert_eq!(middle, [&b"\x1F\x8B\x08"[..], b"\xEF\xBB\xBF"]);
    }
}

#[test]
fn gzip_is_whole_with_several_members_and_zeros_behind_them() {
    let zeros = vec![0; 5000];
    let members = [&gzip(b"a\nb")[..], &gzip(b""), &gzip(b"c\n"), &zeros, &gzip(b"d"), &zeros].concat();
    for piece_bytes in [1, 100, 1_000_000] {
        let lines = lines_in_pieces("o.gz", 0, &members, piece_bytes).expect("whole");
        assert_eq!(lines, [&b"a"[..], b"bc", b"d"]);
        let broken = [&gzip(b"a\n")[..], b"\0\0x"].concat();
        let error = lines_in_pieces("o.gz", 0, &broken, piece_bytes).expect_err("something follows");
        assert!(error.starts_with("object `o.gz` cannot be decompressed as gzip"), "{error}");
    }
}

#[test]
fn a_batch_of_rejects_only_has_no_rows() {
    let found = decode_json(&typed(), b"no\n");
    assert_eq!((found.batch.num_rows(), found.rejects.len()), (0, 1));
}
