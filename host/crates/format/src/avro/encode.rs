//! Encoder of rows as blocks of Avro. The same batches give the same bytes.

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float32Array, Float64Array,
    Int32Array, Int64Array, RecordBatch, StringArray, cast::AsArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_cast::{CastOptions, cast_with_options, display::FormatOptions};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    types::parts,
};
use memchr::memmem;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    codec::{self, BLOCK_BYTES_MAX},
    header::{CODEC, MAGIC, MARKER_BYTES, SCHEMA},
    written::{self, UINT64_DIGITS},
};
use crate::{AvroSink, Encode};

/// Writes a header, and blocks of rows behind it.
pub(super) struct AvroEncoder {
    sink: AvroSink,
    schema: String,
    /// The rows of the block that is not complete.
    block: Vec<u8>,
    rows: u64,
    /// The marker between blocks, once the header is written.
    marker: Option<[u8; MARKER_BYTES]>,
}

impl AvroEncoder {
    pub(super) fn new(sink: AvroSink) -> Self {
        Self { sink, schema: String::new(), block: Vec::new(), rows: 0, marker: None }
    }

    /// Returns the marker between blocks. Writes the header before the first one.
    ///
    /// The marker comes from the schema and the first block, so that the same rows give the same bytes, and rows that
    /// hold another part do not hold the marker of their own.
    fn marker(&mut self, stored: &[u8], buffer: &mut Vec<u8>) -> [u8; MARKER_BYTES] {
        if let Some(marker) = self.marker {
            return marker;
        }
        let marker = xxh3_128(&[self.schema.as_bytes(), stored].concat()).to_be_bytes();
        buffer.extend_from_slice(MAGIC);
        write_long(2, buffer);
        for (key, value) in [(CODEC, codec::name(self.sink.compression)), (SCHEMA, &*self.schema)] {
            write_bytes(key.as_bytes(), buffer);
            write_bytes(value.as_bytes(), buffer);
        }
        write_long(0, buffer);
        buffer.extend_from_slice(&marker);
        *self.marker.insert(marker)
    }

    fn end_block(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        if self.block.len() as u64 > BLOCK_BYTES_MAX {
            return Err(Error::input(format!(
                "rows of `avro` take {} bytes in one block (limit {BLOCK_BYTES_MAX} bytes): lower `block_size`, or \
                 write shorter rows",
                self.block.len()
            )));
        }
        let stored = codec::compress(self.sink.compression, &self.block);
        let stored = stored.or_kind(ErrorKind::Internal, || "cannot compress a block of `avro`".to_owned())?;
        let marker = self.marker(&stored, buffer);
        if memmem::find(&stored, &marker).is_some() {
            return Err(Error::input("rows of `avro` hold the marker that ends blocks (use another compression)"));
        }
        write_long(self.rows.cast_signed(), buffer);
        write_bytes(&stored, buffer);
        buffer.extend_from_slice(&marker);
        (self.rows, self.block) = (0, Vec::new());
        Ok(())
    }
}

impl Encode for AvroEncoder {
    fn begin(&mut self, fields: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        self.schema = written::json(fields.fields());
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
        let columns = batch.columns().iter().zip(batch.schema_ref().fields());
        let columns = columns.map(|(array, field)| {
            Values::new(array, field.is_nullable()).map_err(|error| {
                Error::new(ErrorKind::Input, error).context(format!("cannot write field `{}` as `avro`", field.name()))
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            columns.iter().for_each(|column| column.write(row, &mut self.block));
            self.rows += 1;
            if self.block.len() as u64 >= self.sink.block_bytes {
                self.end_block(buffer)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        if self.rows > 0 {
            return self.end_block(buffer);
        }
        self.marker(&[], buffer);
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        self.block.len() as u64
    }
}

/// The values of a column, ready to be written.
struct Values {
    nulls: Option<NullBuffer>,
    is_nullable: bool,
    of: Kind,
}

enum Kind {
    Boolean(BooleanArray),
    Int(Int32Array),
    Long(Int64Array),
    Float(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array),
    Text(StringArray),
    Bytes(BinaryArray),
    Fixed(FixedSizeBinaryArray),
    List(OffsetBuffer<i32>, Box<Values>),
    Map(OffsetBuffer<i32>, StringArray, Box<Values>),
    Struct(Vec<Values>),
}

impl Values {
    fn new(array: &ArrayRef, is_nullable: bool) -> Result<Self, ArrowError> {
        let of = match array.data_type() {
            DataType::Boolean => Kind::Boolean(array.as_boolean().clone()),
            DataType::Float32 => Kind::Float(array.as_primitive().clone()),
            DataType::Float64 => Kind::Double(array.as_primitive().clone()),
            DataType::Decimal128(..) => Kind::Decimal(array.as_primitive().clone()),
            DataType::UInt64 => {
                Kind::Decimal(as_type(array, &DataType::Decimal128(UINT64_DIGITS, 0))?.as_primitive().clone())
            }
            DataType::Utf8 => Kind::Text(array.as_string().clone()),
            DataType::Binary => Kind::Bytes(array.as_binary().clone()),
            DataType::FixedSizeBinary(_) => Kind::Fixed(array.as_fixed_size_binary().clone()),
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Kind::List(list.offsets().clone(), Box::new(Self::new(list.values(), item.is_nullable())?))
            }
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let is_nullable = parts(entries.data_type())[1].is_nullable();
                let values = Self::new(map.values(), is_nullable)?;
                Kind::Map(map.offsets().clone(), map.keys().as_string().clone(), Box::new(values))
            }
            DataType::Struct(members) => {
                let columns = array.as_struct().columns().iter().zip(members);
                let columns = columns.map(|(column, member)| Self::new(column, member.is_nullable()));
                Kind::Struct(columns.collect::<Result<_, _>>()?)
            }
            DataType::Int64 | DataType::UInt32 | DataType::Time64(_) => long(array)?,
            DataType::Timestamp(TimeUnit::Second, zone) => {
                long(&as_type(array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?)?
            }
            DataType::Timestamp(..) => long(array)?,
            DataType::Time32(TimeUnit::Second) => int(&as_type(array, &DataType::Time32(TimeUnit::Millisecond))?)?,
            _ => int(array)?,
        };
        Ok(Self { nulls: array.nulls().cloned(), is_nullable, of })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_nullable {
            let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            write_long((!is_null).into(), out);
            if is_null {
                return;
            }
        }
        match &self.of {
            Kind::Boolean(values) => out.push(values.value(row).into()),
            Kind::Int(values) => write_long(values.value(row).into(), out),
            Kind::Long(values) => write_long(values.value(row), out),
            Kind::Float(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
            Kind::Double(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
            Kind::Decimal(values) => write_bytes(shortest(&values.value(row).to_be_bytes()), out),
            Kind::Text(values) => write_bytes(values.value(row).as_bytes(), out),
            Kind::Bytes(values) => write_bytes(values.value(row), out),
            Kind::Fixed(values) => out.extend_from_slice(values.value(row)),
            Kind::List(offsets, items) => write_items(offsets, row, out, |item, out| items.write(item, out)),
            Kind::Map(offsets, keys, values) => write_items(offsets, row, out, |entry, out| {
                write_bytes(keys.value(entry).as_bytes(), out);
                values.write(entry, out);
            }),
            Kind::Struct(members) => members.iter().for_each(|member| member.write(row, out)),
        }
    }
}

fn int(array: &ArrayRef) -> Result<Kind, ArrowError> {
    Ok(Kind::Int(as_type(array, &DataType::Int32)?.as_primitive().clone()))
}

fn long(array: &ArrayRef) -> Result<Kind, ArrowError> {
    Ok(Kind::Long(as_type(array, &DataType::Int64)?.as_primitive().clone()))
}

/// Returns values as another type that holds them.
///
/// # Errors
/// When a value is out of its range: a timestamp in seconds may be too far away to be one in milliseconds.
fn as_type(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, format_options: FormatOptions::new() })
}

/// Returns the end of a number's bytes that says as much as all of them.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let sign = if bytes[0] < 0x80 { 0 } else { 0xFF };
    let says_nothing = |at: usize| bytes[at] == sign && (bytes[at + 1] ^ sign) < 0x80;
    let start = (0..bytes.len() - 1).find(|at| !says_nothing(*at)).unwrap_or(bytes.len() - 1);
    &bytes[start..]
}

fn write_items(offsets: &OffsetBuffer<i32>, row: usize, out: &mut Vec<u8>, write: impl Fn(usize, &mut Vec<u8>)) {
    let (start, end) = (offsets[row], offsets[row + 1]);
    if start < end {
        write_long((end - start).into(), out);
        (start..end).for_each(|item| write(usize::try_from(item).expect("offsets are not negative"), out));
    }
    write_long(0, out);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(i64::try_from(bytes.len()).expect("bytes in memory"), out);
    out.extend_from_slice(bytes);
}

fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut bits = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push((bits & 0x7F) as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_number_has_no_byte_too_many() {
        for (number, bytes) in [
            (0_i128, &b"\0"[..]),
            (1, b"\x01"),
            (127, b"\x7f"),
            (128, b"\0\x80"),
            (-1, b"\xff"),
            (-128, b"\x80"),
            (-129, b"\xff\x7f"),
        ] {
            assert_eq!(shortest(&number.to_be_bytes()), bytes, "{number}");
        }
    }
}
