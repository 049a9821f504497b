//! Reader of one partition of a shuffle file.
//!
//! The reader does not fetch: the caller, who has the store, hands over the bytes, in pieces of any size.

use std::{mem, vec};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::{Bytes, BytesMut};
use etl_core::model::{
    error::{Error, Result},
    schema::Schema,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{Block, PartitionIndex, decode::decode_block};

/// The batches that one sorted run of a shuffle file has of one partition, in order. Ends after the first error.
///
/// Holds one block at a time. A block that is cut off, changed or from another file is an error of kind
/// [`etl_core::model::error::ErrorKind::Input`] that names the file and the block. An error among the pieces is passed
/// on.
pub struct ShuffleReader<I> {
    name: String,
    schema: SchemaRef,
    blocks: vec::IntoIter<Block>,
    offset: u64,
    rows_left: u64,
    pieces: I,
    piece: Bytes,
    failed: bool,
}

impl<I: Iterator<Item = Result<Bytes>>> ShuffleReader<I> {
    /// Creates a reader of the blocks in `index`. The `pieces` together are the bytes of [`PartitionIndex::range`] and
    /// may be cut anywhere. Error messages call the file `name`.
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
            return if self.rows_left == 0 { Ok(None) } else { Err(self.damaged(Error::input("it has too few rows"))) };
        };
        let bytes = self.take(block)?;
        if xxh3_64(&bytes) != block.checksum {
            return Err(self.damaged_block(block, Error::input("its checksum does not match")));
        }
        let batch = decode_block(&bytes, &self.schema).map_err(|error| self.damaged_block(block, error))?;
        let rows_left = self.rows_left.checked_sub(batch.num_rows() as u64);
        self.rows_left = rows_left.ok_or_else(|| self.damaged(Error::input("it has too many rows")))?;
        self.offset += block.length;
        Ok(Some(batch))
    }

    /// Returns the next block's bytes. Does not copy them if they lie in one piece.
    fn take(&mut self, block: Block) -> Result<Bytes> {
        if self.piece.is_empty() {
            self.next_piece(block, 0)?;
        }
        if self.piece.len() as u64 >= block.length {
            return Ok(self.piece.split_to(block.length as usize));
        }
        let mut bytes = BytesMut::from(mem::take(&mut self.piece));
        while (bytes.len() as u64) < block.length {
            self.next_piece(block, bytes.len())?;
            let missing = block.length - bytes.len() as u64;
            let taken = self.piece.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            bytes.extend_from_slice(&self.piece.split_to(taken));
        }
        Ok(bytes.freeze())
    }

    fn next_piece(&mut self, block: Block, read: usize) -> Result<()> {
        self.piece = self.pieces.next().transpose()?.ok_or_else(|| {
            let missing = block.length - read as u64;
            self.damaged_block(block, Error::input(format!("{missing} bytes are missing")))
        })?;
        Ok(())
    }

    fn damaged_block(&self, block: Block, why: Error) -> Error {
        self.damaged(why.context(format!("block of {} bytes at {}", block.length, self.offset)))
    }

    fn damaged(&self, why: Error) -> Error {
        why.context(format!("shuffle file `{}` is damaged", self.name))
    }
}

impl<I: Iterator<Item = Result<Bytes>>> Iterator for ShuffleReader<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch();
        self.failed = batch.is_err();
        batch.transpose()
    }

    /// Returns an upper bound that is 0 exactly at the end, which tells a merge that it need not wait for more batches.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let too_few_rows = usize::from(self.rows_left > 0);
        let left = if self.failed { 0 } else { self.blocks.len().max(too_few_rows) };
        (0, Some(left))
    }
}
