//! The account of a run: everything that is known of it, which `show` prints and the report draws.
//!
//! Reads the events of every process, and those commits that no event reports because a process was killed. The amount
//! that is kept is bounded for any run, and what is left out is counted. The counts of a complete run are taken from
//! its manifest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use etl_core::model::{
    error::{Error, ErrorKind, Result},
    event::{Counts, Event, Invocation, Level, Stage, Stamped},
    ids::AttemptId,
    reject::Rejected,
    times::Work,
    usage::Usage,
};
use etl_store::{Listed, Store};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::{
    Overview, READS_IN_FLIGHT, RejectSamples, State,
    processes::{Ending, Log, Process, logs},
    read_plan, rejects,
};
use crate::run_store::{
    commit::Commit, document::from_json, layout::RunLayout, left_out::LeftOut, manifest::Manifest, plan::Plan,
};

/// The most attempts that are kept.
const ATTEMPTS_MAX: usize = 100_000;

/// The most failures whose texts are kept, and the most messages of each level.
const TEXTS_MAX: usize = 300;

/// The most characters of an error or a message that are kept.
const CHARACTERS_MAX: usize = 2000;

/// Everything that is known of a run.
#[derive(Debug, Default)]
pub struct Account {
    /// Name of the pipeline.
    pub pipeline: String,
    /// The words of the command line that told the newest process which pipeline to run.
    pub invocation: Invocation,
    /// The run at a glance.
    pub overview: Overview,
    /// Location of the run in the run store.
    pub run_store: String,
    /// The plan; absent when the run ended before it had one, or when this version cannot read it.
    pub plan: Option<Plan>,
    /// The manifest; absent when the run is not complete.
    pub manifest: Option<Manifest>,
    /// The processes that worked on the run, oldest first.
    pub processes: Vec<Process>,
    /// The account of each stage.
    pub stages: BTreeMap<Stage, StageAccount>,
    /// The attempts, in the order of their processes and then of their ends.
    pub attempts: Vec<PastAttempt>,
    /// Number of attempts that are not kept.
    pub attempts_left_out: u64,
    /// What the processes used, with their places in [`Account::processes`]. A process that was killed has left none.
    pub usages: Vec<(usize, Usage)>,
    /// Warnings of the host, and messages of plugins.
    pub messages: Vec<Message>,
    /// Number of messages that are not kept.
    pub messages_left_out: u64,
    /// Number of records that were set aside, by who set them aside; empty until the run is complete.
    pub rejected: Rejected,
    /// Some of these records.
    pub reject_samples: RejectSamples,
}

/// What a stage did, summed over all processes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageAccount {
    /// Number of tasks.
    pub tasks: u64,
    /// Number of committed tasks.
    pub committed: u64,
    /// Milliseconds that processes spent on the stage, summed over processes.
    pub duration_ms: u64,
    /// The sums over all committed tasks.
    pub counts: Counts,
    /// Number of attempts that failed and were followed by another.
    pub retries: u64,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct PastAttempt {
    /// The attempt's process, as a place in [`Account::processes`].
    pub process: usize,
    /// Stage of the task.
    pub stage: Stage,
    /// Number of the task, which is that of its first shard or of its partition.
    pub task: u32,
    /// Number of the try, from 1.
    pub number: u32,
    /// Start of the attempt in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Number of records read, number of bytes read, and microseconds spent in plugins.
    pub read: (u64, u64, u64),
    /// How the attempt ended.
    pub end: AttemptEnd,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// The attempt ended with the commit of its task.
    Committed,
    /// The attempt ended with an error.
    Failed {
        /// What the operator can do about the error.
        kind: ErrorKind,
        /// What went wrong; empty for failures beyond the first few hundred.
        error: String,
        /// What came after the attempt.
        then: Then,
        /// The shard at which the attempt failed, if its task has several and it is known.
        shard: Option<u32>,
    },
    /// The attempt was given up, because another attempt at its task was faster.
    Overtaken,
    /// No event tells how the attempt ended. Its process may have been killed, or may still be at work.
    Open,
}

/// What came after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Another attempt was started.
    Retry,
    /// Another attempt at the task was under way already.
    Other,
    /// Nothing: the task failed.
    Nothing,
}

/// A warning of the host, or a message of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Time of the message in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Severity of the message.
    pub level: Level,
    /// The step, and the number of the shard or partition; absent for a warning of the host.
    pub from: Option<(String, u32)>,
    /// Text of the message.
    pub text: String,
}

impl Account {
    /// Reads everything that the run store holds about a run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there is no such run; when the store fails, or the manifest is damaged.
    pub async fn read(store: &Store, pipeline: &str, run_id: &str) -> Result<Self> {
        let layout = RunLayout::new(pipeline, run_id);
        let (plan, manifest) = (read_plan(store, &layout).await?, Manifest::read(store, &layout).await?);
        let mut reader = Reader::default();
        for log in logs(store, &layout).await? {
            let text = store.get(&log.key).await?.unwrap_or_default();
            reader.read(&log, &text);
        }
        if plan.is_none() && reader.processes.is_empty() {
            return Err(Error::config(format!("run `{run_id}` of `{pipeline}` has neither a plan nor events")));
        }
        if manifest.is_none() {
            reader.fill_in(store, &layout).await?;
        }
        let mut overview = Overview::of(run_id, manifest.as_ref(), &reader.processes);
        if let Some(plan) = &plan {
            overview.shards = Some(plan.shards.shards().into());
            overview.started_at_ms = overview.started_at_ms.or(Some(plan.planned_at_ms));
        }
        let mut account = Self {
            pipeline: pipeline.to_owned(),
            invocation: reader.invocation,
            run_store: store.locate(layout.root()),
            overview,
            plan,
            manifest,
            processes: reader.processes,
            stages: reader.stages,
            attempts: reader.attempts,
            attempts_left_out: reader.attempts_left_out,
            usages: reader.usages,
            messages: reader.messages,
            messages_left_out: reader.messages_left_out,
            rejected: Rejected::new(),
            reject_samples: RejectSamples::default(),
        };
        account.take_manifest();
        account.reject_samples = rejects::samples(store, &layout, account.manifest.as_ref()).await?;
        Ok(account)
    }

    /// Replaces the counts of the events by those of the manifest.
    fn take_manifest(&mut self) {
        let Some(manifest) = &self.manifest else { return };
        self.rejected.clone_from(&manifest.rejected);
        for (stage, counts) in [(Stage::Map, &manifest.mapped), (Stage::Reduce, &manifest.reduced)] {
            if let Some(account) = self.stages.get_mut(&stage) {
                account.counts.clone_from(counts);
                let failed = if stage == Stage::Map { manifest.failed.len() as u64 } else { 0 };
                account.committed = account.tasks.saturating_sub(failed);
            }
        }
    }

    /// Returns the failures that ended their tasks, then those that did not.
    pub fn failures(&self) -> impl Iterator<Item = &PastAttempt> {
        let failed = |last: bool| {
            let of = move |attempt: &&PastAttempt| matches!(attempt.end, AttemptEnd::Failed { then, .. } if (then == Then::Nothing) == last);
            self.attempts.iter().filter(of)
        };
        failed(true).chain(failed(false))
    }

    /// Returns the shards that failed and are left out of the result.
    pub fn left_out(&self) -> &[LeftOut] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.failed)
    }

    /// Returns the number of partitions; 0 when nothing is reduced, or the plan is not known.
    pub fn partitions(&self) -> u64 {
        let planned = self.plan.as_ref().and_then(|plan| plan.recipe.keys.get("reduce.partitions")?.as_u64());
        self.manifest.as_ref().map(|manifest| manifest.partitions.into()).or(planned).unwrap_or_default()
    }

    /// Returns the sums of the counts of all stages.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.stages.values().for_each(|stage| totals.add(&stage.counts));
        totals
    }

    /// Returns the error that the run ended with, if it failed.
    pub fn error(&self) -> Option<&str> {
        let last = self.processes.iter().max_by_key(|process| process.last_at_ms)?;
        match &last.ending {
            Some(Ending::Failed { error, .. }) if self.overview.state == State::Failed => Some(error),
            _ => None,
        }
    }
}

/// A reader of event logs, one after the other.
#[derive(Default)]
struct Reader {
    invocation: Invocation,
    processes: Vec<Process>,
    stages: BTreeMap<Stage, StageAccount>,
    attempts: Vec<PastAttempt>,
    attempts_left_out: u64,
    failures: usize,
    usages: Vec<(usize, Usage)>,
    messages: Vec<Message>,
    messages_left_out: u64,
    messages_of: HashMap<&'static str, usize>,
    /// The tasks whose counts are already added.
    committed: BTreeSet<(Stage, u32)>,
    /// The start times of the attempts that are under way in the log being read.
    under_way: HashMap<(Stage, u32, u32), u64>,
    /// The stage that is under way in the log being read, and its start time.
    stage: Option<(Stage, u64)>,
}

impl Reader {
    fn read(&mut self, log: &Log, text: &[u8]) {
        let (name, started_at_ms) = (log.process.clone(), log.started_at_ms);
        self.processes.push(Process { name, started_at_ms, last_at_ms: started_at_ms, ending: None });
        // A line that is not an event was written by a later version; the other lines still count.
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let mut last_at_ms = started_at_ms;
        for event in lines {
            let Stamped { at_ms, event } = event;
            self.observe(at_ms, event);
            last_at_ms = at_ms.max(last_at_ms);
        }
        self.end_log(last_at_ms);
    }

    /// Closes the stage and the attempts that the log leaves open.
    fn end_log(&mut self, last_at_ms: u64) {
        let process = self.processes.last_mut().expect("a log is read");
        process.last_at_ms = last_at_ms;
        if let Some((stage, since_ms)) = self.stage.take() {
            self.stages.entry(stage).or_default().duration_ms += last_at_ms.saturating_sub(since_ms);
        }
        let mut open: Vec<_> = self.under_way.drain().collect();
        open.sort_unstable();
        for ((stage, task, number), started_at_ms) in open {
            let duration_ms = last_at_ms.saturating_sub(started_at_ms);
            let read = Default::default();
            self.keep(PastAttempt {
                process: 0,
                stage,
                task,
                number,
                started_at_ms,
                duration_ms,
                read,
                end: AttemptEnd::Open,
            });
        }
    }

    fn observe(&mut self, at_ms: u64, event: Event) {
        if let Some(ending) = Ending::of(&event) {
            self.processes.last_mut().expect("a log is read").ending = Some(ending);
        }
        match event {
            Event::RunStarted { invocation, .. } => self.invocation = invocation,
            Event::StageStarted { stage, tasks, .. } => {
                self.stages.entry(stage).or_default().tasks = tasks;
                self.stage = Some((stage, at_ms));
            }
            Event::StageFinished { stage, duration_ms, .. } => {
                self.stages.entry(stage).or_default().duration_ms += duration_ms;
                self.stage = None;
            }
            Event::AttemptStarted { stage, task, attempt } => {
                self.under_way.insert((stage, task, attempt), at_ms);
            }
            Event::AttemptFinished { stage, task, attempt, duration_ms, counts } => {
                let read = (counts.records_in, counts.bytes_in, counts.times.of(Work::Guest));
                self.ended((stage, task, attempt), at_ms, Some(duration_ms), read, AttemptEnd::Committed);
                self.commit(stage, task, &counts);
            }
            Event::AttemptFailed { stage, task, attempt, shard, kind, error, retry_in_ms, another_under_way } => {
                let then = match retry_in_ms {
                    Some(_) => Then::Retry,
                    None if another_under_way => Then::Other,
                    None => Then::Nothing,
                };
                self.stages.entry(stage).or_default().retries += u64::from(then == Then::Retry);
                self.failures += 1;
                let error = if self.failures <= TEXTS_MAX { cut(&error) } else { String::new() };
                let end = AttemptEnd::Failed { kind, error, then, shard };
                self.ended((stage, task, attempt), at_ms, None, Default::default(), end);
            }
            Event::AttemptOvertaken { stage, task, attempt, duration_ms, .. } => {
                let (which, read) = ((stage, task, attempt), Default::default());
                self.ended(which, at_ms, Some(duration_ms), read, AttemptEnd::Overtaken);
            }
            Event::PoisonRecord { step, shard, record, reason, .. } => {
                let text = format!("record {record} is set aside, because it makes the step fail: {reason}");
                self.message(at_ms, Level::Warn, Some((step, shard)), &text);
            }
            Event::Log { step, task, level, message } => self.message(at_ms, level, Some((step, task)), &message),
            Event::Usage(usage) => self.usages.push((self.processes.len() - 1, usage)),
            Event::Warning { message } => self.message(at_ms, Level::Warn, None, &message),
            _ => {}
        }
    }

    fn ended(
        &mut self,
        which: (Stage, u32, u32),
        at_ms: u64,
        duration_ms: Option<u64>,
        read: (u64, u64, u64),
        end: AttemptEnd,
    ) {
        let (stage, task, number) = which;
        let began = self.under_way.remove(&which);
        // The duration is at most the time between the attempt's own events, so that attempts that follow each other in
        // one slot do not overlap.
        let between = began.map(|began| at_ms.saturating_sub(began));
        let duration_ms = duration_ms.into_iter().chain(between).min().unwrap_or_default();
        let started_at_ms = began.unwrap_or_else(|| at_ms.saturating_sub(duration_ms));
        self.keep(PastAttempt { process: 0, stage, task, number, started_at_ms, duration_ms, read, end });
    }

    fn keep(&mut self, attempt: PastAttempt) {
        if self.attempts.len() < ATTEMPTS_MAX {
            self.attempts.push(PastAttempt { process: self.processes.len() - 1, ..attempt });
        } else {
            self.attempts_left_out += 1;
        }
    }

    /// Adds the counts of a committed task, unless they are added already: several processes may have seen the commit.
    fn commit(&mut self, stage: Stage, task: u32, counts: &Counts) {
        if self.committed.insert((stage, task)) {
            let account = self.stages.entry(stage).or_default();
            account.committed += 1;
            account.counts.add(counts);
        }
    }

    fn message(&mut self, at_ms: u64, level: Level, from: Option<(String, u32)>, text: &str) {
        let kept = self.messages_of.entry(level.name()).or_default();
        *kept += 1;
        if *kept <= TEXTS_MAX {
            self.messages.push(Message { at_ms, level, from, text: cut(text) });
        } else {
            self.messages_left_out += 1;
        }
    }

    /// Reads the commits that no event reports, and marks the attempts that made them as committed.
    async fn fill_in(&mut self, store: &Store, layout: &RunLayout) -> Result<()> {
        let open = self.attempts.iter().enumerate().filter(|(_, attempt)| attempt.end == AttemptEnd::Open);
        let open: HashMap<(Stage, u32, AttemptId), usize> = open
            .map(|(place, attempt)| {
                let process = &self.processes[attempt.process].name;
                ((attempt.stage, attempt.task, AttemptId::new(attempt.number, process)), place)
            })
            .collect();
        for stage in [Stage::Map, Stage::Reduce] {
            let listed: Vec<Listed> = store.list(&layout.commits(stage)).try_collect().await?;
            let tasks = listed.iter().filter_map(|listed| layout.parse_commit(stage, &listed.key));
            let unknown: Vec<u32> = tasks.filter(|task| !self.committed.contains(&(stage, *task))).collect();
            let read = |task| async move {
                let key = layout.commit(stage, task);
                let commit = store.get(&key).await?;
                commit.map(|commit| Ok((task, from_json::<Commit>(&key, &commit)?))).transpose()
            };
            let mut reads = futures::stream::iter(unknown).map(read).buffered(READS_IN_FLIGHT);
            while let Some(read) = reads.try_next().await? {
                let Some((task, Commit { attempt, counts, .. })) = read else { continue };
                self.commit(stage, task, &counts);
                if let Some(place) = open.get(&(stage, task, attempt)) {
                    let attempt = &mut self.attempts[*place];
                    attempt.read = (counts.records_in, counts.bytes_in, counts.times.of(Work::Guest));
                    attempt.end = AttemptEnd::Committed;
                }
            }
        }
        Ok(())
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
