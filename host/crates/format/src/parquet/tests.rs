//! Tests of the format: what is written is read back, wherever an object is cut, and what others wrote wrongly is
//! refused by name.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, IntervalUnit};
use bytes::Bytes;
use etl_core::model::{
    error::{ErrorKind, Result},
    position::Position,
    reject::Reject,
    schema::Schema,
    types::parse,
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use proptest::prelude::*;

use crate::{
    Chunk, ParquetCompression, ParquetSink, PartWriter, Section, SinkFormat, Sizes, SourceBatch, SourceFormat,
    convert::can_convert,
    tables::{Random, TYPES, damaged, table},
};

fn schema_of(rows: &RecordBatch) -> Schema {
    Schema { fields: rows.schema(), key_fields: 0 }
}

fn write(batches: &[RecordBatch], sink: ParquetSink) -> Bytes {
    let format = SinkFormat::new("parquet").and_then(|format| format.with_parquet(sink)).expect("a format");
    let mut part = PartWriter::new(format, &schema_of(&batches[0]), Vec::new()).expect("begins");
    batches.iter().for_each(|batch| _ = part.write(batch).expect("writes"));
    part.finish().expect("finishes").into()
}

fn small_groups(rows: u64) -> ParquetSink {
    ParquetSink { row_group_rows: rows, ..ParquetSink::default() }
}

fn reading(schema: Schema) -> SourceFormat {
    SourceFormat::new("parquet", Some(schema.into())).expect("a format")
}

/// Reads an object in slices that end at these positions.
fn read_cut(format: &SourceFormat, object: &Bytes, cuts: &[u64], sizes: Sizes) -> Result<Vec<SourceBatch>> {
    let size = object.len() as u64;
    let mut ends: Vec<u64> = cuts.iter().map(|cut| cut % (size + 1)).chain([size]).collect();
    ends.sort_unstable();
    let whole = Section::in_memory("o.parquet", object.clone());
    let mut start = 0;
    let sections: Vec<_> = ends
        .into_iter()
        .map(|end| Ok(Chunk::Section(Section { range: std::mem::replace(&mut start, end)..end, ..whole.clone() })))
        .collect();
    let mut decoder = format.decoder_with(Box::new(sections.into_iter()), sizes)?;
    std::iter::from_fn(|| decoder.next_batch().transpose()).collect()
}

fn read(format: &SourceFormat, object: &Bytes) -> Result<Vec<SourceBatch>> {
    read_cut(format, object, &[], Sizes::default())
}

/// Returns the rows of batches in one, and the position of each.
fn joined(batches: &[SourceBatch], schema: &Schema) -> (RecordBatch, Vec<Position>) {
    let rows = arrow_select::concat::concat_batches(&schema.fields, batches.iter().map(|batch| &batch.batch));
    let at = batches.iter().flat_map(|batch| (0..batch.batch.num_rows()).map(|row| batch.origin(row).at));
    (rows.expect("one schema"), at.collect())
}

fn numbered(rows: usize) -> Vec<Position> {
    (0..rows as u64).map(Position::Row).collect()
}

fn refused(format: &SourceFormat, object: &Bytes) -> String {
    let error = read(format, object).expect_err("cannot be read");
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    let text = error.to_string();
    assert!(text.contains("`o.parquet`"), "{text}");
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_written_is_read_back_wherever_the_object_is_cut(
        seed in any::<u64>(),
        types in proptest::collection::vec(0..TYPES.len(), 1..5),
        rows in 1..60_usize,
        group_rows in 1..40_u64,
        cuts in proptest::collection::vec(any::<u64>(), 0..6),
        batch in 16..4000_u64,
    ) {
        let rows = table(seed, &types, rows);
        let middle = rows.num_rows() / 2;
        let object = write(&[rows.slice(0, middle), rows.slice(middle, rows.num_rows() - middle)], small_groups(group_rows));
        let format = reading(schema_of(&rows));
        let sizes = Sizes { batch, ..Sizes::default() };
        let found = read_cut(&format, &object, &cuts, sizes).expect("reads");
        let (found, at) = joined(&found, format.schema());
        prop_assert_eq!(&found, &rows);
        prop_assert_eq!(at, numbered(rows.num_rows()));
    }

    #[test]
    fn damaged_objects_are_read_or_refused_by_name(
        seed in any::<u64>(),
        types in proptest::collection::vec(0..TYPES.len(), 1..4),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let rows = table(seed, &types, 30);
        let object = write(std::slice::from_ref(&rows), small_groups(10));
        if let Err(error) = read(&reading(schema_of(&rows)), &damaged(&object, &flips, cut)) {
            prop_assert!(matches!(error.kind(), ErrorKind::Input), "{error}");
            prop_assert!(error.to_string().contains("`o.parquet`"), "{error}");
        }
    }
}

#[test]
fn the_same_batches_give_the_same_bytes_in_each_compression() {
    let all: Vec<usize> = (0..TYPES.len()).collect();
    let rows = table(7, &all, 500);
    let compressions = ["Zstd", "Snappy", "Gzip", "Lz4", "None"].iter().zip([
        ParquetCompression::Zstd,
        ParquetCompression::Snappy,
        ParquetCompression::Gzip,
        ParquetCompression::Lz4,
        ParquetCompression::None,
    ]);
    for (name, compression) in compressions {
        for (statistics, dictionary) in [(true, true), (false, false)] {
            let sink = ParquetSink { compression, statistics, dictionary, ..ParquetSink::default() };
            let object = write(std::slice::from_ref(&rows), sink);
            assert_eq!(object, write(std::slice::from_ref(&rows), sink), "{name}");
            let found = read(&reading(schema_of(&rows)), &object).expect("reads");
            assert_eq!(joined(&found, &schema_of(&rows)).0, rows, "{name}");
        }
    }
}

#[test]
fn times_in_seconds_are_stored_in_milliseconds_and_read_back_as_they_were() {
    let fields = Schema::parse(&["a=timestamp(s)".to_owned(), "b=time(s)".to_owned()], 0).expect("a schema");
    let mut random = Random(3);
    let columns = fields.fields.fields().iter().map(|field| random.column(field, 20)).collect();
    let rows = RecordBatch::try_new(Arc::clone(&fields.fields), columns).expect("rows");
    let object = write(std::slice::from_ref(&rows), ParquetSink::default());
    assert_eq!(joined(&read(&reading(fields.clone()), &object).expect("reads"), &fields).0, rows);
}

#[test]
fn a_row_group_is_complete_at_its_size_and_none_is_held_longer() {
    let rows = table(5, &[26, 4], 2000);
    let sink = ParquetSink { row_group_bytes: 20_000, compression: ParquetCompression::None, ..ParquetSink::default() };
    let format = SinkFormat::new("parquet").and_then(|format| format.with_parquet(sink)).expect("a format");
    let mut part = PartWriter::new(format, &schema_of(&rows), Vec::new()).expect("begins");
    let charged: u64 = (0..20).map(|_| part.write(&rows).expect("writes")).sum();
    let object: Bytes = part.finish().expect("finishes").into();
    let section = Section::in_memory("o.parquet", object.clone());
    let directory = super::directory::open(&section).expect("opens");
    assert!(directory.groups.len() > 5, "{}", directory.groups.len());
    assert!(charged > object.len() as u64 / 2 && charged < 3 * object.len() as u64, "{charged} of {}", object.len());
}

fn one(name: &str, column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, column, true)]).expect("a column")
}

/// Writes rows of any of Arrow's types.
fn foreign(rows: &RecordBatch) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).expect("begins");
    writer.write(rows).expect("writes");
    writer.into_inner().expect("finishes").into()
}

/// Reads a column as another type. Returns the values as JSON, and the rejects.
fn read_as(column: ArrayRef, written: &str) -> (Vec<String>, Vec<Reject>) {
    let schema = Schema::parse(&[format!("c={written}")], 0).expect("a schema");
    let found =
        read(&reading(schema), &foreign(&one("c", column))).unwrap_or_else(|error| panic!("{written}: {error}"));
    let json = |batch: &SourceBatch| -> Vec<String> {
        (0..batch.batch.num_rows()).map(|row| etl_core::text::rows::values(&batch.batch, row)[0].to_string()).collect()
    };
    (found.iter().flat_map(json).collect(), found.into_iter().flat_map(|batch| batch.rejects).collect())
}

#[test]
fn a_value_that_does_not_fit_its_field_makes_its_row_a_reject() {
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(300), None, Some(-1)]));
    let (values, rejects) = read_as(Arc::clone(&ints), "int8");
    assert_eq!(values, ["1", "null", "-1"]);
    let [reject] = &rejects[..] else { panic!("{rejects:?}") };
    assert_eq!(
        reject.to_string(),
        "`o.parquet`, row 1: `300` in column `c` is int64, which does not fit int8: record `{\"c\":300}`"
    );
    let floats = || Arc::new(Float64Array::from(vec![1.0, 1.5, f64::NAN, 1e300])) as ArrayRef;
    for (column, written, kept) in [
        (floats(), "int64", &["1"][..]),
        (floats(), "float32", &["1.0", "1.5", "\"NaN\""]),
        (floats(), "decimal(4,1)", &["\"1.0\"", "\"1.5\""]),
        (floats(), "text", &["\"1.0\"", "\"1.5\"", "\"NaN\"", "\"1e300\""]),
        (Arc::clone(&ints), "uint64", &["1", "300", "null"]),
        (Arc::clone(&ints), "boolean", &["true", "null"]),
        (Arc::clone(&ints), "float64", &["1.0", "300.0", "null", "-1.0"]),
        (Arc::new(Int64Array::from(vec![1 << 53, (1 << 53) + 1])), "float64", &["9007199254740992.0"]),
        (Arc::new(StringArray::from(vec!["7", "07", "x", "1.25"])), "int32", &["7", "7"]),
        (Arc::new(StringArray::from(vec!["1.25", "1.255"])), "decimal(9,2)", &["\"1.25\""]),
        (Arc::new(StringArray::from(vec!["{\"a\":1}", "{"])), "json", &["{\"a\":1}"]),
        (Arc::new(StringArray::from(vec!["é"])), "binary", &["\"é\""]),
        (Arc::new(BinaryArray::from(vec![&b"ok"[..], b"\xff"])), "text", &["\"ok\""]),
        (Arc::new(BinaryArray::from(vec![&b"ok"[..], b"long"])), "binary(2)", &["\"ok\""]),
        (Arc::new(TimestampMicrosecondArray::from(vec![86_400_000_000, 1])), "date", &["\"1970-01-02\""]),
        (Arc::new(TimestampMicrosecondArray::from(vec![1000, 1])), "timestamp(ms)", &["\"1970-01-01T00:00:00.001\""]),
        (Arc::new(Date32Array::from(vec![1])), "timestamp(ns)", &["\"1970-01-02T00:00:00\""]),
        (
            Arc::new(Decimal128Array::from(vec![125, 120]).with_precision_and_scale(5, 2).expect("a decimal")),
            "decimal(5,1)",
            &["\"1.2\""],
        ),
    ] {
        let rows = column.len();
        let (values, rejects) = read_as(column, written);
        assert_eq!(values, kept, "{written}");
        assert_eq!(values.len() + rejects.len(), rows, "{written}");
    }
}

#[test]
fn nested_columns_are_chosen_by_name_and_cast_inside() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 900]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>([
        Some(vec![Some(5), None]),
        Some(vec![Some(1000)]),
        None,
    ]));
    let column = StructArray::try_from(vec![("x", numbers), ("name", names), ("lists", lists)]).expect("a struct");
    let (values, rejects) = read_as(Arc::new(column), "struct<lists: list<int8>, x: int16>");
    assert_eq!(values, [r#"{"lists":[5,null],"x":1}"#, r#"{"lists":null,"x":900}"#]);
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0].record.as_deref(), Some(r#"{"c":{"lists":[1000],"x":2}}"#));
}

#[test]
fn columns_that_do_not_fit_are_refused_and_named() {
    let interval: ArrayRef = Arc::new(arrow_array::IntervalDayTimeArray::from(vec![None]));
    assert_eq!(*interval.data_type(), DataType::Interval(IntervalUnit::DayTime));
    let huge = arrow_array::Decimal256Array::from(vec![None]).with_precision_and_scale(60, 2).expect("a decimal");
    let columns: [(&str, ArrayRef); 5] = [
        ("n", Arc::new(Int64Array::from(vec![1]))),
        ("t", Arc::new(StringArray::from(vec!["x"]))),
        ("i", interval),
        ("huge", Arc::new(huge)),
        (
            "s",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("a", DataType::Int64, true)),
                Arc::new(Int64Array::from(vec![1])) as ArrayRef,
            )])),
        ),
    ];
    let object = foreign(
        &RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("rows"),
    );
    let refused = |fields: &str| refused(&reading(Schema::parse(&[fields.to_owned()], 0).expect("a schema")), &object);
    assert_eq!(refused("m=int64"), "object `o.parquet` has no column `m` (columns: n, t, i, huge, s)");
    assert_eq!(
        refused("n=list<int64>"),
        "object `o.parquet` has a column `n` of type int64, which cannot become list<int64>"
    );
    assert_eq!(refused("n=json"), "object `o.parquet` has a column `n` of type int64, which cannot become json");
    assert_eq!(
        refused("s=int64"),
        "object `o.parquet` has a column `s` of type struct<a: int64>, which cannot become int64"
    );
    assert_eq!(
        refused("s=struct<b: int64>"),
        "object `o.parquet` has a column `s` of type struct<a: int64>, which has no member `b`"
    );
    assert!(refused("i=int64").contains("which is not supported, and cannot become int64"));
    assert!(refused("i=binary").contains("which is not supported, and cannot become binary"));
    let fine = reading(Schema::parse(&["n=int64".to_owned()], 0).expect("a schema"));
    assert_eq!(read(&fine, &object).expect("what is not asked for does no harm").len(), 1);
    let huge = read(&reading(Schema::parse(&["huge=decimal(38,2)".to_owned()], 0).expect("a schema")), &object);
    assert_eq!(huge.expect("fits").len(), 1);
}

#[test]
fn two_columns_of_one_name_are_refused_only_if_asked_for() {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let schema = Arc::new(arrow_schema::Schema::new(vec![field("a"), field("a"), field("b")]));
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let object = foreign(&RecordBatch::try_new(schema, vec![column(), column(), column()]).expect("rows"));
    let reading = |fields: &str| reading(Schema::parse(&[fields.to_owned()], 0).expect("a schema"));
    assert_eq!(refused(&reading("a=int64"), &object), "object `o.parquet` has two columns `a`");
    assert_eq!(read(&reading("b=int64"), &object).expect("reads").len(), 1);
}

#[test]
fn what_is_no_parquet_is_refused_with_what_it_looks_like() {
    let format = reading(Schema::parse(&["a=int64".to_owned()], 0).expect("a schema"));
    let good = foreign(&one("a", Arc::new(Int64Array::from(vec![1]))));
    let mut no_footer = good.to_vec();
    no_footer.truncate(good.len() - 5);
    let mut long = good.to_vec();
    let at = good.len() - 8;
    long[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut encrypted = good.to_vec();
    encrypted[at + 7] = b'E';
    let mut short = good.to_vec();
    short[at..at + 4].copy_from_slice(&7_u32.to_le_bytes());
    for (object, expected) in [
        (b"name,total\n1,2\n".to_vec(), "is no Parquet: it begins like plain text"),
        (b"PK\x03\x04 and so on and on".to_vec(), "is no Parquet: it begins like zip"),
        (b"\x1F\x8B\x08\0 and so on".to_vec(), "is no Parquet: it begins like gzip"),
        (b"\0\x01".to_vec(), "is no Parquet: it begins like nothing that is known"),
        (no_footer, "starts like Parquet, but does not end like it: it is cut off or damaged"),
        (long, "is damaged: its directory would have 4294967295 bytes"),
        (encrypted, "is encrypted Parquet, which is not read"),
        (short, "is damaged: its directory cannot be read"),
    ] {
        let error = refused(&format, &object.into());
        assert!(error.contains(expected), "{error}");
    }
    let section = Section::in_memory("o.parquet.gz", good);
    let mut decoder = format.decoder(Box::new([Ok(Chunk::Section(section))].into_iter())).expect("a decoder");
    let error = decoder.next_batch().expect_err("compressed").to_string();
    assert!(error.starts_with("object `o.parquet.gz` is named as compressed"), "{error}");
}

#[test]
fn a_damaged_row_group_is_named_and_the_ones_before_it_are_read() {
    let rows = table(5, &[4, 26], 300);
    let sink = ParquetSink { compression: ParquetCompression::Zstd, row_group_rows: 100, ..ParquetSink::default() };
    let mut object = write(std::slice::from_ref(&rows), sink).to_vec();
    let section = Section::in_memory("o.parquet", object.clone().into());
    let start = super::directory::open(&section).expect("opens").groups[2].at.expect("has rows") as usize;
    object[start..start + 40].fill(0xFF);
    let format = reading(schema_of(&rows));
    let error = refused(&format, &object.clone().into());
    assert!(
        error.starts_with("object `o.parquet` is damaged: row group 2 cannot be decoded (if it is not encrypted): "),
        "{error}"
    );
    let before = Section { range: 0..start as u64, ..Section::in_memory("o.parquet", object.into()) };
    let mut decoder = format.decoder(Box::new([Ok(Chunk::Section(before))].into_iter())).expect("a decoder");
    let found: Vec<_> = std::iter::from_fn(|| decoder.next_batch().expect("is sound")).collect();
    assert_eq!(joined(&found, format.schema()).0, rows.slice(0, 200));
}

#[test]
fn a_page_that_claims_to_be_huge_is_refused_before_there_is_room_for_it() {
    let rows = one("a", Arc::new(StringArray::from(vec!["x".repeat(1000); 10])));
    let plain = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(plain)).expect("begins");
    writer.write(&rows).expect("writes");
    let mut object = writer.into_inner().expect("finishes");
    // The header of the first page: its type, then its size. The claim takes as many bytes as the size did, and more.
    assert_eq!(object[4..7], [0x15, 0x00, 0x15]);
    let rest = object.split_off(10);
    object.truncate(7);
    object.extend_from_slice(&[0xFE, 0xFF, 0xFF, 0xFF, 0x0F]);
    object.extend_from_slice(&rest[2..]);
    let error = read(&reading(schema_of(&rows)), &object.into()).expect_err("huge").to_string();
    assert!(error.contains("row group 0 of object `o.parquet`") && error.contains("limit 128.0 MiB"), "{error}");
}

#[test]
fn a_long_row_is_a_batch_of_its_own_and_a_too_long_one_an_error() {
    let rows = one("a", Arc::new(StringArray::from(vec!["x", "y", &"z".repeat(5000), "w"])));
    let object = foreign(&rows);
    let format = reading(schema_of(&rows));
    let found = |record_max| read_cut(&format, &object, &[], Sizes { batch: 100, record_max });
    let sizes: Vec<usize> = found(6000).expect("fits").iter().map(|batch| batch.batch.num_rows()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 4);
    assert!(sizes.contains(&1));
    let error = found(4000).expect_err("too long").to_string();
    assert_eq!(error, "row 2 of object `o.parquet` takes more than the 4000 bytes that `source.max_record` allows");
}

#[test]
fn what_repeats_is_not_multiplied_before_batches_are_cut() {
    let text = "t".repeat(100_000);
    let rows = one("a", Arc::new(StringArray::from(vec![text.as_str(); 5000])));
    let object = foreign(&rows);
    assert!(object.len() < 200_000);
    let found = read(&reading(schema_of(&rows)), &object).expect("reads");
    assert!(found.iter().all(|batch| batch.bytes <= 256 << 10), "batches are cut by what they take");
    assert_eq!(found.iter().map(|batch| batch.batch.num_rows()).sum::<usize>(), 5000);
}

#[test]
fn ten_thousand_columns_are_read_by_name() {
    let column = || Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
    let columns = (0..10_000).map(|number| (format!("c{number}"), column(), true));
    let object = foreign(&RecordBatch::try_from_iter_with_nullable(columns).expect("rows"));
    let schema = Schema::parse(&["c9999=int64".to_owned(), "c0=text".to_owned()], 0).expect("a schema");
    let (found, _) = joined(&read(&reading(schema.clone()), &object).expect("reads"), &schema);
    assert_eq!(found.num_rows(), 2);
}

#[test]
fn the_record_of_a_row_is_its_fields_as_json() {
    let rows = table(1, &[4], 3);
    let found = read(&reading(schema_of(&rows)), &write(&[rows], ParquetSink::default())).expect("reads");
    assert!(found[0].origin(0).record.starts_with(b"{\"f0\":"));
}

#[test]
fn types_that_cannot_become_each_other_are_known_without_data() {
    let field = |written: &str| parse("f", written).expect("a type");
    for (from, to, can) in [
        ("int64", "text", true),
        ("text", "timestamp(us)", true),
        ("binary", "int64", false),
        ("binary", "json", true),
        ("boolean", "date", false),
        ("list<int64>", "list<int64>", false),
    ] {
        assert_eq!(can_convert(&field(from), &field(to)), can, "{from} to {to}");
    }
}
