//! The end of a run: its result is published, and the run is marked complete.
//!
//! Owns what happens after the last task: publishing the result, writing the manifest, and deleting leftovers. Called
//! by the run as its last stage, and when a complete run is started again.

use etl_core::{
    model::{
        error::{Error, Result},
        event::{Counts, Event, Stage},
    },
    runtime::fail_point,
};

use super::Run;
use crate::{
    connector::objects::PublishedPart,
    run_store::{
        document::to_json,
        ledger::Ledger,
        manifest::{Identity, Manifest, parts},
        plan::Planned,
        recipe,
    },
    task::context::RunContext,
};

impl Run {
    /// Publishes the parts that the commits name, then marks the run complete.
    pub(super) async fn finalize(&self, planned: &Planned, mapped: &Ledger, reduced: &Ledger) -> Result<Manifest> {
        let context = &self.context;
        let started = self.start(Stage::Finalize, 1, 0);
        let parts: Vec<PublishedPart> = parts(mapped, reduced)
            .map(|(attempt, part)| PublishedPart { part: part.part, attempt: attempt.clone() })
            .collect();
        let failed_shards = mapped.failed_shards();
        let keys = self.within_grace(context.result.collect(&parts)).await?;
        self.check_not_deleted().await?;
        context.result.publish(&keys, failed_shards).await?;
        let manifest = Manifest::new(self.identity(), &planned.plan, mapped, reduced, keys);
        context.run_store.put(&context.layout.manifest(), to_json(&manifest)?).await?;
        fail_point::reach("finalize.manifest");
        self.wait_for_overtaken().await;
        // Sweep before the run is marked complete: if this process is killed here, the next one sweeps instead.
        self.sweep().await;
        context.run_store.put(&context.layout.success(), Vec::new()).await?;
        fail_point::reach("finalize.done");
        self.finish(Stage::Finalize, started, &Counts::default());
        Ok(manifest)
    }

    fn identity(&self) -> Identity {
        let RunContext { result, pipeline, run_id, .. } = &*self.context;
        let result = result.location();
        Identity { pipeline: pipeline.name.clone(), run_id: run_id.clone(), result, partitions: pipeline.partitions() }
    }

    /// Waits for overtaken attempts that are past their last call of a plugin and continue to their commit. What they
    /// find out at their commit belongs in the events, and what they write has to be swept. The result is already
    /// published, so the wait ends after `run.grace` at the latest, or when the run is cancelled.
    async fn wait_for_overtaken(&self) {
        let at_rest = self.options.cancel.run_until_cancelled(self.context.at_rest());
        _ = tokio::time::timeout(self.context.pipeline.run.grace, at_rest).await;
    }

    /// Deletes what losing attempts left in the sink, and what killed processes left on local disk. Every task is
    /// committed by now, so all leftovers of attempts go; of other leftovers, only those older than this process.
    async fn sweep(&self) {
        let RunContext { run_store, result, layout, .. } = &*self.context;
        for key in layout.intermediates() {
            run_store.sweep(&key, None).await;
        }
        let before_this = Some(self.options.started_at);
        run_store.sweep(layout.root(), before_this).await;
        result.sweep(before_this).await;
    }

    /// Checks that the run has not been deleted meanwhile, and with it parts that already had their final names.
    /// Deleting a run begins with its plan, so the plan tells.
    async fn check_not_deleted(&self) -> Result<()> {
        let RunContext { run_store, layout, run_id, .. } = &*self.context;
        if run_store.exists(&layout.plan()).await? {
            return Ok(());
        }
        Err(Error::input(format!("run `{run_id}` was deleted while it was under way: start another run (`--new`)")))
    }

    /// Handles a run that was complete before. Warns about changes since it was planned, so that its result is not
    /// mistaken for a result of the present pipeline, and deletes the leftovers of a process that was killed just
    /// before its end.
    pub(super) async fn warn_if_changed(&self) {
        let RunContext { run_store, layout, pipeline, steps, .. } = &*self.context;
        run_store.sweep(layout.root(), Some(self.options.started_at)).await;
        // A plan of another version cannot be read, so there is nothing to compare with.
        let Ok(Some(planned)) = Planned::load(run_store, layout).await else { return };
        let changed = recipe::changed(&planned.plan.recipe, &steps.recipe(pipeline));
        if !changed.is_empty() {
            let message = format!(
                "this run was complete before, and what it was planned with has changed since: {}; start another run \
                 (`--new`) to get a result with the changes",
                changed.join(", ")
            );
            self.emit(Event::Warning { message });
        }
    }
}
