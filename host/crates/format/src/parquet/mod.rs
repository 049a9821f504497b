//! The format `parquet`: columns of Apache Parquet.
//!
//! An object is read by position: first the directory at its end, then the bytes of the chosen columns, row group by row
//! group. A row group belongs to the slice in which it starts. Columns are chosen by name, members of structs too, and
//! cast to the types of the fields; a value that a type cannot hold as it is makes the row a reject. The position of a
//! record is the number of its row in the object.
//!
//! ```text
//! section ─► directory ─► selection ─► row groups ─► batches as in the file ─► convert ─► batches
//! ```

mod decode;
mod directory;
mod encode;
mod group;
mod pages;
mod selection;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::Field;
use etl_core::model::{error::Result, schema::Schema, types::canonical};

use crate::{
    Decode, Encode, Format, Options, OwnFields, ParquetSink, Reading, Reads, Section, WantedField, Writes, Writing,
    cuts::{Cuts, First},
    decoder::{ChunkIter, Sizes},
};

/// The format.
pub(crate) struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn reads(&self) -> Option<&dyn Reads> {
        Some(self)
    }

    fn writes(&self) -> Option<&dyn Writes> {
        Some(self)
    }
}

impl Reads for Parquet {
    fn about(&self) -> &'static str {
        "Columns of Apache Parquet: the chosen ones are read, and cast to the types of the fields. A row group belongs to the \
         slice in which it starts."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn refuses(&self, wanted: &WantedField, _: &Reading) -> Option<String> {
        wanted.refused_unless_named("Parquet")
    }

    fn cuts(&self, _: &Reading) -> Cuts {
        Cuts::ByPosition { first: First::End(directory::END_BYTES) }
    }

    fn fields_of(&self, section: &Section) -> Result<Option<OwnFields>> {
        let directory = directory::open(section)?;
        let of = |field: &Arc<Field>| (field.name().clone(), canonical(field));
        Ok(Some(directory.fields.iter().map(of).collect()))
    }

    fn held_bytes_max(&self) -> u64 {
        pages::HELD_BYTES_MAX
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, reading: &Reading, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        Ok(Box::new(decode::ParquetDecoder::new(chunks, &reading.fields, sizes.bounded())))
    }
}

impl Writes for Parquet {
    fn about(&self) -> &'static str {
        "Columns of Apache Parquet, of any types. `[sink.parquet]` says how they are written."
    }

    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn check(&self, _: &Schema) -> Result<()> {
        Ok(())
    }

    fn is_text(&self) -> bool {
        false
    }

    fn options(&self, writing: &Writing) -> Options {
        let ParquetSink { compression, row_group_rows, row_group_bytes, statistics, dictionary } = writing.parquet;
        vec![
            ("parquet.compression", compression.name().into()),
            ("parquet.row_group_rows", row_group_rows.into()),
            ("parquet.row_group_size", row_group_bytes.into()),
            ("parquet.statistics", statistics.into()),
            ("parquet.dictionary", dictionary.into()),
        ]
    }

    fn encoder(&self, writing: &Writing) -> Box<dyn Encode> {
        Box::new(encode::ParquetEncoder::new(writing.parquet))
    }
}
