//! Decoder of one block of a shuffle file, safe for any bytes.
//!
//! Arrow's decoder checks the values, but it trusts the positions and the decompressed lengths that a message gives for
//! them. This module checks both first, so no block makes Arrow's decoder panic or allocate more than 255 times the
//! block's size.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::{FieldNode, reader::RecordBatchDecoder, root_as_message};
use arrow_schema::{DataType, Field, SchemaRef};
use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    types::parts,
};

/// Number of bytes before a message: a marker and the message's length.
const MESSAGE_START: usize = 8;

/// Number of bytes before a compressed buffer: its decompressed length, or -1 if the buffer is stored uncompressed.
const BUFFER_START: usize = 8;

/// Item size of the buffer of a column's validity.
const VALIDITY_BYTES: usize = 1;

/// Maximum number of bytes that LZ4 makes of one byte.
const LZ4_RATIO_MAX: u64 = 255;

/// Decodes the batch in `block`.
///
/// # Errors
/// [`ErrorKind::Input`], which says what is wrong with the block.
pub fn decode_block(block: &Bytes, schema: &SchemaRef) -> Result<RecordBatch> {
    let (message, body) = split_message(block)?;
    let message = root_as_message(&message).map_err(|_| Error::input("it is not an Arrow message"))?;
    let header = message.header_as_record_batch().ok_or_else(|| Error::input("it is not a record batch"))?;
    check_buffers(&header, &body, schema)?;
    let body = Buffer::from(body);
    let (no_dictionaries, version) = (HashMap::new(), message.version());
    RecordBatchDecoder::try_new(&body, header, schema.clone(), &no_dictionaries, &version)
        .and_then(RecordBatchDecoder::read_record_batch)
        .or_kind(ErrorKind::Input, || "its values are invalid")
}

fn split_message(block: &Bytes) -> Result<(Bytes, Bytes)> {
    let start = block.first_chunk::<MESSAGE_START>();
    let [255, 255, 255, 255, length @ ..] = start.ok_or_else(|| Error::input("it is too short"))? else {
        return Err(Error::input("it does not start with a message"));
    };
    let end = u64::from(u32::from_le_bytes(*length)) + MESSAGE_START as u64;
    match usize::try_from(end) {
        Ok(end) if end <= block.len() => Ok((block.slice(MESSAGE_START..end), block.slice(end..))),
        _ => Err(Error::input("its message is cut off")),
    }
}

/// Checks that the message has the nodes and buffers of `schema`, and that the buffers lie in the body.
fn check_buffers(header: &arrow_ipc::RecordBatch<'_>, body: &[u8], schema: &SchemaRef) -> Result<()> {
    let expected = Expected::of(schema);
    let nodes = header.nodes().filter(|nodes| nodes.len() == expected.is_column.len());
    let nodes = nodes.ok_or_else(|| Error::input("its columns are not those of the schema"))?;
    let is_sound = |(node, is_column): (&FieldNode, &bool)| is_sound(node, is_column.then(|| header.length()));
    if !nodes.iter().zip(&expected.is_column).all(is_sound) {
        return Err(Error::input("its columns differ in length"));
    }
    let widths = expected.widths;
    let buffers = header.buffers().filter(|buffers| buffers.len() == widths.len());
    let buffers = buffers.ok_or_else(|| Error::input("its buffers are not those of the schema"))?;
    for (buffer, width) in buffers.iter().zip(widths) {
        let bytes = buffer_bytes(buffer, body).ok_or_else(|| Error::input("a buffer lies outside the block"))?;
        let length = if header.compression().is_some() { decompressed_length(bytes)? } else { bytes.len() as u64 };
        if length % width as u64 != 0 {
            return Err(Error::input("a buffer is cut off"));
        }
    }
    Ok(())
}

/// Returns whether a node has the length that is wanted, if one is, and no more nulls than values.
fn is_sound(node: &FieldNode, wanted: Option<i64>) -> bool {
    let length = node.length();
    let fits = (0..=i64::from(i32::MAX)).contains(&length) && wanted.is_none_or(|wanted| wanted == length);
    fits && (0..=length).contains(&node.null_count())
}

/// What the message of a batch of some schema has.
#[derive(Default)]
struct Expected {
    /// For each node, whether it is a column of the batch rather than a part of one, whose length is its own.
    is_column: Vec<bool>,
    /// The item size in bytes of each buffer.
    widths: Vec<usize>,
}

impl Expected {
    fn of(schema: &SchemaRef) -> Self {
        let mut expected = Self::default();
        schema.fields().iter().for_each(|field| expected.add(field, true));
        expected
    }

    fn add(&mut self, field: &Field, is_column: bool) {
        self.is_column.push(is_column);
        self.widths.push(VALIDITY_BYTES);
        match field.data_type() {
            DataType::Boolean => self.widths.push(1),
            DataType::Utf8 | DataType::Binary => self.widths.extend([size_of::<i32>(), 1]),
            DataType::List(_) | DataType::Map(..) => self.widths.push(size_of::<i32>()),
            DataType::Struct(_) => {}
            DataType::FixedSizeBinary(bytes) => self.widths.push(usize::try_from(*bytes).unwrap_or(1)),
            other => self.widths.push(other.primitive_width().unwrap_or(1)),
        }
        parts(field.data_type()).iter().for_each(|part| self.add(part, false));
    }
}

fn buffer_bytes<'a>(buffer: &arrow_ipc::Buffer, body: &'a [u8]) -> Option<&'a [u8]> {
    let start = usize::try_from(buffer.offset()).ok()?;
    let length = usize::try_from(buffer.length()).ok()?;
    body.get(start..start.checked_add(length)?)
}

fn decompressed_length(buffer: &[u8]) -> Result<u64> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let length = buffer.first_chunk::<BUFFER_START>().ok_or_else(|| Error::input("a buffer is too short"))?;
    let stored = (buffer.len() - BUFFER_START) as u64;
    match i64::from_le_bytes(*length) {
        -1 => Ok(stored),
        length => u64::try_from(length)
            .ok()
            .filter(|length| *length <= stored.saturating_mul(LZ4_RATIO_MAX))
            .ok_or_else(|| Error::input(format!("a buffer of {stored} bytes claims to hold {length}"))),
    }
}
