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
        part::PartName,
    },
    runtime::{fail_point, threads},
};
use futures::{StreamExt, TryStreamExt};

use crate::{
    connector::SinkResult,
    run_store::{
        commit::{Commit, Output, Part, Stored},
        document::seal,
        manifest::{Manifest, ManifestPart},
        plan::{Planned, Redrives},
    },
    task::{
        context::RunContext,
        output::{AttemptParts, HashedPart},
        parts::PartStore,
    },
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
        Some(manifest) => manifest.parts.into_iter().map(|part| (part.name.clone(), part)).collect(),
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
    published: &BTreeMap<PartName, ManifestPart>,
    task: TaskId,
    commit: Commit,
) -> Result<()> {
    let mut ours = Commit { plan: planned.plan.id.clone(), ..commit };
    if let Output::Parts(parts) = &ours.output {
        let theirs: Option<Vec<ManifestPart>> = parts.iter().map(|part| published.get(&part.name).cloned()).collect();
        let Some(theirs) = theirs else { return Ok(()) };
        let Some(taken) = take_parts(context, planned, of, task, theirs).await? else { return Ok(()) };
        // No attempt has this number, because none made these parts.
        (ours.attempt, ours.output) = (context.id.attempt(Try(0)), Output::Parts(taken));
    }
    fail_point::reach("redrive.take");
    // If another process created it first, it took over the same commit.
    context.stores.run_store.create(&planned.layout.commit(Stage::Map, task), seal(&ours)?).await.map(drop)
}

/// Writes the parts that a task made of the other run's result again, as parts of this one. Returns `None` if one of them
/// is gone or damaged.
async fn take_parts(
    context: &Arc<RunContext>,
    planned: &Planned,
    of: &Redrives,
    task: TaskId,
    theirs: Vec<ManifestPart>,
) -> Result<Option<Vec<Part>>> {
    let result = context.stores.sink.result(&of.run_id, &context.pipeline.sink.format.extension());
    let attempt = context.id.attempt(Try(0));
    let store = AttemptParts::new(context, &planned.layout, (Stage::Map, task, &attempt));
    let copy = move || {
        let mut taken = Vec::new();
        for (number, part) in (0..).zip(theirs) {
            match take_part(&*result, &store, part, number) {
                Ok(Some(part)) => taken.push(part),
                failed => {
                    taken.iter().for_each(|part: &Part| store.discard(&part.name, &part.pending));
                    return failed.map(|_| None);
                }
            }
        }
        Ok(Some(taken))
    };
    threads::run(copy).await?
}

/// Writes a part again, the `number`th of its task. Returns `None` if it is gone or damaged.
fn take_part(result: &dyn SinkResult, store: &AttemptParts, theirs: ManifestPart, number: u32) -> Result<Option<Part>> {
    let ManifestPart { key, name, rows, bytes, digest, .. } = theirs;
    let mut copy = HashedPart::new(store.begin(&name, number));
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
    Ok(Some(Part { name, rows, bytes, digest, pending }))
}
