//! Chunks: batches with their encoded keys, which are sorted and merged.

use arrow_array::RecordBatch;
use etl_core::model::{
    error::Result,
    sizes::{Measure, RowSizes},
};

use super::keys::{KeyEncoder, Keys};

/// A batch with the keys and sizes of its rows.
pub(super) struct Chunk {
    batch: RecordBatch,
    keys: Keys,
    sizes: RowSizes,
    row_max: usize,
}

impl Chunk {
    /// Creates a chunk and encodes the keys of its rows.
    ///
    /// # Errors
    /// As [`KeyEncoder::encode`].
    pub(super) fn new(batch: RecordBatch, encoder: &KeyEncoder) -> Result<Self> {
        let (keys, sizes) = (encoder.encode(&batch)?, RowSizes::new(&batch, Measure::Memory));
        let row_max = sizes.row_max();
        Ok(Self { batch, keys, sizes, row_max })
    }

    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn sizes(&self) -> &RowSizes {
        &self.sizes
    }

    /// Returns an upper bound of the size of a row in bytes.
    pub(super) fn row_max(&self) -> usize {
        self.row_max
    }

    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}
