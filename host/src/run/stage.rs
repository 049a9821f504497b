//! A stage of a run: its tasks, run by the scheduler, and the ledger of their commits.

use std::{sync::Arc, time::Duration};

use etl_core::model::{
    error::{Error, Result},
    event::{Counts, Event, Stage},
    ids::{TaskId, Try},
};
use etl_shuffle::index::ShuffleFiles;

use super::{Run, failures::Failures, order::Order, share::Share};
use crate::{
    run_store::{
        claims::Claims,
        commit::{Commit, Stored},
        ledger::Ledger,
        plan::Planned,
    },
    scheduler::{HasCounts, Retry, Scheduler, interrupted},
    task::{context::RunContext, rejects::RejectLimits},
};

/// The first wait for tasks of other processes, before they are looked at again. Each further wait is twice as long.
pub(super) const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest wait for tasks of other processes, before they are looked at again.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);

/// The most parts that a result may have. The process that publishes them holds their names.
const RESULT_PARTS_MAX: usize = 50_000;

impl Run {
    /// Runs the tasks of a stage that `ledger` does not have yet and that no other process has, and returns the ledger
    /// with the commits of all tasks. `groups` are the tasks in groups, in the order of which they are begun.
    pub(super) async fn stage<F, A>(
        &self,
        (planned, stage): (&Planned, Stage),
        groups: Vec<Vec<TaskId>>,
        mut ledger: Ledger,
        mut failures: Failures<'_>,
        retry: Retry,
        attempt: A,
    ) -> Result<Ledger>
    where
        F: Future<Output = Result<Commit>> + Send + 'static,
        A: Fn(TaskId, Try) -> F + Send + Sync + 'static,
    {
        let tasks: Vec<TaskId> = groups.concat();
        let committed = tasks.iter().filter(|task| ledger.contains(**task)).count() as u64;
        let started = self.start(stage, tasks.len() as u64, committed);
        let limits = Limits::of(self, stage);
        limits.check(&ledger)?;
        let share = self.share(planned, stage, groups, |task| ledger.contains(task)).await?;
        let attempt = Arc::new(attempt);
        let scheduler = Scheduler { admission: Some(share.admission()), ..self.scheduler(stage, retry) };
        loop {
            let attempt = Arc::clone(&attempt);
            let done = |task, result| match result {
                Ok(commit) => {
                    ledger.add(task, commit)?;
                    limits.check(&ledger)
                }
                Err(error) => failures.add(task, error, &ledger),
            };
            let usual = scheduler.run(share.tasks(), move |task, number| attempt(task, number), done).await?;
            share.release(failures.tasks()).await;
            let patience = usual.filter(|_| scheduler.speculative);
            if !self.wait_for_others(planned, &share, &mut ledger, &limits, patience).await? {
                break;
            }
        }
        failures.commit(&mut ledger).await?;
        self.finish(stage, started, &ledger.counts);
        Ok(ledger)
    }

    /// Returns the share of this process in the tasks of a stage that are not committed yet.
    pub(super) async fn share(
        &self,
        planned: &Planned,
        stage: Stage,
        groups: Vec<Vec<TaskId>>,
        is_committed: impl Fn(TaskId) -> bool,
    ) -> Result<Arc<Share>> {
        let (run_store, process) = (&self.context.stores.run_store, &self.context.id.process);
        let claims = Claims::new(run_store, &planned.layout, stage, process);
        let order = Order::new(groups, self.options.place, process);
        Share::open(claims, &self.colleagues, order, is_committed).await
    }

    /// Waits for the tasks that other processes have, and adds their commits to the ledger. Returns early, with `true`,
    /// when some of them are to be run here after all.
    async fn wait_for_others(
        &self,
        planned: &Planned,
        share: &Share,
        ledger: &mut Ledger,
        limits: &Limits<'_>,
        patience: Option<Duration>,
    ) -> Result<bool> {
        let (run_store, mut wait) = (&self.context.stores.run_store, WAIT_MIN);
        loop {
            let stored = Commit::read_some(run_store, &planned.layout, limits.stage, share.elsewhere()).await?;
            let mut tasks = 0;
            for (task, stored) in stored {
                match stored {
                    Stored::Whole(commit) => {
                        share.committed(task);
                        ledger.add(task, *commit)?;
                        tasks += 1;
                    }
                    Stored::Damaged(bytes) => drop(ledger.damaged.insert(task, bytes)),
                }
            }
            if tasks > 0 {
                self.emit(Event::OthersCommitted { stage: limits.stage, tasks });
            }
            limits.check(ledger)?;
            self.take_back_damaged(planned, limits.stage, ledger).await?;
            ledger.damaged.clear();
            if share.elsewhere().is_empty() {
                return Ok(false);
            }
            if share.take_over(patience).await? {
                return Ok(true);
            }
            self.wait(wait).await?;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Waits for a while.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`](etl_core::model::error::ErrorKind::Interrupted) when the run is cancelled.
    pub(super) async fn wait(&self, time: Duration) -> Result<()> {
        self.options.cancel.run_until_cancelled(tokio::time::sleep(time)).await.ok_or_else(interrupted)
    }

    /// Does work that is safe to break off in the middle. When the run is cancelled, the work may continue for
    /// `run.grace` and is then dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`](etl_core::model::error::ErrorKind::Interrupted) when the grace is over; any error of
    /// the work.
    pub(super) async fn within_grace<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let over = async {
            self.options.cancel.cancelled().await;
            tokio::time::sleep(self.context.pipeline.run.grace).await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = over => Err(interrupted()),
        }
    }

    /// Returns a ledger of all commits that a stage has so far. Takes back those that are damaged.
    pub(super) async fn read_ledger(&self, planned: &Planned, stage: Stage) -> Result<Ledger> {
        let mut ledger = self.ledger(stage);
        ledger.read(&self.context.stores.run_store, &planned.layout, stage).await?;
        self.take_back_damaged(planned, stage, &ledger).await?;
        Ok(ledger)
    }

    /// Returns a ledger of a stage without commits.
    pub(super) fn ledger(&self, stage: Stage) -> Ledger {
        let RunContext { pipeline, resources, .. } = &*self.context;
        Ledger::new(pipeline.step_names(stage), ShuffleFiles::new(pipeline.partitions(), &resources.scratch))
    }

    /// Returns the scheduler of a stage.
    pub(super) fn scheduler(&self, stage: Stage, retry: Retry) -> Scheduler {
        let pipeline = &self.context.pipeline;
        let (cancel, events) = (self.options.cancel.clone(), self.context.events.clone());
        let slots = if stage == Stage::Reduce { self.slots.reduce } else { self.slots.map };
        let (speculative, grace) = (pipeline.run.speculative, pipeline.run.grace);
        Scheduler { stage, slots, admission: None, retry, speculative, cancel, grace, events }
    }
}

impl HasCounts for Commit {
    fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// The limits of all tasks of a stage together.
struct Limits<'a> {
    stage: Stage,
    rejects: RejectLimits,
    output_bytes_max: u64,
    /// The columns that divide the result.
    by: &'a [String],
}

impl<'a> Limits<'a> {
    fn of(run: &'a Run, stage: Stage) -> Self {
        let pipeline = &run.context.pipeline;
        let (rejects, output_bytes_max) = (RejectLimits::of(pipeline), pipeline.run.max_output_bytes);
        Self { stage, rejects, output_bytes_max, by: &pipeline.sink.parts.by }
    }

    /// Checks all commits of the stage so far.
    fn check(&self, ledger: &Ledger) -> Result<()> {
        check_rejects(&self.rejects, ledger)?;
        check_output(self.stage, self.output_bytes_max, ledger)?;
        check_parts(self.by, ledger)
    }
}

/// Checks the rejects of all commits of a stage so far against `max_rejects`.
fn check_rejects(limits: &RejectLimits, ledger: &Ledger) -> Result<()> {
    ledger.rejected.iter().try_for_each(|(step, count)| limits.check(step, *count))
}

/// Checks the number of parts that all commits of a stage so far have made.
fn check_parts(by: &[String], ledger: &Ledger) -> Result<()> {
    let parts = ledger.parts_made();
    if parts <= RESULT_PARTS_MAX {
        return Ok(());
    }
    let choices = if by.is_empty() {
        "raise `sink.max_rows` or `sink.target_size`"
    } else {
        "partition by columns of fewer values, raise `sink.open_parts`, or write fewer, larger tasks"
    };
    Err(Error::input(format!("the result has {parts} parts so far (limit {RESULT_PARTS_MAX}): {choices}")))
}

/// Checks what all commits of a stage so far have written against `run.max_output`.
fn check_output(stage: Stage, bytes_max: u64, ledger: &Ledger) -> Result<()> {
    let (stage, bytes) = (stage.name(), ledger.counts.bytes_out);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::input(format!(
        "the tasks of the {stage} stage have written {bytes} bytes, but `run.max_output` allows {bytes_max}: raise it in \
         `[run]` if that is as much as you expect, and resume the run"
    )))
}

#[cfg(test)]
mod tests {
    use etl_core::{
        model::{
            ids::{AttemptId, Try},
            part::PartName,
        },
        testing::scratch,
    };
    use etl_store::Pending;

    use super::*;
    use crate::run_store::commit::Part;

    #[test]
    fn a_result_of_too_many_parts_is_refused_with_the_choices() {
        let mut ledger = Ledger::new(Vec::new(), ShuffleFiles::new(0, &scratch(u64::MAX)));
        let pending = Pending::Upload { id: String::new(), parts: Vec::new() };
        let part = Part { name: PartName::only(TaskId(0)), rows: 1, bytes: 2, digest: String::new(), pending };
        let attempt = AttemptId::new(Try::FIRST, "a");
        for task in 0..5 {
            ledger.parts.insert(TaskId(task), (attempt.clone(), vec![part.clone(); 10_000]));
        }
        check_parts(&[], &ledger).expect("as many as there may be");
        ledger.parts.insert(TaskId(5), (attempt, vec![part]));
        let refused = |by: &[String]| check_parts(by, &ledger).expect_err("one more").to_string();
        let what = "the result has 50001 parts so far (limit 50000): ";
        assert_eq!(refused(&[]), format!("{what}raise `sink.max_rows` or `sink.target_size`"));
        assert!(refused(&["day".to_owned()]).starts_with(&format!("{what}partition by columns of fewer values")));
    }
}
