//! A stage of a run: its tasks, run by the scheduler, and the ledger of their commits.

use etl_core::model::{
    error::{Error, Result},
    event::{Counts, Stage},
    ids::{TaskId, Try},
};
use etl_shuffle::index::ShuffleFiles;

use super::{Run, failures::Failures};
use crate::{
    run_store::{commit::Commit, ledger::Ledger, plan::Planned},
    scheduler::{HasCounts, Retry, Scheduler, interrupted},
    task::{context::RunContext, rejects::RejectLimits},
};

/// The most parts that a result may have. The process that publishes them holds their names.
const RESULT_PARTS_MAX: usize = 50_000;

impl Run {
    /// Runs the tasks of a stage that `ledger` does not have yet, in the given order, and returns the ledger with the
    /// commits of all tasks.
    pub(super) async fn stage<F, A>(
        &self,
        stage: Stage,
        mut tasks: Vec<TaskId>,
        mut ledger: Ledger,
        mut failures: Failures<'_>,
        retry: Retry,
        attempt: A,
    ) -> Result<Ledger>
    where
        F: Future<Output = Result<Commit>> + Send + 'static,
        A: Fn(TaskId, Try) -> F + Send + Sync + 'static,
    {
        let started = self.start(stage, tasks.len() as u64, ledger.committed());
        let (limits, output_max) =
            (RejectLimits::of(&self.context.pipeline), self.context.pipeline.run.max_output_bytes);
        let by = &self.context.pipeline.sink.parts.by;
        let check = |ledger: &Ledger| {
            check_rejects(&limits, ledger)?;
            check_output(stage, output_max, ledger)?;
            check_parts(by, ledger)
        };
        check(&ledger)?;
        tasks.retain(|task| !ledger.contains(*task));
        let done = |task, result| match result {
            Ok(commit) => {
                ledger.add(task, commit)?;
                check(&ledger)
            }
            Err(error) => failures.add(task, error, &ledger),
        };
        self.scheduler(stage, retry).run(tasks, attempt, done).await?;
        failures.commit(&mut ledger).await?;
        self.finish(stage, started, &ledger.counts);
        Ok(ledger)
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
        Scheduler { stage, slots, retry, speculative, cancel, grace, events }
    }
}

impl HasCounts for Commit {
    fn counts(&self) -> &Counts {
        &self.counts
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
