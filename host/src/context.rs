//! What every task of a run shares.

use tokio_util::sync::CancellationToken;

use crate::{
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
    /// Where things are reported.
    pub events: Events,
    /// This process's name among all that work on the run.
    pub process: String,
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
            events,
            process,
            pipeline,
            run_id,
        }
    }

    /// Returns the id of try `number` in this process.
    pub fn attempt(&self, number: u32) -> AttemptId {
        AttemptId::new(number, &self.process)
    }

    /// Returns what a plugin is told of an attempt. `clock_ms` is the plan's. Whoever waits for the attempt stops it by
    /// `stop` when it does so no longer.
    pub fn task(&self, task: u32, number: u32, clock_ms: u64) -> Task {
        let (run_id, events) = (self.run_id.clone(), self.events.clone());
        Task { run_id, task, attempt: number, clock_ms, events, stop: CancellationToken::new() }
    }
}
