//! The first stage of a run: loads the run's plan, or makes one.
//!
//! Owns what is checked before a run follows its plan. Called by the run.

use std::{sync::Arc, time::Duration};

use etl_core::{
    model::{
        error::{Error, Result},
        event::{Counts, Event, Stage},
        ids::{PlanId, TaskId, Try},
        object::{Object, digest},
        times::unix_ms,
    },
    runtime::fail_point,
};
use etl_store::Creates;

use super::{Run, Start};
use crate::{
    history::unfinished::{self, Unfinished},
    pipeline::Split,
    run::{
        check::{list_source, look_at_cut_objects},
        resume,
    },
    run_store::{
        plan::{NewPlan, NewRedrive, Planned, PlannedFields},
        recipe::{self, Recipe},
    },
    scheduler::{Retry, interrupted},
    task::{
        context::RunContext,
        split::{SplitSource, split_source},
    },
};

/// The most runs that are looked at to find an unfinished one to point out. Every start waits for this search.
const HINT_RUNS_MAX: usize = 16;

impl Run {
    /// Loads the run's plan, or makes one: lists the source, finds out which of the objects to be cut are compressed,
    /// splits the source into shards, and freezes the plan. Checks that
    /// the plan fits the pipeline and the source as they are now.
    pub(super) async fn plan(&self) -> Result<Planned> {
        let context = &self.context;
        let listed = list_source(&context.pipeline.source, &*context.stores.source);
        let mut objects = self.options.cancel.run_until_cancelled(listed).await.ok_or_else(interrupted)??;
        fail_point::reach("plan.listed");
        let existing = Planned::load(&context.stores.run_store, &context.layouts.run).await?;
        self.started(existing.is_some());
        self.check_planned(existing.as_ref())?;
        self.probe().await?;
        if existing.is_none() && self.redrives.is_none() {
            let looks = look_at_cut_objects(&context.pipeline, &*context.stores.source, &mut objects);
            self.options.cancel.run_until_cancelled(looks).await.ok_or_else(interrupted)??;
        }
        let (recipe, objects) = (context.steps.recipe(&context.pipeline), Arc::new(objects));
        let planned = match existing {
            Some(planned) => planned,
            None => self.make_plan(&recipe, &objects).await?,
        };
        // Check a plan that was just made as well: it may be that of another process, which was faster.
        resume::check_unchanged(&planned, &recipe, &objects).await?;
        if self.options.shared {
            resume::check_version(&planned, &context.id.run_id)?;
        }
        self.claim(&planned).await?;
        self.inferred.iter().for_each(|inferred| self.emit(inferred.event()));
        self.emit(Event::Planned {
            objects: planned.plan.objects,
            bytes: planned.plan.bytes,
            shards: planned.plan.shards.shards().into(),
            partitions: context.pipeline.partitions().into(),
        });
        if let Some(message) = self.slots.shortage(&context.pipeline.run) {
            self.emit(Event::Warning { message });
        }
        Ok(planned)
    }

    async fn make_plan(&self, recipe: &Recipe, objects: &Arc<Vec<Object>>) -> Result<Planned> {
        self.check_no_result().await?;
        if let Some((run_id, base)) = &self.redrives {
            return self.freeze_redrive(run_id, base, recipe.clone(), objects).await;
        }
        let listing = digest(objects);
        self.point_out_unfinished(recipe, &listing).await?;
        self.freeze(recipe.clone(), Arc::clone(objects), listing).await
    }

    /// Checks that the sink has no result of this run id, given that the run has no plan yet. Such a result was made by
    /// another plan whose run store was deleted; its parts would lie among the parts of this run.
    async fn check_no_result(&self) -> Result<()> {
        let RunContext { stores, layouts, id, .. } = &*self.context;
        let (run_id, result) = (&id.run_id, &layouts.result);
        let Some(existing) = result.existing().await else { return self.check_unclaimed_unless_planned().await };
        // Another process may have planned and published the run meanwhile; then the result belongs to this run.
        if stores.run_store.exists(&layouts.run.plan()).await? {
            return Ok(());
        }
        Err(Error::config(format!(
            "`{existing}` is there already, but the run store has no plan of a run `{run_id}`: use another `--run-id`, \
             or delete `{}`",
            result.location()
        )))
    }

    async fn check_unclaimed_unless_planned(&self) -> Result<()> {
        let RunContext { stores, layouts, .. } = &*self.context;
        let unclaimed = self.check_unclaimed().await;
        // Another process may have planned the run meanwhile, and claimed its result.
        if unclaimed.is_err() && stores.run_store.exists(&layouts.run.plan()).await? { Ok(()) } else { unclaimed }
    }

    /// Checks at the start that the sink can be written, and whether the run store can keep apart several processes
    /// that work on the run. If it cannot, that is a warning, or an error if `run.shared` is set.
    async fn probe(&self) -> Result<()> {
        let context = &self.context;
        let (run_store, process) = (&context.stores.run_store, &context.id.process);
        context.layouts.result.probe(process).await?;
        let lost = match run_store.probe_creates("run store", context.layouts.run.root(), process).await? {
            Creates::Once => return Ok(()),
            Creates::Again => "ignores the condition that an object must be new",
            Creates::NotOffered => "does not offer to create an object only if it is new",
        };
        let what = format!("run store `{}` {lost}", run_store.name());
        if context.pipeline.run.shared || self.options.shared {
            let by = if self.options.shared { "" } else { ", as `run.shared` asks for" };
            return Err(Error::config(format!(
                "{what}, so it cannot keep apart several processes on one run{by}: use another store, or `etl-host run` \
                 as the only process and `run.shared = false`"
            )));
        }
        let message = format!(
            "{what}: two processes on this run at the same time would not notice each other, so start only one \
             (`run.shared = true` refuses such a store)"
        );
        self.emit(Event::Warning { message });
        Ok(())
    }

    /// Warns when there is an unfinished run with the same plan, since the operator may have meant to finish that run
    /// instead of starting another one. Does nothing when the operator has said which run is meant.
    async fn point_out_unfinished(&self, recipe: &Recipe, listing: &str) -> Result<()> {
        if self.options.start != Start::Default {
            return Ok(());
        }
        let context = &self.context;
        let unfinished =
            unfinished::unfinished(&context.stores.run_store, &context.pipeline.name, HINT_RUNS_MAX).await?;
        let same =
            unfinished.iter().find(|run| recipe::is_same(&run.plan.recipe, recipe) && run.plan.listing == listing);
        if let Some(Unfinished { run_id, .. }) = same {
            let message = format!(
                "run {run_id} has the same plan and is not complete: `--resume` finishes it, unless another process \
                 is working on it (this is a new run; `--new` starts one without this warning)"
            );
            self.emit(Event::Warning { message });
        }
        Ok(())
    }

    async fn freeze(&self, recipe: Recipe, objects: Arc<Vec<Object>>, listing: String) -> Result<Planned> {
        let context = &self.context;
        let started = self.start(Stage::Split, 1, 0);
        let pipeline = context.pipeline.document.clone();
        let (count, bytes) = (objects.len() as u64, objects.iter().map(|object| object.size).sum());
        let SplitSource { plan: id, shards, .. } = self.split(objects).await?;
        let emits = context.steps.shuffled().to_string();
        let inferred = context.pipeline.source.format.is_inferred();
        let fields = context.pipeline.fields().map(|fields| PlannedFields { fields, inferred });
        let planned_at_ms = unix_ms(self.options.started_at);
        let sink = self.sink_mark();
        let draft = NewPlan {
            id,
            planned_at_ms,
            pipeline,
            fields,
            recipe,
            listing,
            objects: count,
            bytes,
            shards,
            sink,
            emits,
        };
        let planned = Planned::freeze(&context.stores.run_store, &context.layouts.run, draft.into()).await?;
        self.finish(Stage::Split, started, &Counts::default());
        Ok(planned)
    }

    /// Freezes the plan of a redrive that completes another run, with the shards of that run's plan.
    async fn freeze_redrive(&self, run_id: &str, base: &Planned, recipe: Recipe, now: &[Object]) -> Result<Planned> {
        let context = &self.context;
        let emits = context.steps.shuffled().to_string();
        let mended = resume::check_redrivable(base, &recipe, &emits, now).await?;
        if !mended.is_empty() {
            let message = format!(
                "only the shards that run {run_id} left out are mapped with what has changed since: {}",
                mended.join(", ")
            );
            self.emit(Event::Warning { message });
        }
        // The shards are those of another plan, so no attempt at the split makes this one.
        let id = PlanId::of(context.id.attempt(Try::FIRST));
        let (pipeline, made_at_ms) = (context.pipeline.document.clone(), unix_ms(self.options.started_at));
        let new = NewRedrive { id, made_at_ms, pipeline, recipe, sink: self.sink_mark() };
        let plan = base.plan.redrive(run_id, new);
        Planned::freeze(&context.stores.run_store, &context.layouts.run, plan).await
    }

    /// Splits the source into shards, as the only task of the split stage.
    async fn split(&self, objects: Arc<Vec<Object>>) -> Result<SplitSource> {
        let retry = match &self.context.pipeline.split {
            Split::Plugin(step) => step.retry.clone(),
            Split::BuiltIn { .. } => Retry { attempts: 1, interval: Duration::ZERO, multiplier: 1.0 },
        };
        let (context, clock_ms) = (Arc::clone(&self.context), unix_ms(self.options.started_at));
        let attempt = move |_, number| split_source(Arc::clone(&context), Arc::clone(&objects), clock_ms, number);
        let mut split = None;
        let done = |_, made: Result<SplitSource>| {
            split = Some(made?);
            Ok(())
        };
        self.scheduler(Stage::Split, retry).run([TaskId(0)], attempt, done).await?;
        split.ok_or_else(|| Error::internal("the split ended without shards"))
    }
}
