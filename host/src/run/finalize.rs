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
    task::context::{Layouts, RunContext},
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
        let keys = self.within_grace(context.layouts.result.collect(&parts)).await?;
        self.check_not_deleted().await?;
        context.layouts.result.publish(&keys, failed_shards).await?;
        let manifest = Manifest::new(self.identity(), &planned.plan, mapped, reduced, keys);
        context.stores.run_store.put(&context.layouts.run.manifest(), to_json(&manifest)?).await?;
        fail_point::reach("finalize.manifest");
        self.wait_for_overtaken().await;
        // Sweep before the run is marked complete: if this process is killed here, the next one sweeps instead.
        self.sweep().await;
        context.stores.run_store.put(&context.layouts.run.success(), Vec::new()).await?;
        fail_point::reach("finalize.done");
        self.finish(Stage::Finalize, started, &Counts::default());
        Ok(manifest)
    }

    fn identity(&self) -> Identity {
        let RunContext { layouts, pipeline, id, .. } = &*self.context;
        let (run_id, result) = (id.run_id.clone(), layouts.result.location());
        Identity { pipeline: pipeline.name.clone(), run_id, result, partitions: pipeline.partitions() }
    }

    /// Waits for overtaken attempts that are past their last call of a plugin and continue to their commit. What they
    /// find out at their commit belongs in the events, and what they write has to be swept. The result is already
    /// published, so the wait ends after `run.grace` at the latest, or when the run is cancelled.
    async fn wait_for_overtaken(&self) {
        let at_rest = self.options.cancel.run_until_cancelled(self.context.resources.at_rest());
        _ = tokio::time::timeout(self.context.pipeline.run.grace, at_rest).await;
    }

    /// Deletes what losing attempts left in the sink, and what killed processes left on local disk. Every task is
    /// committed by now, so all leftovers of attempts go; of other leftovers, only those older than this process.
    async fn sweep(&self) {
        let (run_store, Layouts { run: layout, result }) = (&self.context.stores.run_store, &self.context.layouts);
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
        let RunContext { stores, layouts, id, .. } = &*self.context;
        if stores.run_store.exists(&layouts.run.plan()).await? {
            return Ok(());
        }
        Err(Error::input(format!(
            "run `{}` was deleted while it was under way: start another run (`--new`)",
            id.run_id
        )))
    }

    /// Handles a run that was complete before. Warns about changes since it was planned, so that its result is not
    /// mistaken for a result of the present pipeline, and deletes the leftovers of a process that was killed just
    /// before its end.
    pub(super) async fn warn_if_changed(&self) {
        let RunContext { pipeline, steps, stores, layouts, .. } = &*self.context;
        let (run_store, layout) = (&stores.run_store, &layouts.run);
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
