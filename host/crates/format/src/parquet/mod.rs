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
mod tests;

use etl_core::model::{error::Result, schema::Schema};

use crate::{
    Decode, Encode, Format, Reads, Writes, Writing,
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
        "Apache Parquet, whose chosen columns are read and cast to the types of the fields. A row group belongs to the \
         slice in which it starts."
    }

    fn takes_fields(&self) -> bool {
        true
    }

    fn cuts(&self) -> Cuts {
        Cuts::ByPosition { first: First::End(directory::END_BYTES) }
    }

    fn held_bytes_max(&self) -> u64 {
        pages::HELD_BYTES_MAX
    }

    fn decoder<'a>(&self, chunks: ChunkIter<'a>, schema: &Schema, sizes: Sizes) -> Result<Box<dyn Decode + 'a>> {
        Ok(Box::new(decode::ParquetDecoder::new(chunks, schema, sizes.bounded())))
    }
}

impl Writes for Parquet {
    fn about(&self) -> &'static str {
        "Apache Parquet, with rows of any types. `[sink.parquet]` says how it is written."
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

    fn encoder(&self, writing: &Writing) -> Box<dyn Encode> {
        Box::new(encode::ParquetEncoder::new(writing.parquet))
    }
}
