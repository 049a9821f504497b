//! The attempts under way in a stage, by task.
//!
//! Owns which attempts a task has had, whether a failed attempt is retried, and which of two attempts counts. The
//! parent module decides when another task starts, and what a failed task means for the stage.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use etl_core::model::{
    error::{Error, Result},
    event::{Event, Stage},
    ids::{TaskId, Try},
    times::millis,
};
use tokio::{
    task::{AbortHandle, JoinError, JoinSet},
    time::Instant,
};

use super::{HasCounts, Scheduler, stragglers::Peers};

/// The attempts under way in a stage.
pub(super) struct UnderWay<'a, A, T> {
    scheduler: &'a Scheduler,
    attempt: Arc<A>,
    attempts: JoinSet<Ended<T>>,
    tasks: BTreeMap<TaskId, TaskState>,
    peers: Peers,
}

/// An attempt that has ended without being dropped.
pub(super) struct Ended<T> {
    task: TaskId,
    number: Try,
    /// The result; absent when the task is not run here.
    result: Option<Result<T>>,
}

/// A task under way.
#[derive(Default)]
struct TaskState {
    /// Number of attempts that were started.
    started: u32,
    /// Number of attempts that have failed.
    failed: u32,
    /// Whether an attempt was started while another was under way.
    speculated: bool,
    /// The attempts under way: one, which may be a retry that still waits to begin, or two.
    attempts: Vec<Running>,
}

struct Running {
    number: Try,
    begins: Instant,
    work: AbortHandle,
}

impl<'a, A, F, T> UnderWay<'a, A, T>
where
    T: HasCounts + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
    A: Fn(TaskId, Try) -> F + Send + Sync + 'static,
{
    /// Creates an empty set of attempts. `attempt(task, number)` returns the future of an attempt.
    pub(super) fn new(scheduler: &'a Scheduler, attempt: A) -> Self {
        let (attempts, tasks) = (JoinSet::new(), BTreeMap::new());
        Self { scheduler, attempt: Arc::new(attempt), attempts, tasks, peers: Peers::default() }
    }

    /// Returns the number of slots in use.
    pub(super) fn slots(&self) -> usize {
        self.attempts.len()
    }

    /// Starts the next attempt at a task, which takes a slot now and begins after `wait`.
    pub(super) fn start(&mut self, task: TaskId, wait: Duration) {
        let of = self.tasks.entry(task).or_default();
        of.started += 1;
        of.speculated |= !of.attempts.is_empty();
        let (number, begins, stage) = (Try(of.started), Instant::now() + wait, self.scheduler.stage);
        let (attempt, events) = (Arc::clone(&self.attempt), self.scheduler.events.clone());
        let admission = self.scheduler.admission.clone().filter(|_| number == Try::FIRST);
        let work = self.attempts.spawn(async move {
            if let Some(admission) = admission
                && !admission(task).await
            {
                return Ended { task, number, result: None };
            }
            if wait > Duration::ZERO {
                tokio::time::sleep_until(begins).await;
            }
            events.emit(Event::AttemptStarted { stage, task, attempt: number });
            Ended { task, number, result: Some(attempt(task, number).await) }
        });
        of.attempts.push(Running { number, begins, work });
    }

    /// Returns the task that will be far slower than its peers first, and the time from which on it is. Tasks that have
    /// already had two attempts at the same time are not considered. Returns `None` when there is no such task, or
    /// attempts are not speculative.
    pub(super) fn straggler(&self) -> Option<(TaskId, Instant)> {
        if !self.scheduler.speculative {
            return None;
        }
        let patience = self.patience()?;
        let alone = self.tasks.iter().filter(|(_, of)| !of.speculated);
        let begins = alone.filter_map(|(task, of)| Some((*task, of.attempts.first()?.begins + patience)));
        begins.min_by_key(|(_, due)| *due)
    }

    /// Returns how long an attempt may take before it is far slower than the others.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.peers.patience()
    }

    /// Waits until an attempt has ended, and returns what [`UnderWay::settle`] takes; `None` when no attempt is under
    /// way.
    pub(super) async fn ended(&mut self) -> Option<Result<Ended<T>, JoinError>> {
        self.attempts.join_next().await
    }

    /// Records that an attempt has ended. Returns the task and its result if the task has ended with it, here: either the
    /// attempt succeeded, and any other attempt at the task is dropped; or it failed, and there is neither another
    /// attempt under way nor a retry.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](etl_core::model::error::ErrorKind::Internal) when the attempt panicked.
    pub(super) fn settle(&mut self, ended: Result<Ended<T>, JoinError>) -> Result<Option<(TaskId, Result<T>)>> {
        let Ended { task, number, result } = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Ok(None),
            Err(error) => {
                let stage = self.scheduler.stage.name();
                return Err(Error::internal(format!("a {stage} task panicked: {error}")));
            }
        };
        // Another attempt may have succeeded a moment before, and this one ended before it was dropped.
        let Some(of) = self.tasks.remove(&task) else { return Ok(None) };
        Ok(match result {
            Some(Ok(result)) => {
                self.succeeded(task, number, of, &result);
                Some((task, Ok(result)))
            }
            Some(Err(error)) => self.failed(task, number, of, error).map(|error| (task, Err(error))),
            None => None,
        })
    }

    fn succeeded(&mut self, task: TaskId, number: Try, of: TaskState, result: &T) {
        let stage = self.scheduler.stage;
        for Running { number: attempt, begins, work } in of.attempts {
            let duration_ms = millis(begins.elapsed());
            if attempt == number {
                self.peers.add(begins.elapsed());
                let counts = result.counts().clone();
                self.scheduler.events.emit(Event::AttemptFinished { stage, task, attempt, duration_ms, counts });
            } else {
                work.abort();
                self.scheduler.events.emit(Event::AttemptOvertaken { stage, task, attempt, by: number, duration_ms });
            }
        }
    }

    /// Handles a failed attempt: reports it, and starts a retry if there is one. Returns the error if the task has
    /// failed with it.
    fn failed(&mut self, task: TaskId, number: Try, mut of: TaskState, error: Error) -> Option<Error> {
        let Scheduler { retry, cancel, stage, events, .. } = self.scheduler;
        of.failed += 1;
        of.attempts.retain(|attempt| attempt.number != number);
        let another_under_way = !of.attempts.is_empty();
        let wait = retry.wait_after(error.kind(), of.failed).filter(|_| !another_under_way && !cancel.is_cancelled());
        events.emit(Event::AttemptFailed {
            stage: *stage,
            task,
            attempt: number,
            shard: error.shard(),
            kind: error.kind(),
            error: error.to_string(),
            retry_in_ms: wait.map(millis),
            another_under_way,
        });
        if wait.is_none() && !another_under_way {
            return Some(name_task(*stage, task, number, error));
        }
        self.tasks.insert(task, of);
        if let Some(wait) = wait {
            self.start(task, wait);
        }
        None
    }

    /// Lets the attempts that have begun end, and passes the results of their tasks to `done`. Retries that still wait
    /// to begin are dropped.
    pub(super) async fn finish(mut self, mut done: impl FnMut(TaskId, Result<T>)) {
        let now = Instant::now();
        let waiting = self.tasks.values().flat_map(|of| &of.attempts).filter(|attempt| attempt.begins > now);
        waiting.for_each(|attempt| attempt.work.abort());
        while let Some(ended) = self.ended().await {
            if let Ok(Some((task, result))) = self.settle(ended) {
                done(task, result);
            }
        }
    }
}

fn name_task(stage: Stage, task: TaskId, attempt: Try, error: Error) -> Error {
    let attempts = if attempt == Try::FIRST { String::new() } else { format!(" (attempt {attempt})") };
    error.context(format!("{} failed{attempts}", stage.task(task)))
}
