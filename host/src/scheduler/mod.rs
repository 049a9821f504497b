//! The scheduler: runs the tasks of a stage in slots, retries them, and stops when the run is cancelled.
//!
//! Owns slots, retries, second attempts at stragglers, cancellation, and the events of attempts. Knows nothing of what
//! an attempt does: it is given a function that returns the attempt's future. Called by the run, once per stage.

mod attempts;
mod retry;
mod stragglers;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::attempts::UnderWay;
pub use self::retry::Retry;
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    event::{Counts, Events, Stage},
    ids::{TaskId, Try},
};

/// Says just before the first attempt at a task whether there is to be one.
pub type Admission = Arc<dyn Fn(TaskId) -> BoxFuture<'static, bool> + Send + Sync>;

/// How the tasks of one stage are run.
#[derive(Clone)]
pub struct Scheduler {
    /// The stage, for events and errors.
    pub stage: Stage,
    /// The most attempts that are under way at the same time.
    pub slots: usize,
    /// Says whether a task is run here; absent when all are.
    pub admission: Option<Admission>,
    /// How often and after which wait a task is retried.
    pub retry: Retry,
    /// Whether tasks that are far slower than others get a second attempt.
    pub speculative: bool,
    /// Ends the stage with [`ErrorKind::Interrupted`] when cancelled.
    pub cancel: CancellationToken,
    /// How long attempts under way may continue after `cancel` is cancelled.
    pub grace: Duration,
    /// Receives the events of attempts.
    pub events: Events,
}

/// The result of a successful attempt, as far as the scheduler reports it.
pub trait HasCounts {
    /// Returns the counts of the attempt, for its event.
    fn counts(&self) -> &Counts;
}

impl Scheduler {
    /// Runs `attempt(task, number)` for every task. Tasks start in the order of `tasks` as slots become free, and the
    /// result of each is passed to `done` in the order in which the tasks end. The number of an attempt counts from 1.
    /// Failed attempts are retried depending on the kind of their error and the retry settings, so an error passed to
    /// `done` is the last one of its task.
    ///
    /// When `speculative` is set, a slot that no task waits for is used for a second attempt at a task whose first
    /// attempt takes far longer than others took. The attempt that succeeds first counts, and the other is dropped; the
    /// task fails when both have failed.
    ///
    /// Returns how long an attempt may take before it is far slower than the others; `None` when too few have succeeded
    /// to tell.
    ///
    /// # Errors
    /// Returns the error of `done`, which decides whether a task may fail; attempts under way are dropped. Returns
    /// [`ErrorKind::Interrupted`] when cancelled: no further attempt starts, attempts under way that end within `grace`
    /// count, and the others are dropped.
    pub async fn run<T, F, A>(
        &self,
        tasks: impl IntoIterator<Item = TaskId>,
        attempt: A,
        mut done: impl FnMut(TaskId, Result<T>) -> Result<()>,
    ) -> Result<Option<Duration>>
    where
        T: HasCounts + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        A: Fn(TaskId, Try) -> F + Send + Sync + 'static,
    {
        let mut waiting = tasks.into_iter().fuse();
        let mut under_way = UnderWay::new(self, attempt);
        loop {
            while under_way.slots() < self.slots
                && let Some(task) = waiting.next()
            {
                under_way.start(task, Duration::ZERO);
            }
            let straggler = under_way.straggler().filter(|_| under_way.slots() < self.slots);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    // The results of these attempts are of no further use here, nor is whether they end in time: the
                    // process that resumes the run reads the commits.
                    let finish = under_way.finish(|task, result| _ = done(task, result));
                    _ = tokio::time::timeout(self.grace, finish).await;
                    return Err(interrupted());
                }
                ended = under_way.ended() => match ended {
                    None => return Ok(under_way.patience()),
                    Some(ended) => if let Some((task, result)) = under_way.settle(ended)? {
                        done(task, result)?;
                    }
                },
                task = due(straggler) => under_way.start(task, Duration::ZERO),
            }
        }
    }
}

/// Waits until a task is due, and returns it. Waits forever if there is no task.
async fn due(task: Option<(TaskId, Instant)>) -> TaskId {
    match task {
        Some((task, due)) => {
            tokio::time::sleep_until(due).await;
            task
        }
        None => std::future::pending().await,
    }
}

/// Returns the error of a run that was cancelled. It names signal 2; the CLI knows which signal it really was.
pub fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted(2), anyhow::anyhow!("interrupted"))
}
