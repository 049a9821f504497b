//! Runs that have a plan and are not complete: which there are, and which of them can be resumed.

use etl_core::model::error::{Error, Result};
use etl_store::Store;
use futures::{StreamExt, TryStreamExt};

use crate::run_store::{
    document::unseal,
    layout::RunLayout,
    plan::Plan,
    recipe::{Recipe, changed},
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
        Ok::<_, Error>(unseal(&layout.plan(), &plan).ok().map(|plan| Unfinished { run_id, plan }))
    };
    let looks = futures::stream::iter(ids.into_iter().rev().take(max)).map(look).buffer_unordered(READS_IN_FLIGHT);
    let mut found: Vec<Unfinished> = looks.try_filter_map(|run| std::future::ready(Ok(run))).try_collect().await?;
    found.sort_unstable_by_key(|run| std::cmp::Reverse(run.plan.planned_at_ms));
    Ok(found)
}

/// The most runs that cannot be resumed that are named.
const OTHERS_NAMED_MAX: usize = 3;

/// Returns the id of the newest unfinished run of a pipeline that can be finished with `recipe` and the source of
/// digest `listing`; `None` when there is none. Also returns, in words, newer runs that cannot be finished so, and why.
///
/// # Errors
/// When the store fails.
pub async fn newest(
    store: &Store,
    pipeline: &str,
    (recipe, listing): (&Recipe, &str),
) -> Result<(Option<String>, Vec<String>)> {
    let mut others = Vec::new();
    for run in unfinished(store, pipeline, usize::MAX).await? {
        let mut changed = changed(&run.plan.recipe, recipe);
        changed.extend((run.plan.listing != listing).then(|| "the source's objects".to_owned()));
        if changed.is_empty() {
            return Ok((Some(run.run_id), others));
        }
        if others.len() < OTHERS_NAMED_MAX {
            others.push(format!(
                "run `{}` is not complete and is not resumed, because what it was planned with has changed: {}",
                run.run_id,
                changed.join(", ")
            ));
        }
    }
    Ok((None, others))
}
