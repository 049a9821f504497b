//! Runs that have a plan and are not complete: which there are, and which of them can be resumed.

use etl_core::model::error::{Error, Result};
use etl_store::Store;
use futures::{StreamExt, TryStreamExt};

use crate::run_store::{
    document::from_json,
    layout::RunLayout,
    plan::Plan,
    recipe::{Recipe, cannot_go_on, changed, is_same},
};

/// The most runs that are looked at at the same time.
const READS_IN_FLIGHT: usize = 32;

/// A run that has a plan and is not complete. Another process may be working on it.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The run's id.
    pub run_id: String,
    /// The run's plan.
    pub plan: Plan,
}

/// Returns the unfinished runs of a pipeline, newest plan first, among the `max` runs whose ids sort last. Leaves out
/// runs whose plan this version of the host cannot parse.
///
/// # Errors
/// Fails when the store fails.
pub async fn unfinished(store: &Store, pipeline: &str, max: usize) -> Result<Vec<Unfinished>> {
    let ids = store.list_prefixes(RunLayout::runs(pipeline)).await?;
    let look = |run_id: String| async move {
        let layout = RunLayout::new(pipeline, &run_id);
        // Most runs are complete, so ask for `_SUCCESS` first: that makes it one request for each of them.
        if store.exists(&layout.success()).await? {
            return Ok(None);
        }
        let Some(plan) = store.get(&layout.plan()).await? else { return Ok(None) };
        Ok::<_, Error>(from_json(&layout.plan(), &plan).ok().map(|plan| Unfinished { run_id, plan }))
    };
    let looks = futures::stream::iter(ids.into_iter().rev().take(max)).map(look).buffer_unordered(READS_IN_FLIGHT);
    let mut found: Vec<Unfinished> = looks.try_filter_map(|run| std::future::ready(Ok(run))).try_collect().await?;
    found.sort_unstable_by_key(|run| std::cmp::Reverse(run.plan.planned_at_ms));
    Ok(found)
}

/// Returns the id of the newest unfinished run of a pipeline that `recipe` can finish; `None` when all are complete.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there are unfinished runs but none of this
/// recipe, naming what has changed since the newest of them was planned; or when the store fails.
pub async fn newest(store: &Store, pipeline: &str, recipe: &Recipe) -> Result<Option<String>> {
    let runs = unfinished(store, pipeline, usize::MAX).await?;
    if let Some(run) = runs.iter().find(|run| is_same(&run.plan.recipe, recipe)) {
        return Ok(Some(run.run_id.clone()));
    }
    match runs.first() {
        None => Ok(None),
        Some(run) => Err(cannot_go_on(&changed(&run.plan.recipe, recipe)).context(format!("run `{}`", run.run_id))),
    }
}
