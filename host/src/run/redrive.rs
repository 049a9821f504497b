//! Redriving: a run that completes another run, which left out shards that failed.
//!
//! A redrive is a run of its own, `<run-id>-redrive-1`, with a plan and a result of its own, so neither result is ever
//! seen half done. Its plan has the shards of the run it completes. A redrive takes over the map commits of that run,
//! maps the shards that failed, and reduces all partitions. Owns which run is completed, the id of the redrive, and
//! taking over commits. Called by the run.

use std::collections::BTreeSet;

use etl_core::{
    model::{error::Result, event::Stage, ids::TaskId},
    runtime::fail_point,
};
use etl_store::Store;
use futures::TryStreamExt;

use crate::{
    run_store::{
        commit::{Commit, Output},
        document::to_json,
        plan::Redrives,
    },
    task::context::Layouts,
};

/// The most runs that are looked at, or commits that are taken over, at the same time.
const REQUESTS_IN_FLIGHT: usize = 32;

/// Takes over the map commits of the run that is completed, as commits of this run. Shuffle files stay where they are;
/// parts of a map-only pipeline are copied. Commits that were taken over before are left alone, so taking over may be
/// repeated, and done by several processes.
///
/// # Errors
/// Fails when a store fails, or a part of the other run's result is gone.
pub(super) async fn take_over(run_store: &Store, layouts: &Layouts, of: &Redrives) -> Result<()> {
    let theirs = layouts.run.of_run(&of.run_id);
    let ours = run_store.list_keys(&layouts.run.commits(Stage::Map)).await?;
    let ours: BTreeSet<String> = ours.into_iter().collect();
    // A shuffle file that proved to be damaged is not taken over again.
    let is_new =
        |task| !ours.contains(&layouts.run.commit(Stage::Map, task)) && !ours.contains(&layouts.run.taken_back(task));
    let commits = Commit::read_all(run_store, &theirs, Stage::Map);
    let take = |(task, commit): (TaskId, Commit)| take_one(run_store, layouts, of, task, commit);
    commits
        .try_filter(|(task, commit)| std::future::ready(is_new(*task) && !matches!(commit.output, Output::LeftOut(_))))
        .try_for_each_concurrent(REQUESTS_IN_FLIGHT, take)
        .await
}

async fn take_one(run_store: &Store, layouts: &Layouts, of: &Redrives, task: TaskId, commit: Commit) -> Result<()> {
    if let Output::Part(part) = &commit.output {
        layouts.result.take_over(&of.run_id, part.part, &commit.attempt).await?;
    }
    fail_point::reach("redrive.take");
    // If another process created it first, it copied the same commit.
    run_store.create(&layouts.run.commit(Stage::Map, task), to_json(&commit)?).await.map(drop)
}
