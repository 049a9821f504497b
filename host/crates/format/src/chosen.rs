//! The formats that a pipeline chose for its source and its sink.

use std::{fmt, sync::LazyLock};

use etl_core::model::{
    error::{Error, Result},
    schema::Schema,
};

use crate::{ChunkIter, Cuts, Decode, Encode, FORMATS, Format, Reads, Sizes, Writes};

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
    FORMATS.into_iter().filter(|format| wanted(*format)).map(Format::name).collect()
}

fn listed(names: &[&str]) -> String {
    names.join("`, `")
}

/// The format of a source, and the columns of its records.
#[derive(Clone)]
pub struct SourceFormat {
    name: &'static str,
    reads: &'static dyn Reads,
    schema: Schema,
}

impl SourceFormat {
    /// Chooses the format `lines`.
    pub fn lines() -> Self {
        Self::new("lines", None).expect("`lines` is in the list and takes no fields")
    }

    /// Chooses a format by its name, with the fields to read. Fields must be given for a format that takes them, and
    /// for no other.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), as the end of a sentence that begins with what
    /// the fields are called.
    pub fn new(name: &str, fields: Option<Schema>) -> Result<Self> {
        let format = FORMATS.into_iter().find(|format| format.name() == name);
        let found = format.and_then(|format| Some((format.name(), format.reads()?)));
        let Some((name, reads)) = found else {
            let choices = listed(source_formats());
            return Err(Error::config(format!("belong to no format `{name}` (choices: `{choices}`)")));
        };
        let schema = match fields {
            Some(schema) if reads.takes_fields() => schema,
            None if !reads.takes_fields() => Schema::lines(),
            Some(_) => {
                let takes = |format: &dyn Format| format.reads().is_some_and(Reads::takes_fields);
                let choices = listed(&names(takes));
                return Err(Error::config(format!("cannot be used with format `{name}` (they go with `{choices}`)")));
            }
            None => return Err(Error::config(format!("is missing: format `{name}` needs the fields to read"))),
        };
        Ok(Self { name, reads, schema })
    }

    /// Returns the name of the format.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the columns of the records.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns where an object may be cut into slices.
    pub fn cuts(&self) -> Cuts {
        self.reads.cuts()
    }

    /// Creates a decoder of the chunks of a shard.
    ///
    /// # Errors
    /// As [`Reads::decoder`].
    pub fn decoder<'a>(&self, chunks: ChunkIter<'a>) -> Result<Box<dyn Decode + 'a>> {
        self.reads.decoder(chunks, &self.schema, Sizes::default())
    }

    /// Creates a decoder that keeps to other sizes.
    ///
    /// # Errors
    /// As [`Reads::decoder`].
    pub fn decoder_with<'a>(&self, chunks: ChunkIter<'a>, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        self.reads.decoder(chunks, &self.schema, sizes)
    }
}

impl fmt::Debug for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.schema)
    }
}

impl PartialEq for SourceFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.schema == other.schema
    }
}

/// The format of a sink.
#[derive(Clone, Copy)]
pub struct SinkFormat {
    name: &'static str,
    writes: &'static dyn Writes,
}

impl SinkFormat {
    /// Chooses a format by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which lists the choices.
    pub fn new(name: &str) -> Result<Self> {
        let format = FORMATS.into_iter().find(|format| format.name() == name);
        let found = format.and_then(|format| Some(Self { name: format.name(), writes: format.writes()? }));
        let unknown = || format!("there is no sink format `{name}` (choices: `{}`)", listed(sink_formats()));
        found.ok_or_else(|| Error::config(unknown()))
    }

    /// Returns the name of the format.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the file extension of a part.
    pub fn extension(&self) -> &'static str {
        self.writes.extension()
    }

    /// Checks that rows of a schema can be written.
    ///
    /// # Errors
    /// As [`Writes::check`].
    pub fn check(&self, schema: &Schema) -> Result<()> {
        self.writes.check(schema)
    }

    pub(crate) fn encoder(&self) -> Box<dyn Encode> {
        self.writes.encoder()
    }
}

impl fmt::Debug for SinkFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for SinkFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
