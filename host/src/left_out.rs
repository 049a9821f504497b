//! What a run leaves out of its result, because a map task failed for good, and why.
//!
//! Owns what is kept of it. Whether the failure is tolerated is [`crate::failures`]'. It lies in the commit of the task
//! and in the manifest.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind},
    reject::REASON_BYTES_MAX,
    shards::TaskShards,
    source::Slice,
};

/// The most slices that are named; there may be thousands in a shard, and thousands of shards in a task.
const SLICES_MAX: usize = 16;

/// The shards of a map task that failed for good, and what is left out with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The first shard.
    pub shard: u32,
    /// How many shards, from the first one on.
    pub shards: u32,
    /// The one that failed, if they are several and it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_shard: Option<u32>,
    /// The first of their slices, up to 16; none of shards whose records a splitter made.
    pub slices: Vec<Slice>,
    /// How many slices there are besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_slices: u64,
    /// What kind of error the last attempt ended with.
    pub kind: ErrorKind,
    /// That error, cut like the reason of a reject.
    pub error: String,
}

impl LeftOut {
    /// Describes the failed task `shard`. `redact` takes secrets out of the error.
    pub fn new(shard: u32, of_task: &TaskShards, error: &Error, redact: impl Fn(&str) -> String) -> Self {
        let slices = || of_task.iter().flat_map(|(_, shard, _)| shard.slices());
        let text = redact(&error.to_string());
        Self {
            shard,
            shards: of_task.iter().map(|_| 1).sum(),
            failed_shard: error.shard(),
            slices: slices().take(SLICES_MAX).cloned().collect(),
            more_slices: slices().skip(SLICES_MAX).map(|_| 1).sum(),
            kind: error.kind(),
            error: text[..text.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
