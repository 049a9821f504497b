//! Tests that a source reads what a sink of the same format writes, or that the sink refuses it, for all formats.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMillisecondArray, Float64Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array,
    cast::AsArray,
    types::{Float64Type, GenericStringType},
};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::model::{
    error::{ErrorKind, Result},
    object::Compression,
    schema::Schema,
};
use proptest::{collection::vec, option::of, prelude::*};

use crate::{Chunk, Cuts, FORMATS, Format, NonFinite, PartWriter, Section, SinkFormat, SourceFormat};

/// Number of rows of each table. Zero rows say nothing.
const ROWS: std::ops::Range<usize> = 1..6;

fn text() -> impl Strategy<Value = String> {
    let special =
        ["", "\r", "x\r", "a\nb", "\u{feff}", "\u{feff}x", "\"", "\"\"", ",", " ", "null", "NaN", "PK\x03\x04"];
    prop_oneof![3 => proptest::sample::select(special.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let special: [&[u8]; 4] = [b"\xFF\xFEa", b"\x1F\x8B\x08", b"\xEF\xBB\xBF", b"\0"];
    prop_oneof![
        text().prop_map(String::into_bytes),
        proptest::sample::select(special.to_vec()).prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..8),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, f64::MAX, 1e23, 9_007_199_254_740_993.0];
    let any = any::<f64>().prop_map(|value| if value.is_nan() { f64::NAN } else { value });
    prop_oneof![1 => proptest::sample::select(special.to_vec()), 1 => any]
}

/// Returns columns of all types, without and with nulls.
fn column(rows: usize) -> impl Strategy<Value = ArrayRef> {
    prop_oneof![
        vec(of(any::<bool>()), rows).prop_map(|values| Arc::new(BooleanArray::from(values)) as ArrayRef),
        vec(of(any::<i64>()), rows).prop_map(|values| Arc::new(Int64Array::from(values)) as ArrayRef),
        vec(of(double()), rows).prop_map(|values| Arc::new(Float64Array::from(values)) as ArrayRef),
        vec(of(text()), rows).prop_map(|values| Arc::new(StringArray::from(values)) as ArrayRef),
        vec(text(), rows).prop_map(|values| Arc::new(StringArray::from(values)) as ArrayRef),
        vec(bytes(), rows).prop_map(|values| Arc::new(BinaryArray::from_iter_values(values)) as ArrayRef),
        vec(of(bytes()), rows).prop_map(|values| Arc::new(BinaryArray::from_iter(values)) as ArrayRef),
        vec(of(-5..5_i128), rows).prop_map(|values| {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(7, 2).expect("a decimal")) as ArrayRef
        }),
        vec(of(any::<u16>()), rows).prop_map(|values| Arc::new(UInt16Array::from(values)) as ArrayRef),
        vec(of(-3_000_000..2_000_000_i32), rows).prop_map(|values| Arc::new(Date32Array::from(values)) as ArrayRef),
        vec(of(-9_000_000_000_000_000..9_000_000_000_000_000_i64), rows).prop_map(|values| {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("Europe/Zurich")) as ArrayRef
        }),
        vec(of(any::<i32>().prop_map(i64::from)), rows)
            .prop_map(|values| Arc::new(DurationMillisecondArray::from(values)) as ArrayRef),
    ]
}

fn table() -> impl Strategy<Value = RecordBatch> {
    let columns = ROWS.prop_flat_map(|rows| prop_oneof![vec(column(rows), 1), vec(column(rows), 2..4)]);
    columns.prop_map(|columns| {
        let named = columns.into_iter().enumerate().map(|(index, column)| (format!("f{index}"), column, true));
        RecordBatch::try_from_iter_with_nullable(named).expect("columns of equal length")
    })
}

fn write(sink: SinkFormat, rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut part = PartWriter::new(sink, &Schema { fields: rows.schema(), key_fields: 0 }, Vec::new())?;
    part.write(rows)?;
    part.finish()
}

fn read(format: &dyn Format, rows: &RecordBatch, part: Vec<u8>) -> Vec<ArrayRef> {
    let takes_fields = format.reads().expect("reads").takes_fields();
    let fields = takes_fields.then(|| Schema { fields: rows.schema(), key_fields: 0 }.into());
    let source = SourceFormat::new(format.name(), fields).expect("a format");
    let chunks = match source.cuts() {
        Cuts::ByPosition { .. } => vec![Ok(Chunk::Section(Section::in_memory("part", part.into())))],
        _ => vec![Ok(Chunk::whole("part", Compression::None)), Ok(Chunk::Data(Bytes::from(part)))],
    };
    let mut decoder = source.decoder(Box::new(chunks.into_iter())).expect("a decoder");
    let batch = decoder.next_batch().expect("decodes").expect("there are rows");
    assert_eq!(batch.rejects, []);
    batch.batch.columns().to_vec()
}

/// Returns the columns as they are read back: `lines` has one column, of bytes.
fn as_read(format: &dyn Format, rows: &RecordBatch) -> Vec<ArrayRef> {
    match rows.column(0).as_bytes_opt::<GenericStringType<i32>>() {
        Some(text) if format.name() == "lines" => {
            let bytes = text.iter().map(|value| value.map(str::as_bytes));
            vec![Arc::new(BinaryArray::from_iter(bytes))]
        }
        _ => rows.columns().to_vec(),
    }
}

fn without_non_finite(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<Float64Type>() {
        Some(values) => Arc::new(Float64Array::from_iter(values.iter().map(|v| v.filter(|v| v.is_finite())))),
        None => Arc::clone(column),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_source_reads_what_a_sink_writes_or_the_sink_refuses_it_by_name(rows in table()) {
        for format in FORMATS.iter().copied() {
            let sink = SinkFormat::new(format.name()).expect("every format can be written");
            match write(sink, &rows) {
                Ok(part) => prop_assert_eq!(read(format, &rows, part), as_read(format, &rows), "{}", format.name()),
                Err(error) if error.kind() == ErrorKind::Config => {
                    prop_assert!(error.to_string().contains(format.name()), "{}", error);
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::Input);
                    prop_assert!(error.to_string().contains("row"), "{}", error);
                }
            }
        }
    }

    #[test]
    fn numbers_that_json_lacks_come_back_from_text_and_are_null_where_told(rows in table()) {
        let [json] = FORMATS.iter().copied().filter(|format| format.name() == "json").collect::<Vec<_>>()[..] else {
            panic!("there is one format `json`");
        };
        let write = |non_finite| {
            write(SinkFormat::new("json").and_then(|sink| sink.with_non_finite(non_finite)).expect("a sink"), &rows)
        };
        if let (Ok(text), Ok(null)) = (write(NonFinite::Text), write(NonFinite::Null)) {
            prop_assert_eq!(read(json, &rows, text), rows.columns());
            let expected: Vec<ArrayRef> = rows.columns().iter().map(without_non_finite).collect();
            prop_assert_eq!(read(json, &rows, null), expected);
        } else {
            prop_assert!(rows.columns().iter().any(|column| *column.data_type() == DataType::Binary));
        }
    }
}

#[test]
fn a_header_is_read_back_whatever_the_fields_are_called() {
    let names = ["\u{feff}a", "b,\"", "c\nd", " ", "e\r"];
    let fields = names.map(|name| Field::new(name, DataType::Int64, true));
    let columns = names.iter().map(|_| Arc::new(Int64Array::from(vec![1])) as ArrayRef).collect();
    let rows = RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields.to_vec())), columns).expect("a row");
    // Lines have no header, and Avro refuses such names.
    for format in FORMATS.iter().copied().filter(|format| !["avro", "lines"].contains(&format.name())) {
        let part = write(SinkFormat::new(format.name()).expect("a format"), &rows).expect("writes");
        assert_eq!(read(format, &rows, part), rows.columns(), "{}", format.name());
    }
}
