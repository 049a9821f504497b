//! Metrics of a run while it is under way, for Prometheus and OpenTelemetry.
//!
//! Owns which figures exist and their names. [`Figure`]s are computed anew for each request. `prometheus` and `otlp`
//! own the formats in which figures are written and sent.

mod prometheus;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

pub(crate) use self::prometheus::MetricsFile;
use super::reading::Reading;
use etl_core::model::{
    event::{Counts, Event, Level, Listener, Stage, Stamped},
    times::Work,
    usage::Usage,
};

/// Maximum number of step counters among the figures. It is limited because their names come from plugins.
const COUNTERS_MAX: usize = 500;

/// The work of one process on a run so far.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pipeline: String,
    run_id: String,
    started_ms: u64,
    last_ms: u64,
    planned: Option<(u64, u64, u64)>,
    stages: BTreeMap<Stage, StageMetrics>,
    messages: BTreeMap<&'static str, u64>,
    usage: Usage,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Running,
    Complete,
    Failed,
    Interrupted,
}

#[derive(Debug, Default)]
struct StageMetrics {
    tasks: u64,
    /// Number of tasks committed before this process began.
    committed_before: u64,
    started: u64,
    committed: u64,
    failed: u64,
    overtaken: u64,
    retries: u64,
    /// Sums over the attempts that committed.
    counts: Counts,
    reading: Reading,
    attempts_ms: u64,
}

/// A metric with its current values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// Name, without the prefix `etl_host_`. Ends with the unit, and with `_total` if the value only grows.
    pub name: &'static str,
    /// Description in one sentence.
    pub help: &'static str,
    /// Values with their labels. All values of a figure have the same label names.
    pub values: Vec<(Labels, f64)>,
}

/// Labels of a value: pairs of name and value.
pub(super) type Labels = Vec<(&'static str, String)>;

impl Figure {
    /// Returns whether the figure is a counter, which only grows until the process ends.
    pub(super) fn is_counter(&self) -> bool {
        self.name.ends_with("_total")
    }
}

impl Metrics {
    /// Returns the pipeline's name.
    pub(super) fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Returns all figures with their current values.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let one = |value: f64| vec![(Labels::new(), value)];
        let (objects, bytes, shards) = self.planned.unwrap_or_default();
        let info = [("run_id", self.run_id.clone()), ("version", env!("CARGO_PKG_VERSION").to_owned())].to_vec();
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let mut figures = vec![
            figure("run_info", "The run this process works on.", vec![(info, 1.0)]),
            figure("run_state", "The state of the run: 1 for the current one, else 0.", self.states()),
            figure(
                "run_start_time_seconds",
                "When this process began, since the Unix epoch.",
                one(seconds(self.started_ms)),
            ),
            figure(
                "run_duration_seconds",
                "How long this process has worked on the run.",
                one(seconds(self.last_ms - self.started_ms)),
            ),
            figure("source_objects", "Objects of the source.", one(objects as f64)),
            figure("source_bytes", "Bytes of the source, as stored.", one(bytes as f64)),
            figure("shards", "Shards of the run.", one(shards as f64)),
        ];
        figures.extend(self.stage_figures());
        figures.extend(self.usage_figures());
        figures
    }

    fn states(&self) -> Vec<(Labels, f64)> {
        let states = [
            ("running", State::Running),
            ("complete", State::Complete),
            ("failed", State::Failed),
            ("interrupted", State::Interrupted),
        ];
        states.map(|(name, state)| (label("state", name), f64::from(u8::from(self.state == state)))).to_vec()
    }

    fn stage_figures(&self) -> Vec<Figure> {
        let by_stage = |value: &dyn Fn(&StageMetrics) -> u64| {
            let of = |(stage, of): (&Stage, &StageMetrics)| (label("stage", stage.name()), value(of) as f64);
            self.stages.iter().map(of).collect::<Vec<_>>()
        };
        let outcomes = self.stages.iter().flat_map(|(stage, of)| {
            [("committed", of.committed), ("failed", of.failed), ("overtaken", of.overtaken)].map(
                |(outcome, number)| {
                    ([("stage", stage.name().to_owned()), ("outcome", outcome.to_owned())].to_vec(), number as f64)
                },
            )
        });
        let counters = self.stages.iter().flat_map(|(stage, of)| {
            of.counts.counters.iter().map(|(name, total)| {
                ([("stage", stage.name().to_owned()), ("counter", name.clone())].to_vec(), *total as f64)
            })
        });
        let times = self.stages.iter().flat_map(|(stage, of)| {
            Work::ALL.map(|work| {
                let time_us = of.counts.times.of(work);
                ([("stage", stage.name().to_owned()), ("work", work.name().to_owned())].to_vec(), time_us as f64 / 1e6)
            })
        });
        let attempt_seconds = by_stage(&|of| of.attempts_ms).into_iter().map(|(labels, ms)| (labels, ms / 1000.0));
        let messages = self.messages.iter().map(|(level, number)| (label("level", level), *number as f64));
        vec![
            figure("tasks", "Tasks of a stage.", by_stage(&|of| of.tasks)),
            figure(
                "tasks_committed",
                "Tasks that are committed, by any process.",
                by_stage(&|of| of.committed_before + of.committed),
            ),
            figure(
                "attempts_running",
                "Attempts under way.",
                by_stage(&|of| of.started.saturating_sub(of.committed + of.failed + of.overtaken)),
            ),
            figure("attempts_total", "Attempts that ended.", outcomes.collect()),
            figure(
                "attempt_seconds_total",
                "The total time of attempts that committed, in seconds.",
                attempt_seconds.collect(),
            ),
            figure("retries_total", "Attempts that failed and were followed by another.", by_stage(&|of| of.retries)),
            figure(
                "records_read_total",
                "Records read: from the source, or from the shuffle.",
                by_stage(&|of| of.reading.total().0),
            ),
            figure("read_bytes_total", "Bytes of records read.", by_stage(&|of| of.reading.total().1)),
            figure(
                "records_written_total",
                "Records written: to the shuffle, or to the sink.",
                by_stage(&|of| of.counts.records_out),
            ),
            figure("written_bytes_total", "Bytes of records written, as stored.", by_stage(&|of| of.counts.bytes_out)),
            figure("rejects_total", "Records set aside.", by_stage(&|of| of.counts.rejects)),
            figure("work_seconds_total", "Where the time of committed attempts went.", times.collect()),
            figure("step_counter", "Counters of steps.", counters.take(COUNTERS_MAX).collect()),
            figure("messages_total", "Messages of plugins, and warnings.", messages.collect()),
        ]
    }

    /// Returns the figures that are known only at the end of a run.
    fn usage_figures(&self) -> Vec<Figure> {
        let stores = self.usage.stores.iter();
        let requests = stores.clone().flat_map(|(store, of)| {
            let kinds = [
                ("read", of.reads),
                ("write", of.writes),
                ("list", of.lists),
                ("delete", of.deletes),
                ("copy", of.copies),
            ];
            kinds.map(|(kind, number)| {
                ([("store", store.clone()), ("request", kind.to_owned())].to_vec(), number as f64)
            })
        });
        let bytes = stores.flat_map(|(store, of)| {
            [("read", of.read_bytes), ("write", of.written_bytes)].map(|(kind, number)| {
                ([("store", store.clone()), ("request", kind.to_owned())].to_vec(), number as f64)
            })
        });
        let one = |value: Option<f64>| value.map(|value| (Labels::new(), value)).into_iter().collect();
        vec![
            figure("store_requests_total", "Requests to stores; known at the end.", requests.collect()),
            figure("store_bytes_total", "Bytes of objects read and written; known at the end.", bytes.collect()),
            figure(
                "peak_memory_bytes",
                "The most memory the process held; known at the end.",
                one(self.usage.peak_memory_bytes.map(|bytes| bytes as f64)),
            ),
            figure(
                "processor_seconds_total",
                "The processor time of the process; known at the end.",
                one(self.usage.processor_ms.map(|ms| ms as f64 / 1000.0)),
            ),
        ]
    }
}

impl StageMetrics {
    /// Updates the metrics with an event of a task of the stage.
    fn observe(&mut self, event: &Event) {
        self.reading.observe(event);
        match event {
            Event::AttemptStarted { .. } => self.started += 1,
            Event::AttemptFinished { duration_ms, counts, .. } => {
                self.committed += 1;
                self.attempts_ms += duration_ms;
                self.counts.add(counts);
            }
            Event::AttemptFailed { retry_in_ms, .. } => {
                self.failed += 1;
                self.retries += u64::from(retry_in_ms.is_some());
            }
            Event::AttemptOvertaken { .. } => self.overtaken += 1,
            _ => {}
        }
    }
}

fn figure(name: &'static str, help: &'static str, values: Vec<(Labels, f64)>) -> Figure {
    Figure { name, help, values }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

impl Listener for Metrics {
    fn on_event(&mut self, event: &Stamped) {
        if self.started_ms == 0 {
            self.started_ms = event.at_ms;
        }
        self.last_ms = event.at_ms.max(self.last_ms).max(self.started_ms);
        if let Some(stage) = event.event.stage_of_task() {
            self.stages.entry(stage).or_default().observe(&event.event);
        }
        match &event.event {
            Event::RunStarted { pipeline, run_id, .. } => {
                (self.pipeline, self.run_id) = (pipeline.clone(), run_id.clone());
            }
            Event::Planned { objects, bytes, shards, .. } => self.planned = Some((*objects, *bytes, *shards)),
            Event::StageStarted { stage, tasks, committed } => {
                let of = self.stages.entry(*stage).or_default();
                // A stage that is run again keeps its counts. `committed` then includes tasks that this process
                // committed itself.
                (of.tasks, of.committed_before) = (*tasks, committed.saturating_sub(of.committed));
            }
            Event::StageFinished { stage, .. } => self.stages.entry(*stage).or_default().reading.end(),
            Event::Log { level, .. } => *self.messages.entry(level.name()).or_default() += 1,
            Event::Warning { .. } => *self.messages.entry(Level::Warn.name()).or_default() += 1,
            Event::Usage(usage) => self.usage = usage.clone(),
            Event::RunFinished { .. } => self.state = State::Complete,
            Event::RunFailed { kind, .. } => {
                let interrupted = matches!(kind, etl_core::model::error::ErrorKind::Interrupted(_));
                self.state = if interrupted { State::Interrupted } else { State::Failed };
            }
            _ => {}
        }
    }
}

/// The highest value of each counter so far. When an attempt fails, what it had read no longer counts, but a counter
/// must never fall.
#[derive(Debug, Default)]
pub(super) struct Monotonic {
    highest: HashMap<(&'static str, Labels), f64>,
}

impl Monotonic {
    /// Raises each counter that is lower than before to its highest value so far.
    pub(super) fn raise(&mut self, figures: &mut [Figure]) {
        for figure in figures.iter_mut().filter(|figure| figure.is_counter()) {
            for (labels, value) in &mut figure.values {
                let highest = self.highest.entry((figure.name, labels.clone())).or_default();
                *highest = highest.max(*value);
                *value = *highest;
            }
        }
    }
}
