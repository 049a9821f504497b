//! The resources that a process uses: requests to stores, memory, processor time. They tell what a run costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The usage of a process, from its start until now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The requests to each store, by its role: `source`, `run store`, `sink`.
    pub stores: BTreeMap<String, Traffic>,
    /// The most memory that the process held, in bytes; absent where the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// The processor time of all threads of the process, in milliseconds; absent where the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_ms: Option<u64>,
}

/// The requests to a store. A request that the client itself repeats counts once, and so do all pages of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Number of requests that read an object, a part of it, or its metadata.
    pub reads: u64,
    /// Number of requests that write an object, or a part of one.
    pub writes: u64,
    /// Number of listings.
    pub lists: u64,
    /// Number of objects deleted.
    pub deletes: u64,
    /// Number of objects copied or renamed.
    pub copies: u64,
    /// Number of bytes of objects that were asked for.
    pub read_bytes: u64,
    /// Number of bytes of objects that were written.
    pub written_bytes: u64,
}

impl Traffic {
    /// Adds the counts of `other` to these.
    pub fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.lists += other.lists;
        self.deletes += other.deletes;
        self.copies += other.copies;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> u64 {
        self.reads + self.writes + self.lists + self.deletes + self.copies
    }
}
