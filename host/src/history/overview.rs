//! A run at a glance: what a line of `etl-host runs` says.

use serde::Serialize;

use super::{
    RunId,
    processes::{Ending, Process, processes},
    read_plan,
};
use crate::{error::Result, layout::RunLayout, manifest::Manifest, store::Store};

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its result is complete.
    Complete,
    /// Its result is complete but for shards that failed, as `run.tolerated_failures` allows.
    CompleteWithFailures,
    /// It is under way, or was killed: nobody wrote down how it ended.
    #[default]
    Unfinished,
    /// It ended with an error.
    Failed,
    /// It was stopped by a signal.
    Interrupted,
}

impl State {
    /// Returns its name, as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CompleteWithFailures => "complete with failures",
            Self::Unfinished => "unfinished",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// Returns whether the result is there.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Complete | Self::CompleteWithFailures)
    }

    /// Returns the state of a run with this manifest, if it is complete, and these processes: the last one to say
    /// something knows.
    pub(super) fn of(manifest: Option<&Manifest>, processes: &[Process]) -> Self {
        if let Some(manifest) = manifest {
            return if manifest.failed.is_empty() { Self::Complete } else { Self::CompleteWithFailures };
        }
        let last = processes.iter().max_by_key(|process| process.last_at_ms);
        match last.and_then(|process| process.ending.as_ref()) {
            Some(Ending::Interrupted) => Self::Interrupted,
            Some(Ending::Failed { .. }) => Self::Failed,
            Some(Ending::Finished) | None => Self::Unfinished,
        }
    }
}

/// A run at a glance. What is absent is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Overview {
    /// Its id.
    pub run_id: String,
    /// How far it is.
    pub state: State,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// When the last thing happened, likewise.
    pub ended_at_ms: Option<u64>,
    /// How long a process was at it, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Its shards.
    pub shards: Option<u64>,
    /// The shards that failed and are left out of its result; known when it is complete.
    pub failed_shards: Option<u64>,
    /// The records it set aside; known when it is complete.
    pub rejects: Option<u64>,
    /// Where its result lies; known when it is complete.
    pub result: Option<String>,
}

impl Overview {
    /// Reads a run at a glance: a few requests, and of each event log its end only.
    ///
    /// # Errors
    /// When the store fails, or the manifest is damaged.
    pub async fn read(store: &Store, pipeline: &str, run: &RunId) -> Result<Self> {
        let layout = RunLayout::new(pipeline, &run.id);
        let processes = processes(store, &layout).await?;
        let manifest = Manifest::read(store, &layout).await?;
        let mut overview = Self::of(&run.id, manifest.as_ref(), &processes);
        overview.started_at_ms = overview.started_at_ms.or(run.planned_at_ms);
        if manifest.is_none() {
            overview.shards = read_plan(store, &layout).await?.map(|plan| plan.shards.shards().into());
        }
        Ok(overview)
    }

    /// Puts together what is known. Shards are those of the manifest.
    pub(super) fn of(run_id: &str, manifest: Option<&Manifest>, processes: &[Process]) -> Self {
        Self {
            run_id: run_id.to_owned(),
            state: State::of(manifest, processes),
            started_at_ms: processes.iter().map(|process| process.started_at_ms).min(),
            ended_at_ms: processes.iter().map(|process| process.last_at_ms).max(),
            duration_ms: worked_ms(processes),
            shards: manifest.map(|manifest| manifest.shards),
            failed_shards: manifest.map(Manifest::failed_shards),
            rejects: manifest.map(|manifest| manifest.rejected.values().sum()),
            result: manifest.map(|manifest| manifest.result.clone()),
        }
    }
}

/// Returns how long at least one process was at work.
fn worked_ms(processes: &[Process]) -> Option<u64> {
    let mut spans: Vec<(u64, u64)> =
        processes.iter().map(|process| (process.started_at_ms, process.last_at_ms)).collect();
    spans.sort_unstable();
    let (mut worked_ms, mut until_ms) = (0, 0);
    for (from_ms, to_ms) in &spans {
        worked_ms += to_ms.saturating_sub(until_ms.max(*from_ms));
        until_ms = until_ms.max(*to_ms);
    }
    (!spans.is_empty()).then_some(worked_ms)
}
