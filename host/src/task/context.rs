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
use etl_store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connector::{Sink, SinkResult, Source},
    pipeline::Pipeline,
    run_store::layout::RunLayout,
    task::{poison::Poison, steps::Steps, stores::Stores},
};

/// The pipeline, its stores and plugins, and the run's place in them.
pub struct RunContext {
    /// The pipeline of the run.
    pub pipeline: Pipeline,
    /// The pipeline's steps, with their plugins loaded.
    pub steps: Steps,
    /// The source, from which the run reads its records.
    pub source: Arc<dyn Source>,
    /// The run store, where the run keeps its plan, intermediates and log.
    pub run_store: Store,
    /// The sink, to which the run writes its result.
    pub sink: Arc<dyn Sink>,
    /// The run's id.
    pub run_id: String,
    /// The run's keys in the run store.
    pub layout: RunLayout,
    /// The run's result in the sink.
    pub result: Arc<dyn SinkResult>,
    /// The workers, which limit how many threads compute at the same time.
    pub workers: Workers,
    /// Local scratch space.
    pub scratch: Scratch,
    /// The poison records found so far: records that make a mapper fail.
    pub poison: Poison,
    /// Tracks the work of attempts, including attempts that were given up.
    at_work: TaskTracker,
    /// The handle through which events are reported.
    pub events: Events,
    /// Name of this process, unique among all processes that work on the run.
    pub process: String,
    /// Number of times that this process has taken back commits.
    rounds: AtomicU32,
}

impl RunContext {
    /// Creates the context of a run whose plugins are loaded, for the process named `process`.
    pub fn new(
        pipeline: Pipeline,
        steps: Steps,
        stores: Stores,
        run_id: String,
        process: String,
        events: Events,
    ) -> Self {
        let Stores { source, run_store, sink } = stores;
        let result = sink.result(&run_id, pipeline.sink.format.extension());
        let at_work = TaskTracker::new();
        // A closed tracker still hands out tokens; an open one would make `at_rest` wait for `close`.
        at_work.close();
        Self {
            steps,
            source,
            run_store,
            sink,
            layout: RunLayout::new(&pipeline.name, &run_id),
            result,
            workers: Workers::new(pipeline.run.concurrency),
            scratch: Scratch::new(&pipeline.run.scratch, pipeline.run.scratch_space_bytes),
            poison: Poison::default(),
            at_work,
            events,
            process,
            rounds: AtomicU32::new(0),
            pipeline,
            run_id,
        }
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

    /// Runs the work of an attempt on a thread that may block, and returns its result. If the attempt is given up, its
    /// work continues on that thread until a call of a plugin, which is stopped, or else through its commit.
    ///
    /// # Errors
    /// As [`threads::run`].
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Result<T> {
        let (context, at_work) = (Arc::clone(self), self.at_work.token());
        threads::run(move || {
            let _at_work = at_work;
            work(&context)
        })
        .await
    }

    /// Waits until no attempt is at work any more, including those that were given up.
    pub async fn at_rest(&self) {
        self.at_work.wait().await;
    }

    /// Returns the description of an attempt that its plugins are given. `clock_ms` is the time the plan was made, in
    /// milliseconds since the Unix epoch. The caller must cancel `stop` when it no longer waits for the attempt.
    pub fn task(&self, task: TaskId, number: Try, clock_ms: u64) -> Attempt {
        let (run_id, events) = (self.run_id.clone(), self.events.clone());
        Attempt { run_id, task, attempt: number, clock_ms, events, stop: CancellationToken::new() }
    }
}
