//! Heartbeats: what each process that works on a run does at the moment, written again and again in one place.
//!
//! Owns the document `processes/<process>.json`. Others see by its changes that the process is still at work, and by its
//! content at which tasks, and `etl-host status` shows it. A beat that cannot be written is left out: the next one
//! follows. The document is deleted when the process ends, and those of processes that were killed when the run does.

use std::{collections::BTreeSet, time::Duration};

use etl_core::{
    model::{
        error::Result,
        event::{Event, Events, Listener, Stage, Stamped},
        ids::TaskId,
        shared::Shared,
    },
    runtime::process::ProcessId,
};
use etl_store::{Listed, Store};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::run_store::{document::to_json_pretty, layout::RunLayout};

/// Time before the second beat.
const FIRST: Duration = Duration::from_secs(1);

/// What a process does at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The process, as its attempts name it.
    pub process: String,
    /// The process, as its machine names it; absent when it has none that others should wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ProcessId>,
    /// When the process began to work on the run, in milliseconds since the Unix epoch, by its own clock.
    pub started_at_ms: u64,
    /// When this was written, by the same clock.
    pub at_ms: u64,
    /// Number of times that this was written.
    pub number: u64,
    /// The stage that the process works at; absent when it plans, or has ended its last stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The tasks that it works at, or will try again.
    pub under_way: BTreeSet<(Stage, TaskId)>,
    /// Number of tasks that it has committed.
    pub committed: u64,
    /// Number of attempts that have failed.
    pub failed: u64,
    /// Number of records that its committed tasks have read.
    pub records: u64,
    /// Size of these records in bytes.
    pub bytes: u64,
}

impl Beat {
    /// Creates the beat of a process before it has done anything.
    pub fn new(process: &str, id: Option<ProcessId>, started_at_ms: u64) -> Self {
        Self {
            process: process.to_owned(),
            id,
            started_at_ms,
            at_ms: started_at_ms,
            number: 0,
            stage: None,
            under_way: BTreeSet::new(),
            committed: 0,
            failed: 0,
            records: 0,
            bytes: 0,
        }
    }
}

impl Listener for Beat {
    fn on_event(&mut self, event: &Stamped) {
        match &event.event {
            Event::StageStarted { stage, .. } => {
                self.stage = Some(*stage);
                if *stage == Stage::Finalize {
                    self.under_way.insert((*stage, TaskId(0)));
                }
            }
            Event::StageFinished { stage, .. } => {
                self.stage = None;
                self.under_way.retain(|(of, _)| of != stage);
            }
            Event::AttemptStarted { stage, task, .. } => _ = self.under_way.insert((*stage, *task)),
            Event::AttemptFinished { stage, task, counts, .. } => {
                self.under_way.remove(&(*stage, *task));
                self.committed += 1;
                self.records += counts.records_in;
                self.bytes += counts.bytes_in;
            }
            Event::AttemptFailed { stage, task, retry_in_ms, another_under_way, .. } => {
                self.failed += 1;
                if retry_in_ms.is_none() && !another_under_way {
                    self.under_way.remove(&(*stage, *task));
                }
            }
            _ => {}
        }
    }
}

/// The heartbeat of this process.
pub struct Heartbeat {
    store: Store,
    key: String,
    events: Events,
    every: Duration,
    beat: Shared<Beat>,
    closed: CancellationToken,
}

impl Heartbeat {
    /// Writes the first beat, and returns the heartbeat, which follows `events` from now on.
    pub async fn start(store: &Store, layout: &RunLayout, events: &Events, every: Duration, beat: Beat) -> Self {
        let (key, beat) = (layout.process(&beat.process), Shared::new(beat));
        events.listen(beat.clone());
        let (store, events, closed) = (store.unsynced(), events.clone(), CancellationToken::new());
        let heartbeat = Self { store, key, events, every, beat, closed };
        heartbeat.write().await;
        heartbeat
    }

    /// Writes a beat from time to time, until the heartbeat is closed. The first ones follow each other sooner, so that
    /// a short run is seen too.
    pub async fn keep(&self) {
        let mut wait = FIRST.min(self.every);
        while self.closed.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            self.write().await;
            wait = (wait * 2).min(self.every);
        }
    }

    /// Ends [`Heartbeat::keep`], after the write that is under way.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Deletes the beat, because the process works on the run no more. Best effort.
    pub async fn end(&self) {
        drop(self.store.delete(&self.key).await);
        if let Some((directory, _)) = self.key.rsplit_once('/') {
            self.store.remove_empty_directory(directory).await;
        }
    }

    async fn write(&self) {
        let text = {
            let mut beat = self.beat.lock();
            (beat.number, beat.at_ms) = (beat.number + 1, self.events.now_ms());
            to_json_pretty(&*beat)
        };
        if let Ok(text) = text {
            drop(self.store.put(&self.key, text).await);
        }
    }
}

/// Returns the beats of all processes, as objects. Lists them once.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, layout: &RunLayout) -> Result<Vec<Listed>> {
    store.list(&layout.all_processes()).try_collect().await
}

/// Reads a beat. Returns `None` if it is gone, or is none.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &Store, key: &str) -> Result<Option<Beat>> {
    Ok(store.get(key).await?.and_then(|beat| serde_json::from_slice(&beat).ok()))
}

/// Deletes the beats of all processes of a run that has ended.
///
/// # Errors
/// When the store fails.
pub async fn delete_all(store: &Store, layout: &RunLayout) -> Result<()> {
    store.delete_all(store.list_keys(&layout.all_processes()).await?).await
}

#[cfg(test)]
mod tests {
    use etl_core::model::{error::ErrorKind, event::Counts, ids::Try};
    use etl_store::testing::counting::counting;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_beat_says_what_its_process_does_and_is_gone_when_the_process_ends() {
        let ((store, _), events) = (counting(), Events::silent());
        let layout = RunLayout::new("p", "r");
        let key = layout.process("one");
        let every = Duration::from_secs(5);
        let heartbeat = Heartbeat::start(&store, &layout, &events, every, Beat::new("one", None, 7)).await;
        let read = async || read(&store, &key).await.expect("reads");
        let first = read().await.expect("is there");
        assert_eq!((first.number, first.stage, first.started_at_ms), (1, None, 7));
        let (stage, attempt) = (Stage::Map, Try::FIRST);
        events.emit(Event::StageStarted { stage, tasks: 9, committed: 0 });
        (0..3).map(TaskId).for_each(|task| events.emit(Event::AttemptStarted { stage, task, attempt }));
        let counts = Counts { records_in: 4, bytes_in: 20, ..Counts::default() };
        events.emit(Event::AttemptFinished { stage, task: TaskId(0), attempt, duration_ms: 1, counts });
        let failed = |task, retry_in_ms| Event::AttemptFailed {
            stage,
            task: TaskId(task),
            attempt,
            shard: None,
            kind: ErrorKind::Unavailable,
            error: String::new(),
            retry_in_ms,
            another_under_way: false,
        };
        events.emit(failed(1, Some(1000)));
        events.emit(failed(2, None));
        let look = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let beat = read().await.expect("is there");
            assert_eq!((beat.number, beat.stage, beat.committed, beat.failed), (2, Some(Stage::Map), 1, 2));
            assert_eq!((beat.records, beat.bytes), (4, 20));
            assert_eq!(beat.under_way, [(Stage::Map, TaskId(1))].into(), "it will be tried again");
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(read().await.expect("is there").number, 1 + 3 + 10);
            heartbeat.close();
        };
        tokio::join!(heartbeat.keep(), look);
        heartbeat.end().await;
        assert_eq!(read().await, None);
    }
}
