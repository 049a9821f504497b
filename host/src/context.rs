//! What every task of a run shares.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    blocking,
    error::Result,
    event::Events,
    layout::{AttemptId, RunLayout, SinkLayout},
    pipeline::Pipeline,
    plugin::Task,
    poison::Poison,
    scratch::Scratch,
    sink,
    source::SourceStore,
    steps::Steps,
    store::Store,
    stores::Stores,
    workers::Workers,
};

/// The pipeline, its stores and plugins, and the run's place in them.
pub struct RunContext {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its plugins.
    pub steps: Steps,
    /// Where records come from.
    pub source: SourceStore,
    /// Where the run keeps its plan, intermediates and log.
    pub run_store: Store,
    /// Where results go.
    pub sink: Store,
    /// The run's id.
    pub run_id: String,
    /// The run's keys in the run store.
    pub layout: RunLayout,
    /// The result's keys in the sink.
    pub sink_layout: SinkLayout,
    /// Who computes.
    pub workers: Workers,
    /// Local space.
    pub scratch: Scratch,
    /// The records found that make a mapper fail.
    pub poison: Poison,
    /// The threads of attempts, those that were given up included.
    at_work: TaskTracker,
    /// Where things are reported.
    pub events: Events,
    /// This process's name among all that work on the run.
    pub process: String,
    /// How often it has taken back commits.
    rounds: AtomicU32,
}

impl RunContext {
    /// Makes the context of a run whose plugins are loaded, for the process of this name.
    pub fn new(
        pipeline: Pipeline,
        steps: Steps,
        stores: Stores,
        run_id: String,
        process: String,
        events: Events,
    ) -> Self {
        let Stores { source, run_store, sink } = stores;
        let at_work = TaskTracker::new();
        // It goes on to hand out tokens. As long as it is open, whoever waits would wait for that.
        at_work.close();
        Self {
            steps,
            source,
            run_store,
            sink,
            layout: RunLayout::new(&pipeline.name, &run_id),
            sink_layout: SinkLayout::new(&run_id, sink::extension(pipeline.sink.format)),
            workers: Workers::new(pipeline.run.concurrency),
            scratch: Scratch::new(pipeline.run.scratch.as_deref(), pipeline.run.scratch_space_bytes),
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
    pub fn attempt(&self, number: u32) -> AttemptId {
        match self.rounds.load(Ordering::Relaxed) {
            0 => AttemptId::new(number, &self.process),
            round => AttemptId::new(number, &format!("{}.{round}", self.process)),
        }
    }

    /// Gives attempts other ids from now on: tasks that were committed are run again, from try 1, and earlier attempts
    /// may still be at work.
    pub fn attempt_again(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs what an attempt has to do on a thread that may wait, and returns what it does. When the attempt is given up,
    /// it goes on there: to the next call of a plugin, which is stopped, or else to its commit.
    ///
    /// # Errors
    /// As [`blocking::run`].
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Result<T> {
        let (context, at_work) = (Arc::clone(self), self.at_work.token());
        blocking::run(move || {
            let _at_work = at_work;
            work(&context)
        })
        .await
    }

    /// Waits until no attempt is at work any more, not even one that was given up.
    pub async fn at_rest(&self) {
        self.at_work.wait().await;
    }

    /// Returns what a plugin is told of an attempt. `clock_ms` is the plan's. Whoever waits for the attempt stops it by
    /// `stop` when it does so no longer.
    pub fn task(&self, task: u32, number: u32, clock_ms: u64) -> Task {
        let (run_id, events) = (self.run_id.clone(), self.events.clone());
        Task { run_id, task, attempt: number, clock_ms, events, stop: CancellationToken::new() }
    }
}
