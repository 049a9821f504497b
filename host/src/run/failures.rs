//! Map tasks that failed for good, and whether a run may end without them.
//!
//! Owns `run.tolerated_failures`: which failures can be tolerated, how many, and when that is settled. A failure is
//! settled by a commit of its task that names no output, so all processes, including later ones, leave out the same
//! shards. Failures are committed only when all other tasks are committed: a run that ends because of too many failures
//! tries all of the failed tasks again when it is resumed. Called by the run.

use std::collections::BTreeMap;

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::{Counts, Event, Stage},
        ids::{ShardId, TaskId, Try},
        reject::Rejected,
        times::Times,
    },
    runtime::fail_point,
};

use crate::{
    run_store::{
        commit::{Commit, Output},
        ledger::Ledger,
        left_out::LeftOut,
        plan::Planned,
    },
    task::context::RunContext,
};

/// The most shards an error names.
const NAMED_MAX: usize = 10;

/// The tasks of a stage that failed for good in this process and whose failures are not committed yet.
pub(super) struct Failures<'a> {
    allowance: Option<Allowance<'a>>,
    failed: BTreeMap<TaskId, Error>,
}

/// The limit up to which failures are tolerated, and the run it applies to.
struct Allowance<'a> {
    context: &'a RunContext,
    planned: &'a Planned,
    /// Number of shards that may fail.
    limit: u32,
}

impl<'a> Failures<'a> {
    /// Creates an empty set of failures that tolerates none.
    pub(super) fn none() -> Self {
        Self { allowance: None, failed: BTreeMap::new() }
    }

    /// Creates an empty set of failures of map tasks that tolerates as many as `run.tolerated_failures` says. The
    /// failures that `ledger` has count towards the limit.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the failures in `ledger` alone are too many, because the setting has been lowered
    /// since.
    pub(super) fn tolerated(context: &'a RunContext, planned: &'a Planned, ledger: &Ledger) -> Result<Self> {
        let limit = context.pipeline.run.tolerated_failures.of(planned.plan.shards.shards());
        let failed = ledger.failed_shards();
        if failed > limit.into() {
            return Err(Error::input(format!(
                "the run leaves out {failed} shards that failed ({}), but `run.tolerated_failures` allows {limit}: \
                 raise it again, or start another run",
                named(ledger.failed.keys())
            )));
        }
        Ok(Self { allowance: Some(Allowance { context, planned, limit }), failed: BTreeMap::new() })
    }

    /// Returns the tasks that failed for good and whose failures are not committed yet.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.failed.keys().copied().collect()
    }

    /// Adds a task that failed for good.
    ///
    /// # Errors
    /// The task's error, when it is not an error of the data or of a plugin, or when too many shards have failed with
    /// it.
    pub(super) fn add(&mut self, task: TaskId, error: Error, ledger: &Ledger) -> Result<()> {
        let tolerable = matches!(error.kind(), ErrorKind::Input | ErrorKind::Plugin | ErrorKind::Sandbox);
        let allowance = self.allowance.as_ref().filter(|allowance| tolerable && allowance.limit > 0);
        let Some(Allowance { context, planned, limit }) = allowance else { return Err(error) };
        let text = error.to_string();
        self.failed.insert(task, error);
        let (context, limit) = (*context, *limit);
        let failed = self.check(planned, limit, ledger)?;
        let message = format!("{text} (tolerated so far: {failed} of {limit} shards)");
        context.events.emit(Event::Warning { message });
        Ok(())
    }

    /// Returns the number of shards that have failed, if it is not above `limit`.
    fn check(&mut self, planned: &Planned, limit: u32, ledger: &Ledger) -> Result<usize> {
        let tasks = || self.failed.keys().chain(ledger.failed.keys());
        let shards = tasks().map(|task| planned.plan.shards.of_task(*task).len()).sum();
        if shards <= limit as usize {
            return Ok(shards);
        }
        let named = named(tasks());
        let what =
            format!("{shards} shards failed ({named}), but `run.tolerated_failures` allows {limit}; one of them");
        Err(match self.failed.pop_last() {
            Some((_, error)) => error.context(what),
            None => Error::input(what),
        })
    }

    /// Commits the failures, now that every other task is committed. If another attempt at a failed task succeeded and
    /// was committed first, its commit counts.
    ///
    /// # Errors
    /// When the failures are too many by now, or a store fails. The task's own error, when the task was committed with
    /// an output before and that output proved to be damaged, because partitions may have been reduced from it.
    pub(super) async fn commit(mut self, ledger: &mut Ledger) -> Result<()> {
        let Some(Allowance { context, planned, limit }) = self.allowance.take() else { return Ok(()) };
        // Other processes may have left out further shards since the last check.
        self.check(planned, limit, ledger)?;
        for (task, error) in self.failed {
            if context.stores.run_store.exists(&planned.layout.taken_back(task)).await? {
                return Err(error.context("the shard was mapped before, so it cannot be left out now"));
            }
            let shards = planned.shards_of(task).await?;
            let left_out = LeftOut::new(task, &shards, &error, context.pipeline.secrets.redactor());
            fail_point::reach("failure.commit");
            let commit = Commit {
                plan: planned.plan.id.clone(),
                // No attempt has this number, because none made this commit.
                attempt: context.id.attempt(Try(0)),
                counts: Counts::default(),
                output: Output::LeftOut(left_out),
                rejected: Rejected::new(),
                rejects: None,
            };
            let (store, layout) = (&context.stores.run_store, &planned.layout);
            let written = commit.write(Times::default(), store, layout, Stage::Map, task, &context.events).await?;
            ledger.add(task, written)?;
        }
        Ok(())
    }
}

/// Returns the numbers of the first shards of these tasks, up to ten, and the number of those that follow, as text.
fn named<'a>(tasks: impl Iterator<Item = &'a TaskId>) -> String {
    let mut shards: Vec<ShardId> = tasks.map(|task| task.shard()).collect();
    shards.sort_unstable();
    let more = shards.len().saturating_sub(NAMED_MAX);
    let first: Vec<String> = shards.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}
