//! Committed output that turns out to be damaged or gone: its commits are taken back, so that its tasks are run again.

use std::collections::{BTreeMap, BTreeSet};

use etl_core::model::{
    error::{Error, Result},
    event::{Event, Stage},
    ids::{AttemptId, TaskId},
};
use etl_store::Listed;
use futures::TryStreamExt;

use super::Run;
use crate::{
    connector::{CommittedPart, Gone},
    run_store::{
        commit::{Commit, Output},
        ledger::Ledger,
        plan::Planned,
    },
    task::context::RunContext,
};

impl Run {
    /// Takes back the commit of a map task whose shuffle file is damaged, and with it those of all tasks whose shuffle
    /// files are gone or of another size. Partitions that are already reduced keep their commits, because the same plan
    /// gives the same rows. Returns the tasks.
    pub(super) async fn take_back_shuffle_files(
        &self,
        planned: &Planned,
        mapped: &Ledger,
        task: TaskId,
        why: &Error,
    ) -> Result<BTreeSet<TaskId>> {
        let mut lost = self.lost_shuffle_files(planned, mapped).await?;
        lost.insert(task);
        let others = lost.len() - 1;
        let beside = if others == 0 { String::new() } else { format!(", and so are {others} others") };
        self.emit(Event::Warning { message: format!("map task {task} is run again{beside}: {why}") });
        self.context.id.attempt_again();
        for task in &lost {
            let Some(damaged) = mapped.shuffle_files.key(*task) else { continue };
            let is_damaged =
                |commit: &Commit| matches!(&commit.output, Output::ShuffleFile { key, .. } if key == damaged);
            Commit::take_back(&self.context.stores.run_store, &planned.layout, Stage::Map, *task, is_damaged).await?;
        }
        Ok(lost)
    }

    /// Returns the map tasks whose shuffle files are gone or not of the size that their commits name. A listing may lack
    /// objects, so each file that it lacks is looked at.
    async fn lost_shuffle_files(&self, planned: &Planned, mapped: &Ledger) -> Result<BTreeSet<TaskId>> {
        let run_store = &self.context.stores.run_store;
        let listed: Vec<Listed> = run_store.list(&planned.layout.shuffle_files()).try_collect().await?;
        let sizes: BTreeMap<String, u64> = listed.into_iter().map(|found| (found.key, found.size)).collect();
        let mut lost = BTreeSet::new();
        for (task, key, bytes) in mapped.shuffle_files.files() {
            if sizes.get(key) == Some(&bytes) {
                continue;
            }
            let found = run_store.stat(key).await?;
            if found.is_none_or(|found| found.size != bytes) {
                lost.insert(task);
            }
        }
        Ok(lost)
    }

    /// Takes back the commits whose parts are gone from the sink or damaged, so that their tasks are run again.
    pub(super) async fn take_back_parts(&self, planned: &Planned, gone: &[CommittedPart]) -> Result<()> {
        let RunContext { pipeline, stores, id, .. } = &*self.context;
        let (stage, what) = match &pipeline.reduce {
            Some(_) => (Stage::Reduce, "reduced"),
            None => (Stage::Map, "mapped"),
        };
        let message = format!("{}, so it is {what} again", Gone(gone.to_vec()));
        self.emit(Event::Warning { message });
        id.attempt_again();
        let tasks: BTreeMap<TaskId, &AttemptId> = gone.iter().map(|part| (part.name.task, &part.attempt)).collect();
        for (task, attempt) in tasks {
            let is_gone = |commit: &Commit| commit.attempt == *attempt;
            Commit::take_back(&stores.run_store, &planned.layout, stage, task, is_gone).await?;
        }
        Ok(())
    }

    /// Takes back the damaged commits that a ledger was read with, so that their tasks are run again.
    pub(super) async fn take_back_damaged(&self, planned: &Planned, stage: Stage, ledger: &Ledger) -> Result<()> {
        for (task, damaged) in &ledger.damaged {
            let message = format!("the commit of {} is damaged, so it is run again", stage.task(*task));
            self.emit(Event::Warning { message });
            let run_store = &self.context.stores.run_store;
            Commit::take_back_damaged(run_store, &planned.layout, stage, *task, damaged).await?;
        }
        if !ledger.damaged.is_empty() {
            self.context.id.attempt_again();
        }
        Ok(())
    }
}
