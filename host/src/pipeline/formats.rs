//! The names of formats, as `pipeline.toml` has them.
//!
//! Owns how a name is read and described. The list of formats is `etl_format`'s.

use std::borrow::Cow;

use etl_format::{AvroCompression, FORMATS, Format, NonFinite, ParquetCompression, sink_formats, source_formats};
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

impl From<NonFiniteChoice> for NonFinite {
    fn from(choice: NonFiniteChoice) -> Self {
        match choice {
            NonFiniteChoice::Refuse => Self::Refuse,
            NonFiniteChoice::Null => Self::Null,
            NonFiniteChoice::Text => Self::Text,
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
