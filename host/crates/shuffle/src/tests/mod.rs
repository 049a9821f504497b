//! Tests of the shuffle from push to merge, against a reference made with a `BTreeMap`.
//!
//! Owns the tables that the submodules' tests shuffle, and the conversion between rows and batches.

mod combining;
mod damage;
mod merging;
mod writing;

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
    cast::AsArray,
    types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::{
    model::{schema::Schema, types::parse},
    testing::scratch,
};
use proptest::prelude::*;

use super::{
    FanIn, Merge, PartitionIndex, ShuffleIndex, ShuffleReader, ShuffleSettings, ShuffleWriter, SortedRun,
    keys::KeyEncoder, partition_of,
};

/// More bytes than any test pushes.
const PLENTY: u64 = 1 << 30;

/// One value, ordered like keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Null,
    Boolean(bool),
    Int64(i64),
    /// Bits of a float, flipped so that they compare in IEEE 754 total order.
    Float64(i64),
    Text(String),
    Binary(Vec<u8>),
    Decimal(i128),
    List(Vec<Option<i64>>),
    /// The members of a struct: a time, if there is one, and a text.
    Struct(Option<i64>, String),
}

type Row = Vec<Value>;

/// Batches of rows of one schema, whose last column is the row's arrival.
#[derive(Debug, Clone)]
struct Table {
    schema: Schema,
    batches: Vec<Vec<Row>>,
}

impl Table {
    fn batches(&self) -> impl Iterator<Item = RecordBatch> {
        self.batches.iter().map(|rows| batch_of(&self.schema, rows))
    }

    /// Returns the rows by partition and key, with the rows of one key in their order, as a shuffle should.
    fn groups(&self, partitions: u32) -> BTreeMap<(u32, Row), Vec<Row>> {
        let mut groups: BTreeMap<_, Vec<Row>> = BTreeMap::new();
        let encoder = KeyEncoder::new(&self.schema).expect("the schema has a key");
        for (rows, batch) in self.batches.iter().zip(self.batches()) {
            let keys = encoder.encode(&batch).expect("the batch has a key");
            for (row, key) in rows.iter().zip(keys.iter()) {
                let partition = partition_of(key, partitions);
                let key = row[..self.schema.key_fields].to_vec();
                groups.entry((partition, key)).or_default().push(row.clone());
            }
        }
        groups
    }
}

/// Flips a float's bits so that they compare in total order, and flips them back.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn batch_of(schema: &Schema, rows: &[Row]) -> RecordBatch {
    let columns = schema.fields.fields().iter().enumerate();
    let columns = columns.map(|(column, field)| array_of(field.data_type(), rows.iter().map(|row| &row[column])));
    RecordBatch::try_new(schema.fields.clone(), columns.collect()).expect("rows fit the schema")
}

/// Makes an array of the values of one kind. All other values become null.
macro_rules! array {
    ($values:expr, $array:ty, $kind:ident($payload:ident) => $item:expr) => {
        Arc::new(<$array>::from_iter($values.map(|value| match value {
            Value::$kind($payload) => Some($item),
            _ => None,
        })))
    };
}

fn array_of<'a>(data_type: &DataType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match data_type {
        DataType::Boolean => array!(values, BooleanArray, Boolean(value) => *value),
        DataType::Int64 => array!(values, Int64Array, Int64(value) => *value),
        DataType::Float64 => array!(values, Float64Array, Float64(value) => f64::from_bits(flip(*value) as u64)),
        DataType::Utf8 => array!(values, StringArray, Text(value) => value.as_str()),
        DataType::Decimal128(digits, scale) => {
            let decimals = values.map(|value| if let Value::Decimal(value) = value { Some(*value) } else { None });
            let decimals = Decimal128Array::from_iter(decimals);
            Arc::new(decimals.with_precision_and_scale(*digits, *scale).expect("a decimal"))
        }
        DataType::List(_) => {
            let lists = values.map(|value| if let Value::List(items) = value { Some(items.clone()) } else { None });
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))
        }
        DataType::Struct(members) => {
            let structs: Vec<Option<(Option<i64>, &str)>> = values
                .map(|value| if let Value::Struct(time, text) = value { Some((*time, text.as_str())) } else { None })
                .collect();
            let times =
                TimestampMicrosecondArray::from_iter(structs.iter().map(|value| value.and_then(|(time, _)| time)));
            let texts = StringArray::from_iter(structs.iter().map(|value| value.map(|(_, text)| text)));
            let nulls = NullBuffer::from_iter(structs.iter().map(Option::is_some));
            Arc::new(StructArray::new(members.clone(), vec![Arc::new(times), Arc::new(texts)], Some(nulls)))
        }
        _ => array!(values, BinaryArray, Binary(value) => value.as_slice()),
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value_of(column, row)).collect()).collect()
}

fn value_of(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        DataType::Int64 => Value::Int64(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float64(flip(column.as_primitive::<Float64Type>().value(row).to_bits() as i64)),
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Decimal128(..) => Value::Decimal(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::List(_) => {
            Value::List(column.as_list::<i32>().value(row).as_primitive::<Int64Type>().iter().collect())
        }
        DataType::Struct(_) => {
            let members = column.as_struct();
            let times = members.column(0).as_primitive::<TimestampMicrosecondType>();
            let text = members.column(1).as_string::<i32>().value(row).to_owned();
            Value::Struct(times.is_valid(row).then(|| times.value(row)), text)
        }
        _ => Value::Binary(column.as_binary::<i32>().value(row).to_vec()),
    }
}

fn data_type() -> impl Strategy<Value = DataType> {
    use DataType::{Binary, Boolean, Float64, Int64, Utf8};
    let written = ["decimal(30,2)", "list<int64>", "struct<at: timestamp(us), name: text>"];
    let further = written.map(|written| parse("", written).expect("a type").data_type().clone());
    prop::sample::select([&[Boolean, Int64, Float64, Utf8, Binary][..], &further].concat())
}

/// Generates few different values of each type, so that keys meet, some of them with long common prefixes. Now and then
/// a value is large, so that batches are cut.
fn value(data_type: &DataType) -> BoxedStrategy<Value> {
    let present = match data_type {
        DataType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        DataType::Int64 => prop_oneof![-3..300_i64, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int64).boxed(),
        DataType::Float64 => prop::sample::select(vec![0.0, -0.0, 1.5, -1.5, f64::NAN, f64::INFINITY, f64::MIN])
            .prop_map(|value: f64| Value::Float64(flip(value.to_bits() as i64)))
            .boxed(),
        DataType::Utf8 => {
            prop_oneof!["[ab]{0,3}", "(shared by many){1,3}[0-9]{0,2}", "grüße[0-9]"].prop_map(Value::Text).boxed()
        }
        DataType::Decimal128(..) => prop_oneof![-3..3_i128, Just(10_i128.pow(29))].prop_map(Value::Decimal).boxed(),
        DataType::List(_) => {
            let item = || prop_oneof![1 => Just(None), 3 => (0..3_i64).prop_map(Some)];
            prop::collection::vec(item(), 0..4).prop_map(Value::List).boxed()
        }
        DataType::Struct(_) => {
            let time = prop_oneof![1 => Just(None), 3 => (-1..2_i64).prop_map(Some)];
            (time, "[ab]{0,2}").prop_map(|(time, text)| Value::Struct(time, text)).boxed()
        }
        _ => prop_oneof![
            60 => prop::collection::vec(prop::sample::select(vec![0, 1, 255]), 0..20),
            1 => (any::<u8>(), 50_000..300_000_usize).prop_map(|(byte, length)| vec![byte; length]),
        ]
        .prop_map(Value::Binary)
        .boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 6 => present].boxed()
}

/// Generates tables with columns of any types, 1 to 3 of them the key, and batches of very different sizes.
fn table() -> impl Strategy<Value = Table> {
    let types = (prop::collection::vec(data_type(), 1..=3), prop::collection::vec(data_type(), 0..=2));
    types.prop_flat_map(|(key, values)| {
        let row: Vec<_> = key.iter().chain(&values).map(value).collect();
        let batches = prop::collection::vec(prop::collection::vec(row, 0..80), 0..8);
        let types = [key.as_slice(), &values].concat();
        batches.prop_map(move |batches| number_rows(schema_of(&types, key.len()), batches))
    })
}

fn schema_of(types: &[DataType], key_fields: usize) -> Schema {
    let fields = types.iter().enumerate();
    let mut fields: Vec<Field> =
        fields.map(|(number, data_type)| Field::new(format!("column {number}"), data_type.clone(), true)).collect();
    fields.push(Field::new("arrival", DataType::Int64, false));
    Schema::new(fields, key_fields).expect("the schema is valid")
}

fn number_rows(schema: Schema, mut batches: Vec<Vec<Row>>) -> Table {
    for (arrival, row) in (0..).zip(batches.iter_mut().flatten()) {
        row.push(Value::Int64(arrival));
    }
    Table { schema, batches }
}

/// Returns a table of one text key and its arrival: `rows` rows in one batch, with the keys `{prefix}0`, `{prefix}1` …
/// in turn.
fn counting_table(prefix: &str, rows: usize, distinct: usize) -> Table {
    let rows: Vec<Row> = (0..rows).map(|row| vec![Value::Text(format!("{prefix}{}", row % distinct))]).collect();
    number_rows(schema_of(&[DataType::Utf8], 1), vec![rows])
}

fn settings(partitions: u32, memory_bytes: u64, fan_in: usize) -> ShuffleSettings {
    let fan_in = FanIn { runs: fan_in, bytes: u64::MAX };
    ShuffleSettings { partitions, memory_bytes, fan_in, scratch: scratch(u64::MAX) }
}

fn shuffle(table: &Table, settings: ShuffleSettings) -> (Bytes, ShuffleIndex) {
    let mut writer = ShuffleWriter::new(settings, table.schema.clone(), None).expect("the settings are valid");
    table.batches().for_each(|batch| writer.push(batch).expect("the batch fits"));
    let mut file = Vec::new();
    let index = writer.finish(&mut file).expect("memory takes it");
    (file.into(), index)
}

/// Returns the sorted runs that a shuffle file has of one partition, read in pieces of `piece_bytes`.
fn read(schema: &Schema, file: &Bytes, index: &ShuffleIndex, partition: u32, piece_bytes: usize) -> Vec<SortedRun> {
    let read = |run: &PartitionIndex| {
        let range = run.range();
        let bytes = file.slice(range.start as usize..range.end as usize);
        let starts = (0..bytes.len()).step_by(piece_bytes);
        let pieces: Vec<Bytes> = starts.map(|start| bytes.slice(start..bytes.len().min(start + piece_bytes))).collect();
        Box::new(ShuffleReader::new("test", schema, run, pieces.into_iter().map(Ok))) as SortedRun
    };
    index.of_partition(partition).iter().map(read).collect()
}

/// Returns the rows of one partition of a shuffle file, with all its sorted runs merged.
fn read_rows(table: &Table, file: &Bytes, index: &ShuffleIndex, partition: u32) -> Vec<Row> {
    let merge = Merge::new(read(&table.schema, file, index, partition, 1000), &table.schema).expect("it has a key");
    merge.flat_map(|groups| rows_of(&groups.expect("the file is sound").batch)).collect()
}
