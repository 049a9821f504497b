//! The part of a run that a process does, and what must be there before.

use etl_core::model::{
    error::{Error, ErrorKind, Result},
    event::Stage,
    ids::{PartitionId, TaskId},
};

use super::{Run, Which};
use crate::run_store::{ledger::Ledger, plan::Planned};

/// What a process does of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Part {
    /// Whatever is left of it, to the end.
    #[default]
    Whole,
    /// The plan.
    Plan,
    /// These map tasks, by number.
    Map(Which),
    /// These partitions.
    Reduce(Which),
    /// The end, once all tasks are committed.
    Finalize,
}

impl Run {
    /// Returns these of a stage's tasks, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the first number that is none of a task.
    pub(super) fn tasks(&self, planned: &Planned, stage: Stage, which: &Which) -> Result<Vec<TaskId>> {
        if stage == Stage::Reduce {
            let partitions = (0..self.context.pipeline.partitions()).map(PartitionId);
            return which.of(&partitions.map(TaskId::of_partition).collect::<Vec<_>>(), "partitions");
        }
        let tasks = (0..planned.plan.shards.tasks()).map(|number| planned.plan.shards.task(number));
        which.of(&tasks.collect::<Vec<_>>(), "map tasks")
    }

    /// Returns the ledger of a stage that other processes were to do.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`], naming the first task that is not committed yet.
    pub(super) async fn complete_ledger(&self, planned: &Planned, stage: Stage) -> Result<Ledger> {
        let (ledger, tasks) = (self.read_ledger(planned, stage).await?, self.tasks(planned, stage, &Which::All)?);
        let missing: Vec<&TaskId> = tasks.iter().filter(|task| !ledger.contains(**task)).collect();
        let Some(first) = missing.first() else { return Ok(ledger) };
        let (first, missing, tasks) = (stage.task(**first), missing.len(), tasks.len());
        let stage = stage.name();
        let what =
            format!("{missing} of {tasks} tasks of the {stage} stage are not committed yet, the first is the {first}");
        Err(Error::new(ErrorKind::Unavailable, anyhow::Error::msg(what)))
    }

    /// Checks that the run has a plan, or may be given one by this process.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`], naming the command that makes the plan.
    pub(super) fn check_planned(&self, existing: Option<&Planned>) -> Result<()> {
        if existing.is_some() || matches!(self.options.part, Part::Whole | Part::Plan) {
            return Ok(());
        }
        let what = format!("run `{}` has no plan yet: `etl-host plan` makes it", self.context.id.run_id);
        Err(Error::new(ErrorKind::Unavailable, anyhow::Error::msg(what)))
    }
}
