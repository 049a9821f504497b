//! The account of a run: everything that is known of it, which `show` prints and the report draws.
//!
//! Owns what an account holds. The module `reader` fills it from the run store.

use std::collections::BTreeMap;

use etl_core::model::{
    error::ErrorKind,
    event::{Counts, Invocation, Level, Stage},
    ids::{ShardId, TaskId, Try},
    reject::Rejected,
    usage::Usage,
};
use serde::Serialize;

use super::{
    Overview, RejectSamples, RunState,
    processes::{Ending, Process},
};
use crate::run_store::{left_out::LeftOut, manifest::Manifest, plan::Plan};

/// Everything that is known of a run.
#[derive(Debug, Default)]
pub struct Account {
    /// Name of the pipeline.
    pub pipeline: String,
    /// The words of the command line that told the newest process which pipeline to run.
    pub invocation: Invocation,
    /// The run at a glance.
    pub overview: Overview,
    /// Location of the run in the run store.
    pub run_store: String,
    /// The plan; absent when the run ended before it had one, or when this version cannot read it.
    pub plan: Option<Plan>,
    /// The manifest; absent when the run is not complete.
    pub manifest: Option<Manifest>,
    /// The processes that worked on the run, oldest first.
    pub processes: Vec<Process>,
    /// The account of each stage.
    pub stages: BTreeMap<Stage, StageAccount>,
    /// The attempts, in the order of their processes and then of their ends.
    pub attempts: Vec<PastAttempt>,
    /// Number of attempts that are not kept.
    pub attempts_left_out: u64,
    /// What the processes used, with their places in [`Account::processes`]. A process that was killed has left none.
    pub usages: Vec<(usize, Usage)>,
    /// Warnings of the host, and messages of plugins.
    pub messages: Vec<Message>,
    /// Number of messages that are not kept.
    pub messages_left_out: u64,
    /// Number of records that were set aside, by who set them aside; empty until the run is complete.
    pub rejected: Rejected,
    /// Some of these records.
    pub reject_samples: RejectSamples,
}

/// What a stage did, summed over all processes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageAccount {
    /// Number of tasks.
    pub tasks: u64,
    /// Number of committed tasks.
    pub committed: u64,
    /// Milliseconds that processes spent on the stage, summed over processes.
    pub duration_ms: u64,
    /// The sums over all committed tasks.
    pub counts: Counts,
    /// Number of attempts that failed and were followed by another.
    pub retries: u64,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct PastAttempt {
    /// The attempt's process, as a place in [`Account::processes`].
    pub process: usize,
    /// Stage of the task.
    pub stage: Stage,
    /// Number of the task, which is that of its first shard or of its partition.
    pub task: TaskId,
    /// Number of the try.
    pub number: Try,
    /// Start of the attempt in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Number of records read, number of bytes read, and microseconds spent in plugins.
    pub read: (u64, u64, u64),
    /// How the attempt ended.
    pub end: AttemptEnd,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// The attempt ended with the commit of its task.
    Committed,
    /// The attempt ended with an error.
    Failed {
        /// What the operator can do about the error.
        kind: ErrorKind,
        /// What went wrong; empty for failures beyond the first few hundred.
        error: String,
        /// What came after the attempt.
        then: Then,
        /// The shard at which the attempt failed, if its task has several and it is known.
        shard: Option<ShardId>,
    },
    /// The attempt was given up, because another attempt at its task was faster.
    Overtaken,
    /// No event tells how the attempt ended. Its process may have been killed, or may still be at work.
    Open,
}

/// What came after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Another attempt was started.
    Retry,
    /// Another attempt at the task was under way already.
    Other,
    /// Nothing: the task failed.
    Nothing,
}

/// A warning of the host, or a message of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Time of the message in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Severity of the message.
    pub level: Level,
    /// The step, and the number of the shard, or of a reducer's partition; absent for a warning of the host. A task may
    /// have several shards, so this is not the number of a task.
    pub from: Option<(String, u32)>,
    /// Text of the message.
    pub text: String,
}

impl Account {
    /// Returns the failures that ended their tasks, then those that did not.
    pub fn failures(&self) -> impl Iterator<Item = &PastAttempt> {
        let failed = |last: bool| {
            self.attempts.iter().filter(move |attempt| match attempt.end {
                AttemptEnd::Failed { then, .. } => (then == Then::Nothing) == last,
                _ => false,
            })
        };
        failed(true).chain(failed(false))
    }

    /// Returns the shards that failed and are left out of the result.
    pub fn left_out(&self) -> &[LeftOut] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.failed)
    }

    /// Returns the number of partitions; 0 when nothing is reduced, or the plan is not known.
    pub fn partitions(&self) -> u64 {
        let planned = self.plan.as_ref().map(Plan::partitions);
        self.manifest.as_ref().map(|manifest| manifest.partitions).or(planned).unwrap_or_default().into()
    }

    /// Returns the sums of the counts of all stages.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.stages.values().for_each(|stage| totals.add(&stage.counts));
        totals
    }

    /// Returns the error that the run ended with, if it failed.
    pub fn error(&self) -> Option<&str> {
        let last = self.processes.iter().max_by_key(|process| process.last_at_ms)?;
        match &last.ending {
            Some(Ending::Failed { error, .. }) if self.overview.state == RunState::Failed => Some(error),
            _ => None,
        }
    }
}
