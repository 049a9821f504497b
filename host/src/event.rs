//! What happens in a run, as data.
//!
//! Owns [`Event`] and [`Events`], the handle everything reports through. Knows nothing of who listens: progress on
//! the terminal, the run store's `events/` and `--events json` are [`Listener`]s.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorKind,
    shared::Shared,
    times::{Times, millis},
    usage::Usage,
};

/// A part of a run, in the order they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Listing the source and dividing it into shards.
    Split,
    /// One task per shard.
    Map,
    /// One task per partition.
    Reduce,
    /// Publishing parts, manifest and `_SUCCESS`.
    Finalize,
}

impl Stage {
    /// Returns its name, as in events and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Map => "map",
            Self::Reduce => "reduce",
            Self::Finalize => "finalize",
        }
    }

    /// Returns what a task of it is called in messages: `map of shard 7`.
    pub fn task(self, task: u32) -> String {
        match self {
            Self::Map => format!("map of shard {task}"),
            Self::Reduce => format!("reduce of partition {task}"),
            Self::Split | Self::Finalize => self.name().to_owned(),
        }
    }
}

/// What an attempt did: summed over a stage's committed tasks they are the stage's totals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read: from the source in a map, from the shuffle in a reduce.
    pub records_in: u64,
    /// Bytes of those records.
    pub bytes_in: u64,
    /// Records handed on: to the shuffle or the sink.
    pub records_out: u64,
    /// Bytes written, as stored.
    pub bytes_out: u64,
    /// Records set aside.
    pub rejects: u64,
    /// Where the time went.
    #[serde(default)]
    pub times: Times,
    /// What the steps counted, by counter name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, i64>,
}

impl Counts {
    /// Adds another task's counts to these.
    pub fn add(&mut self, other: &Self) {
        self.records_in += other.records_in;
        self.bytes_in += other.bytes_in;
        self.records_out += other.records_out;
        self.bytes_out += other.bytes_out;
        self.rejects += other.rejects;
        self.times.add(&other.times);
        add_counters(&mut self.counters, &other.counters);
    }
}

/// Adds what steps counted to what they counted before.
pub fn add_counters(totals: &mut BTreeMap<String, i64>, counters: &BTreeMap<String, i64>) {
    for (name, delta) in counters {
        let total = totals.entry(name.clone()).or_default();
        *total = total.saturating_add(*delta);
    }
}

/// How loud a log message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Returns its name, as in events and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// How a process was told which pipeline to run: what a command that looks at the run has to say as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The pipeline file, as it was named; absent when it was not named on a command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What `--set` set: `key.path=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event of a process that works on a run.
    RunStarted {
        /// How the process was told which pipeline that is.
        #[serde(flatten)]
        invocation: Invocation,
        /// The pipeline's name.
        pipeline: String,
        /// The run's id.
        run_id: String,
        /// Where the run's plan, intermediates and log lie.
        run_store: String,
        /// Whether the run's plan was there already.
        resumed: bool,
    },
    /// A step's plugin is ready.
    PluginLoaded {
        /// The step, as in messages: `map 2`.
        step: String,
        /// The plugin's SHA-256 digest, in hexadecimal.
        digest: String,
        /// Why it was compiled; absent when compiled code was there from an earlier run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compiled: Option<String>,
        /// How long reading, checking and compiling it took.
        duration_ms: u64,
    },
    /// The plan is frozen.
    Planned {
        /// Source objects.
        objects: u64,
        /// Their bytes, as stored.
        bytes: u64,
        /// Shards: the map tasks.
        shards: u64,
        /// Partitions: the reduce tasks, 0 in a map-only pipeline.
        partitions: u64,
    },
    /// A stage begins.
    StageStarted {
        /// Which one.
        stage: Stage,
        /// Its tasks, those already committed included.
        tasks: u64,
        /// How many of them were committed before.
        committed: u64,
    },
    /// An attempt begins.
    AttemptStarted {
        /// The task's stage.
        stage: Stage,
        /// The shard's or partition's number.
        task: u32,
        /// Which try, from 1.
        attempt: u32,
    },
    /// An attempt is under way; sent at most a few times a second, and not kept in the run store.
    AttemptProgress {
        /// The task's stage.
        stage: Stage,
        /// The shard's or partition's number.
        task: u32,
        /// Records read since the attempt's last progress.
        records: u64,
        /// Bytes read since the attempt's last progress.
        bytes: u64,
    },
    /// A task is committed.
    AttemptFinished {
        /// The task's stage.
        stage: Stage,
        /// The shard's or partition's number.
        task: u32,
        /// Which try, from 1.
        attempt: u32,
        /// From its start to its commit.
        duration_ms: u64,
        /// What it did.
        counts: Counts,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The task's stage.
        stage: Stage,
        /// The shard's or partition's number.
        task: u32,
        /// Which try, from 1.
        attempt: u32,
        /// The shard it failed at, of a map task that has several; absent when that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<u32>,
        /// What the operator can do.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
        /// When the next attempt starts; absent when none does.
        retry_in_ms: Option<u64>,
        /// Whether another attempt at the task is under way, which may still succeed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        another_under_way: bool,
    },
    /// An attempt is given up, because another one at its task, which was started later, has committed it.
    AttemptOvertaken {
        /// The task's stage.
        stage: Stage,
        /// The shard's or partition's number.
        task: u32,
        /// Which try, from 1.
        attempt: u32,
        /// Which try was faster.
        by: u32,
        /// How long it was under way.
        duration_ms: u64,
    },
    /// A record makes a mapper fail whenever it is given it, and is set aside. The task starts over without it.
    PoisonRecord {
        /// The step that fails.
        step: String,
        /// The map task.
        task: u32,
        /// The shard.
        shard: u32,
        /// The number of the record in the shard, from 0.
        record: u64,
        /// The object the record is from; absent when a splitter made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// Where the record starts in the object, in bytes after decompression.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// How the step fails, and where in its source.
        reason: String,
    },
    /// A stage is complete.
    StageFinished {
        /// Which one.
        stage: Stage,
        /// How long it took in this process.
        duration_ms: u64,
        /// The sums over all its committed tasks.
        counts: Counts,
    },
    /// A message from a plugin: `diagnostics.log`, or a line it wrote to standard output or error.
    Log {
        /// The step, as in messages: `map 2`.
        step: String,
        /// The shard's or partition's number.
        task: u32,
        /// How loud.
        level: Level,
        /// The text.
        message: String,
    },
    /// A map task failed for good, and its shards are left out of the result, as `run.tolerated_failures` allows. Sent
    /// when the run is complete.
    LeftOut {
        /// The first of the shards.
        shard: u32,
        /// How many they are.
        shards: u32,
        /// What the operator can do.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
    },
    /// Something the operator should know that fails nothing.
    Warning {
        /// The text.
        message: String,
    },
    /// What this process used; sent once, before its last event.
    Usage(Usage),
    /// The run is complete: its last event.
    RunFinished {
        /// How long this process worked on it.
        duration_ms: u64,
        /// Where the result lies.
        result: String,
        /// The result's parts, in order.
        parts: Vec<String>,
    },
    /// The run ended early: its last event.
    RunFailed {
        /// What the operator can do.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
        /// How long this process worked on it.
        duration_ms: u64,
    },
    /// The events of this process are in the run store, so the run's history can be read. Not kept there itself.
    Logged {
        /// The run's id.
        run_id: String,
    },
    /// What happened can be looked at. Comes after the last event, and is not kept in the run store.
    Reported {
        /// Where the report lies.
        report: String,
    },
}

impl Event {
    /// Returns the stage of the task that this happened to, if it happened to one.
    pub fn stage_of_task(&self) -> Option<Stage> {
        match self {
            Self::AttemptStarted { stage, .. }
            | Self::AttemptProgress { stage, .. }
            | Self::AttemptFinished { stage, .. }
            | Self::AttemptFailed { stage, .. }
            | Self::AttemptOvertaken { stage, .. } => Some(*stage),
            Self::PoisonRecord { .. } => Some(Stage::Map),
            _ => None,
        }
    }
}

/// An event with the time it happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stamped {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Someone who wants to know what happens.
pub trait Listener: Send {
    /// Called for each event, in order, one at a time. Must not block for long: the run waits.
    fn on_event(&mut self, event: &Stamped);
}

/// A listener that can be asked while events, or after they, come in.
impl<L: Listener> Listener for Shared<L> {
    fn on_event(&mut self, event: &Stamped) {
        self.lock().on_event(event);
    }
}

/// The handle everything reports through. Clones report to the same listeners.
#[derive(Clone, Default)]
pub struct Events {
    listeners: Arc<Mutex<Vec<Box<dyn Listener>>>>,
}

impl Events {
    /// Adds a listener; it gets every event from now on.
    pub fn listen(&self, listener: impl Listener + 'static) {
        self.lock().push(Box::new(listener));
    }

    /// Tells every listener, and returns when all have heard.
    pub fn emit(&self, event: Event) {
        let stamped = Stamped { at_ms: unix_ms(), event };
        for listener in self.lock().iter_mut() {
            listener.on_event(&stamped);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Listener>>> {
        // A listener that panicked has lost its own state only.
        self.listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Returns the time as milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
