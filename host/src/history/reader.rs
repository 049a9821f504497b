//! The reader of a run's account.
//!
//! Reads the events of every process, and those commits that no event reports because a process was killed. The amount
//! that is kept is bounded for any run, and what is left out is counted. The counts of a complete run are taken from
//! its manifest.

use std::collections::{BTreeSet, HashMap};

use etl_core::model::{
    error::{Error, Result},
    event::{Counts, Event, Level, Stage, Stamped},
    ids::{AttemptId, TaskId, Try},
    times::Work,
};
use etl_store::{Listed, Store};
use futures::{StreamExt, TryStreamExt};

use super::{
    Account, AttemptEnd, Message, Overview, PastAttempt, READS_IN_FLIGHT, Then,
    processes::{Ending, Log, Process, logs},
    read_plan, rejects,
};
use crate::run_store::{
    commit::Commit,
    document::unseal,
    layout::{PlanLayout, RunLayout},
    manifest::Manifest,
};

/// The most attempts that are kept.
const ATTEMPTS_MAX: usize = 100_000;

/// The most failures whose texts are kept, and the most messages of each level.
const TEXTS_MAX: usize = 300;

/// The most characters of an error or a message that are kept.
const CHARACTERS_MAX: usize = 2000;

impl Account {
    /// Reads everything that the run store holds about a run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there is no such run; fails when the
    /// store fails, or the manifest is damaged.
    pub async fn read(store: &Store, pipeline: &str, run_id: &str) -> Result<Self> {
        let layout = RunLayout::new(pipeline, run_id);
        let (plan, manifest) = (read_plan(store, &layout).await?, Manifest::read(store, &layout).await?);
        let mut reader = Reader::default();
        for log in logs(store, &layout).await? {
            let text = store.get(&log.key).await?.unwrap_or_default();
            reader.read(&log, &text);
        }
        if plan.is_none() && reader.account.processes.is_empty() {
            return Err(Error::config(format!("run `{run_id}` of `{pipeline}` has neither a plan nor events")));
        }
        if let (Some(plan), None) = (&plan, &manifest) {
            reader.fill_in(store, &layout.of_plan(&plan.id)).await?;
        }
        let mut overview = Overview::of(run_id, manifest.as_ref(), &reader.account.processes);
        if let Some(plan) = &plan {
            overview.shards = Some(plan.shards.shards().into());
            overview.started_at_ms = overview.started_at_ms.or(Some(plan.planned_at_ms));
        }
        let mut account = Self {
            pipeline: pipeline.to_owned(),
            run_store: store.locate(layout.root()),
            overview,
            plan,
            manifest,
            ..reader.account
        };
        account.take_manifest();
        account.reject_samples =
            rejects::samples(store, &layout, account.plan.as_ref(), account.manifest.as_ref()).await?;
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
}

/// A reader of event logs, one after the other, which adds what they say to an account.
#[derive(Default)]
struct Reader {
    account: Account,
    failures: usize,
    messages_of: HashMap<&'static str, usize>,
    /// The tasks whose counts are already added.
    committed: BTreeSet<(Stage, TaskId)>,
    /// The start times of the attempts that are under way in the log being read.
    under_way: HashMap<(Stage, TaskId, Try), u64>,
    /// The stage that is under way in the log being read, and its start time.
    stage: Option<(Stage, u64)>,
}

impl Reader {
    fn read(&mut self, log: &Log, text: &[u8]) {
        let (name, started_at_ms) = (log.process.clone(), log.started_at_ms);
        self.account.processes.push(Process { name, started_at_ms, last_at_ms: started_at_ms, ending: None });
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
        let process = self.account.processes.last_mut().expect("a log is read");
        process.last_at_ms = last_at_ms;
        if let Some((stage, since_ms)) = self.stage.take() {
            self.account.stages.entry(stage).or_default().duration_ms += last_at_ms.saturating_sub(since_ms);
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
            self.account.processes.last_mut().expect("a log is read").ending = Some(ending);
        }
        match event {
            Event::RunStarted { invocation, .. } => self.account.invocation = invocation,
            Event::StageStarted { stage, tasks, .. } => {
                self.account.stages.entry(stage).or_default().tasks = tasks;
                self.stage = Some((stage, at_ms));
            }
            Event::StageFinished { stage, duration_ms, .. } => {
                self.account.stages.entry(stage).or_default().duration_ms += duration_ms;
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
                self.account.stages.entry(stage).or_default().retries += u64::from(then == Then::Retry);
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
                self.message(at_ms, Level::Warn, Some((step, shard.0)), &text);
            }
            Event::Log { step, task, level, message } => self.message(at_ms, level, Some((step, task.0)), &message),
            Event::Usage(usage) => self.account.usages.push((self.account.processes.len() - 1, usage)),
            Event::Warning { message } => self.message(at_ms, Level::Warn, None, &message),
            _ => {}
        }
    }

    fn ended(
        &mut self,
        which: (Stage, TaskId, Try),
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
        if self.account.attempts.len() < ATTEMPTS_MAX {
            self.account.attempts.push(PastAttempt { process: self.account.processes.len() - 1, ..attempt });
        } else {
            self.account.attempts_left_out += 1;
        }
    }

    /// Adds the counts of a committed task, unless they are added already: several processes may have seen the commit.
    fn commit(&mut self, stage: Stage, task: TaskId, counts: &Counts) {
        if self.committed.insert((stage, task)) {
            let account = self.account.stages.entry(stage).or_default();
            account.committed += 1;
            account.counts.add(counts);
        }
    }

    fn message(&mut self, at_ms: u64, level: Level, from: Option<(String, u32)>, text: &str) {
        let kept = self.messages_of.entry(level.name()).or_default();
        *kept += 1;
        if *kept <= TEXTS_MAX {
            self.account.messages.push(Message { at_ms, level, from, text: cut(text) });
        } else {
            self.account.messages_left_out += 1;
        }
    }

    /// Reads the commits that no event reports, and marks the attempts that made them as committed.
    async fn fill_in(&mut self, store: &Store, layout: &PlanLayout) -> Result<()> {
        let open = self.account.attempts.iter().enumerate().filter(|(_, attempt)| attempt.end == AttemptEnd::Open);
        let open: HashMap<(Stage, TaskId, AttemptId), usize> = open
            .map(|(place, attempt)| {
                let process = &self.account.processes[attempt.process].name;
                ((attempt.stage, attempt.task, AttemptId::new(attempt.number, process)), place)
            })
            .collect();
        for stage in [Stage::Map, Stage::Reduce] {
            let listed: Vec<Listed> = store.list(&layout.commits(stage)).try_collect().await?;
            let tasks = listed.iter().filter_map(|listed| layout.parse_commit(stage, &listed.key));
            let unknown: Vec<TaskId> = tasks.filter(|task| !self.committed.contains(&(stage, *task))).collect();
            let read = |task| async move {
                let key = layout.commit(stage, task);
                let commit = store.get(&key).await?;
                // A damaged commit is none: the next process makes it again.
                Ok::<_, Error>(commit.and_then(|commit| Some((task, unseal::<Commit>(&key, &commit).ok()?))))
            };
            let mut reads = futures::stream::iter(unknown).map(read).buffered(READS_IN_FLIGHT);
            while let Some(read) = reads.try_next().await? {
                let Some((task, Commit { attempt, counts, .. })) = read else { continue };
                self.commit(stage, task, &counts);
                if let Some(place) = open.get(&(stage, task, attempt)) {
                    let attempt = &mut self.account.attempts[*place];
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
