//! The data that is embedded in the page. Its size is bounded, however large the run.

use std::collections::BTreeMap;

use etl_core::{
    model::{
        error::ErrorKind,
        event::{Counts, Stage},
        ids::{ShardId, TaskId, Try},
        reject::{Reject, Rejected},
        times::Work,
        usage::Traffic,
    },
    text::command,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    spread::{self, Durations, Skew, Slow},
    timeline::Timeline,
};
use crate::{
    history::{Account, AttemptEnd, Message, Overview, PastAttempt, Process, Then},
    run_store::{left_out::LeftOut, recipe::PlannedStep},
};

/// Maximum number of failures shown.
const FAILURES_MAX: usize = 200;

/// Maximum number of characters shown of `pipeline.toml`.
const DOCUMENT_CHARACTERS_MAX: usize = 100_000;

#[derive(Serialize)]
pub(super) struct Data<'a> {
    pipeline: &'a str,
    run: &'a Overview,
    run_store: &'a str,
    error: Option<&'a str>,
    host: Option<&'a str>,
    objects: Option<u64>,
    source_bytes: Option<u64>,
    shards: u64,
    partitions: u64,
    parts: usize,
    combine: bool,
    sink_format: Option<&'a str>,
    steps: Vec<Step<'a>>,
    stages: Vec<StageData<'a>>,
    processes: &'a [Process],
    attempts: u64,
    left_out: Vec<LeftOutData<'a>>,
    left_out_more: usize,
    failed_for_good: usize,
    failures: Vec<Failure<'a>>,
    failures_more: usize,
    lanes_left_out: usize,
    timeline: Timeline,
    durations: Vec<Durations>,
    skew: Vec<Skew>,
    slowest: Vec<Slow>,
    rejected: &'a Rejected,
    reject_samples: &'a [Reject],
    messages: &'a [Message],
    messages_more: u64,
    cost: Cost<'a>,
    document: String,
}

#[derive(Serialize)]
struct Step<'a> {
    step: &'a str,
    digest: &'a str,
    plugin: &'a str,
    file: &'a str,
}

#[derive(Serialize)]
struct StageData<'a> {
    stage: Stage,
    tasks: u64,
    committed: u64,
    duration_ms: u64,
    retries: u64,
    counts: &'a Counts,
}

#[derive(Serialize)]
struct Failure<'a> {
    stage: Stage,
    task: TaskId,
    number: Try,
    kind: ErrorKind,
    error: &'a str,
    then: Then,
    replay: Option<String>,
}

/// Shards that failed and are left out of the result.
#[derive(Serialize)]
struct LeftOutData<'a> {
    shard: ShardId,
    shards: u32,
    kind: ErrorKind,
    error: &'a str,
    replay: Option<String>,
}

#[derive(Serialize)]
struct Cost<'a> {
    /// Number of processes that reported their usage.
    processes: usize,
    guest_ms: u64,
    attempts_ms: u64,
    processor_ms: Option<u64>,
    gb_seconds: Option<f64>,
    peak_memory_bytes: Option<u64>,
    requests: u64,
    stores: BTreeMap<&'a str, Traffic>,
}

impl<'a> Data<'a> {
    /// Collects the data that the page shows about a run.
    pub(super) fn of(account: &'a Account) -> Self {
        let plan = account.plan.as_ref();
        let document = plan.map_or(&Value::Null, |plan| &plan.pipeline);
        let decided = |key: &str| plan.and_then(|plan| plan.recipe.keys.get(key));
        let failed = account.failures().count();
        let for_good = |attempt: &&PastAttempt| matches!(attempt.end, AttemptEnd::Failed { then: Then::Nothing, .. });
        let timeline = Timeline::of(account);
        let committed = |stage| account.stages.get(&stage).map_or(0, |of| of.committed);
        let partitions = account.partitions();
        let parts = if partitions > 0 { committed(Stage::Reduce) } else { committed(Stage::Map) };
        Self {
            pipeline: &account.pipeline,
            run: &account.overview,
            run_store: &account.run_store,
            error: account.error(),
            host: plan.map(|plan| plan.host.as_str()),
            objects: plan.map(|plan| plan.objects),
            source_bytes: plan.map(|plan| plan.bytes),
            shards: account.overview.shards.unwrap_or_default(),
            partitions,
            parts: account.manifest.as_ref().map_or(usize::try_from(parts).unwrap_or_default(), |of| of.parts.len()),
            combine: decided("reduce.combine").and_then(Value::as_bool).unwrap_or_default(),
            sink_format: decided("sink.format").and_then(Value::as_str),
            steps: plan.map(|plan| plan.recipe.steps.iter().map(|of| step(of, document)).collect()).unwrap_or_default(),
            stages: account.stages.iter().map(stage).collect(),
            processes: &account.processes,
            attempts: account.attempts.len() as u64 + account.attempts_left_out,
            left_out: account.left_out().iter().take(FAILURES_MAX).map(|of| left_out(account, of)).collect(),
            left_out_more: account.left_out().len().saturating_sub(FAILURES_MAX),
            failed_for_good: account.failures().filter(for_good).count(),
            failures: account.failures().take(FAILURES_MAX).filter_map(|of| failure(account, of)).collect(),
            failures_more: failed.saturating_sub(FAILURES_MAX),
            lanes_left_out: timeline.lanes_left_out,
            timeline,
            durations: spread::durations(account),
            skew: spread::skew(account),
            slowest: spread::slowest(account),
            rejected: &account.rejected,
            reject_samples: &account.reject_samples,
            messages: &account.messages,
            messages_more: account.messages_left_out,
            cost: cost(account),
            document: written(document),
        }
    }
}

fn step<'a>(of: &'a PlannedStep, document: &'a Value) -> Step<'a> {
    let at = match of.step.as_str() {
        "map" => &document["map"][0],
        // The second map step is called `map 2`.
        name => match name.strip_prefix("map ").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => &document["map"][number.saturating_sub(1)],
            None => &document[name],
        },
    };
    let plugin = at["plugin"].as_str().unwrap_or_default();
    let file = plugin.rsplit('/').next().unwrap_or_default();
    Step { step: &of.step, digest: &of.digest, plugin, file }
}

fn stage<'a>((stage, of): (&Stage, &'a crate::history::StageAccount)) -> StageData<'a> {
    let (tasks, committed, duration_ms, retries) = (of.tasks, of.committed, of.duration_ms, of.retries);
    StageData { stage: *stage, tasks, committed, duration_ms, retries, counts: &of.counts }
}

fn left_out<'a>(account: &Account, of: &'a LeftOut) -> LeftOutData<'a> {
    let replay = replay(account, Stage::Map, TaskId::of_shard(of.shard), of.failed_shard);
    LeftOutData { shard: of.shard, shards: of.shards, kind: of.kind, error: &of.error, replay }
}

/// Returns the command that replays a task, to be run in the directory where the run was started.
fn replay(account: &Account, stage: Stage, task: TaskId, shard: Option<ShardId>) -> Option<String> {
    command::replay("etl-host", &account.invocation, &account.overview.run_id, stage, task, shard)
}

fn failure<'a>(account: &Account, attempt: &'a PastAttempt) -> Option<Failure<'a>> {
    let AttemptEnd::Failed { kind, error, then, shard } = &attempt.end else { return None };
    let (kind, then, shard) = (*kind, *then, *shard);
    let PastAttempt { stage, task, number, .. } = *attempt;
    let replay = replay(account, stage, task, shard);
    Some(Failure { stage, task, number, kind, error, then, replay })
}

fn cost(account: &Account) -> Cost<'_> {
    let mut stores: BTreeMap<&str, Traffic> = BTreeMap::new();
    for (_, usage) in &account.usages {
        usage.stores.iter().for_each(|(name, traffic)| stores.entry(name).or_default().add(traffic));
    }
    let gb_seconds = account.usages.iter().map(|(process, usage)| {
        let process = &account.processes[*process];
        let seconds = process.last_at_ms.saturating_sub(process.started_at_ms) as f64 / 1000.0;
        Some(usage.peak_memory_bytes? as f64 / 1e9 * seconds)
    });
    Cost {
        processes: account.usages.len(),
        guest_ms: account.stages.values().map(|of| of.counts.times.of(Work::Guest)).sum::<u64>() / 1000,
        attempts_ms: account.attempts.iter().map(|attempt| attempt.duration_ms).sum(),
        processor_ms: account.usages.iter().map(|(_, usage)| usage.processor_ms).sum(),
        gb_seconds: gb_seconds.sum(),
        peak_memory_bytes: account.usages.iter().filter_map(|(_, usage)| usage.peak_memory_bytes).max(),
        requests: stores.values().map(Traffic::requests).sum(),
        stores,
    }
}

/// Returns `pipeline.toml` as it was planned, cut if it is very long.
fn written(document: &Value) -> String {
    let text = toml::to_string_pretty(document).unwrap_or_default();
    match text.char_indices().nth(DOCUMENT_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}\n…", &text[..end]),
        None => text,
    }
}
