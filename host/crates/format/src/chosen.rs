//! The formats that a pipeline chose for its source and its sink.

use std::{fmt, sync::LazyLock};

use etl_core::model::{
    error::{Error, Result},
    object::Compression,
    schema::Schema,
};

use crate::{
    BATCH_BYTES, ChunkIter, CsvSink, CsvSource, Cuts, Decode, Encode, FORMATS, Fields, Format, JsonLayout, NonFinite,
    Options, OwnFields, RECORD_BYTES, Reads, Section, Sizes, SourceColumns, Writes,
    sample::{Explained, Inferred, SampledObjects},
};

/// Returns the names of the formats that a source can have.
pub fn source_formats() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| names(|format| format.reads().is_some()));
    &NAMES
}

/// Returns the names of the formats that a sink can have.
pub fn sink_formats() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| names(|format| format.writes().is_some()));
    &NAMES
}

fn names(wanted: impl Fn(&dyn Format) -> bool) -> Vec<&'static str> {
    FORMATS.iter().filter(|format| wanted(**format)).map(|format| format.name()).collect()
}

fn listed(names: &[&str]) -> String {
    names.join("`, `")
}

/// What a source reads in its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The fields that are wanted.
    pub fields: Fields,
    /// Maximum length of a record in bytes.
    pub record_max: u64,
    /// How CSV is written. Of no meaning for other formats.
    pub csv: CsvSource,
    /// How JSON documents are laid out. Of no meaning for other formats.
    pub json: JsonLayout,
}

/// The format of a source, and the columns of its records.
#[derive(Clone)]
pub struct SourceFormat {
    name: &'static str,
    reads: &'static dyn Reads,
    reading: Reading,
    /// Whether the fields are not those of the pipeline, but of a sample.
    is_inferred: bool,
    columns: SourceColumns,
    /// The fields, and the columns behind them.
    schema: Schema,
}

impl SourceFormat {
    /// Chooses the format `lines`.
    pub fn lines() -> Self {
        Self::new("lines", None).expect("`lines` is in the list and takes no fields")
    }

    /// Chooses a format by its name, with the fields to read. Of a format that takes fields, they may be given later;
    /// to another format, none can be given.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the fields are called.
    pub fn new(name: &str, fields: Option<Fields>) -> Result<Self> {
        let format = FORMATS.iter().find(|format| format.name() == name);
        let found = format.and_then(|format| Some((format.name(), format.reads()?)));
        let Some((name, reads)) = found else {
            let choices = listed(source_formats());
            return Err(Error::config(format!("belong to no format `{name}` (choices: `{choices}`)")));
        };
        let fields = match fields {
            Some(fields) if reads.takes_fields() => fields,
            None if reads.takes_fields() => Fields::unknown(),
            None => Schema::lines().into(),
            Some(_) => {
                let takes = |format: &dyn Format| format.reads().is_some_and(Reads::takes_fields);
                let choices = listed(&names(takes));
                return Err(Error::config(format!("cannot be used with format `{name}` (they go with `{choices}`)")));
            }
        };
        let (csv, json) = (CsvSource::default(), JsonLayout::default());
        let (schema, columns) = (fields.schema().clone(), SourceColumns::default());
        let reading = Reading { fields, record_max: RECORD_BYTES, csv, json };
        Ok(Self { name, reads, reading, is_inferred: false, columns, schema })
    }

    /// Sets the fields to read, and whether they were inferred, which rejects then say.
    ///
    /// # Errors
    /// As [`SourceFormat::with_columns`].
    pub fn with_fields(mut self, fields: Fields, is_inferred: bool) -> Result<Self> {
        (self.reading.fields, self.is_inferred) = (fields, is_inferred);
        let columns = std::mem::take(&mut self.columns);
        self.with_columns(columns)
    }

    /// Adds columns behind the fields that say where each record is from.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there is a field of the name of a column.
    pub fn with_columns(mut self, columns: SourceColumns) -> Result<Self> {
        self.schema = columns.behind(self.reading.fields.schema())?;
        self.columns = columns;
        Ok(self)
    }

    /// Returns whether the format takes fields.
    pub fn takes_fields(&self) -> bool {
        self.reads.takes_fields()
    }

    /// Returns whether the format takes fields and does not know them yet.
    pub fn lacks_fields(&self) -> bool {
        self.takes_fields() && self.reading.fields.wanted().is_empty()
    }

    /// Returns the fields that the records of a sample have.
    ///
    /// # Errors
    /// As [`Reads::infer`].
    pub fn infer(&self, objects: SampledObjects<'_>) -> Result<Inferred> {
        self.reads.infer(objects, &self.reading)
    }

    /// Returns the first field that no record of a sample has, and more about it.
    ///
    /// # Errors
    /// As [`Reads::lacking`].
    pub fn lacking(&self, objects: SampledObjects<'_>) -> Result<Option<(String, String)>> {
        self.reads.lacking(objects, &self.reading)
    }

    /// Sets the maximum length of a record in bytes, its line end included. It is
    /// [`RECORD_BYTES`] otherwise.
    #[must_use]
    pub fn with_record_max(mut self, bytes: u64) -> Self {
        self.reading.record_max = bytes;
        self
    }

    /// Sets how CSV is written.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the dialect is called, for another format.
    pub fn with_csv(mut self, csv: CsvSource) -> Result<Self> {
        check_is("csv", self.name)?;
        self.reading.csv = csv;
        Ok(self)
    }

    /// Sets how JSON documents are laid out.
    ///
    /// # Errors
    /// As [`SourceFormat::with_csv`].
    pub fn with_json(mut self, layout: JsonLayout) -> Result<Self> {
        check_is("json", self.name)?;
        self.reading.json = layout;
        Ok(self)
    }

    /// Returns the first field that the format cannot read, and why, as the end of a sentence.
    pub fn refused_field(&self) -> Option<(&str, String)> {
        let wanted = self.reading.fields.wanted().iter();
        wanted
            .filter_map(|wanted| Some((wanted.field.name().as_str(), self.reads.refuses(wanted, &self.reading)?)))
            .next()
    }

    /// Returns the maximum length of a record in bytes.
    pub fn record_max(&self) -> u64 {
        self.reading.record_max
    }

    /// Returns the name of the format.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what is read.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Returns the columns of the records.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the columns that say where each record is from.
    pub fn columns(&self) -> &SourceColumns {
        &self.columns
    }

    /// Returns whether the fields were inferred.
    pub fn is_inferred(&self) -> bool {
        self.is_inferred
    }

    /// Returns the options that decide which records are read.
    pub fn options(&self) -> Options {
        self.reads.options(&self.reading)
    }

    /// Returns where an object may be cut into slices.
    pub fn cuts(&self) -> Cuts {
        self.reads.cuts(&self.reading)
    }

    /// Returns the bytes that a decoder may hold besides records and what is read ahead.
    pub fn held_bytes_max(&self) -> u64 {
        self.reads.held_bytes_max()
    }

    /// Creates a decoder of the chunks of a shard.
    ///
    /// # Errors
    /// As [`Reads::decoder`].
    pub fn decoder<'a>(&self, chunks: ChunkIter<'a>) -> Result<Box<dyn Decode + 'a>> {
        self.decoder_with(chunks, Sizes { batch: BATCH_BYTES, record_max: self.record_max() })
    }

    /// Creates a decoder that keeps to other sizes.
    ///
    /// # Errors
    /// As [`Reads::decoder`].
    pub fn decoder_with<'a>(&self, chunks: ChunkIter<'a>, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        let decoder = self.reads.decoder(chunks, &self.reading, sizes)?;
        let decoder: Box<dyn Decode + 'a> = if self.is_inferred { Box::new(Explained(decoder)) } else { decoder };
        Ok(self.columns.behind_records(decoder, &self.schema))
    }
}

/// Returns the fields that an object says it has, if objects of the format of this name say so; see
/// [`Reads::fields_of`].
///
/// # Errors
/// As [`Reads::fields_of`].
pub fn fields_of(format: &str, section: &Section) -> Result<Option<OwnFields>> {
    let reads = FORMATS.iter().find(|known| known.name() == format).and_then(|format| format.reads());
    reads.map_or(Ok(None), |reads| reads.fields_of(section))
}

fn check_is(wanted: &str, name: &str) -> Result<()> {
    if name == wanted {
        return Ok(());
    }
    Err(Error::config(format!("cannot be used with format `{name}` (it goes with `{wanted}`)")))
}

impl fmt::Debug for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?})", self.name, self.reading, self.columns)
    }
}

impl PartialEq for SourceFormat {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.reading, &self.columns) == (other.name, &other.reading, &other.columns)
    }
}

/// How a sink writes its format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writing {
    /// What becomes of NaN and the infinities. Of no meaning for a format that has them.
    pub non_finite: NonFinite,
    /// How CSV is written. Of no meaning for other formats.
    pub csv: CsvSink,
    /// How Parquet is written. Of no meaning for other formats.
    pub parquet: ParquetSink,
    /// How Avro is written. Of no meaning for other formats.
    pub avro: AvroSink,
}

/// How a sink writes Avro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvroSink {
    /// How blocks are compressed.
    pub compression: AvroCompression,
    /// Size in bytes, before compression, at which a block is complete.
    pub block_bytes: u64,
}

impl Default for AvroSink {
    fn default() -> Self {
        Self { compression: AvroCompression::default(), block_bytes: 64 << 10 }
    }
}

/// Compression of the blocks of Avro.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AvroCompression {
    /// Deflate, which every reader of Avro must know.
    #[default]
    Deflate,
    /// Zstandard.
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

impl AvroCompression {
    /// Returns the name of the compression, as `pipeline.toml` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::None => "none",
        }
    }
}

/// How a sink writes Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetSink {
    /// How pages are compressed.
    pub compression: ParquetCompression,
    /// Maximum number of rows in a row group.
    pub row_group_rows: u64,
    /// Size in bytes, encoded, at which a row group is complete.
    pub row_group_bytes: u64,
    /// Whether the least and the greatest value of each column and page are written.
    pub statistics: bool,
    /// Whether values that repeat are written once and referred to.
    pub dictionary: bool,
}

impl ParquetSink {
    /// Returns the bytes that a row group may take in memory while it is written, with its dictionaries.
    pub fn memory_bytes(&self) -> u64 {
        self.row_group_bytes.saturating_mul(2)
    }
}

impl Default for ParquetSink {
    fn default() -> Self {
        Self {
            compression: ParquetCompression::default(),
            row_group_rows: 1 << 20,
            row_group_bytes: 64 << 20,
            statistics: true,
            dictionary: true,
        }
    }
}

/// Compression of the pages of Parquet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ParquetCompression {
    /// Zstandard at level 1.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// gzip.
    Gzip,
    /// LZ4, in blocks.
    Lz4,
    /// None.
    None,
}

impl ParquetCompression {
    /// Returns the name of the compression, as `pipeline.toml` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::None => "none",
        }
    }
}

/// The format of a sink.
#[derive(Clone)]
pub struct SinkFormat {
    name: &'static str,
    writes: &'static dyn Writes,
    writing: Writing,
    compression: Compression,
}

impl SinkFormat {
    /// Chooses a format by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which lists the choices.
    pub fn new(name: &str) -> Result<Self> {
        let format = FORMATS.iter().find(|format| format.name() == name);
        let found = format.and_then(|format| {
            let (writing, compression) = (Writing::default(), Compression::None);
            Some(Self { name: format.name(), writes: format.writes()?, writing, compression })
        });
        let unknown = || format!("there is no sink format `{name}` (choices: `{}`)", listed(sink_formats()));
        found.ok_or_else(|| Error::config(unknown()))
    }

    /// Chooses what becomes of NaN and the infinities.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the choice is called, when the format has these numbers or takes none at all.
    pub fn with_non_finite(self, non_finite: NonFinite) -> Result<Self> {
        if self.writes.has_no_non_finite() {
            return Ok(Self { writing: Writing { non_finite, ..self.writing }, ..self });
        }
        let takes = |format: &dyn Format| format.writes().is_some_and(Writes::has_no_non_finite);
        let choices = listed(&names(takes));
        Err(Error::config(format!("cannot be used with format `{}` (it goes with `{choices}`)", self.name)))
    }

    /// Sets how CSV is written.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the dialect is called, for another format.
    pub fn with_csv(self, csv: CsvSink) -> Result<Self> {
        check_is("csv", self.name)?;
        Ok(Self { writing: Writing { csv, ..self.writing }, ..self })
    }

    /// Chooses how parts are compressed. They are not otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the choice is called, for a format whose parts are not text.
    pub fn with_compression(self, compression: Compression) -> Result<Self> {
        if compression != Compression::None && !self.writes.is_text() {
            let name = self.name;
            return Err(Error::config(format!(
                "cannot be used with format `{name}`, which is compressed inside (use `sink.{name}.compression`)"
            )));
        }
        Ok(Self { compression, ..self })
    }

    /// Returns the name of the format.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Chooses how Parquet is written.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the choice is called, for another format.
    pub fn with_parquet(self, parquet: ParquetSink) -> Result<Self> {
        check_is("parquet", self.name)?;
        Ok(Self { writing: Writing { parquet, ..self.writing }, ..self })
    }

    /// Chooses how Avro is written.
    ///
    /// # Errors
    /// As [`SinkFormat::with_parquet`].
    pub fn with_avro(self, avro: AvroSink) -> Result<Self> {
        if self.name != "avro" {
            return Err(Error::config(format!("cannot be used with format `{}` (it goes with `avro`)", self.name)));
        }
        Ok(Self { writing: Writing { avro, ..self.writing }, ..self })
    }

    /// Returns the bytes of rows that an encoder may hold back, in memory.
    pub fn held_bytes_max(&self) -> u64 {
        match self.name {
            "parquet" => self.writing.parquet.memory_bytes(),
            // A block, and the same block compressed.
            "avro" => self.writing.avro.block_bytes.saturating_mul(2),
            _ => 0,
        }
    }

    /// Returns whether parts are text.
    pub(crate) fn is_text(&self) -> bool {
        self.writes.is_text()
    }

    /// Returns how parts are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns how the format is written.
    pub fn writing(&self) -> &Writing {
        &self.writing
    }

    /// Returns the options that decide which bytes are written.
    pub fn options(&self) -> Options {
        self.writes.options(&self.writing)
    }

    /// Returns the file extension of a part, such as `json.gz`.
    pub fn extension(&self) -> String {
        let extensions =
            [self.writes.extension()].into_iter().chain(self.compression.extensions().iter().copied().take(1));
        extensions.collect::<Vec<_>>().join(".")
    }

    /// Checks that rows of a schema can be written.
    ///
    /// # Errors
    /// As [`Writes::check`].
    pub fn check(&self, schema: &Schema) -> Result<()> {
        self.writes.check(schema)
    }

    pub(crate) fn encoder(&self) -> Box<dyn Encode> {
        self.writes.encoder(&self.writing)
    }
}

impl fmt::Debug for SinkFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?})", self.name, self.writing, self.compression)
    }
}

impl PartialEq for SinkFormat {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.writing, self.compression) == (other.name, &other.writing, other.compression)
    }
}
