//! The scheduler: runs the tasks of a stage in slots, tries them again, and stops when asked to.
//!
//! Owns slots, retries and cancellation, and the events of attempts. Knows nothing of what an attempt does: it is
//! handed a function that makes futures. Called by the run, once per stage.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Error, ErrorKind, Result},
    event::{Counts, Event, Events, Stage},
    pipeline::Retry,
    times::millis,
};

/// How the tasks of one stage are run.
#[derive(Clone)]
pub struct Scheduler {
    /// The stage, for events.
    pub stage: Stage,
    /// How many attempts are under way at the same time, at most.
    pub slots: usize,
    /// How tasks are tried again.
    pub retry: Retry,
    /// Ends the stage with [`ErrorKind::Interrupted`] when cancelled.
    pub cancel: CancellationToken,
    /// How long attempts under way may go on when it is cancelled.
    pub grace: Duration,
    /// Where attempts are reported.
    pub events: Events,
}

/// What a scheduler can say about a task's result.
pub trait Finished {
    /// Returns what the attempt did.
    fn counts(&self) -> &Counts;
}

impl Scheduler {
    /// Runs `attempt(task, number)` for every task, in order of `tasks` as slots come free, and hands what each ends
    /// with to `done` in the order they do. Numbers count from 1; failed attempts are tried again as their error's
    /// kind and the retry settings say, so an error is the last one of its task.
    ///
    /// # Errors
    /// That of `done`, which decides whether a task may fail; attempts under way are dropped.
    /// [`ErrorKind::Interrupted`] when cancelled: no attempt starts any more, and those under way that end within
    /// `grace` count; the others are dropped.
    pub async fn run<T, F, A>(
        &self,
        tasks: impl IntoIterator<Item = u32>,
        attempt: A,
        mut done: impl FnMut(u32, Result<T>) -> Result<()>,
    ) -> Result<()>
    where
        T: Finished + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        A: Fn(u32, u32) -> F + Send + Sync + 'static,
    {
        let attempt = Arc::new(attempt);
        let mut waiting = tasks.into_iter().fuse();
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.slots
                && let Some(task) = waiting.next()
            {
                let (scheduler, attempt) = (self.clone(), Arc::clone(&attempt));
                running.spawn(async move { (task, scheduler.run_task(task, attempt.as_ref()).await) });
            }
            let finished = tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    // What they end with, and whether in time, decides nothing: the next process reads the commits.
                    _ = tokio::time::timeout(self.grace, finish(running, done)).await;
                    return Err(interrupted());
                }
                finished = running.join_next() => finished,
            };
            match finished {
                None => return Ok(()),
                Some(Ok((task, result))) => done(task, result)?,
                Some(Err(error)) => {
                    return Err(Error::internal(format!("a {} task panicked: {error}", self.stage.name())));
                }
            }
        }
    }

    async fn run_task<T: Finished, F: Future<Output = Result<T>>>(
        &self,
        task: u32,
        attempt: &impl Fn(u32, u32) -> F,
    ) -> Result<T> {
        let mut number = 1;
        loop {
            self.events.emit(Event::AttemptStarted { stage: self.stage, task, attempt: number });
            let started = Instant::now();
            match attempt(task, number).await {
                Ok(result) => {
                    self.finished(task, number, started.elapsed(), result.counts());
                    return Ok(result);
                }
                Err(error) => {
                    let wait = retry_after(&self.retry, error.kind(), number);
                    let wait = wait.filter(|_| !self.cancel.is_cancelled());
                    self.failed(task, number, &error, wait);
                    let Some(wait) = wait else { return Err(self.name_task(task, number, error)) };
                    tokio::select! {
                        () = self.cancel.cancelled() => return Err(self.name_task(task, number, error)),
                        () = tokio::time::sleep(wait) => number += 1,
                    }
                }
            }
        }
    }

    fn finished(&self, task: u32, attempt: u32, duration: Duration, counts: &Counts) {
        let (duration_ms, counts) = (millis(duration), counts.clone());
        self.events.emit(Event::AttemptFinished { stage: self.stage, task, attempt, duration_ms, counts });
    }

    fn failed(&self, task: u32, attempt: u32, error: &Error, wait: Option<Duration>) {
        self.events.emit(Event::AttemptFailed {
            stage: self.stage,
            task,
            attempt,
            kind: error.kind(),
            error: error.to_string(),
            retry_in_ms: wait.map(millis),
        });
    }

    fn name_task(&self, task: u32, attempt: u32, error: Error) -> Error {
        let attempts = if attempt == 1 { String::new() } else { format!(" (attempt {attempt})") };
        error.context(format!("{} failed{attempts}", self.stage.task(task)))
    }
}

/// Waits for attempts under way, and hands on what they end with.
async fn finish<T: 'static>(
    mut running: JoinSet<(u32, Result<T>)>,
    mut done: impl FnMut(u32, Result<T>) -> Result<()>,
) {
    while let Some(finished) = running.join_next().await {
        if let Ok((task, result)) = finished {
            _ = done(task, result);
        }
    }
}

/// Returns the error of a run that was cancelled; the CLI knows by which signal.
pub fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted(2), anyhow::anyhow!("interrupted"))
}

/// Returns how long to wait before the next attempt, after attempt `number` failed with an error of `kind`; `None`
/// when there is none.
pub fn retry_after(retry: &Retry, kind: ErrorKind, number: u32) -> Option<Duration> {
    let attempts_max = match kind {
        ErrorKind::Unavailable => retry.attempts,
        // A trap may be the machine's trouble; a second one in a fresh instance is the plugin's.
        ErrorKind::Sandbox => retry.attempts.min(2),
        ErrorKind::Config
        | ErrorKind::Input
        | ErrorKind::Damaged(_)
        | ErrorKind::Plugin
        | ErrorKind::Interrupted(_)
        | ErrorKind::Internal => 1,
    };
    let exponent = i32::try_from(number - 1).unwrap_or(i32::MAX);
    let wait = retry.interval.as_secs_f64() * retry.multiplier.powi(exponent);
    (number < attempts_max).then(|| Duration::from_secs_f64(wait.min(WAIT_SECONDS_MAX)))
}

/// The longest wait before an attempt.
const WAIT_SECONDS_MAX: f64 = 300.0;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    struct Nothing(Counts);

    impl Finished for Nothing {
        fn counts(&self) -> &Counts {
            &self.0
        }
    }

    fn nothing() -> Nothing {
        Nothing(Counts::default())
    }

    /// What to do with a result where no task may fail.
    fn all_succeed(_: u32, result: Result<Nothing>) -> Result<()> {
        result.map(drop)
    }

    fn scheduler(slots: usize) -> Scheduler {
        Scheduler {
            stage: Stage::Map,
            slots,
            retry: Retry { attempts: 3, interval: Duration::from_secs(10), multiplier: 2.0 },
            cancel: CancellationToken::new(),
            grace: Duration::from_secs(10),
            events: Events::default(),
        }
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, anyhow::anyhow!("no"))
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_start_in_the_order_they_are_given_so_long_ones_first_end_sooner() {
        let attempt = |task: u32, _| async move {
            tokio::time::sleep(Duration::from_secs(task.into())).await;
            Ok(nothing())
        };
        let mut seen = Vec::new();
        let done = |task, result: Result<Nothing>| {
            seen.push(task);
            result.map(drop)
        };
        scheduler(1).run([9, 2, 7], attempt, done).await.expect("all succeed");
        assert_eq!(seen, [9, 2, 7]);
        for (order, seconds) in [([9, 7, 5, 2, 1, 0], 12), ([0, 1, 2, 5, 7, 9], 15)] {
            let started = tokio::time::Instant::now();
            scheduler(2).run(order, attempt, all_succeed).await.expect("all succeed");
            assert_eq!(started.elapsed(), Duration::from_secs(seconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_attempts_than_slots_and_every_task_once() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (inner_now, inner_most) = (Arc::clone(&now), Arc::clone(&most));
        let attempt = move |task: u32, _| {
            let (now, most) = (Arc::clone(&inner_now), Arc::clone(&inner_most));
            async move {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::time::sleep(Duration::from_secs(u64::from(task % 7))).await;
                now.fetch_sub(1, SeqCst);
                Ok(nothing())
            }
        };
        let mut seen = Vec::new();
        let done = |task, result: Result<Nothing>| {
            seen.push(task);
            result.map(drop)
        };
        scheduler(4).run(0..100, attempt, done).await.expect("all succeed");
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert_eq!(most.load(SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn passing_trouble_is_tried_again_with_growing_waits() {
        let started = tokio::time::Instant::now();
        let attempt =
            |_, number| async move { if number < 3 { Err(error(ErrorKind::Unavailable)) } else { Ok(nothing()) } };
        scheduler(1).run([7], attempt, all_succeed).await.expect("the third attempt succeeds");
        assert_eq!(started.elapsed(), Duration::from_secs(10 + 20));
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_names_the_task_when_attempts_run_out() {
        let attempt = |_, _| async { Err::<Nothing, _>(error(ErrorKind::Unavailable)) };
        let error = scheduler(1).run([7], attempt, all_succeed).await.expect_err("it never succeeds");
        assert_eq!(error.to_string(), "map of shard 7 failed (attempt 3): no");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_stops_the_stage() {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&attempts);
        let attempt = move |task, _| {
            counter.fetch_add(1, SeqCst);
            async move {
                if task == 0 {
                    return Err(error(ErrorKind::Input));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(nothing())
            }
        };
        let error = scheduler(2).run(0..1000, attempt, all_succeed).await.expect_err("task 0 fails");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(attempts.load(SeqCst) <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_may_fail_stops_no_other() {
        let attempt = |task, _| async move { if task % 2 == 0 { Err(error(ErrorKind::Input)) } else { Ok(nothing()) } };
        let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
        let done = |task, result: Result<Nothing>| {
            if result.is_ok() {
                succeeded.push(task);
            } else {
                failed.push(task);
            }
            Ok(())
        };
        scheduler(3).run(0..6, attempt, done).await.expect("failures are taken");
        assert_eq!((succeeded, failed), (vec![1, 3, 5], vec![0, 2, 4]));
    }

    /// Runs tasks on two slots, each as long as `seconds` says, and cancels after five seconds. Returns the tasks
    /// that ended, and how long it took in all.
    async fn cancelled_after_5_seconds(seconds: impl Fn(u32) -> u64 + Send + Sync + 'static) -> (Vec<u32>, Duration) {
        let (scheduler, started) = (scheduler(2), tokio::time::Instant::now());
        let cancel = scheduler.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            cancel.cancel();
        });
        let attempt = move |task, _| {
            let seconds = seconds(task);
            async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(nothing())
            }
        };
        let mut ended = Vec::new();
        let done = |task, result: Result<Nothing>| {
            ended.push(task);
            result.map(drop)
        };
        let error = scheduler.run(0..10, attempt, done).await.expect_err("cancelled");
        assert!(matches!(error.kind(), ErrorKind::Interrupted(_)), "{error}");
        (ended, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_starts_nothing_more_and_lets_attempts_under_way_finish() {
        let (ended, took) = cancelled_after_5_seconds(|task| if task == 0 { 1 } else { 7 }).await;
        assert_eq!((ended, took), (vec![0, 1, 2], Duration::from_secs(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_outlast_the_grace_are_dropped() {
        let (ended, took) = cancelled_after_5_seconds(|task| if task == 0 { 7 } else { 1_000 }).await;
        assert_eq!((ended, took), (vec![0], Duration::from_secs(5 + 10)));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_wait_for_another_attempt() {
        let (scheduler, started) = (scheduler(1), tokio::time::Instant::now());
        let cancel = scheduler.cancel.clone();
        let attempt = move |_, number| {
            let cancel = cancel.clone();
            async move {
                assert_eq!(number, 1, "there is no second attempt");
                tokio::time::sleep(Duration::from_secs(1)).await;
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    cancel.cancel();
                });
                Err::<Nothing, _>(error(ErrorKind::Unavailable))
            }
        };
        let error = scheduler.run([0], attempt, all_succeed).await.expect_err("cancelled");
        assert!(matches!(error.kind(), ErrorKind::Interrupted(_)), "{error}");
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again_and_traps_once() {
        let retry = Retry { attempts: 5, interval: Duration::from_secs(1), multiplier: 3.0 };
        for kind in [ErrorKind::Config, ErrorKind::Input, ErrorKind::Plugin, ErrorKind::Internal] {
            assert_eq!(retry_after(&retry, kind, 1), None);
        }
        assert_eq!(retry_after(&retry, ErrorKind::Sandbox, 1), Some(Duration::from_secs(1)));
        assert_eq!(retry_after(&retry, ErrorKind::Sandbox, 2), None);
        assert_eq!(retry_after(&retry, ErrorKind::Unavailable, 4), Some(Duration::from_secs(27)));
        assert_eq!(retry_after(&retry, ErrorKind::Unavailable, 5), None);
    }
}
