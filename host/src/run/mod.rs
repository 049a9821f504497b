//! A run: one execution of a pipeline, from its plan to its result.
//!
//! ```text
//! pipeline ─► plan ─► map, one task per shard ─► reduce, one task per partition ─► finalize
//!              │             │                          │                            │
//!          plan.json   map/…/commit.json        reduce/…/commit.json      parts, manifest.json, _SUCCESS
//! ```
//! Every stage reads what the stage before it committed and nothing else, so a run that ended early can be resumed
//! where it stopped, and several processes can share it. A process does the whole of it, or a part: one stage, or some
//! tasks of one. A pipeline without a reducer has no reduce stage: its map tasks write the parts.

pub mod budget;
pub mod check;
mod colleagues;
mod events;
mod failures;
pub mod fields;
mod finalize;
mod lost;
mod options;
mod order;
mod ours;
mod part;
mod plan;
mod redrive;
mod resume;
mod share;
mod stage;
mod sweep;
mod which;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use etl_core::{
    model::{
        error::{ErrorKind, Result},
        event::{Event, Events, Stage},
        ids::TaskId,
        object::digest,
        times::unix_ms,
    },
    runtime::threads,
};
use etl_plugin::Engine;

pub use self::{
    options::{RunOptions, Start},
    order::Place,
    part::Part,
    which::{Ranges, Which},
};
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
        colleagues::Colleagues,
        failures::Failures,
        fields::Found,
    },
    run_store::{
        beats::{Beat, Heartbeat},
        events::EventLog,
        ledger::Ledger,
        manifest::Manifest,
        plan::Planned,
    },
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
    /// Number of shards that failed and are left out of the result, as `run.tolerated_failures` allows. 0 when this
    /// process did a part of the run that is not its end.
    pub failed_shards: u64,
}

/// Runs a pipeline to its result, resumes a run that ended early, or does the part of a run that the options name. Other
/// processes may do the same at the same time.
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
        return Ok(run.outcome(Some(&manifest), true));
    }
    let heartbeat = run.heartbeat().await;
    let key = run.context.layouts.run.events(unix_ms(run.options.started_at), &run.context.id.process);
    let log = EventLog::open(&run.context.stores.run_store, key, events, pipeline.secrets.redactor());
    let execute = async {
        let ended = run.execute().await;
        log.close();
        heartbeat.close();
        ended
    };
    let (ended, (), ()) = tokio::join!(execute, log.keep(), heartbeat.keep());
    heartbeat.end().await;
    run.emit(Event::Usage(run.usage()));
    match &ended {
        Ok(Some(manifest)) => run.finished(started, manifest),
        Ok(None) => {}
        Err(error) => run.failed(started, error),
    }
    let logged = log.write().await;
    if logged.is_ok() {
        run.emit(Event::Logged { run_id: run.context.id.run_id.clone() });
    }
    // If both the run and its log failed, report the run's error: it matters more.
    let manifest = ended.and_then(|manifest| logged.map(|()| manifest))?;
    Ok(run.outcome(manifest.as_ref(), false))
}

struct Run {
    context: Arc<RunContext>,
    options: RunOptions,
    slots: Slots,
    /// The id and the plan of the run that this run completes, if this run is a redrive.
    redrives: Option<(String, Planned)>,
    /// Where the fields are from, if the pipeline names none.
    inferred: Option<Found>,
    /// The other processes that work on the run.
    colleagues: Arc<Colleagues>,
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
        let colleagues = Colleagues::new(&context.stores.run_store, &context.layouts.run, options.heartbeat);
        let (context, colleagues) = (Arc::new(context), Arc::new(colleagues));
        Ok(Self { context, options, slots, redrives, inferred, colleagues })
    }

    /// Lets others see that this process works on the run.
    async fn heartbeat(&self) -> Heartbeat {
        let RunContext { stores, layouts, id, events, .. } = &*self.context;
        let beat = Beat::new(&id.process, self.options.id.clone(), events.now_ms());
        Heartbeat::start(&stores.run_store, &layouts.run, events, self.options.heartbeat, beat).await
    }

    /// Executes the run, or a part of it, stage by stage. Maps or reduces a task again, once, when its committed output
    /// turns out to be damaged or gone. Returns the manifest if the run is complete.
    async fn execute(&self) -> Result<Option<Manifest>> {
        let planned = self.plan().await?;
        if let Some(redrives) = &planned.plan.redrives {
            self.within_grace(redrive::take_over(&self.context, &planned, redrives)).await?;
        }
        let mut mapped = match &self.options.part {
            Part::Plan => return Ok(None),
            Part::Map(which) => return self.map(&planned, which).await.map(|_| None),
            Part::Whole => self.map(&planned, &Which::All).await?,
            Part::Reduce(which) => {
                self.tasks(&planned, Stage::Reduce, which)?;
                Arc::new(self.complete_ledger(&planned, Stage::Map).await?)
            }
            Part::Finalize => Arc::new(self.complete_ledger(&planned, Stage::Map).await?),
        };
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
            mapped = self.map(&planned, &Which::All).await?;
        }
    }

    async fn reduce_and_finalize(&self, planned: &Planned, mapped: &Arc<Ledger>) -> Result<Option<Manifest>> {
        let reduced = match &self.options.part {
            Part::Reduce(which) => return self.reduce(planned, mapped, which).await.map(|_| None),
            Part::Finalize => self.complete_ledger(planned, Stage::Reduce).await?,
            _ => self.reduce(planned, mapped, &Which::All).await?,
        };
        self.finalize(planned, mapped, &reduced).await.map(Some)
    }

    /// Runs every one of these map tasks that is not committed yet. Leaves out shards that fail, as far as that is
    /// tolerated.
    async fn map(&self, planned: &Planned, which: &Which) -> Result<Arc<Ledger>> {
        // The mappers of a chain run in one task and are retried together, so the settings of the first one apply.
        let retry = self.context.pipeline.maps[0].retry.clone();
        let (context, planned_again) = (Arc::clone(&self.context), planned.clone());
        let attempt = move |task, number| map_task(Arc::clone(&context), planned_again.clone(), task, number);
        let ledger = self.read_ledger(planned, Stage::Map).await?;
        let failures = Failures::tolerated(&self.context, planned, &ledger)?;
        let tasks = BTreeSet::from_iter(self.tasks(planned, Stage::Map, which)?);
        let mut groups = planned.plan.shards.by_size();
        groups.iter_mut().for_each(|group| group.retain(|task| tasks.contains(task)));
        self.stage((planned, Stage::Map), groups, ledger, failures, retry, attempt).await.map(Arc::new)
    }

    /// Reduces every one of these partitions that is not committed yet.
    async fn reduce(&self, planned: &Planned, mapped: &Arc<Ledger>, which: &Which) -> Result<Ledger> {
        let tasks = self.tasks(planned, Stage::Reduce, which)?;
        let Some(reduce) = &self.context.pipeline.reduce else { return Ok(self.ledger(Stage::Reduce)) };
        let (context, planned_again, mapped) = (Arc::clone(&self.context), planned.clone(), Arc::clone(mapped));
        let attempt = move |task: TaskId, number| {
            let (context, planned, mapped) = (Arc::clone(&context), planned_again.clone(), Arc::clone(&mapped));
            reduce_partition(context, planned, mapped, task.partition(), number)
        };
        let retry = reduce.step.retry.clone();
        let ledger = self.read_ledger(planned, Stage::Reduce).await?;
        // No failure is tolerated here: leaving out a partition would lose all rows of its keys, from every shard.
        self.stage((planned, Stage::Reduce), vec![tasks], ledger, Failures::none(), retry, attempt).await
    }

    fn outcome(&self, manifest: Option<&Manifest>, already_done: bool) -> Outcome {
        let failed_shards = manifest.map_or(0, Manifest::failed_shards);
        Outcome { run_id: self.context.id.run_id.clone(), already_done, failed_shards }
    }
}
