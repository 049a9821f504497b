//! Formats: bytes to batches of records, and batches to the bytes of a result.
//!
//! Owns what each format looks like, and compression. Knows no store: chunks come from an iterator, and parts go to a
//! writer.
//!
//! ```text
//! Chunks ─► Decoder (sync, on a worker): decompress ─► lines ─► json ─► batches
//! batches ─► PartWriter ─► bytes
//! ```

mod chunk;
mod compression;
mod decoder;
mod encoder;
mod json;
mod lines;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use self::{
    chunk::Chunk,
    decoder::{BATCH_BYTES, Decoder, RECORD_BYTES_MAX, SourceBatch},
    encoder::PartWriter,
    lines::Origin,
    sink::{SinkFormat, check_schema, extension},
    source::SourceFormat,
};
