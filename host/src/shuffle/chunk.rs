//! Some rows with their encoded keys: what is sorted and merged.

use arrow_array::RecordBatch;

use super::{
    keys::{KeyEncoder, Keys},
    sizes::RowSizes,
};
use crate::error::Result;

/// A batch and the keys of its rows.
pub(super) struct Chunk {
    batch: RecordBatch,
    keys: Keys,
    sizes: RowSizes,
    row_max: usize,
}

impl Chunk {
    /// Encodes the keys of a batch.
    ///
    /// # Errors
    /// As [`KeyEncoder::encode`].
    pub(super) fn new(batch: RecordBatch, encoder: &KeyEncoder) -> Result<Self> {
        let (keys, sizes) = (encoder.encode(&batch)?, RowSizes::new(&batch));
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

    /// Returns the most bytes a row may have.
    pub(super) fn row_max(&self) -> usize {
        self.row_max
    }

    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}
