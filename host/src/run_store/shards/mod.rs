//! The shards of a run: what they are, which of them make a task, and the pages they are kept in.
//!
//! A run may have millions of shards, so shards are written to pages as they are made, and read back a page at a time.
//! Memory holds only a few pages at most, and a number for each task. Written by the split, read by map tasks.

mod pages;
pub mod records;
mod table;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::{
    pages::{ShardReader, ShardWriter, TaskShards},
    table::ShardTable,
};
use etl_core::model::object::{Object, Slice};

/// The unit of map work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shard {
    /// Slices of source objects, in order.
    Slices(Vec<Slice>),
    /// Records that the splitter made.
    Records {
        /// Key of the Arrow IPC file that holds the records, below the run store.
        key: String,
        /// Number of records.
        rows: u64,
        /// Size of the file in bytes.
        bytes: u64,
    },
}

impl Shard {
    /// Returns the number of bytes that mapping the shard reads.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Slices(slices) => slices.iter().map(|slice| slice.length).sum(),
            Self::Records { bytes, .. } => *bytes,
        }
    }

    /// Returns the slices that the shard is made of; empty if the splitter made its records.
    pub fn slices(&self) -> &[Slice] {
        match self {
            Self::Slices(slices) => slices,
            Self::Records { .. } => &[],
        }
    }
}

/// A page: some neighbouring shards, and the source objects that their slices are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPage {
    /// The source objects, sorted by name.
    pub objects: Vec<Object>,
    /// The shards, in order.
    pub shards: Vec<Shard>,
}

/// A range of shards by number.
type Numbers = Range<u32>;
