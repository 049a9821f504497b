//! The events that a run emits about itself and its stages.

use std::time::Instant;

use etl_core::{
    model::{
        error::Error,
        event::{Counts, Event, Stage},
        times::millis,
        usage::Usage,
    },
    runtime::process,
};

use super::Run;
use crate::run_store::{
    left_out::LeftOut,
    manifest::{Manifest, ManifestPart},
};

/// The most parts of a result that the last event of a run names. The manifest names all.
const PARTS_NAMED_MAX: usize = 4096;

impl Run {
    /// Says that this process works on the run. `resumed` says whether the run had a plan already.
    pub(super) fn started(&self, resumed: bool) {
        let context = &self.context;
        self.emit(Event::RunStarted {
            invocation: self.options.invocation.clone(),
            pipeline: context.pipeline.name.clone(),
            run_id: context.id.run_id.clone(),
            run_store: context.stores.run_store.locate(context.layouts.run.root()),
            resumed,
        });
        context.steps.plugins().for_each(|plugin| self.emit(plugin.loaded()));
    }

    /// Says that the run is complete, and names the shards that are left out.
    pub(super) fn finished(&self, started: Instant, manifest: &Manifest) {
        let location = |part: &ManifestPart| self.context.layouts.result.locate(&part.key);
        let parts = manifest.parts.iter().take(PARTS_NAMED_MAX).map(location).collect();
        let parts_left_out = manifest.parts.len().saturating_sub(PARTS_NAMED_MAX) as u64;
        let result = manifest.result.clone();
        for LeftOut { shard, shards, kind, error, .. } in &manifest.failed {
            let (shard, shards, kind, error) = (*shard, *shards, *kind, error.clone());
            self.emit(Event::LeftOut { shard, shards, kind, error });
        }
        self.emit(Event::RunFinished { duration_ms: millis(started.elapsed()), result, parts, parts_left_out });
    }

    /// Says that the run failed.
    pub(super) fn failed(&self, started: Instant, error: &Error) {
        let duration_ms = millis(started.elapsed());
        self.emit(Event::RunFailed { kind: error.kind(), error: error.to_string(), duration_ms });
    }

    /// Returns what this process has used so far.
    pub(super) fn usage(&self) -> Usage {
        let context = &self.context;
        let (source, sink) = (context.stores.source.traffic(), context.stores.sink.traffic());
        process::usage([("source", source), ("run store", context.stores.run_store.traffic()), ("sink", sink)])
    }

    /// Says that a stage starts, and returns the time.
    pub(super) fn start(&self, stage: Stage, tasks: u64, committed: u64) -> Instant {
        self.emit(Event::StageStarted { stage, tasks, committed });
        Instant::now()
    }

    /// Says that a stage that started at `started` is complete.
    pub(super) fn finish(&self, stage: Stage, started: Instant, counts: &Counts) {
        self.emit(Event::StageFinished { stage, duration_ms: millis(started.elapsed()), counts: counts.clone() });
    }

    /// Emits an event of the run.
    pub(super) fn emit(&self, event: Event) {
        self.context.events.emit(event);
    }
}
