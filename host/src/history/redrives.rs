//! Runs to redrive: which run left out shards, and under which id another one completes it.

use std::collections::{BTreeMap, BTreeSet};

use etl_core::model::{
    error::{Error, Result},
    ids::{check_run_id, redrive_id},
};
use etl_store::Store;
use futures::{StreamExt, TryStreamExt};

use crate::{
    history::unfinished::{Unfinished, unfinished},
    run_store::{
        layout::RunLayout,
        manifest::Manifest,
        plan::{Plan, Planned, Redrives},
        recipe::{Recipe, is_same},
    },
};

/// How many runs are looked at at the same time.
const REQUESTS_IN_FLIGHT: usize = 32;

/// The outcome of looking for a run to redrive.
pub enum Redrivable {
    /// The run with this id left out no shards, so there is nothing to redrive.
    Nothing(String),
    /// A run left out shards. The run `redrive`, which may have begun already, completes it.
    Incomplete {
        /// The id of the redrive.
        redrive: String,
        /// The id of the run that the redrive completes.
        run_id: String,
        /// The plan of the run that the redrive completes.
        base: Planned,
    },
}

/// Finds the run to complete: `run_id`, or the newest run that has ended. The redrive is that run's first existing
/// redrive planned with the same recipe, or otherwise a new one; so a redrive that did not help does not block the
/// next one.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there is no such run, or the run has not
/// ended; or when the store fails.
pub async fn find(store: &Store, pipeline: &str, run_id: Option<&str>, recipe: &Recipe) -> Result<Redrivable> {
    let (run_id, base) = base(store, pipeline, run_id).await?;
    let layout = RunLayout::new(pipeline, &run_id);
    let manifest = Manifest::read(store, &layout)
        .await?
        .ok_or_else(|| Error::config(format!("run `{run_id}` has not ended: finish it first, without `--redrive`")))?;
    if manifest.failed.is_empty() {
        return Ok(Redrivable::Nothing(run_id));
    }
    let (origin, number) = lineage(&run_id, &base.plan);
    let mut number = number + 1;
    loop {
        let redrive = redrive_id(origin, number);
        match Planned::load(store, &RunLayout::new(pipeline, &redrive)).await? {
            Some(other) if !is_same(&other.plan.recipe, recipe) || !other.plan.completes(&run_id) => number += 1,
            _ => return Ok(Redrivable::Incomplete { redrive, run_id, base }),
        }
    }
}

/// Returns the run to complete, with its plan: `run_id`, or the newest run that has ended.
///
/// # Errors
/// As [`find`].
pub async fn base(store: &Store, pipeline: &str, run_id: Option<&str>) -> Result<(String, Planned)> {
    let run_id = match run_id {
        Some(run_id) => run_id.to_owned(),
        None => newest_ended(store, pipeline).await?.ok_or_else(|| {
            Error::config(format!("there is nothing to redrive: no run of pipeline `{pipeline}` has ended yet"))
        })?,
    };
    check_run_id(&run_id)?;
    let planned = Planned::load(store, &RunLayout::new(pipeline, &run_id)).await?;
    let planned =
        planned.ok_or_else(|| Error::config(format!("there is no run `{run_id}` of pipeline `{pipeline}`")))?;
    Ok((run_id, planned))
}

/// Returns the id of the run that made this run's shards, and this run's number among the redrives of that run; 0 when
/// this run is no redrive.
fn lineage<'a>(run_id: &'a str, plan: &'a Plan) -> (&'a str, u32) {
    let Some(Redrives { shards_of, .. }) = &plan.redrives else { return (run_id, 0) };
    let number = run_id.strip_prefix(shards_of.as_str()).and_then(|rest| rest.strip_prefix("-redrive-")?.parse().ok());
    (shards_of, number.unwrap_or_default())
}

/// Returns the id of the pipeline's run that was planned last, among the runs that have ended. A run and its redrives
/// share the time of the plan; among these, the last redrive counts.
async fn newest_ended(store: &Store, pipeline: &str) -> Result<Option<String>> {
    let look = |run_id: String| async move {
        let layout = RunLayout::new(pipeline, &run_id);
        if !store.exists(&layout.success()).await? {
            return Ok(None);
        }
        let Some(Planned { plan, .. }) = Planned::load(store, &layout).await? else { return Ok(None) };
        let age = (plan.planned_at_ms, lineage(&run_id, &plan).1);
        Ok::<_, Error>(Some((age, run_id)))
    };
    let ids = store.list_prefixes(RunLayout::runs(pipeline)).await?;
    let looks = futures::stream::iter(ids).map(look).buffer_unordered(REQUESTS_IN_FLIGHT);
    let ended: Vec<_> = looks.try_filter_map(|run| std::future::ready(Ok(run))).try_collect().await?;
    Ok(ended.into_iter().max().map(|(_, run_id)| run_id))
}

/// Returns the runs that redrives have completed, so that nothing of them is left out any more.
///
/// # Errors
/// Fails when the store fails.
pub async fn redriven(store: &Store, pipeline: &str) -> Result<BTreeSet<String>> {
    let ids = store.list_prefixes(RunLayout::runs(pipeline)).await?;
    let look = |run_id: String| async move {
        let manifest = Manifest::read(store, &RunLayout::new(pipeline, &run_id)).await.ok().flatten();
        Ok::<_, Error>(manifest.map(|manifest| (run_id, manifest)))
    };
    let redrives = ids.into_iter().filter(|run_id| run_id.contains("-redrive-"));
    let looks = futures::stream::iter(redrives).map(look).buffer_unordered(REQUESTS_IN_FLIGHT);
    let redrives: BTreeMap<String, Manifest> =
        looks.try_filter_map(|run| std::future::ready(Ok(run))).try_collect().await?;
    let mut redriven = BTreeSet::new();
    for whole in redrives.values().filter(|manifest| manifest.failed.is_empty()) {
        let mut next = whole.redrives.as_ref();
        while let Some(run_id) = next {
            redriven.insert(run_id.clone());
            next = redrives.get(run_id).and_then(|manifest| manifest.redrives.as_ref());
        }
    }
    Ok(redriven)
}

/// Returns the runs whose shards, commits, shuffle files or parts are still read by unfinished redrives. The keys are
/// the ids of these runs; each value is the id of one redrive that reads the run.
///
/// # Errors
/// Fails when the store fails.
pub async fn still_read(store: &Store, pipeline: &str) -> Result<BTreeMap<String, String>> {
    let mut read = BTreeMap::new();
    for Unfinished { run_id, plan } in unfinished(store, pipeline, usize::MAX).await? {
        let mut next = plan.redrives;
        // The files that a redrive took over may lie in any run of the chain before it.
        while let Some(Redrives { run_id: theirs, shards_of, .. }) = next {
            let before = Planned::load(store, &RunLayout::new(pipeline, &theirs)).await?;
            next = before.and_then(|before| before.plan.redrives.clone());
            read.extend([theirs, shards_of].map(|theirs| (theirs, run_id.clone())));
        }
    }
    Ok(read)
}
