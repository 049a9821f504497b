//! The format `avro`: object container files of Apache Avro.
//!
//! An object is read by position: first the header at its start, with the schema, then its blocks. A block belongs to
//! the slice in which the sync marker before it starts. Fields are chosen by name, members of records too, and cast to
//! the types of the fields; a value that a type cannot hold as it is makes the record a reject. The position of a record
//! is the byte of its block and its number there.
//!
//! ```text
//! section ─► header ─► selection
//!        └─► blocks ─► codec ─► cursor ─► columns as in the file ─► convert ─► batches
//! ```
//!
//! Blocks are read without the library `arrow-avro`: see `docs/decisions.md`.

mod blocks;
mod codec;
mod column;
mod cursor;
mod decode;
mod encode;
mod header;
mod schema;
mod selection;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod tests;
mod written;

use etl_core::model::{error::Result, schema::Schema};

use crate::{
    AvroSink, Decode, Encode, Format, Options, OwnFields, Reading, Reads, Section, WantedField, Writes, Writing,
    cuts::{Cuts, First},
    decoder::{ChunkIter, Sizes},
};

/// The format.
pub(crate) struct Avro;

impl Format for Avro {
    fn name(&self) -> &'static str {
        "avro"
    }

    fn reads(&self) -> Option<&dyn Reads> {
        Some(self)
    }

    fn writes(&self) -> Option<&dyn Writes> {
        Some(self)
    }
}

impl Reads for Avro {
    fn about(&self) -> &'static str {
        "Object container files of Apache Avro, whose chosen fields are read and cast to the types of the fields. A \
         block belongs to the slice in which it starts."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn refuses(&self, wanted: &WantedField, _: &Reading) -> Option<String> {
        wanted.refused_unless_named("Avro")
    }

    fn fields_of(&self, section: &Section) -> Result<Option<OwnFields>> {
        let header = header::open(section)?;
        selection::offered(&section.object, &header.schema).map(Some)
    }

    fn cuts(&self, _: &Reading) -> Cuts {
        Cuts::ByPosition { first: First::Start(header::FIRST_BYTES) }
    }

    fn held_bytes_max(&self) -> u64 {
        blocks::HELD_BYTES_MAX
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        Ok(Box::new(decode::AvroDecoder::new(chunks, reading.fields.clone(), sizes.bounded())))
    }
}

impl Writes for Avro {
    fn about(&self) -> &'static str {
        "Object container files of Apache Avro. `[sink.avro]` says how they are written."
    }

    fn extension(&self) -> &'static str {
        "avro"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        written::check(schema)
    }

    fn is_text(&self) -> bool {
        false
    }

    fn options(&self, writing: &Writing) -> Options {
        let AvroSink { compression, block_bytes } = writing.avro;
        vec![("avro.compression", compression.name().into()), ("avro.block_size", block_bytes.into())]
    }

    fn encoder(&self, writing: &Writing) -> Box<dyn Encode> {
        Box::new(encode::AvroEncoder::new(writing.avro))
    }
}
