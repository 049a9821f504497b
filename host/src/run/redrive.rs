//! Redriving: a run that completes another run, which left out shards that failed.
//!
//! A redrive is a run of its own, `<run-id>-redrive-1`, with a plan and a result of its own, so neither result is ever
//! seen half done. Its plan has the shards of the run it completes. A redrive takes over the map commits of that run,
//! maps the shards that failed, and reduces all partitions. Owns taking over commits. Called by the run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::Arc,
};

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::Stage,
        ids::{TaskId, Try},
    },
    runtime::{fail_point, threads},
};
use futures::{StreamExt, TryStreamExt};

use crate::{
    run_store::{
        commit::{Commit, Output, Part, Stored},
        document::seal,
        manifest::{Manifest, ManifestPart},
        plan::{Planned, Redrives},
        uploads::{Uploaded, note},
    },
    task::{context::RunContext, output::HashedPart},
};

/// The most commits that are taken over at the same time.
const REQUESTS_IN_FLIGHT: usize = 32;

/// Takes over the map commits of the run that is completed, as commits of this run. Shuffle files stay where they are;
/// parts of a map-only pipeline are written again. Commits that were taken over before are left alone, so taking over
/// may be repeated, and done by several processes. A task whose commit or part is damaged is not taken over, so it is
/// mapped again.
///
/// # Errors
/// Fails when a store fails.
pub(super) async fn take_over(context: &Arc<RunContext>, planned: &Planned, of: &Redrives) -> Result<()> {
    let run_store = &context.stores.run_store;
    let theirs = context.layouts.run.of_run(&of.run_id);
    let ours = run_store.list_keys(&planned.layout.commits(Stage::Map)).await?;
    let ours: BTreeSet<String> = ours.into_iter().collect();
    // Output that proved to be damaged is not taken over again.
    let is_new = |task| {
        !ours.contains(&planned.layout.commit(Stage::Map, task)) && !ours.contains(&planned.layout.taken_back(task))
    };
    let parts = match Manifest::read(run_store, &theirs).await? {
        Some(manifest) => manifest.parts.into_iter().map(|part| (part.part, part)).collect(),
        None => BTreeMap::new(),
    };
    let (of_plan, parts) = (theirs.of_plan(&of.plan), &parts);
    let commits = Commit::read_all(run_store, &of_plan, Stage::Map);
    commits
        .try_filter_map(|(task, stored)| std::future::ready(Ok(whole(stored).map(|commit| (task, commit)))))
        .try_filter(|(task, commit)| std::future::ready(is_new(*task) && !matches!(commit.output, Output::LeftOut(_))))
        .try_for_each_concurrent(REQUESTS_IN_FLIGHT, |(task, commit)| {
            take_one(context, planned, of, parts, task, commit)
        })
        .await
}

fn whole(stored: Stored) -> Option<Commit> {
    match stored {
        Stored::Whole(commit) => Some(*commit),
        Stored::Damaged(_) => None,
    }
}

async fn take_one(
    context: &Arc<RunContext>,
    planned: &Planned,
    of: &Redrives,
    parts: &BTreeMap<TaskId, ManifestPart>,
    task: TaskId,
    commit: Commit,
) -> Result<()> {
    let mut ours = Commit { plan: planned.plan.id.clone(), ..commit };
    if let Output::Part(part) = &ours.output {
        let Some(theirs) = parts.get(&part.part) else { return Ok(()) };
        let Some(taken) = take_part(context, planned, of, theirs).await? else { return Ok(()) };
        // No attempt has this number, because none made this part.
        (ours.attempt, ours.output) = (context.id.attempt(Try(0)), Output::Part(taken));
    }
    fail_point::reach("redrive.take");
    // If another process created it first, it took over the same commit.
    context.stores.run_store.create(&planned.layout.commit(Stage::Map, task), seal(&ours)?).await.map(drop)
}

/// Writes a part of the other run's result again, as a part of this one. Returns `None` if that part is gone or damaged.
async fn take_part(
    context: &Arc<RunContext>,
    planned: &Planned,
    of: &Redrives,
    theirs: &ManifestPart,
) -> Result<Option<Part>> {
    let result = context.stores.sink.result(&of.run_id, &context.pipeline.sink.format.extension());
    let (context, planned, theirs) = (Arc::clone(context), planned.clone(), theirs.clone());
    let copy = move || {
        let ManifestPart { key, part, rows, bytes, digest, .. } = theirs;
        let attempt = context.id.attempt(Try(0));
        let (run_store, of) = (&context.stores.run_store, (Stage::Map, part, &attempt));
        let noted = |key: &str| note(run_store, &planned.layout, of, Uploaded::Part, key);
        let mut copy = HashedPart::new(context.layouts.result.writer(part, &attempt, &noted));
        let mut pieces = result.read(&key, bytes);
        while let Some(piece) = threads::wait_on_runtime(pieces.next()) {
            match piece {
                Ok(piece) => copy.write_all(&piece).map_err(Error::from_io)?,
                Err(error) if error.kind() == ErrorKind::Changed => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let (copy, found) = copy.finish();
        if found != digest {
            return Ok(None);
        }
        let (bytes, pending) = copy.finish()?;
        Ok(Some(Part { part, rows, bytes, digest, pending }))
    };
    threads::run(copy).await?
}
