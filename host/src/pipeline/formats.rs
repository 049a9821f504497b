//! The names of formats, as `pipeline.toml` has them.
//!
//! Owns how a name is read and described. The list of formats is `etl_format`'s.

use std::borrow::Cow;

use etl_core::model::object::Compression;
use etl_format::{
    AvroCompression, Encoding, FORMATS, Format, JsonLayout, NonFinite, ParquetCompression, SourceColumn, sink_formats,
    source_formats,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Value, json};

/// The name of a format that a source can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadName(pub &'static str);

/// The name of a format that a sink can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriteName(pub &'static str);

/// What a sink makes of NaN and the infinities in a format that does not have them.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum NonFiniteChoice {
    /// The task fails, with an error that names the field.
    Refuse,
    /// Each is written as null.
    Null,
    /// Each is written as the text `NaN`, `Infinity` or `-Infinity`, which a source reads back as it was.
    Text,
}

/// How pages of Parquet are compressed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ParquetCompressionChoice {
    /// Zstandard at level 1.
    Zstd,
    /// Snappy.
    Snappy,
    /// gzip.
    Gzip,
    /// LZ4 in blocks (`LZ4_RAW`).
    Lz4,
    /// None.
    None,
}

/// How blocks of Avro are compressed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AvroCompressionChoice {
    /// Deflate, which every reader of Avro must know.
    Deflate,
    /// Zstandard at level 3.
    Zstd,
    /// Snappy.
    Snappy,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// None.
    None,
}

impl From<AvroCompressionChoice> for AvroCompression {
    fn from(choice: AvroCompressionChoice) -> Self {
        match choice {
            AvroCompressionChoice::Deflate => Self::Deflate,
            AvroCompressionChoice::Zstd => Self::Zstd,
            AvroCompressionChoice::Snappy => Self::Snappy,
            AvroCompressionChoice::Bzip2 => Self::Bzip2,
            AvroCompressionChoice::Xz => Self::Xz,
            AvroCompressionChoice::None => Self::None,
        }
    }
}

impl From<ParquetCompressionChoice> for ParquetCompression {
    fn from(choice: ParquetCompressionChoice) -> Self {
        match choice {
            ParquetCompressionChoice::Zstd => Self::Zstd,
            ParquetCompressionChoice::Snappy => Self::Snappy,
            ParquetCompressionChoice::Gzip => Self::Gzip,
            ParquetCompressionChoice::Lz4 => Self::Lz4,
            ParquetCompressionChoice::None => Self::None,
        }
    }
}

/// How the JSON documents of an object are laid out.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LayoutChoice {
    /// One document a line. Objects may be cut into slices.
    #[default]
    Lines,
    /// Documents over any number of lines, one behind the other, or as the items of an array. An object is one slice.
    Documents,
}

/// What a column says about where a record is from.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceColumnChoice {
    /// The name of its object, as `text`.
    Object,
    /// Its position in the object, as `int64`: the byte at which it starts, after decompression, or in a format of rows
    /// the number of its row.
    Offset,
    /// The value in the directory `day=2026-11-27` of its object's name, as `text`, if the column is called `day`. It is
    /// null for `__HIVE_DEFAULT_PARTITION__`.
    Hive,
}

impl From<SourceColumnChoice> for SourceColumn {
    fn from(choice: SourceColumnChoice) -> Self {
        match choice {
            SourceColumnChoice::Object => Self::Object,
            SourceColumnChoice::Offset => Self::Offset,
            SourceColumnChoice::Hive => Self::Hive,
        }
    }
}

impl From<LayoutChoice> for JsonLayout {
    fn from(choice: LayoutChoice) -> Self {
        match choice {
            LayoutChoice::Lines => Self::Lines,
            LayoutChoice::Documents => Self::Documents,
        }
    }
}

impl From<NonFiniteChoice> for NonFinite {
    fn from(choice: NonFiniteChoice) -> Self {
        match choice {
            NonFiniteChoice::Refuse => Self::Refuse,
            NonFiniteChoice::Null => Self::Null,
            NonFiniteChoice::Text => Self::Text,
        }
    }
}

/// How the text of a source is encoded.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum EncodingChoice {
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16 of either order of bytes, with a byte order mark.
    #[serde(rename = "utf-16")]
    Utf16,
    /// ISO 8859-1, with the characters that Windows-1252 adds to it.
    #[serde(rename = "latin1")]
    Latin1,
}

impl From<EncodingChoice> for Encoding {
    fn from(choice: EncodingChoice) -> Self {
        match choice {
            EncodingChoice::Utf8 => Self::Utf8,
            EncodingChoice::Utf16 => Self::Utf16,
            EncodingChoice::Latin1 => Self::Latin1,
        }
    }
}

/// How the parts of a result are compressed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CompressionChoice {
    /// Not at all.
    None,
    /// With gzip, for any reader. Extension `gz`.
    Gzip,
    /// With Zstandard: faster and smaller than gzip. Extension `zst`.
    Zstd,
    /// With bzip2. Extension `bz2`.
    Bzip2,
    /// With xz: smallest and slowest, with 96 MiB of memory for each task. Extension `xz`.
    Xz,
    /// With Snappy, in its framing format. Extension `sz`.
    Snappy,
    /// With LZ4, in its frame format: fastest. Extension `lz4`.
    Lz4,
}

impl From<CompressionChoice> for Compression {
    fn from(choice: CompressionChoice) -> Self {
        match choice {
            CompressionChoice::None => Self::None,
            CompressionChoice::Gzip => Self::Gzip,
            CompressionChoice::Zstd => Self::Zstd,
            CompressionChoice::Bzip2 => Self::Bzip2,
            CompressionChoice::Xz => Self::Xz,
            CompressionChoice::Snappy => Self::Snappy,
            CompressionChoice::Lz4 => Self::Lz4,
        }
    }
}

impl Default for ReadName {
    fn default() -> Self {
        Self("lines")
    }
}

impl Default for WriteName {
    fn default() -> Self {
        Self("json")
    }
}

/// Reads one of these names.
fn one_of<'de, D: Deserializer<'de>>(
    names: &'static [&'static str],
    deserializer: D,
) -> Result<&'static str, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = names.iter().find(|known| **known == name);
    known.copied().ok_or_else(|| D::Error::unknown_variant(&name, names))
}

impl<'de> Deserialize<'de> for ReadName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_of(source_formats(), deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for WriteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_of(sink_formats(), deserializer).map(Self)
    }
}

/// Returns the schema of one of the formats that `about` describes.
fn choices(about: impl Fn(&dyn Format) -> Option<&'static str>) -> Schema {
    let choice =
        |format: &dyn Format| Some(json!({ "const": format.name(), "description": about(format)?, "type": "string" }));
    let choices: Vec<Value> = FORMATS.iter().copied().filter_map(choice).collect();
    json_schema!({ "oneOf": choices })
}

impl JsonSchema for ReadName {
    fn schema_name() -> Cow<'static, str> {
        "SourceFormat".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        choices(|format| Some(format.reads()?.about()))
    }
}

impl JsonSchema for WriteName {
    fn schema_name() -> Cow<'static, str> {
        "SinkFormat".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        choices(|format| Some(format.writes()?.about()))
    }
}
