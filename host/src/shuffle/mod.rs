//! The shuffle: brings the rows of one key together, in order, whatever shard they come from.
//!
//! A map attempt pushes its keyed batches into a [`ShuffleWriter`] and gets one run file: a complete Arrow IPC file
//! of one or more sorted runs, with a [`RunIndex`] that says where each partition lies in each. In a run, batches are
//! ordered by (partition, key), rows of one key in the order they were pushed. A reduce attempt reads its partition of
//! every run ([`RunReader`]) and merges them ([`merge_all`]) to batches with group ends.
//!
//! ```text
//! push ─► SortBuffer ─► Combiner ─► run file                               nothing spilled
//!             │ full
//!             └─► Combiner ─► Spill ─► Merge ─► Combiner ─► run file       keys meet that were spilled apart
//!                               └─────────────────────────► run file       hardly any do: a sorted run for each spill
//! runs of all shards ─► RunReader ─► Merge ─► reducer
//! ```
//!
//! Everything here is synchronous and runs on worker threads. Nothing here knows plugins, nor
//! anything of stores but what their errors mean. The same batches
//! and settings give the same bytes: where it spills depends on nothing else.

mod buffer;
mod chunk;
mod combine;
mod cut;
pub(crate) mod decode;
mod entry;
mod gather;
mod group;
mod keys;
mod merge;
mod read;
mod run_file;
mod sizes;
mod sort;
mod spill;
mod write;

#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;

pub use self::{
    keys::partition_of,
    merge::Merge,
    read::RunReader,
    run_file::{Block, PartitionIndex, RunIndex},
    spill::merge_all,
    write::{PARTITIONS_MAX, ShuffleSettings, ShuffleWriter},
};
use crate::error::Result;

/// About how many bytes the batches of run files and merges have; only a single row makes one much larger.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Batches ordered by key, read one after another; ends after the first error.
pub type SortedRun = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Rows ordered by key, and where each key ends.
#[derive(Debug, Clone)]
pub struct SortedGroups {
    /// The rows, at least one.
    pub batch: RecordBatch,
    /// One item per key in the batch: the row after its last row here. The last item is the number of rows.
    pub group_ends: Vec<u32>,
    /// Whether the last key goes on as the first of the next batch.
    pub last_group_continues: bool,
}

/// Folds the rows of each key of a map attempt before they are shuffled.
///
/// May return fewer rows than it was given, later, but in the same schema and in the order in which it was given
/// their keys. That order is by partition first, so it is not the keys' own.
pub trait Combiner: Send {
    /// Takes the next rows, as [`SortedGroups`] has them, and returns what is ready.
    ///
    /// # Errors
    /// Whatever the combiner says; the attempt ends.
    fn process(
        &mut self,
        batch: &RecordBatch,
        group_ends: &[u32],
        last_group_continues: bool,
    ) -> Result<Vec<RecordBatch>>;

    /// Returns what is left. Called once, last.
    ///
    /// # Errors
    /// Whatever the combiner says; the attempt ends.
    fn finish(&mut self) -> Result<Vec<RecordBatch>>;
}

/// Makes a fresh combiner. Called once for each sorted run, and for rows that are combined before.
pub type NewCombiner = Box<dyn FnMut() -> Result<Box<dyn Combiner>> + Send>;
