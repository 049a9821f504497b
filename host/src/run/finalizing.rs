//! The end of a run: its result is published, and it is complete.
//!
//! Owns what happens after the last task: publishing, the manifest, and what is left behind by then. Called by the run,
//! as its last stage, and when a run that is complete is asked for again.

use std::time::SystemTime;

use super::Run;
use crate::{
    commit::Commit,
    context::RunContext,
    error::{Error, Result},
    event::{Counts, Event, Stage},
    fail_point,
    json::to_json,
    layout::LATEST,
    ledger::Ledger,
    manifest::{Identity, Manifest, parts},
    plan::Planned,
    resume,
    sink::{self, PublishedPart},
};

impl Run {
    /// Publishes the parts the commits name, then says the run is complete.
    pub(super) async fn finalize(&self, planned: &Planned, mapped: &Ledger, reduced: &Ledger) -> Result<Manifest> {
        let context = &self.context;
        let started = self.start(Stage::Finalize, 1, 0);
        let parts: Vec<PublishedPart> = parts(mapped, reduced)
            .map(|(attempt, part)| PublishedPart { part: part.part, attempt: attempt.clone() })
            .collect();
        let failed_shards = mapped.failed_shards();
        let (sink, sink_layout) = (&context.sink, &context.sink_layout);
        let keys = self.within_grace(sink::move_parts(sink, sink_layout, &parts)).await?;
        self.check_not_deleted().await?;
        sink::publish(sink, sink_layout, &keys, failed_shards).await?;
        let manifest = Manifest::new(self.identity(), &planned.plan, mapped, reduced, keys);
        context.run_store.put(&context.layout.manifest(), to_json(&manifest)?).await?;
        fail_point::reach("finalize.manifest");
        self.see_off_attempts().await;
        // Before the run is complete: whoever is killed here leaves it to the next one.
        self.sweep().await;
        context.run_store.put(&context.layout.success(), Vec::new()).await?;
        fail_point::reach("finalize.done");
        self.finish(Stage::Finalize, started, &Counts::default());
        Ok(manifest)
    }

    fn identity(&self) -> Identity {
        let RunContext { sink, sink_layout, pipeline, run_id, .. } = &*self.context;
        let result = sink.locate(sink_layout.root());
        Identity { pipeline: pipeline.name.clone(), run_id: run_id.clone(), result, partitions: pipeline.partitions() }
    }

    /// Waits for attempts that were overtaken and are past their last call of a plugin: what they find at their commit
    /// is part of what happened, and what they write is swept. The result is published by now, so nobody waits for
    /// longer than `run.grace`.
    async fn see_off_attempts(&self) {
        let at_rest = self.options.cancel.run_until_cancelled(self.context.at_rest());
        _ = tokio::time::timeout(self.context.pipeline.run.grace, at_rest).await;
    }

    /// Deletes what attempts that lost left in the sink, and what killed processes left on local disk: all that attempts
    /// did, now that every task is committed; of the rest, what was left before this process began.
    async fn sweep(&self) {
        let RunContext { run_store, sink, layout, sink_layout, .. } = &*self.context;
        sink::delete_leftovers(sink, sink_layout).await;
        for key in layout.intermediates() {
            run_store.sweep(&key, SystemTime::now()).await;
        }
        run_store.sweep(layout.root(), self.started_at).await;
        sink.sweep(&sink_layout.attempts(), SystemTime::now()).await;
        sink.sweep(sink_layout.root(), self.started_at).await;
        sink.sweep(LATEST, self.started_at).await;
    }

    /// Checks that nobody has deleted the run meanwhile, and with it parts that were given their final names. Whoever
    /// does begins with the plan.
    async fn check_not_deleted(&self) -> Result<()> {
        let RunContext { run_store, layout, run_id, .. } = &*self.context;
        if run_store.exists(&layout.plan()).await? {
            return Ok(());
        }
        Err(Error::input(format!("run `{run_id}` was deleted while it was under way: start another run (`--new`)")))
    }

    /// Takes back the commits of parts that are gone from the sink, so that their tasks are run again.
    pub(super) async fn take_back_parts(&self, gone: &[PublishedPart]) -> Result<()> {
        let RunContext { run_store, layout, pipeline, .. } = &*self.context;
        let (stage, what) = match &pipeline.reduce {
            Some(_) => (Stage::Reduce, "reduced"),
            None => (Stage::Map, "mapped"),
        };
        let message = format!("{}, so it is {what} again", sink::Gone(gone.to_vec()));
        self.emit(Event::Warning { message });
        self.context.attempt_again();
        for PublishedPart { part, attempt } in gone {
            let is_gone = |commit: &Commit| commit.attempt == *attempt;
            Commit::take_back(run_store, layout, stage, *part, is_gone).await?;
        }
        Ok(())
    }

    /// Looks at a run that was complete before: says what has changed since it was planned, so that nobody takes its
    /// result for that of what is there now, and deletes what a process left that was killed at its very end.
    pub(super) async fn look_back(&self) {
        let RunContext { run_store, layout, pipeline, steps, .. } = &*self.context;
        run_store.sweep(layout.root(), self.started_at).await;
        // A plan of another version is none to compare with.
        let Ok(Some(planned)) = Planned::load(run_store, layout).await else { return };
        let changed = resume::changed(&planned.plan.recipe, &steps.recipe(pipeline));
        if !changed.is_empty() {
            let message = format!(
                "this run was complete before, and what it was planned with has changed since: {}; start another run \
                 (`--new`) for a result of that",
                changed.join(", ")
            );
            self.emit(Event::Warning { message });
        }
    }
}
