//! The processes that worked on a run, as the starts and ends of their event logs show them.

use etl_core::model::{
    error::{ErrorKind, Result},
    event::{Event, Stamped},
};
use etl_store::{Listed, Store};
use futures::TryStreamExt;
use serde::Serialize;

use crate::run_store::layout::RunLayout;

/// Bytes at the end of a log that are read to find its last event, and bytes that are read if those were not enough.
/// The last event names the parts of the result, of which there may be thousands.
const TAILS_BYTES: [u64; 2] = [64 << 10, 4 << 20];

/// The most processes of a run that are looked at, which are the newest.
const PROCESSES_MAX: usize = 100;

/// A process that worked on a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Process {
    /// Name of the process, which the ids of its attempts contain.
    pub name: String,
    /// Start of the process in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Time of the last event that the process wrote down, in milliseconds since the Unix epoch.
    pub last_at_ms: u64,
    /// How the process ended; absent when it is at work, or was killed.
    pub ending: Option<Ending>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    /// The process completed the run.
    Finished,
    /// The process was stopped by a signal.
    Interrupted,
    /// The process ended with this error.
    Failed {
        /// What the operator can do about the error.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
    },
}

impl Ending {
    /// Returns how a process ended, if its last event is `event`.
    pub(super) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::RunFinished { .. } => Some(Self::Finished),
            Event::RunFailed { kind: ErrorKind::Interrupted(_), .. } => Some(Self::Interrupted),
            Event::RunFailed { kind, error, .. } => Some(Self::Failed { kind: *kind, error: error.clone() }),
            _ => None,
        }
    }
}

/// The event log of a process.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub key: String,
    pub size: u64,
    pub process: String,
    pub started_at_ms: u64,
}

/// Returns the logs of the newest [`PROCESSES_MAX`] processes of a run, oldest first.
pub(super) async fn logs(store: &Store, layout: &RunLayout) -> Result<Vec<Log>> {
    let of = |Listed { key, size, .. }: Listed| {
        let (started_at_ms, process) = layout.parse_events(&key)?;
        let process = process.to_owned();
        Some(Log { key, size, process, started_at_ms })
    };
    let found: Vec<Listed> = store.list(&layout.all_events()).try_collect().await?;
    let mut logs: Vec<Log> = found.into_iter().filter_map(of).collect();
    logs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(logs.split_off(logs.len().saturating_sub(PROCESSES_MAX)))
}

/// Returns the processes of a run, oldest first. Reads only the ends of their logs.
pub(super) async fn processes(store: &Store, layout: &RunLayout) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for log in logs(store, layout).await? {
        let last = last_event(store, &log).await?;
        processes.push(Process {
            name: log.process,
            started_at_ms: log.started_at_ms,
            last_at_ms: last.as_ref().map_or(log.started_at_ms, |last| last.at_ms),
            ending: last.and_then(|last| Ending::of(&last.event)),
        });
    }
    Ok(processes)
}

/// Returns the last event of a log that is not a warning: a warning about events left out may follow the end.
async fn last_event(store: &Store, log: &Log) -> Result<Option<Stamped>> {
    for tail_bytes in TAILS_BYTES {
        let start = log.size.saturating_sub(tail_bytes);
        if start == log.size {
            break;
        }
        let tail = store.get_range(&log.key, start..log.size, None).await?;
        let lines = tail.rsplit(|byte| *byte == b'\n');
        let mut events = lines.filter_map(|line| serde_json::from_slice::<Stamped>(line).ok());
        let last = events.find(|last| !matches!(last.event, Event::Warning { .. }));
        if last.is_some() || start == 0 {
            return Ok(last);
        }
    }
    Ok(None)
}
