//! Records on their way into the mappers of a shard: a batch, and where each record in it came from.
//!
//! Owns how a reject names its record: by its origin and its content. The map stage makes [`Records`]; its chain of
//! mappers takes them.

use std::{ops::Range, sync::Arc};

use arrow_array::RecordBatch;
use etl_core::{
    model::{ids::ShardId, position::Position, reject::Reject},
    text::rows::record_of,
};
use etl_format::SourceBatch;

/// A batch of a shard's records. The records of a shard are numbered from 0, in the order in which the first mapper is
/// given them.
#[derive(Debug, Clone)]
pub struct Records {
    /// The number of the shard.
    pub shard: ShardId,
    /// The number of the first record in the batch.
    pub first: u64,
    /// The records and their origin.
    pub batch: Batch,
}

/// The rows of a batch, by their origin.
#[derive(Debug, Clone)]
pub enum Batch {
    /// Records read from the source.
    Source(Arc<SourceBatch>),
    /// Records made by the splitter.
    Splitter(RecordBatch),
}

impl Records {
    /// Returns the records as the first mapper is given them.
    pub fn rows(&self) -> &RecordBatch {
        match &self.batch {
            Batch::Source(batch) => &batch.batch,
            Batch::Splitter(batch) => batch,
        }
    }

    /// Returns the number of a row's record.
    pub fn number(&self, row: usize) -> u64 {
        self.first + row as u64
    }

    /// Returns the row of the record with this number, which must be in the batch.
    pub fn row(&self, number: u64) -> usize {
        usize::try_from(number - self.first).expect("a row of a batch in memory")
    }

    /// Returns the numbers of all records in the batch.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.number(self.rows().num_rows())
    }

    /// Returns how many records, malformed ones included, and how many bytes were read for the batch.
    pub fn read(&self) -> (u64, u64) {
        match &self.batch {
            Batch::Source(batch) => (batch.records(), batch.bytes),
            Batch::Splitter(batch) => (batch.num_rows() as u64, batch.get_array_memory_size() as u64),
        }
    }

    /// Returns the rejects of malformed records, which are not in the batch.
    pub fn malformed(&self) -> &[Reject] {
        match &self.batch {
            Batch::Source(batch) => &batch.rejects,
            Batch::Splitter(_) => &[],
        }
    }

    /// Returns the row of the record at a position of `object`, or of any object if none is given.
    /// Returns `None` when the batch has no such record, or was made by the splitter.
    pub fn row_at(&self, object: Option<&str>, position: Position) -> Option<usize> {
        let Batch::Source(batch) = &self.batch else { return None };
        let is_it = |row: &usize| {
            let origin = batch.origin(*row);
            origin.at == position && object.is_none_or(|object| object == origin.object)
        };
        (0..batch.batch.num_rows()).find(is_it)
    }

    /// Returns a reject of the row's record by `step`, with the record's origin and content.
    ///
    /// # Panics
    /// Panics when the batch has no such row.
    pub fn reject(&self, row: usize, step: &str, reason: &str) -> Reject {
        let reject = self.locate(row, Reject::new(step, reason));
        match &self.batch {
            Batch::Source(batch) => reject.with_record(&batch.origin(row).record),
            Batch::Splitter(batch) => reject.with_record(&record_of(&batch.slice(row, 1))),
        }
    }

    /// Returns `reject` with the origin of the row's record: object and position, or shard and number.
    ///
    /// # Panics
    /// Panics when the batch has no such row.
    pub fn locate(&self, row: usize, reject: Reject) -> Reject {
        match &self.batch {
            Batch::Source(batch) => {
                let origin = batch.origin(row);
                reject.at(origin.object, origin.at)
            }
            Batch::Splitter(_) => reject.of_shard(self.shard, self.number(row)),
        }
    }
}
