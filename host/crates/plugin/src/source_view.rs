//! The source as a splitter sees it, and the shards that a splitter hands back.
//!
//! Owns the types through which a splitter's host functions reach the source without knowing a store. `task` implements
//! [`SourceView`]; `imports` calls it.

use arrow_array::RecordBatch;
use etl_core::model::{
    error::{Error, Result},
    object::Slice,
    schema::Schema,
};

/// A splitter's view of the source. Its methods are called on a worker thread and may block.
pub trait SourceView: Send {
    /// Returns up to `max` objects after the one named `after`, sorted by name. Each comes with its name, its size in
    /// bytes, and whether it is splittable.
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)>;

    /// Returns `length` bytes of an object from `offset`, and fewer only at the object's end.
    ///
    /// # Errors
    /// The reason why the read failed, which the plugin receives.
    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError>;

    /// Adds the next shard.
    ///
    /// # Errors
    /// Fails when the shard is not valid for this source. The error ends the split.
    fn add(&mut self, shard: DraftShard) -> Result<()>;
}

/// Reason why a splitter's read failed.
#[derive(Debug)]
pub enum ReadError {
    /// The source has no such object.
    NoSuchObject,
    /// The offset is past the object's end.
    OutOfRange,
    /// The store failed.
    Store(Error),
}

/// A shard as the splitter handed it over. The objects and ranges that it names are not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub enum DraftShard {
    /// Slices of objects.
    Slices(Vec<Slice>),
    /// Records the splitter made, in the source's schema.
    Records(RecordBatch),
}

impl DraftShard {
    /// Returns the least memory that the shard takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Slices(slices) => slices.iter().map(|slice| size_of::<Slice>() + slice.object.len()).sum(),
            Self::Records(batch) => batch.get_array_memory_size(),
        };
        (size_of::<Self>() + bytes) as u64
    }

    /// Returns the number of records that the splitter made for the shard.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Slices(_) => 0,
            Self::Records(batch) => batch.num_rows() as u64,
        }
    }
}

/// The part of an instance's state that only splitters have.
pub(super) struct Splitting {
    pub(super) view: Box<dyn SourceView>,
    pub(super) records: Schema,
}
