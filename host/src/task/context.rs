//! The context of a run: everything that its tasks share.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use etl_core::{
    model::{
        error::Result,
        event::Events,
        ids::{AttemptId, TaskId, Try},
    },
    runtime::{scratch::Scratch, threads, workers::Workers},
};
use etl_plugin::Attempt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connector::SinkResult,
    pipeline::{Pipeline, RunSettings},
    run_store::layout::RunLayout,
    task::{poison::Poison, steps::Steps, stores::Stores},
};

/// What the tasks of a run share. A function that needs only some of it takes those parts.
pub struct RunContext {
    /// The pipeline of the run.
    pub pipeline: Pipeline,
    /// The pipeline's steps, with their plugins loaded.
    pub steps: Steps,
    /// The source, the run store and the sink.
    pub stores: Stores,
    /// Where the run writes in these stores.
    pub layouts: Layouts,
    /// What the attempts in this process share of the machine.
    pub resources: Resources,
    /// The run, and this process among those that work on it.
    pub id: RunId,
    /// The poison records found so far: records that make a mapper fail.
    pub poison: Poison,
    /// The handle through which events are reported.
    pub events: Events,
}

/// Where a run writes in its stores.
pub struct Layouts {
    /// The run's keys in the run store.
    pub run: RunLayout,
    /// The run's result in the sink.
    pub result: Arc<dyn SinkResult>,
}

/// What the attempts in a process share of the machine.
pub struct Resources {
    /// The workers, which limit how many threads compute at the same time.
    pub workers: Workers,
    /// Local scratch space.
    pub scratch: Scratch,
    /// Tracks the work of attempts, including attempts that were given up.
    at_work: TaskTracker,
}

impl Resources {
    fn new(settings: &RunSettings) -> Self {
        let at_work = TaskTracker::new();
        // A closed tracker still hands out tokens; an open one would make `at_rest` wait for `close`.
        at_work.close();
        let scratch = Scratch::new(&settings.scratch, settings.scratch_space_bytes);
        Self { workers: Workers::new(settings.concurrency), scratch, at_work }
    }

    /// Waits until no attempt is at work any more, including those that were given up.
    pub async fn at_rest(&self) {
        self.at_work.wait().await;
    }
}

/// The id of a run, and the name of a process that works on it. Makes the ids of the attempts of that process.
pub struct RunId {
    /// The run's id.
    pub run_id: String,
    /// Name of this process, unique among all processes that work on the run.
    pub process: String,
    /// Number of times that this process has taken back commits.
    rounds: AtomicU32,
}

impl RunId {
    /// Creates the id of a run for the process named `process`.
    pub fn new(run_id: String, process: String) -> Self {
        Self { run_id, process, rounds: AtomicU32::new(0) }
    }

    /// Returns the id of try `number` in this process.
    pub fn attempt(&self, number: Try) -> AttemptId {
        match self.rounds.load(Ordering::Relaxed) {
            0 => AttemptId::new(number, &self.process),
            round => AttemptId::new(number, &format!("{}.{round}", self.process)),
        }
    }

    /// Gives attempts new ids from now on. Tasks that were committed are run again from try 1, while earlier attempts
    /// with the same numbers may still be at work.
    pub fn attempt_again(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }
}

impl RunContext {
    /// Creates the context of a run whose plugins are loaded.
    pub fn new(pipeline: Pipeline, steps: Steps, stores: Stores, id: RunId, events: Events) -> Self {
        let layouts = Layouts {
            run: RunLayout::new(&pipeline.name, &id.run_id),
            result: stores.sink.result(&id.run_id, &pipeline.sink.format.extension()),
        };
        let resources = Resources::new(&pipeline.run);
        Self { pipeline, steps, stores, layouts, resources, id, poison: Poison::default(), events }
    }

    /// Runs the work of an attempt on a thread that may block, and returns its result. If the attempt is given up, its
    /// work continues on that thread until a call of a plugin, which is stopped, or else through its commit.
    ///
    /// # Errors
    /// As [`threads::run`].
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Result<T> {
        let (context, at_work) = (Arc::clone(self), self.resources.at_work.token());
        threads::run(move || {
            let _at_work = at_work;
            work(&context)
        })
        .await
    }

    /// Returns the description of an attempt that its plugins are given. `clock_ms` is the time the plan was made, in
    /// milliseconds since the Unix epoch. The caller must cancel `stop` when it no longer waits for the attempt.
    pub fn task(&self, task: TaskId, number: Try, clock_ms: u64) -> Attempt {
        let (run_id, events) = (self.id.run_id.clone(), self.events.clone());
        Attempt { run_id, task, attempt: number, clock_ms, time_max: None, events, stop: CancellationToken::new() }
    }
}
