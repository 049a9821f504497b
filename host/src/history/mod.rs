//! The history of a pipeline's runs, as the run store holds it.
//!
//! Owns how a run's past is read back: at a glance ([`Overview`]), and in full ([`Account`]). Reads plans, manifests,
//! commits and events, and writes nothing. Called by `runs`, `show`, `status`, `clean` and `report`, and by a run that ends.

mod account;
pub mod clean;
mod overview;
mod processes;
mod progress;
mod reader;
pub mod redrives;
mod rejects;
#[cfg(test)]
mod tests;
pub mod unfinished;

use std::{cmp::Reverse, time::UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt};

pub use self::{
    account::{Account, AttemptEnd, Message, PastAttempt, StageAccount, Then},
    overview::{Overview, RunState},
    processes::{Ending, Process},
    progress::{PlannedWork, Progress, StageProgress},
    rejects::RejectSamples,
};
use etl_core::{
    model::{
        error::{Error, Result},
        ids::check_run_id,
    },
    text::nearest::listed,
};
use etl_store::Store;

use crate::run_store::{document::unseal, layout::RunLayout, plan::Plan};

/// Number of runs, or commits of one run, that are read at the same time.
const READS_IN_FLIGHT: usize = 16;

/// A run, and the time it was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId {
    /// Id of the run.
    pub id: String,
    /// Start of the run in milliseconds since the Unix epoch; absent when it never got a plan.
    pub planned_at_ms: Option<u64>,
}

/// Returns all runs of a pipeline, newest first. Takes one listing, and one read for each run whose id was chosen by
/// hand; all other ids begin with the time.
///
/// # Errors
/// When the store fails.
pub async fn run_ids(store: &Store, pipeline: &str) -> Result<Vec<RunId>> {
    let ids = store.list_prefixes(RunLayout::runs(pipeline)).await?;
    let dated = futures::stream::iter(ids).map(|id| async move {
        let planned_at_ms = match time_of_id(&id) {
            Some(time) => Some(time),
            None => read_plan(store, &RunLayout::new(pipeline, &id)).await?.map(|plan| plan.planned_at_ms),
        };
        Ok::<_, Error>(RunId { id, planned_at_ms })
    });
    let mut runs: Vec<RunId> = dated.buffer_unordered(READS_IN_FLIGHT).try_collect().await?;
    runs.sort_unstable_by(|a, b| {
        (Reverse(a.planned_at_ms), Reverse(&a.id)).cmp(&(Reverse(b.planned_at_ms), Reverse(&b.id)))
    });
    Ok(runs)
}

/// Returns the id of the run that `run_id` names, or without a `run_id` that of the newest run.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there is no such run, naming some that there
/// are.
pub async fn find(store: &Store, pipeline: &str, run_id: Option<&str>) -> Result<String> {
    let runs = run_ids(store, pipeline).await?;
    let Some(newest) = runs.first() else {
        return Err(Error::config(format!("there are no runs of `{pipeline}` in run store `{}`", store.name())));
    };
    let Some(run_id) = run_id else { return Ok(newest.id.clone()) };
    check_run_id(run_id)?;
    if runs.iter().any(|run| run.id == run_id) {
        return Ok(run_id.to_owned());
    }
    Err(Error::config(format!(
        "there is no run `{run_id}` of `{pipeline}` in run store `{}` (the newest: {})",
        store.name(),
        listed(runs.iter().take(3).map(|run| &run.id))
    )))
}

/// Returns the overviews of these runs, in the same order.
///
/// # Errors
/// When the store fails, or a manifest is damaged.
pub async fn overviews(store: &Store, pipeline: &str, runs: &[RunId]) -> Result<Vec<Overview>> {
    let read = runs.iter().cloned().map(|run| async move { Overview::read(store, pipeline, &run).await });
    futures::stream::iter(read).buffered(READS_IN_FLIGHT).try_collect().await
}

/// Reads the plan of a run. Returns `None` if the run has no plan, or one that this version cannot read.
async fn read_plan(store: &Store, layout: &RunLayout) -> Result<Option<Plan>> {
    let plan = store.get(&layout.plan()).await?;
    Ok(plan.and_then(|plan| unseal(&layout.plan(), &plan).ok()))
}

/// Returns the time that a run's id begins with, in milliseconds since the Unix epoch: `20261122T163000Z-5f3a90c2`.
fn time_of_id(id: &str) -> Option<u64> {
    let (time, _) = id.split_once('-')?;
    let (date, time) = time.split_once('T')?;
    if date.len() != 8 || time.len() != 7 || !id.is_ascii() {
        return None;
    }
    let written =
        format!("{}-{}-{}T{}:{}:{}", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..]);
    let time = humantime::parse_rfc3339(&written).ok()?;
    time.duration_since(UNIX_EPOCH).ok()?.as_millis().try_into().ok()
}
