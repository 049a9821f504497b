//! A run: one execution of a pipeline, from its plan to its result.
//!
//! ```text
//! pipeline ─► plan ─► map, one task per shard ─► reduce, one task per partition ─► finalize
//!              │             │                          │                            │
//!          plan.json   map/…/commit.json        reduce/…/commit.json      parts, manifest.json, _SUCCESS
//! ```
//! Every stage reads what the stage before it committed and nothing else, so a run that ended early can be resumed
//! where it stopped. A pipeline without a reducer has no reduce stage: its map tasks write the parts.

pub mod budget;
pub mod check;
mod events;
mod failures;
pub mod fields;
mod finalize;
mod lost;
mod options;
mod ours;
mod plan;
mod redrive;
mod resume;
mod stage;
mod sweep;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use etl_core::{
    model::{
        error::{ErrorKind, Result},
        event::{Event, Events, Stage},
        ids::{PartitionId, TaskId},
        object::digest,
        times::unix_ms,
    },
    runtime::threads,
};
use etl_plugin::Engine;

pub use self::options::{RunOptions, Start};
use crate::{
    connector::Gone,
    history::{
        redrives::{self, Redrivable},
        unfinished,
    },
    pipeline::Pipeline,
    run::{
        budget::{Slots, stack_bytes},
        check::list_source,
        failures::Failures,
        fields::Found,
    },
    run_store::{events::EventLog, ledger::Ledger, manifest::Manifest, plan::Planned},
    task::{
        context::{RunContext, RunId},
        map::map_task,
        reduce::reduce_partition,
        steps::Steps,
        stores::Stores,
    },
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run's id.
    pub run_id: String,
    /// Whether the run was complete before this process began.
    pub already_done: bool,
    /// Number of shards that failed and are left out of the result, as `run.tolerated_failures` allows.
    pub failed_shards: u64,
}

/// Runs a pipeline to its result, or resumes a run that ended early.
///
/// # Errors
/// Says what is wrong with the pipeline, its data or its stores. A run that fails before its last stage publishes
/// nothing of its result; what it committed is kept, and a run started again with the same id continues from there.
pub async fn run(pipeline: &Pipeline, options: RunOptions, events: &Events) -> Result<Outcome> {
    run_on(Stores::open(pipeline).await?, pipeline, options, events).await
}

/// Does what [`run`] does, on stores that are open already.
///
/// # Errors
/// Fails as [`run`] does.
pub async fn run_on(stores: Stores, pipeline: &Pipeline, options: RunOptions, events: &Events) -> Result<Outcome> {
    let started = Instant::now();
    let run = Run::open(stores, pipeline, options, events).await?;
    if let Some(manifest) = Manifest::read(&run.context.stores.run_store, &run.context.layouts.run).await?
        && !run.again(&manifest).await?
    {
        run.finished(started, &manifest);
        return Ok(run.outcome(&manifest, true));
    }
    let key = run.context.layouts.run.events(unix_ms(run.options.started_at), &run.context.id.process);
    let log = EventLog::open(&run.context.stores.run_store, key, events, pipeline.secrets.redactor());
    let execute = async {
        let ended = run.execute().await;
        log.close();
        ended
    };
    let (ended, ()) = tokio::join!(execute, log.keep());
    run.emit(Event::Usage(run.usage()));
    match &ended {
        Ok(manifest) => run.finished(started, manifest),
        Err(error) => run.failed(started, error),
    }
    let logged = log.write().await;
    if logged.is_ok() {
        run.emit(Event::Logged { run_id: run.context.id.run_id.clone() });
    }
    // If both the run and its log failed, report the run's error: it matters more.
    let manifest = ended.and_then(|manifest| logged.map(|()| manifest))?;
    Ok(run.outcome(&manifest, false))
}

struct Run {
    context: Arc<RunContext>,
    options: RunOptions,
    slots: Slots,
    /// The id and the plan of the run that this run completes, if this run is a redrive.
    redrives: Option<(String, Planned)>,
    /// Where the fields are from, if the pipeline names none.
    inferred: Option<Found>,
}

impl Run {
    /// Loads the plugins, and determines the run's id.
    async fn open(stores: Stores, pipeline: &Pipeline, options: RunOptions, events: &Events) -> Result<Self> {
        let (declared, inferred) = fields::of_start(pipeline, &stores, &options.start).await?;
        let pipeline = &declared;
        let slots = Slots::new(pipeline)?;
        threads::need_stack(stack_bytes(pipeline.maps.len()));
        let instances = slots.map.max(slots.reduce) * (pipeline.maps.len() + 2);
        let engine = Engine::new(instances, options.compiler.clone())?;
        engine.warning().into_iter().for_each(|message| events.emit(Event::Warning { message }));
        let steps = Steps::load(pipeline, &engine)?;
        let mut redrives = None;
        let run_id = match &options.start {
            Start::Default | Start::New => options.new_run_id(),
            Start::Id(run_id) => run_id.clone(),
            Start::Resume => {
                let (recipe, objects) = (steps.recipe(pipeline), list_source(&pipeline.source, &*stores.source).await?);
                let listing = digest(&objects);
                let (newest, others) =
                    unfinished::newest(&stores.run_store, &pipeline.name, (&recipe, &listing)).await?;
                others.into_iter().for_each(|message| events.emit(Event::Warning { message }));
                newest.unwrap_or_else(|| options.new_run_id())
            }
            Start::Redrive(run_id) => {
                let recipe = steps.recipe(pipeline);
                match redrives::find(&stores.run_store, &pipeline.name, run_id.as_deref(), &recipe).await? {
                    Redrivable::Nothing(run_id) => {
                        let message = format!("run {run_id} left out no shards, so there is nothing to redrive");
                        events.emit(Event::Warning { message });
                        run_id
                    }
                    Redrivable::Incomplete { redrive, run_id, base } => {
                        redrives = Some((run_id, base));
                        redrive
                    }
                }
            }
        };
        pipeline.check_run(&run_id)?;
        let id = RunId::new(run_id, options.process());
        let context = RunContext::new(pipeline.clone(), steps, stores, id, events.clone());
        Ok(Self { context: Arc::new(context), options, slots, redrives, inferred })
    }

    /// Executes the whole run, stage by stage. Maps or reduces a task again, once, when its committed output turns out
    /// to be damaged or gone.
    async fn execute(&self) -> Result<Manifest> {
        let planned = self.plan().await?;
        if let Some(redrives) = &planned.plan.redrives {
            self.within_grace(redrive::take_over(&self.context, &planned, redrives)).await?;
        }
        let mut mapped = self.map(&planned).await?;
        let (mut mapped_again, mut made_again) = (BTreeSet::new(), false);
        loop {
            let error = match self.reduce_and_finalize(&planned, &mapped).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => error,
            };
            // A run that was deleted meanwhile has lost everything, and none of it is made again.
            if matches!(error.kind(), ErrorKind::Damaged(_)) || error.cause::<Gone>().is_some() {
                self.check_ours(&planned).await?;
            }
            // Make each shuffle file again only once, and lost parts only once: output that is lost a second time would
            // be lost again.
            match (error.kind(), error.cause::<Gone>()) {
                (ErrorKind::Damaged(task), _) if !mapped_again.contains(&task) => {
                    mapped_again.append(&mut self.take_back_shuffle_files(&planned, &mapped, task, &error).await?);
                }
                (_, Some(Gone(parts))) if !made_again => {
                    made_again = true;
                    self.take_back_parts(&planned, parts).await?;
                }
                _ => return Err(error),
            }
            mapped = self.map(&planned).await?;
        }
    }

    async fn reduce_and_finalize(&self, planned: &Planned, mapped: &Arc<Ledger>) -> Result<Manifest> {
        let reduced = self.reduce(planned, mapped).await?;
        self.finalize(planned, mapped, &reduced).await
    }

    /// Runs every map task that is not committed yet. Leaves out shards that fail, as far as that is tolerated.
    async fn map(&self, planned: &Planned) -> Result<Arc<Ledger>> {
        // The mappers of a chain run in one task and are retried together, so the settings of the first one apply.
        let retry = self.context.pipeline.maps[0].retry.clone();
        let (context, planned_again) = (Arc::clone(&self.context), planned.clone());
        let attempt = move |task, number| map_task(Arc::clone(&context), planned_again.clone(), task, number);
        let ledger = self.read_ledger(planned, Stage::Map).await?;
        let failures = Failures::tolerated(&self.context, planned, &ledger)?;
        let tasks = planned.plan.shards.longest_first();
        self.stage(Stage::Map, tasks, ledger, failures, retry, attempt).await.map(Arc::new)
    }

    /// Reduces every partition that is not committed yet.
    async fn reduce(&self, planned: &Planned, mapped: &Arc<Ledger>) -> Result<Ledger> {
        let Some(reduce) = &self.context.pipeline.reduce else { return Ok(self.ledger(Stage::Reduce)) };
        let (context, planned_again, mapped) = (Arc::clone(&self.context), planned.clone(), Arc::clone(mapped));
        let attempt = move |task: TaskId, number| {
            let (context, planned, mapped) = (Arc::clone(&context), planned_again.clone(), Arc::clone(&mapped));
            reduce_partition(context, planned, mapped, task.partition(), number)
        };
        let tasks = (0..reduce.partitions).map(PartitionId).map(TaskId::of_partition).collect();
        let retry = reduce.step.retry.clone();
        let ledger = self.read_ledger(planned, Stage::Reduce).await?;
        // No failure is tolerated here: leaving out a partition would lose all rows of its keys, from every shard.
        self.stage(Stage::Reduce, tasks, ledger, Failures::none(), retry, attempt).await
    }

    fn outcome(&self, manifest: &Manifest, already_done: bool) -> Outcome {
        let failed_shards = manifest.failed_shards();
        Outcome { run_id: self.context.id.run_id.clone(), already_done, failed_shards }
    }
}
