//! Tables of any types, made of random numbers, for tests.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, ListArray, MapArray, RecordBatch, StringArray, StructArray, make_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::model::types::{parse, type_name};
use proptest::sample::Index;

/// One type of each kind, and nested ones.
pub(crate) const TYPES: [&str; 38] = [
    "boolean",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "decimal(9,2)",
    "decimal(18,4)",
    "decimal(38,10)",
    "date",
    "time(ms)",
    "time(us)",
    "time(ns)",
    "timestamp(ms)",
    "timestamp(us)",
    "timestamp(ns)",
    "timestamp(us, UTC)",
    "timestamp(ns, Europe/Zurich)",
    "duration(s)",
    "duration(ns)",
    "text",
    "json",
    "binary",
    "binary(5)",
    "list<int64>",
    "list<text>",
    "list<list<int32>>",
    "struct<a: text, b: int8>",
    "struct<a: struct<b: list<binary>>, c: date>",
    "map<text, int64>",
    "map<int32, struct<x: float64>>",
    "list<map<text, list<decimal(5,1)>>>",
];

/// Random numbers, from a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn nulls(&mut self, field: &Field, rows: usize) -> Option<NullBuffer> {
        let some = field.is_nullable() && self.below(4) > 0;
        some.then(|| NullBuffer::new(BooleanBuffer::collect_bool(rows, |_| self.below(4) > 0)))
    }

    fn offsets(&mut self, rows: usize) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths((0..rows).map(|_| self.below(4) as usize))
    }

    /// Returns values of a type; what is null holds nothing.
    pub(crate) fn column(&mut self, field: &Field, rows: usize) -> ArrayRef {
        let nulls = self.nulls(field, rows);
        let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        match field.data_type() {
            DataType::Utf8 if type_name(field) == "json" => {
                let values = (0..rows).map(|row| (!is_null(row)).then(|| format!("{{\"n\":{}}}", self.below(9))));
                Arc::new(values.collect::<StringArray>())
            }
            DataType::Utf8 => {
                let values = (0..rows).map(|row| (!is_null(row)).then(|| "é".repeat(self.below(9) as usize)));
                Arc::new(values.collect::<StringArray>())
            }
            DataType::Binary => {
                let values =
                    (0..rows).map(|row| (!is_null(row)).then(|| vec![self.next() as u8; self.below(9) as usize]));
                Arc::new(values.collect::<BinaryArray>())
            }
            DataType::Boolean => {
                let values = BooleanBuffer::collect_bool(rows, |_| self.below(2) == 0);
                Arc::new(arrow_array::BooleanArray::new(values, nulls))
            }
            DataType::List(item) => {
                let offsets = self.offsets(rows);
                let items = self.column(item, offsets[rows] as usize);
                without_hidden(&ListArray::new(Arc::clone(item), offsets, items, nulls))
            }
            DataType::Map(entries, _) => {
                let offsets = self.offsets(rows);
                let items = self.column(entries, offsets[rows] as usize);
                let entries_of = arrow_array::cast::AsArray::as_struct(&items).clone();
                without_hidden(&MapArray::new(Arc::clone(entries), offsets, entries_of, nulls, false))
            }
            DataType::Struct(members) => {
                let columns = members.iter().map(|member| self.column(member, rows)).collect();
                without_hidden(&StructArray::new(members.clone(), columns, nulls))
            }
            other => {
                let width = match other {
                    DataType::FixedSizeBinary(bytes) => *bytes as usize,
                    other => other.primitive_width().expect("has a width"),
                };
                let mut bytes = Vec::new();
                for row in 0..rows {
                    // Few digits, so that they fit decimals and times of the day.
                    let value = if is_null(row) { 0 } else { i128::from(self.below(99_999)) };
                    let wide = [value.to_le_bytes(), [0; 16]].concat();
                    bytes.extend_from_slice(&wide[..width]);
                }
                let data =
                    ArrayData::builder(other.clone()).len(rows).add_buffer(Buffer::from_slice_ref(&bytes)).nulls(nulls);
                make_array(data.build().expect("values"))
            }
        }
    }
}

/// Returns the array without what lies behind nulls, which is not written.
fn without_hidden(array: &dyn Array) -> ArrayRef {
    let rows: Vec<u32> = (0..array.len() as u32).collect();
    let indices = arrow_array::UInt32Array::new(rows.into(), array.nulls().cloned());
    arrow_select::take::take(array, &indices, None).expect("takes")
}

/// Returns an object in which these bytes are others, and which is cut off if there is a `cut`.
pub(crate) fn damaged(object: &[u8], flips: &[(Index, u8)], cut: Option<Index>) -> Bytes {
    let mut damaged = object.to_vec();
    for (at, byte) in flips {
        damaged[at.index(object.len())] = *byte;
    }
    damaged.truncate(cut.map_or(object.len(), |cut| cut.index(object.len())));
    damaged.into()
}

/// Returns rows of these types, which are numbers in [`TYPES`].
pub(crate) fn table(seed: u64, types: &[usize], rows: usize) -> RecordBatch {
    let mut random = Random(seed);
    let field = |(index, kind): (usize, &usize)| parse(&format!("f{index}"), TYPES[*kind]).expect("a type");
    let fields: Vec<Field> = types.iter().enumerate().map(field).collect();
    let columns = fields.iter().map(|field| random.column(field, rows)).collect();
    RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields)), columns).expect("columns")
}
