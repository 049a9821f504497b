//! The end of a run: its result is published, and the run is marked complete.
//!
//! Owns what happens after the last task: publishing the result and writing the manifest, and what happens when a
//! complete run is started again.

use etl_core::{
    model::{
        error::{Error, Result},
        event::{Counts, Event, Stage},
        ids::{PlanId, TaskId},
    },
    runtime::fail_point,
};

use super::{
    Run,
    stage::{WAIT_MAX, WAIT_MIN},
};
use crate::{
    connector::{CommittedPart, Published, PublishedPart, parts_named},
    run_store::{
        ledger::Ledger,
        manifest::{Identity, Manifest, ManifestPart, parts},
        plan::Planned,
        recipe,
    },
    task::context::RunContext,
};

/// What a run has one of, and what names its plan.
enum Mark<'a> {
    /// The result is complete by this plan.
    Result(&'a PlanId),
    /// The manifest.
    Manifest(&'a Manifest),
    /// The run is complete by the plan of this manifest.
    Run(&'a Manifest),
}

impl Run {
    /// Publishes the parts that the commits name, then marks the run complete. Publishes nothing if another process has
    /// done so meanwhile.
    pub(super) async fn finalize(&self, planned: &Planned, mapped: &Ledger, reduced: &Ledger) -> Result<Manifest> {
        let RunContext { layouts, .. } = &*self.context;
        let started = self.start(Stage::Finalize, 1, 0);
        if let Some(manifest) = self.turn(planned).await? {
            self.finish(Stage::Finalize, started, &Counts::default());
            return Ok(manifest);
        }
        self.check_ours(planned).await?;
        let committed = committed_parts(mapped, reduced);
        let published = self.within_grace(layouts.result.collect(&committed)).await?;
        self.check_ours(planned).await?;
        let (plan, failed_shards) = (&planned.plan, mapped.failed_shards());
        let result = Published { plan: &plan.id, made_at_ms: plan.made_at_ms, parts: &published, failed_shards };
        self.mark(planned, &Mark::Result(&plan.id)).await?;
        if let Err(error) = self.check_ours(planned).await {
            // The run was deleted between the check before and the result's end.
            layouts.result.retract(&plan.id).await?;
            return Err(error);
        }
        layouts.result.point(&result).await?;
        let parts = manifest_parts(published, mapped, reduced);
        let manifest = Manifest::new(self.identity(), plan, mapped, reduced, parts);
        self.mark(planned, &Mark::Manifest(&manifest)).await?;
        fail_point::reach("finalize.manifest");
        self.wait_for_overtaken().await;
        // Sweep before the run is marked complete: if this process is killed here, the next one sweeps instead.
        self.sweep(planned, mapped, &committed).await;
        self.check_ours(planned).await?;
        self.mark(planned, &Mark::Run(&manifest)).await?;
        fail_point::reach("finalize.done");
        self.finish(Stage::Finalize, started, &Counts::default());
        Ok(manifest)
    }

    /// Writes a mark. That of another plan is replaced only if this plan is still the run's: then the other one is of a
    /// process that was late and follows a plan of before.
    async fn mark(&self, planned: &Planned, mark: &Mark<'_>) -> Result<()> {
        if !self.write_mark(mark, false).await? {
            self.check_ours(planned).await?;
            self.write_mark(mark, true).await?;
        }
        Ok(())
    }

    async fn write_mark(&self, mark: &Mark<'_>, replace: bool) -> Result<bool> {
        let RunContext { stores, layouts, .. } = &*self.context;
        match mark {
            Mark::Result(plan) => layouts.result.succeed(plan, replace).await,
            Mark::Manifest(manifest) => manifest.write(&stores.run_store, &layouts.run, replace).await,
            Mark::Run(manifest) => manifest.complete(&stores.run_store, &layouts.run, replace).await,
        }
    }

    /// Waits until it is the turn of this process to finalise the run, while another one does. Returns the manifest if
    /// that one has done it.
    async fn turn(&self, planned: &Planned) -> Result<Option<Manifest>> {
        let share = self.share(planned, Stage::Finalize, vec![vec![TaskId(0)]], |_| false).await?;
        let mut wait = WAIT_MIN;
        loop {
            if let Some(manifest) = self.finished_by_another(planned).await? {
                return Ok(Some(manifest));
            }
            if let Some(task) = share.tasks().next()
                && share.claim(task).await
            {
                return Ok(None);
            }
            if !share.take_over(None).await? {
                self.wait(wait).await?;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }

    /// Returns the manifest of the run if another process has completed it by the same plan.
    async fn finished_by_another(&self, planned: &Planned) -> Result<Option<Manifest>> {
        let RunContext { stores, layouts, .. } = &*self.context;
        let manifest = Manifest::read(&stores.run_store, &layouts.run).await?;
        Ok(manifest.filter(|manifest| manifest.plan == planned.plan.id))
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

    /// Handles a run that was complete before: checks that its result is still there. Warns about changes since it was
    /// planned, so that its result is not mistaken for a result of the present pipeline, and deletes the leftovers of a
    /// process that was killed just before its end. Returns whether the run has to be executed, because parts of its
    /// result are to be made again.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`](etl_core::model::error::ErrorKind::Changed) when parts of the result are gone or damaged
    /// and are not to be made again, or cannot be.
    pub(super) async fn again(&self, manifest: &Manifest) -> Result<bool> {
        let RunContext { pipeline, steps, stores, layouts, .. } = &*self.context;
        let (run_store, layout) = (&stores.run_store, &layouts.run);
        run_store.sweep(layout.root(), Some(self.options.started_at)).await;
        let planned = Planned::load(run_store, layout).await.ok().flatten();
        if let Some(planned) = &planned {
            self.check_sink(planned).await?;
        }
        if self.repair(planned.as_ref(), manifest).await? {
            return Ok(true);
        }
        self.started(true);
        // A plan of another version cannot be read, so there is nothing to compare with.
        let Some(planned) = planned else { return Ok(false) };
        // A process that followed a plan of before may have taken back that the result is complete.
        self.mark(&planned, &Mark::Result(&planned.plan.id)).await?;
        let changed = recipe::changed(&planned.plan.recipe, &steps.recipe(pipeline));
        if !changed.is_empty() {
            let message = format!(
                "this run was complete before, and what it was planned with has changed since: {}; start another run \
                 (`--new`) to get a result with the changes",
                changed.join(", ")
            );
            self.emit(Event::Warning { message });
        }
        Ok(false)
    }

    /// Withdraws a complete result that lacks parts, if that is asked for, so that they are made again. Returns whether
    /// it did.
    async fn repair(&self, planned: Option<&Planned>, manifest: &Manifest) -> Result<bool> {
        let RunContext { stores, layouts, id, .. } = &*self.context;
        let parts: Vec<PublishedPart> = manifest.parts.iter().map(published_part).collect();
        let damaged = layouts.result.damaged(&parts).await?;
        if damaged.is_empty() {
            return Ok(false);
        }
        let what = format!(
            "the result of run `{}` is not whole any more: parts that are gone or were changed since: {}",
            id.run_id,
            parts_named(damaged.iter().copied())
        );
        if !self.options.repair {
            return Err(Error::changed(format!("{what}; `--repair` makes them again")));
        }
        let Some(planned) = planned else { return Err(Error::changed(format!("{what}, and so is its plan"))) };
        if planned.plan.shards.pages() > 0 && planned.objects_of(0).await.is_err() {
            return Err(Error::changed(format!(
                "{what}; what they were made from was cleaned up, so start another run (`--new`)"
            )));
        }
        self.emit(Event::Warning { message: format!("{what}; they are made again") });
        stores.run_store.delete(&layouts.run.success()).await?;
        // What a task made is made again as a whole, because its rows may be divided among its parts in another way.
        let damaged: Vec<PublishedPart> = parts.into_iter().filter(|part| damaged.contains(&part.name.task)).collect();
        layouts.result.withdraw(&damaged).await?;
        Ok(true)
    }
}

fn committed_parts(mapped: &Ledger, reduced: &Ledger) -> Vec<CommittedPart> {
    let part = |(attempt, part): (&_, &crate::run_store::commit::Part)| CommittedPart {
        name: part.name.clone(),
        attempt: Clone::clone(attempt),
        bytes: part.bytes,
        digest: part.digest.clone(),
        pending: part.pending.clone(),
    };
    parts(mapped, reduced).into_iter().map(part).collect()
}

fn manifest_parts(published: Vec<PublishedPart>, mapped: &Ledger, reduced: &Ledger) -> Vec<ManifestPart> {
    let rows = parts(mapped, reduced).into_iter().map(|(_, part)| part.rows);
    let part = |(PublishedPart { name, key, bytes, digest, e_tag }, rows)| ManifestPart {
        key,
        values: name.values(),
        name,
        rows,
        bytes,
        digest,
        e_tag,
    };
    published.into_iter().zip(rows).map(part).collect()
}

fn published_part(ManifestPart { key, name, bytes, digest, e_tag, .. }: &ManifestPart) -> PublishedPart {
    PublishedPart { name: name.clone(), key: key.clone(), bytes: *bytes, digest: digest.clone(), e_tag: e_tag.clone() }
}
