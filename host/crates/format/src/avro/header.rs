//! The header of an object: its schema, the compression of its blocks, and the marker between them.

use std::sync::Arc;

use bytes::Bytes;
use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};

use super::{
    codec,
    cursor::{Broken, Cursor},
    schema::AvroSchema,
};
use crate::{
    AvroCompression, Section,
    content::{HEAD_BYTES, looks},
};

/// Number of bytes at the start of an object that are read first. Most headers fit.
pub(super) const FIRST_BYTES: u64 = 16 << 10;

/// Maximum size of a header in bytes.
const HEADER_BYTES_MAX: u64 = 16 << 20;

pub(super) const MAGIC: &[u8] = b"Obj\x01";

/// Number of bytes of a marker.
pub(super) const MARKER_BYTES: usize = 16;

/// The keys of the schema and the compression.
pub(super) const SCHEMA: &str = "avro.schema";
pub(super) const CODEC: &str = "avro.codec";

/// The header of an object.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) schema: AvroSchema,
    pub(super) compression: AvroCompression,
    pub(super) marker: [u8; MARKER_BYTES],
    /// Number of bytes of the header, with the marker at its end.
    pub(super) bytes: u64,
}

/// Returns the header of a section's object.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object, when it is no Avro or
/// damaged; as [`ReadAt::read`](crate::ReadAt::read).
pub(super) fn open(section: &Section) -> Result<Arc<Header>> {
    section.directory(|| {
        let header = read(section)?;
        // What is parsed takes a few times as much as what is written.
        let bytes = 8 * header.bytes;
        Ok((header, bytes))
    })
}

/// Returns the error that an object is damaged.
pub(super) fn damaged(object: &str, what: impl std::fmt::Display) -> Error {
    Error::input(format!("object `{object}` is damaged: {what}"))
}

fn read(section: &Section) -> Result<Header> {
    let (object, size) = (&section.object, section.size);
    if section.compression != Compression::None {
        return Err(Error::input(format!(
            "object `{object}` is named as compressed, but Avro is read by position: decompress it"
        )));
    }
    let mut length = FIRST_BYTES.min(size);
    loop {
        let bytes = section.bytes.read(0..length)?;
        if bytes.is_empty() {
            return Err(Error::input(format!("object `{object}` is no Avro: it is empty")));
        }
        if !bytes.starts_with(MAGIC) {
            let head = &bytes[..bytes.len().min(HEAD_BYTES)];
            return Err(Error::input(format!("object `{object}` is no Avro: it begins like {}", looks(head))));
        }
        match entries(&bytes) {
            Ok(entries) => return parse(object, &entries),
            Err(_) if length < size.min(HEADER_BYTES_MAX) => length = (length * 8).min(size).min(HEADER_BYTES_MAX),
            Err(_) if length < size => {
                return Err(damaged(object, format!("its header has more than {HEADER_BYTES_MAX} bytes (limit)")));
            }
            Err(_) => return Err(damaged(object, "its header is cut off or makes no sense")),
        }
    }
}

/// What is in a header.
struct Entries<'a> {
    schema: Option<&'a [u8]>,
    codec: Option<&'a [u8]>,
    marker: [u8; MARKER_BYTES],
    bytes: usize,
}

fn entries(bytes: &Bytes) -> Result<Entries<'_>, Broken> {
    let mut cursor = Cursor::new(&bytes[MAGIC.len()..]);
    let (mut schema, mut codec) = (None, None);
    cursor.items(|cursor| {
        let (key, value) = (cursor.bytes()?, cursor.bytes()?);
        match key {
            _ if key == SCHEMA.as_bytes() => schema = Some(value),
            _ if key == CODEC.as_bytes() => codec = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    let marker = cursor.array()?;
    Ok(Entries { schema, codec, marker, bytes: bytes.len() - cursor.rest().len() })
}

fn parse(object: &str, entries: &Entries<'_>) -> Result<Header> {
    let schema = entries.schema.ok_or_else(|| damaged(object, format!("its header lacks `{SCHEMA}`")))?;
    let schema = AvroSchema::parse(schema);
    let schema = schema.map_err(|what| damaged(object, format!("its schema cannot be read: {what}")))?;
    let codec = entries.codec.unwrap_or(b"null");
    let compression = codec::by_name(codec).ok_or_else(|| {
        let name = String::from_utf8_lossy(codec);
        Error::input(format!(
            "object `{object}` has blocks compressed as `{name}`, which is not read (known: null, deflate, snappy, \
             zstandard, bzip2, xz)"
        ))
    })?;
    Ok(Header { schema, compression, marker: entries.marker, bytes: entries.bytes as u64 })
}
