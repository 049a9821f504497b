//! The shuffle: brings the rows of one key together, in order, from all shards.
//!
//! A map attempt pushes its keyed batches into a [`ShuffleWriter`] and gets one shuffle file: a complete Arrow IPC file
//! of one or more sorted runs, with a [`ShuffleIndex`] that says where each partition lies in each sorted run. Within a
//! sorted run, batches are ordered by (partition, key), and rows of one key keep the order in which they were pushed. A
//! reduce attempt reads its partition of every shuffle file ([`ShuffleReader`]) and merges the sorted runs
//! ([`merge_all`]) into batches with group ends.
//!
//! ```text
//! push ─► SortBuffer ─► Combiner ─► shuffle file                             nothing was spilled
//!             │ full
//!             └─► Combiner ─► Spill ─► Merge ─► Combiner ─► shuffle file     the merge brings keys together
//!                               └─────────────────────────► shuffle file     it hardly does: one sorted run per spill
//! sorted runs of all shards ─► ShuffleReader ─► Merge ─► reducer
//! ```
//!
//! Everything here is synchronous and runs on worker threads. The module does not know plugins, and it knows stores
//! only by what their errors mean. The same batches and settings give the same bytes, because the points at which rows
//! are spilled depend on nothing else.

mod buffer;
mod chunk;
mod cut;
pub mod decode;
mod entry;
mod fan_in;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod gather;
mod group;
pub mod index;
mod keys;
mod merge;
mod output;
mod reader;
mod sort;
mod spill;
mod writer;

#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;

pub use self::{
    fan_in::{FanIn, merged_bytes},
    file::{Block, PartitionIndex, ShuffleIndex},
    keys::partition_of,
    merge::Merge,
    reader::ShuffleReader,
    spill::{SizedRun, merge_all},
    writer::{PARTITIONS_MAX, ShuffleSettings, ShuffleWriter},
};
use etl_core::model::error::Result;

/// Approximate size in bytes of the batches in shuffle files and merges. A batch is much larger only if a single row
/// is.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Batches ordered by key, read one after another. Ends after the first error.
pub type SortedRun = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Rows ordered by key, with the end of each key's rows.
#[derive(Debug, Clone)]
pub struct SortedGroups {
    /// Rows of the batch, at least one.
    pub batch: RecordBatch,
    /// One item per key in the batch: the index behind its last row here. The last item equals the number of rows.
    pub group_ends: Vec<u32>,
    /// Whether rows of the last key continue at the start of the next batch.
    pub last_group_continues: bool,
}

/// Folds the rows of each key of a map attempt before they are shuffled.
///
/// A combiner may return fewer rows than it was given, and may return them later. It must return them in the same
/// schema and in the order in which it was given their keys. That order is by partition first, so it differs from the
/// order of the keys alone.
pub trait Combiner: Send {
    /// Takes the next rows, laid out as in [`SortedGroups`], and returns the rows that are ready.
    ///
    /// # Errors
    /// Any error of the combiner. It ends the attempt.
    fn process(
        &mut self,
        batch: &RecordBatch,
        group_ends: &[u32],
        last_group_continues: bool,
    ) -> Result<Vec<RecordBatch>>;

    /// Returns the remaining rows. Called once, as the last call.
    ///
    /// # Errors
    /// Any error of the combiner. It ends the attempt.
    fn finish(&mut self) -> Result<Vec<RecordBatch>>;
}

/// Creates a new combiner. Called once for each sorted run, and once for each block of rows that is combined on
/// arrival.
pub type NewCombiner = Box<dyn FnMut() -> Result<Box<dyn Combiner>> + Send>;
