//! Reads the batches of one partition back from a run file.
//!
//! Does not fetch: whoever has the store hands over the bytes, in pieces of any size.

use std::vec;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use super::{Block, PartitionIndex, decode::decode_block};
use crate::{
    error::{Error, ErrorContext, Result},
    schema::Schema,
};

/// The batches of one partition of a run file, in order. Ends after the first error.
///
/// Holds one block at a time. A block that is cut off, changed or of another file is an error of kind
/// [`crate::error::ErrorKind::Input`] that names the file and the block; an error among the pieces is handed on.
pub struct RunReader<I> {
    name: String,
    schema: SchemaRef,
    blocks: vec::IntoIter<Block>,
    offset: u64,
    rows_left: u64,
    pieces: I,
    piece: Bytes,
    failed: bool,
}

impl<I: Iterator<Item = Result<Bytes>>> RunReader<I> {
    /// Reads the blocks in `index` from `pieces`, which together are the bytes of [`PartitionIndex::range`], cut
    /// anywhere. Messages call the file `name`.
    pub fn new(name: impl Into<String>, schema: &Schema, index: &PartitionIndex, pieces: I) -> Self {
        Self {
            name: name.into(),
            schema: schema.fields.clone(),
            blocks: index.blocks.clone().into_iter(),
            offset: index.offset,
            rows_left: index.rows,
            pieces,
            piece: Bytes::new(),
            failed: false,
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(block) = self.blocks.next() else {
            return if self.rows_left == 0 { Ok(None) } else { Err(self.damaged("it has too few rows")) };
        };
        let bytes = self.take(block.length)?;
        if xxh3_64(&bytes) != block.checksum {
            return Err(self.damaged(format!("the block of {} bytes at {} was changed", block.length, self.offset)));
        }
        let batch = decode_block(&bytes, &self.schema)
            .context(|| format!("the block of {} bytes at {} cannot be read", block.length, self.offset))
            .context(|| damaged(&self.name));
        let batch = batch?;
        let rows = batch.num_rows() as u64;
        self.rows_left = self.rows_left.checked_sub(rows).ok_or_else(|| self.damaged("it has too many rows"))?;
        self.offset += block.length;
        Ok(Some(batch))
    }

    /// Returns the next `length` bytes, without copying if they lie in one piece.
    fn take(&mut self, length: u64) -> Result<Bytes> {
        let length = usize::try_from(length).map_err(|_| self.damaged(format!("a block of {length} bytes")))?;
        if self.piece.is_empty() {
            self.next_piece(length)?;
        }
        if self.piece.len() >= length {
            return Ok(self.piece.split_to(length));
        }
        let mut bytes = BytesMut::new();
        while bytes.len() < length {
            if self.piece.is_empty() {
                self.next_piece(length - bytes.len())?;
            }
            let wanted = self.piece.len().min(length - bytes.len());
            bytes.extend_from_slice(&self.piece.split_to(wanted));
        }
        Ok(bytes.freeze())
    }

    fn next_piece(&mut self, missing: usize) -> Result<()> {
        let piece = self.pieces.next().transpose()?;
        self.piece = piece
            .ok_or_else(|| self.damaged(format!("{missing} bytes of the block at {} are missing", self.offset)))?;
        Ok(())
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Error {
        Error::input(what).context(damaged(&self.name))
    }
}

fn damaged(name: &str) -> String {
    format!("run file `{name}` is damaged")
}

impl<I: Iterator<Item = Result<Bytes>>> Iterator for RunReader<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch();
        self.failed = batch.is_err();
        batch.transpose()
    }
}
