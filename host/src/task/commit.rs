//! Committing an attempt, and clearing away what an attempt wrote that came second.

use etl_core::model::{error::Result, event::Stage, ids::TaskId, times::Times};

use crate::{
    run_store::{
        commit::{Commit, Output},
        plan::Planned,
    },
    task::context::RunContext,
};

/// Commits a task whose attempt took `times`. Returns the commit that counts, which may be another attempt's. What this
/// attempt wrote is deleted then, as far as possible.
///
/// # Errors
/// As [`Commit::write`].
pub async fn commit(
    context: &RunContext,
    planned: &Planned,
    stage: Stage,
    task: TaskId,
    ours: Commit,
    times: Times,
) -> Result<Commit> {
    let written = ours.clone();
    let winner = ours.write(times, &context.stores.run_store, &planned.layout, stage, task, &context.events).await?;
    if winner.attempt != written.attempt {
        clear_away(context, written).await;
    }
    Ok(winner)
}

/// Deletes what an attempt wrote. Best effort: what is left is swept at the end of the run.
async fn clear_away(context: &RunContext, lost: Commit) {
    let run_store = &context.stores.run_store;
    match &lost.output {
        Output::Parts(parts) => {
            for part in parts {
                context.layouts.result.discard(&part.name, &part.pending).await;
            }
        }
        Output::ShuffleFile { key, .. } => drop(run_store.delete(key).await),
        Output::LeftOut(_) => {}
    }
    if let Some(rejects) = &lost.rejects {
        drop(run_store.delete(rejects).await);
    }
}
