//! All that is known of a run: what `show` prints and the report draws.
//!
//! Reads the events of every process, and those commits that no event tells of because a process was killed. What is
//! kept is bounded, whatever the run: what is left out is counted. Counts of a complete run are its manifest's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::{
    Overview, READS_IN_FLIGHT, RejectSamples, State,
    processes::{Ending, Log, Process, logs},
    read_plan, rejects,
};
use crate::{
    commit::Commit,
    error::{Error, ErrorKind, Result},
    event::{Counts, Event, Invocation, Level, Stage, Stamped},
    json::from_json,
    layout::{AttemptId, RunLayout},
    left_out::LeftOut,
    manifest::Manifest,
    plan::Plan,
    reject::Rejected,
    store::{Listed, Store},
    usage::Usage,
};

/// The most attempts that are kept.
const ATTEMPTS_MAX: usize = 100_000;

/// The most failures, and the most messages of each level, that are kept.
const TEXTS_MAX: usize = 300;

/// The most characters of an error or a message that are kept.
const CHARACTERS_MAX: usize = 2000;

/// A run, in full.
#[derive(Debug, Default)]
pub struct Account {
    /// The pipeline's name.
    pub pipeline: String,
    /// How the newest process that worked on it was told which pipeline to run.
    pub invocation: Invocation,
    /// The run at a glance.
    pub overview: Overview,
    /// Where the run store keeps it.
    pub run_store: String,
    /// What was to be done; absent when it was interrupted before.
    pub plan: Option<Plan>,
    /// What was made, when it is complete.
    pub manifest: Option<Manifest>,
    /// Who worked on it, oldest first.
    pub processes: Vec<Process>,
    /// What each stage did.
    pub stages: BTreeMap<Stage, StageAccount>,
    /// Every attempt, in order of process and end.
    pub attempts: Vec<Attempt>,
    /// How many more there were.
    pub attempts_left_out: u64,
    /// What the processes used that ended by themselves, with their places in [`Account::processes`].
    pub usages: Vec<(usize, Usage)>,
    /// Warnings, and messages of plugins.
    pub messages: Vec<Message>,
    /// How many more there were.
    pub messages_left_out: u64,
    /// The records set aside, by who did; known when it is complete.
    pub rejected: Rejected,
    /// Some of these records.
    pub reject_samples: RejectSamples,
}

/// What a stage did, over all processes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageAccount {
    /// Its tasks.
    pub tasks: u64,
    /// How many of them are committed.
    pub committed: u64,
    /// How long processes were at it, in milliseconds.
    pub duration_ms: u64,
    /// The sums over all committed tasks.
    pub counts: Counts,
    /// Attempts that failed and were followed by another.
    pub retries: u64,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Whose, as a place in [`Account::processes`].
    pub process: usize,
    /// The task's stage.
    pub stage: Stage,
    /// The shard's or partition's number.
    pub task: u32,
    /// Which try, from 1.
    pub number: u32,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Records and bytes it read, and its time in plugins in microseconds.
    pub read: (u64, u64, u64),
    /// How it ended.
    pub end: AttemptEnd,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// Its task is committed.
    Committed,
    /// With an error.
    Failed {
        /// What the operator can do.
        kind: ErrorKind,
        /// What went wrong; empty for failures beyond the first few hundred.
        error: String,
        /// What came then.
        then: Then,
        /// The shard it failed at, if the task has several and it is known.
        shard: Option<u32>,
    },
    /// It was given up, because another attempt at its task was faster.
    Overtaken,
    /// With its process, or nobody knows.
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
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How loud.
    pub level: Level,
    /// The step and the shard or partition; absent for the host.
    pub from: Option<(String, u32)>,
    /// The text.
    pub text: String,
}

impl Account {
    /// Reads all that the run store says of a run.
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

    /// Takes the counts of the manifest for those of the events.
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
    pub fn failures(&self) -> impl Iterator<Item = &Attempt> {
        let failed = |last: bool| {
            let of = move |attempt: &&Attempt| matches!(attempt.end, AttemptEnd::Failed { then, .. } if (then == Then::Nothing) == last);
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

    /// Returns the sums over all stages.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.stages.values().for_each(|stage| totals.add(&stage.counts));
        totals
    }

    /// Returns the error the run ended with, if it did.
    pub fn error(&self) -> Option<&str> {
        let last = self.processes.iter().max_by_key(|process| process.last_at_ms)?;
        match &last.ending {
            Some(Ending::Failed { error, .. }) if self.overview.state == State::Failed => Some(error),
            _ => None,
        }
    }
}

/// Reads event logs, one after the other.
#[derive(Default)]
struct Reader {
    invocation: Invocation,
    processes: Vec<Process>,
    stages: BTreeMap<Stage, StageAccount>,
    attempts: Vec<Attempt>,
    attempts_left_out: u64,
    failures: usize,
    usages: Vec<(usize, Usage)>,
    messages: Vec<Message>,
    messages_left_out: u64,
    messages_of: HashMap<&'static str, usize>,
    /// The tasks that events say are committed.
    committed: BTreeSet<(Stage, u32)>,
    /// When the attempts under way in the log that is read began.
    under_way: HashMap<(Stage, u32, u32), u64>,
    /// The stage under way in it, and since when.
    stage: Option<(Stage, u64)>,
}

impl Reader {
    fn read(&mut self, log: &Log, text: &[u8]) {
        let (name, started_at_ms) = (log.process.clone(), log.started_at_ms);
        self.processes.push(Process { name, started_at_ms, last_at_ms: started_at_ms, ending: None });
        // A line that is not an event is a later version's; what the others say still counts.
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let mut last_at_ms = started_at_ms;
        for event in lines {
            let Stamped { at_ms, event } = event;
            self.observe(at_ms, event);
            last_at_ms = at_ms.max(last_at_ms);
        }
        self.end_log(last_at_ms);
    }

    /// Closes what the log leaves open.
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
            self.keep(Attempt {
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
                let read = (counts.records_in, counts.bytes_in, counts.times.guest_us);
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
        // What it took lies between its events, so that those which follow each other in a place do not overlap.
        let between = began.map(|began| at_ms.saturating_sub(began));
        let duration_ms = duration_ms.into_iter().chain(between).min().unwrap_or_default();
        let started_at_ms = began.unwrap_or_else(|| at_ms.saturating_sub(duration_ms));
        self.keep(Attempt { process: 0, stage, task, number, started_at_ms, duration_ms, read, end });
    }

    fn keep(&mut self, attempt: Attempt) {
        if self.attempts.len() < ATTEMPTS_MAX {
            self.attempts.push(Attempt { process: self.processes.len() - 1, ..attempt });
        } else {
            self.attempts_left_out += 1;
        }
    }

    /// Adds what a committed task did, once: several processes may have seen it.
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

    /// Reads the commits that no event tells of, and ends the attempts that made them.
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
                    attempt.read = (counts.records_in, counts.bytes_in, counts.times.guest_us);
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
