//! Committed output that turns out to be damaged or gone: its commits are taken back, so that its tasks are run again.

use etl_core::model::{
    error::{Error, Result},
    event::{Event, Stage},
    ids::TaskId,
};

use super::Run;
use crate::{
    connector::objects::{Gone, PublishedPart},
    run_store::{
        commit::{Commit, Output},
        ledger::Ledger,
    },
    task::context::RunContext,
};

impl Run {
    /// Takes back the commit of a map task whose shuffle file is damaged. Partitions that are already reduced keep
    /// their commits, because the same plan gives the same rows.
    pub(super) async fn take_back_shuffle_file(&self, mapped: &Ledger, task: TaskId, why: &Error) -> Result<()> {
        let Some(damaged) = mapped.shuffle_files.key(task) else { return Ok(()) };
        let is_damaged = |commit: &Commit| matches!(&commit.output, Output::ShuffleFile { key, .. } if key == damaged);
        self.emit(Event::Warning { message: format!("map task {task} is run again: {why}") });
        self.context.id.attempt_again();
        Commit::take_back(&self.context.stores.run_store, &self.context.layouts.run, Stage::Map, task, is_damaged).await
    }

    /// Takes back the commits whose parts are gone from the sink, so that their tasks are run again.
    pub(super) async fn take_back_parts(&self, gone: &[PublishedPart]) -> Result<()> {
        let RunContext { pipeline, stores, layouts, id, .. } = &*self.context;
        let (stage, what) = match &pipeline.reduce {
            Some(_) => (Stage::Reduce, "reduced"),
            None => (Stage::Map, "mapped"),
        };
        let message = format!("{}, so it is {what} again", Gone(gone.to_vec()));
        self.emit(Event::Warning { message });
        id.attempt_again();
        for PublishedPart { part, attempt } in gone {
            let is_gone = |commit: &Commit| commit.attempt == *attempt;
            Commit::take_back(&stores.run_store, &layouts.run, stage, *part, is_gone).await?;
        }
        Ok(())
    }
}
