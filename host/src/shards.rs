//! The shards of a run: what they are, which of them make a task, and the pages they are kept in.
//!
//! A run may have millions of shards, so they are written to pages as they are made, and read back a page at a time.
//! What is held in memory is a page or a few, and a number for each task. Written by the split, read by map tasks.

mod pages;
mod table;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::{
    pages::{ShardReader, ShardWriter, TaskShards},
    table::ShardTable,
};
use crate::source::{Object, Slice};

/// The unit of map work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shard {
    /// Slices of source objects, in order.
    Slices(Vec<Slice>),
    /// Records the splitter made.
    Records {
        /// The key of the Arrow IPC file that holds them, below the run store.
        key: String,
        /// How many.
        rows: u64,
        /// The file's size.
        bytes: u64,
    },
}

impl Shard {
    /// Returns how many bytes it has to read.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Slices(slices) => slices.iter().map(|slice| slice.length).sum(),
            Self::Records { bytes, .. } => *bytes,
        }
    }

    /// Returns the slices it is made of; none if the splitter made its records.
    pub fn slices(&self) -> &[Slice] {
        match self {
            Self::Slices(slices) => slices,
            Self::Records { .. } => &[],
        }
    }
}

/// Some neighbouring shards, and the source objects they are slices of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPage {
    /// Sorted by name.
    pub objects: Vec<Object>,
    /// In order.
    pub shards: Vec<Shard>,
}

/// Shards by number.
type Numbers = Range<u32>;
