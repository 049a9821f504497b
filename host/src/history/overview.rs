//! The overview of a run, which a line of `etl-host runs` shows.

use etl_core::model::error::Result;
use etl_store::Store;
use serde::Serialize;

use super::{
    RunId,
    processes::{Ending, Process, processes},
    read_plan,
};
use crate::run_store::{layout::RunLayout, manifest::Manifest};

/// The state of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The result is complete.
    Complete,
    /// The result is complete except for shards that failed, as `run.tolerated_failures` allows.
    CompleteWithFailures,
    /// The run is under way, or its last process was killed before it could write down how it ended.
    #[default]
    Unfinished,
    /// The run ended with an error.
    Failed,
    /// The run was stopped by a signal.
    Interrupted,
}

impl RunState {
    /// Returns the name of the state as it is shown.
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

    /// Returns the state of a run from its manifest, if it has one, and otherwise from the process that wrote the last
    /// event.
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

/// A run at a glance. A value that is absent is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Overview {
    /// Id of the run.
    pub run_id: String,
    /// State of the run.
    pub state: RunState,
    /// Start of the run in milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// Time of the last event in milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
    /// Milliseconds during which at least one process was at work on the run.
    pub duration_ms: Option<u64>,
    /// Number of shards.
    pub shards: Option<u64>,
    /// Number of failed shards that are left out of the result; known when the run is complete.
    pub failed_shards: Option<u64>,
    /// Number of records that were set aside; known when the run is complete.
    pub rejects: Option<u64>,
    /// Location of the result; known when the run is complete.
    pub result: Option<String>,
}

impl Overview {
    /// Reads the overview of a run. Takes a few requests, and reads only the end of each event log.
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

    /// Creates an overview from what is known. The number of shards is that of the manifest.
    pub(super) fn of(run_id: &str, manifest: Option<&Manifest>, processes: &[Process]) -> Self {
        Self {
            run_id: run_id.to_owned(),
            state: RunState::of(manifest, processes),
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

/// Returns the milliseconds during which at least one process was at work.
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
