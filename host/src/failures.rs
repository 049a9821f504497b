//! Map tasks that failed for good, and whether a run may end without them.
//!
//! Owns `run.tolerated_failures`: which failures can be tolerated, how many, and when that is settled. A failure is
//! settled by the commit of its task, which then names no output; so all processes, and those that come later, leave
//! out the same shards. It is committed only when all other tasks are: a run that fails with too many failures tries
//! all of them again when it is taken up. Called by the run.

use std::collections::BTreeMap;

use crate::{
    commit::{Commit, Output},
    context::RunContext,
    error::{Error, ErrorKind, Result},
    event::{Counts, Event, Stage},
    fail_point,
    ledger::Ledger,
    left_out::LeftOut,
    plan::Planned,
    reject::Rejected,
    times::Times,
};

/// The most shards an error names.
const NAMED_MAX: usize = 10;

/// The tasks of a stage that failed for good in this process, and are not committed as such yet.
pub struct Failures<'a> {
    tolerance: Option<Tolerance<'a>>,
    failed: BTreeMap<u32, Error>,
}

/// What failures are tolerated by.
struct Tolerance<'a> {
    context: &'a RunContext,
    planned: &'a Planned,
    /// How many shards.
    limit: u32,
}

impl<'a> Failures<'a> {
    /// Tolerates no failure of any task.
    pub fn none() -> Self {
        Self { tolerance: None, failed: BTreeMap::new() }
    }

    /// Tolerates failures of map tasks, as `run.tolerated_failures` says. Those that `ledger` has count.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when those are too many by themselves: the setting was lowered since.
    pub fn tolerated(context: &'a RunContext, planned: &'a Planned, ledger: &Ledger) -> Result<Self> {
        let limit = context.pipeline.run.tolerated_failures.of(planned.plan.shards.shards());
        let failed = ledger.failed_shards();
        if failed > limit.into() {
            return Err(Error::input(format!(
                "the run leaves out {failed} shards that failed ({}), but `run.tolerated_failures` allows {limit}: \
                 raise it again, or start another run",
                named(ledger.failed.keys())
            )));
        }
        Ok(Self { tolerance: Some(Tolerance { context, planned, limit }), failed: BTreeMap::new() })
    }

    /// Takes in that a task failed for good.
    ///
    /// # Errors
    /// That error, when it is not the data's or a plugin's, or when the failures are now too many.
    pub fn add(&mut self, task: u32, error: Error, ledger: &Ledger) -> Result<()> {
        let tolerable = matches!(error.kind(), ErrorKind::Input | ErrorKind::Plugin | ErrorKind::Sandbox);
        let tolerance = self.tolerance.as_ref().filter(|tolerance| tolerable && tolerance.limit > 0);
        let Some(Tolerance { context, planned, limit }) = tolerance else { return Err(error) };
        let text = error.to_string();
        self.failed.insert(task, error);
        let (context, limit) = (*context, *limit);
        let failed = self.check(planned, limit, ledger)?;
        let message = format!("{text} (tolerated so far: {failed} of {limit} shards)");
        context.events.emit(Event::Warning { message });
        Ok(())
    }

    /// Returns how many shards have failed, if they are not more than `limit`.
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

    /// Commits the failures, now that every other task is committed. Where another attempt was faster, and did not
    /// fail, its commit counts.
    ///
    /// # Errors
    /// When they are too many by now, or a store fails; or with the task's own error, when it was committed with an
    /// output before, which proved to be damaged: partitions may have been reduced from it.
    pub async fn commit(mut self, ledger: &mut Ledger) -> Result<()> {
        let Some(Tolerance { context, planned, limit }) = self.tolerance.take() else { return Ok(()) };
        // Other processes may have left out others by now.
        self.check(planned, limit, ledger)?;
        for (task, error) in self.failed {
            if context.run_store.exists(&context.layout.taken_back(task)).await? {
                return Err(error.context("the shard was mapped before, so it cannot be left out now"));
            }
            let shards = planned.shards_of(task).await?;
            let left_out = LeftOut::new(task, &shards, &error, context.pipeline.secrets.redactor());
            fail_point::reach("failure.commit");
            let commit = Commit {
                attempt: context.attempt(0),
                counts: Counts::default(),
                output: Output::LeftOut(left_out),
                rejected: Rejected::new(),
                rejects: None,
            };
            let (store, layout) = (&context.run_store, &context.layout);
            let written = commit.write(Times::default(), store, layout, Stage::Map, task, &context.events).await?;
            ledger.add(task, written)?;
        }
        Ok(())
    }
}

/// Returns the first of these shards, and how many more there are.
fn named<'a>(shards: impl Iterator<Item = &'a u32>) -> String {
    let mut shards: Vec<u32> = shards.copied().collect();
    shards.sort_unstable();
    let more = shards.len().saturating_sub(NAMED_MAX);
    let first: Vec<String> = shards.iter().take(NAMED_MAX).map(u32::to_string).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}
