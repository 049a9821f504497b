//! Shards that a run leaves out of its result because their map task failed for good, and the reason.
//!
//! Owns the description of such a failure, which is stored in the commit of the task and in the manifest.
//! `run::failures` decides whether a failure is tolerated.

use etl_core::model::{
    error::{Error, ErrorKind},
    ids::{ShardId, TaskId},
    object::Slice,
    reject::REASON_BYTES_MAX,
};
use serde::{Deserialize, Serialize};

use crate::run_store::shards::TaskShards;

/// The most slices that are named. A shard may have thousands of slices, and a task thousands of shards.
const SLICES_MAX: usize = 16;

/// The shards of a map task that failed for good, and what is left out with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Number of the first shard.
    pub shard: ShardId,
    /// Number of shards, from the first one on.
    pub shards: u32,
    /// Number of the shard that failed; absent when there is only one shard, or when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_shard: Option<ShardId>,
    /// The first slices of the shards, up to 16. Shards whose records a splitter made have none.
    pub slices: Vec<Slice>,
    /// Number of further slices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_slices: u64,
    /// Kind of the error that the last attempt ended with.
    pub kind: ErrorKind,
    /// Text of that error, cut to the length of a reject's reason.
    pub error: String,
}

impl LeftOut {
    /// Describes the failed `task`. `redact` takes secrets out of the error.
    pub fn new(task: TaskId, of_task: &TaskShards, error: &Error, redact: impl Fn(&str) -> String) -> Self {
        let slices = || of_task.iter().flat_map(|(_, shard, _)| shard.slices());
        let text = redact(&error.to_string());
        Self {
            shard: task.shard(),
            shards: of_task.iter().map(|_| 1).sum(),
            failed_shard: error.shard(),
            slices: slices().take(SLICES_MAX).cloned().collect(),
            more_slices: slices().skip(SLICES_MAX).map(|_| 1).sum(),
            kind: error.kind(),
            error: text[..text.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
