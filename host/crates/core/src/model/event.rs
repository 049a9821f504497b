//! Events: what happens in a run, as data.
//!
//! Owns [`Event`] and [`Events`], the handle through which everything reports. Does not know its listeners: progress on
//! the terminal, the run store's `events/` and `--events json` are [`Listener`]s.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::model::{
    error::ErrorKind,
    ids::{ShardId, TaskId, Try},
    shared::Shared,
    times::{Times, unix_ms},
    usage::Usage,
};

/// A stage of a run. Stages are ordered as they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Listing the source and dividing it into shards.
    Split,
    /// Mapping the shards: one task per shard, or per several neighbouring ones.
    Map,
    /// Reducing the partitions: one task per partition.
    Reduce,
    /// Publishing parts, manifest and `_SUCCESS`.
    Finalize,
}

impl Stage {
    /// Returns its name as it appears in events and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Map => "map",
            Self::Reduce => "reduce",
            Self::Finalize => "finalize",
        }
    }

    /// Returns the name of a task of this stage in messages, such as `map of shard 7`.
    pub fn task(self, task: TaskId) -> String {
        match self {
            Self::Map => format!("map of shard {task}"),
            Self::Reduce => format!("reduce of partition {task}"),
            Self::Split | Self::Finalize => self.name().to_owned(),
        }
    }
}

/// What an attempt did, in numbers. The counts of a stage are the sums over its committed tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of records read: from the source in a map, from the shuffle in a reduce.
    pub records_in: u64,
    /// Size of those records in bytes.
    pub bytes_in: u64,
    /// Number of records handed on to the shuffle or the sink.
    pub records_out: u64,
    /// Number of bytes written, as stored.
    pub bytes_out: u64,
    /// Number of records set aside.
    pub rejects: u64,
    /// Time spent, by kind of work.
    #[serde(default)]
    pub times: Times,
    /// Values that the steps counted, by counter name.
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

/// Adds the counters of steps to their totals. A sum that would overflow stays at its limit.
pub fn add_counters(totals: &mut BTreeMap<String, i64>, counters: &BTreeMap<String, i64>) {
    for (name, delta) in counters {
        let total = totals.entry(name.clone()).or_default();
        *total = total.saturating_add(*delta);
    }
}

/// The severity of a log message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the levels say all there is to say")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Returns its name as it appears in events and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The words of a command line that say which pipeline a process runs. A command that looks at the run needs the same
/// words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The pipeline file as it was written on the command line; absent when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The values of `--set`, each as `key.path=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event of a process that works on a run.
    RunStarted {
        /// The words of the command line that say which pipeline that is.
        #[serde(flatten)]
        invocation: Invocation,
        /// Name of the pipeline.
        pipeline: String,
        /// Id of the run.
        run_id: String,
        /// Location of the run's plan, intermediates and log.
        run_store: String,
        /// Whether the run had a plan already.
        resumed: bool,
    },
    /// A step's plugin is ready.
    PluginLoaded {
        /// The step, as in messages: `map 2`.
        step: String,
        /// SHA-256 digest of the plugin, in hexadecimal.
        digest: String,
        /// Why the plugin was compiled; absent when compiled code of an earlier run was used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compiled: Option<String>,
        /// Milliseconds that reading, checking and compiling the plugin took.
        duration_ms: u64,
    },
    /// The fields of the source were inferred, because the pipeline names none.
    FieldsInferred {
        /// The fields, as `pipeline.toml` would have them: `fields = { city = "text" }`.
        fields: String,
        /// What they were inferred from, in words: records of objects, or an earlier plan.
        from: String,
    },
    /// The plan is frozen.
    Planned {
        /// Number of source objects.
        objects: u64,
        /// Total size of the source objects in bytes, as stored.
        bytes: u64,
        /// Number of shards.
        shards: u64,
        /// Number of partitions, each of which is one reduce task; 0 in a map-only pipeline.
        partitions: u64,
    },
    /// A stage begins.
    StageStarted {
        /// The stage.
        stage: Stage,
        /// Number of tasks, including those that are already committed.
        tasks: u64,
        /// Number of tasks that are already committed.
        committed: u64,
    },
    /// An attempt begins.
    AttemptStarted {
        /// Stage of the task.
        stage: Stage,
        /// Number of the task, which is that of its first shard or of its partition.
        task: TaskId,
        /// Number of the try.
        attempt: Try,
    },
    /// An attempt is under way; sent at most a few times a second, and not kept in the run store.
    AttemptProgress {
        /// Stage of the task.
        stage: Stage,
        /// Number of the task, which is that of its first shard or of its partition.
        task: TaskId,
        /// Number of records read since the attempt's last progress.
        records: u64,
        /// Number of bytes read since the attempt's last progress.
        bytes: u64,
    },
    /// A task is committed.
    AttemptFinished {
        /// Stage of the task.
        stage: Stage,
        /// Number of the task, which is that of its first shard or of its partition.
        task: TaskId,
        /// Number of the try.
        attempt: Try,
        /// Milliseconds from the start of the attempt to its commit.
        duration_ms: u64,
        /// Counts and times of the attempt.
        counts: Counts,
    },
    /// Tasks that other processes have committed while this one waited for them.
    OthersCommitted {
        /// Stage of the tasks.
        stage: Stage,
        /// Number of tasks.
        tasks: u64,
    },
    /// An attempt failed.
    AttemptFailed {
        /// Stage of the task.
        stage: Stage,
        /// Number of the task, which is that of its first shard or of its partition.
        task: TaskId,
        /// Number of the try.
        attempt: Try,
        /// The shard at which the attempt failed, if its map task has several; absent when it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<ShardId>,
        /// What the operator can do about the error.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
        /// Milliseconds until the next attempt starts; absent when there is none.
        retry_in_ms: Option<u64>,
        /// Whether another attempt at the task is under way and may still succeed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        another_under_way: bool,
    },
    /// An attempt is given up, because another attempt at its task, which was started later, has committed the task.
    AttemptOvertaken {
        /// Stage of the task.
        stage: Stage,
        /// Number of the task, which is that of its first shard or of its partition.
        task: TaskId,
        /// Number of the try.
        attempt: Try,
        /// Number of the try that was faster.
        by: Try,
        /// Milliseconds that the attempt was under way.
        duration_ms: u64,
    },
    /// A poison record was found, one that makes a mapper fail each time. It is set aside, and the task starts over
    /// without it.
    PoisonRecord {
        /// The step that fails on the record.
        step: String,
        /// Number of the map task.
        task: TaskId,
        /// Number of the shard.
        shard: ShardId,
        /// Number of the record in the shard, from 0.
        record: u64,
        /// The object the record is from; absent when a splitter made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// Where the record starts in the object, in bytes after decompression.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// The record's row in the object, from 0, in a format that has rows instead of offsets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<u64>,
        /// How the step fails, and where in its source code.
        reason: String,
    },
    /// A stage is complete.
    StageFinished {
        /// The stage.
        stage: Stage,
        /// Milliseconds that the stage took in this process.
        duration_ms: u64,
        /// The sums over all committed tasks of the stage.
        counts: Counts,
    },
    /// A message from a plugin: `diagnostics.log`, or a line it wrote to standard output or error.
    Log {
        /// The step, as in messages: `map 2`.
        step: String,
        /// Number of the shard or partition.
        task: TaskId,
        /// Severity of the message.
        level: Level,
        /// Text of the message.
        message: String,
    },
    /// A map task failed for good, and its shards are left out of the result, as `run.tolerated_failures` allows. Sent
    /// when the run is complete.
    LeftOut {
        /// Number of the first shard.
        shard: ShardId,
        /// Number of shards, from the first one on.
        shards: u32,
        /// What the operator can do about the error.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
    },
    /// Something that the operator should know, but that makes nothing fail.
    Warning {
        /// Text of the message.
        message: String,
    },
    /// The resources that this process used; sent once, before its last event.
    Usage(Usage),
    /// The run is complete. The last event of the process.
    RunFinished {
        /// Milliseconds that this process worked on the run.
        duration_ms: u64,
        /// Location of the result.
        result: String,
        /// Locations of the result's parts, in order: the first ones, if there are very many.
        parts: Vec<String>,
        /// Number of further parts.
        #[serde(default)]
        parts_left_out: u64,
    },
    /// The run ended early. The last event of the process.
    RunFailed {
        /// What the operator can do about the error.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
        /// Milliseconds that this process worked on the run.
        duration_ms: u64,
    },
    /// The events of this process are in the run store, so the run's history can be read. Not kept there itself.
    Logged {
        /// The run's id.
        run_id: String,
    },
    /// The report of the run is written. Comes after the last event, and is not kept in the run store.
    Reported {
        /// Location of the report.
        report: String,
    },
}

impl Event {
    /// Returns the stage of the task that the event is about, if it is an event of a task.
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

/// A receiver of events.
pub trait Listener: Send {
    /// Takes an event. Called for each event, in order, one at a time. Must not block for long, because the run waits.
    fn on_event(&mut self, event: &Stamped);
}

/// A listener whose owner can read it while events come in and afterwards.
impl<L: Listener> Listener for Shared<L> {
    fn on_event(&mut self, event: &Stamped) {
        self.lock().on_event(event);
    }
}

/// The handle through which everything reports. Clones report to the same listeners.
#[derive(Clone)]
pub struct Events {
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    listeners: Arc<Mutex<Vec<Box<dyn Listener>>>>,
}

impl Events {
    /// Creates a handle without listeners. `clock` returns the time, with which each event is stamped.
    pub fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), listeners: Arc::default() }
    }

    /// Creates a handle for events without listeners. Its clock stands at the Unix epoch.
    pub fn silent() -> Self {
        Self::new(|| UNIX_EPOCH)
    }

    /// Returns the time of the clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        unix_ms((self.clock)())
    }

    /// Adds a listener, which gets every event from now on.
    pub fn listen(&self, listener: impl Listener + 'static) {
        self.lock().push(Box::new(listener));
    }

    /// Hands an event to every listener, and returns when all have handled it.
    pub fn emit(&self, event: Event) {
        let stamped = Stamped { at_ms: self.now_ms(), event };
        for listener in self.lock().iter_mut() {
            listener.on_event(&stamped);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Listener>>> {
        // A listener that panicked has spoiled only its own state, so the others still get events.
        self.listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering::Relaxed},
        time::Duration,
    };

    use super::*;

    impl Listener for Vec<(u64, String)> {
        fn on_event(&mut self, event: &Stamped) {
            let Event::Warning { message } = &event.event else { panic!("only warnings are emitted") };
            self.push((event.at_ms, message.clone()));
        }
    }

    #[test]
    fn events_are_stamped_by_the_clock_they_were_made_with() {
        let seconds = AtomicU64::new(1_795_365_000);
        let events = Events::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Relaxed)));
        let heard = Shared::new(Vec::new());
        events.listen(heard.clone());
        let say = |events: &Events, message: &str| events.emit(Event::Warning { message: message.to_owned() });
        say(&events, "one");
        say(&events.clone(), "two");
        let expected = [(1_795_365_000_000, "one".to_owned()), (1_795_365_001_000, "two".to_owned())];
        assert_eq!(*heard.lock(), expected);
    }
}
