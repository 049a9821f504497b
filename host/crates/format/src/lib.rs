//! Formats: bytes to batches of records, and batches to the bytes of a result.
//!
//! Owns what each format looks like, and compression. Knows no store: chunks come from an iterator, and parts go to a
//! writer. A format is one file that implements [`Format`], and one line in [`FORMATS`].
//!
//! ```text
//! chunks ─► decompress ─► decoder of the format (sync, on a worker) ─► batches
//! batches ─► PartWriter ─► encoder of the format ─► bytes
//! ```

#[cfg(feature = "avro")]
mod avro;
mod chosen;
mod chunk;
mod columns;
mod compression;
mod content;
#[cfg(any(feature = "avro", feature = "parquet"))]
mod convert;
mod csv;
mod cuts;
mod decoder;
mod encoder;
mod fields;
mod instants;
mod json;
mod line_splitter;
mod lines;
mod numbers;
mod origin;
#[cfg(feature = "parquet")]
mod parquet;
mod plain;
#[cfg(test)]
mod round_trip;
#[cfg(any(feature = "avro", feature = "parquet"))]
mod rows;
mod sample;
mod section;
mod source_columns;
#[cfg(test)]
mod suites;
#[cfg(all(test, any(feature = "avro", feature = "parquet")))]
mod tables;
#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};
use etl_core::model::{error::Result, schema::Schema};

pub use self::{
    chosen::{
        AvroCompression, AvroSink, ParquetCompression, ParquetSink, Reading, SinkFormat, SourceFormat, Writing,
        fields_of, sink_formats, source_formats,
    },
    chunk::Chunk,
    compression::{UNPACK_BYTES, UNPACK_BYTES_MAX, pack_bytes},
    content::{HEAD_BYTES, compression_at},
    csv::{CsvSink, CsvSource, Encoding, RecordStarts},
    cuts::{Cuts, First, RecordCuts},
    decoder::{BATCH_BYTES, ChunkIter, RECORD_BYTES, RECORD_BYTES_MAX, Sizes, SourceBatch},
    encoder::{BUFFER_BYTES, PartWriter},
    fields::{Fields, Pick, WantedField},
    json::JsonLayout,
    origin::Origin,
    sample::{Inferred, InferredField, SAMPLE_OBJECTS, SampledObjects},
    section::{Directories, ReadAt, Section},
    source_columns::{SourceColumn, SourceColumns},
};

/// All formats, in the order in which messages list them.
pub const FORMATS: &[&dyn Format] = &[
    &lines::Lines,
    &json::Json,
    &csv::Csv,
    #[cfg(feature = "parquet")]
    &parquet::Parquet,
    #[cfg(feature = "avro")]
    &avro::Avro,
];

/// A format of records: how a source reads it, how a sink writes it, or both.
pub trait Format: Sync {
    /// Returns the name of the format, as `pipeline.toml`, messages and plans have it.
    fn name(&self) -> &'static str;

    /// Returns how a source reads the format, if one can.
    fn reads(&self) -> Option<&dyn Reads>;

    /// Returns how a sink writes the format, if one can.
    fn writes(&self) -> Option<&dyn Writes>;
}

/// The fields that an object says it has, by name; none where no batch can have the field.
pub type OwnFields = Vec<(String, Option<Field>)>;

/// The options of a format by their keys below `source` or `sink` of `pipeline.toml`, such as `csv.header`.
pub type Options = Vec<(&'static str, serde_json::Value)>;

/// How a source reads a format.
pub trait Reads: Sync {
    /// Returns a sentence on the records, for the reference and editors.
    fn about(&self) -> &'static str;

    /// Returns whether the pipeline says which fields are read. Otherwise the records are lines of one column.
    fn takes_fields(&self) -> bool;

    /// Returns why a field cannot be read, as the end of a sentence; `None` if it can.
    fn refuses(&self, wanted: &WantedField, reading: &Reading) -> Option<String> {
        let (_, _) = (wanted, reading);
        None
    }

    /// Returns the options that decide which records are read.
    fn options(&self, reading: &Reading) -> Options {
        let _ = reading;
        Options::new()
    }

    /// Returns where an object may be cut into slices.
    fn cuts(&self, reading: &Reading) -> Cuts;

    /// Returns the fields that the records of a sample have: those that its objects say they have, unless the format has
    /// other objects. Only asked of a format that takes fields.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the sample has no fields, or too many; any
    /// error of the chunks.
    fn infer(&self, objects: SampledObjects<'_>, reading: &Reading) -> Result<Inferred> {
        let _ = reading;
        sample::of_sections(objects, |section| self.fields_of(section))
    }

    /// Returns the first wanted field that no record of a sample has, and what is known about it as the end of a
    /// sentence. `None` if the sample has all fields, or no record, or if the decoder finds that out by itself.
    ///
    /// # Errors
    /// Any error of the chunks.
    fn lacking(&self, objects: SampledObjects<'_>, reading: &Reading) -> Result<Option<(String, String)>> {
        let (_, _) = (objects, reading);
        Ok(None)
    }

    /// Returns the fields that an object says it has, in its order, if the format has objects that say so. The second
    /// of each pair is the field of a batch, or `None` if no batch can have it.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when the object is not of the format; as
    /// [`ReadAt::read`].
    fn fields_of(&self, section: &Section) -> Result<Option<OwnFields>> {
        let _ = section;
        Ok(None)
    }

    /// Returns the bytes that a decoder may hold besides records and what is read ahead.
    fn held_bytes_max(&self) -> u64 {
        0
    }

    /// Creates a decoder of the chunks of a shard into records of the wanted fields.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the format cannot have one of the fields.
    fn decoder<'a>(&self, chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Result<Box<dyn Decode + 'a>>;
}

/// A decoder of the chunks of one shard. The same slices give the same batches, no matter how they were fetched.
pub trait Decode {
    /// Returns the next batch, or `None` after the last one. Must not be called again after an error. A malformed
    /// record becomes a reject.
    ///
    /// # Errors
    /// Any error of the chunks; [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when an object cannot be
    /// decompressed, or a record is too long.
    fn next_batch(&mut self) -> Result<Option<SourceBatch>>;
}

/// What a sink makes of NaN and the infinities in a format that does not have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// Refuses the row, by an error.
    #[default]
    Refuse,
    /// Writes null.
    Null,
    /// Writes `NaN`, `Infinity` or `-Infinity` as text, which a source reads back.
    Text,
}

impl NonFinite {
    /// Returns the name of the choice, as `pipeline.toml` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Null => "null",
            Self::Text => "text",
        }
    }
}

/// How a sink writes a format. What it writes, a source of the same format reads back as it was.
pub trait Writes: Sync {
    /// Returns a sentence on how rows are written, for the reference and editors.
    fn about(&self) -> &'static str;

    /// Returns the file extension of a part that is not compressed.
    fn extension(&self) -> &'static str;

    /// Checks that rows of a schema can be written.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the field and the choices.
    fn check(&self, schema: &Schema) -> Result<()>;

    /// Returns whether the format lacks NaN and the infinities, so that [`NonFinite`] decides on them.
    fn has_no_non_finite(&self) -> bool {
        false
    }

    /// Returns whether parts are text, which must not begin like something else.
    fn is_text(&self) -> bool {
        true
    }

    /// Returns the options that decide which bytes are written.
    fn options(&self, writing: &Writing) -> Options {
        let _ = writing;
        Options::new()
    }

    /// Creates an encoder of rows of a schema that passed [`Writes::check`].
    fn encoder(&self, writing: &Writing) -> Box<dyn Encode>;
}

/// An encoder of the rows of one part. The same batches give the same bytes.
pub trait Encode: Send {
    /// Appends to `buffer` what comes before the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](etl_core::model::error::ErrorKind::Internal) when the fields cannot be written.
    fn begin(&mut self, fields: &SchemaRef, buffer: &mut Vec<u8>) -> Result<()> {
        let (_, _) = (fields, buffer);
        Ok(())
    }

    /// Appends the rows of a batch to `buffer`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when the format cannot hold a value.
    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()>;

    /// Appends to `buffer` what comes behind all rows.
    ///
    /// # Errors
    /// As [`Encode::rows`].
    fn end(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        let _ = buffer;
        Ok(())
    }

    /// Returns about how many bytes of the rows are held back, encoded, and come later.
    fn held_bytes(&self) -> u64 {
        0
    }
}
