use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use super::*;
use etl_core::model::{
    event::{Event, Listener, Stamped},
    shared::Shared,
};

struct Nothing(Counts);

impl HasCounts for Nothing {
    fn counts(&self) -> &Counts {
        &self.0
    }
}

fn nothing() -> Nothing {
    Nothing(Counts::default())
}

/// A `done` callback for tests in which no task may fail.
fn all_succeed(_: TaskId, result: Result<Nothing>) -> Result<()> {
    result.map(drop)
}

fn scheduler(slots: usize) -> Scheduler {
    Scheduler {
        stage: Stage::Map,
        slots,
        admission: None,
        retry: Retry { attempts: 3, interval: Duration::from_secs(10), multiplier: 2.0 },
        speculative: false,
        cancel: CancellationToken::new(),
        grace: Duration::from_secs(10),
        events: Events::silent(),
    }
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, anyhow::anyhow!("no"))
}

#[tokio::test(start_paused = true)]
async fn tasks_start_in_the_order_they_are_given_so_long_ones_first_end_sooner() {
    let attempt = |task: TaskId, _| async move {
        tokio::time::sleep(Duration::from_secs(task.0.into())).await;
        Ok(nothing())
    };
    let mut seen = Vec::new();
    let done = |task, result: Result<Nothing>| {
        seen.push(task);
        result.map(drop)
    };
    scheduler(1).run([9, 2, 7].map(TaskId), attempt, done).await.expect("all succeed");
    assert_eq!(seen, [9, 2, 7].map(TaskId));
    for (order, seconds) in [([9, 7, 5, 2, 1, 0], 12), ([0, 1, 2, 5, 7, 9], 15)] {
        let started = Instant::now();
        scheduler(2).run(order.into_iter().map(TaskId), attempt, all_succeed).await.expect("all succeed");
        assert_eq!(started.elapsed(), Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_attempts_than_slots_and_every_task_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inner_now, inner_most) = (Arc::clone(&now), Arc::clone(&most));
    let attempt = move |task: TaskId, _| {
        let (now, most) = (Arc::clone(&inner_now), Arc::clone(&inner_most));
        async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_secs(u64::from(task.0 % 7))).await;
            now.fetch_sub(1, SeqCst);
            Ok(nothing())
        }
    };
    let mut seen = Vec::new();
    let done = |task, result: Result<Nothing>| {
        seen.push(task);
        result.map(drop)
    };
    scheduler(4).run((0..100).map(TaskId), attempt, done).await.expect("all succeed");
    seen.sort_unstable();
    assert_eq!(seen, (0..100).map(TaskId).collect::<Vec<_>>());
    assert_eq!(most.load(SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn passing_trouble_is_tried_again_with_growing_waits() {
    let started = Instant::now();
    let attempt =
        |_, Try(number)| async move { if number < 3 { Err(error(ErrorKind::Unavailable)) } else { Ok(nothing()) } };
    scheduler(1).run([TaskId(7)], attempt, all_succeed).await.expect("the third attempt succeeds");
    assert_eq!(started.elapsed(), Duration::from_secs(10 + 20));
}

#[tokio::test(start_paused = true)]
async fn the_error_names_the_task_when_attempts_run_out() {
    let attempt = |_, _| async { Err::<Nothing, _>(error(ErrorKind::Unavailable)) };
    let error = scheduler(1).run([TaskId(7)], attempt, all_succeed).await.expect_err("it never succeeds");
    assert_eq!(error.to_string(), "map of shard 7 failed (attempt 3): no");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn one_failure_stops_the_stage() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    let attempt = move |TaskId(task), _| {
        counter.fetch_add(1, SeqCst);
        async move {
            if task == 0 {
                return Err(error(ErrorKind::Input));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(nothing())
        }
    };
    let error = scheduler(2).run((0..1000).map(TaskId), attempt, all_succeed).await.expect_err("task 0 fails");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(attempts.load(SeqCst) <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_may_fail_stops_no_other() {
    let attempt =
        |TaskId(task), _| async move { if task % 2 == 0 { Err(error(ErrorKind::Input)) } else { Ok(nothing()) } };
    let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
    let done = |TaskId(task), result: Result<Nothing>| {
        if result.is_ok() {
            succeeded.push(task);
        } else {
            failed.push(task);
        }
        Ok(())
    };
    scheduler(3).run((0..6).map(TaskId), attempt, done).await.expect("failures are taken");
    assert_eq!((succeeded, failed), (vec![1, 3, 5], vec![0, 2, 4]));
}

/// Runs ten tasks in two slots, each for as long as `seconds` returns, and cancels after five seconds. Returns the
/// tasks that ended, and how long the stage took.
async fn cancelled_after_5_seconds(seconds: impl Fn(u32) -> u64 + Send + Sync + 'static) -> (Vec<u32>, Duration) {
    let (scheduler, started) = (scheduler(2), Instant::now());
    let cancel = scheduler.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cancel.cancel();
    });
    let attempt = move |TaskId(task), _| {
        let seconds = seconds(task);
        async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(nothing())
        }
    };
    let mut ended = Vec::new();
    let done = |TaskId(task), result: Result<Nothing>| {
        ended.push(task);
        result.map(drop)
    };
    let error = scheduler.run((0..10).map(TaskId), attempt, done).await.expect_err("cancelled");
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
    let (scheduler, started) = (scheduler(1), Instant::now());
    let cancel = scheduler.cancel.clone();
    let attempt = move |_, Try(number)| {
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
    let error = scheduler.run([TaskId(0)], attempt, all_succeed).await.expect_err("cancelled");
    assert!(matches!(error.kind(), ErrorKind::Interrupted(_)), "{error}");
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

/// Runs five tasks in two slots. Each takes one second, except for the last: for attempt `number` at it, `last`
/// returns after how many seconds it ends, and the kind of its error if it fails. Returns the result of the stage,
/// its duration in seconds, and the events of attempts at the last task.
async fn with_straggler(
    speculative: bool,
    last: impl Fn(u32) -> (u64, Option<ErrorKind>) + Send + Sync + 'static,
) -> (Result<()>, u64, Vec<String>) {
    let started = Instant::now();
    let scheduler = Scheduler { speculative, ..scheduler(2) };
    let said = Shared::new(OfTask4(Vec::new()));
    scheduler.events.listen(said.clone());
    let attempt = move |TaskId(task), Try(number)| {
        let (seconds, failure) = if task == 4 { last(number) } else { (1, None) };
        async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            failure.map_or_else(|| Ok(nothing()), |kind| Err(error(kind)))
        }
    };
    let mut ended = Vec::new();
    let done = |TaskId(task), result: Result<Nothing>| {
        ended.push(task);
        result.map(drop)
    };
    let result = scheduler.run((0..5).map(TaskId), attempt, done).await.map(drop);
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2, 3, 4], "every task ends once");
    let said = said.lock().0.clone();
    (result, started.elapsed().as_secs(), said)
}

struct OfTask4(Vec<String>);

impl Listener for OfTask4 {
    fn on_event(&mut self, event: &Stamped) {
        match &event.event {
            Event::AttemptStarted { task: TaskId(4), attempt, .. } => self.0.push(format!("{attempt} started")),
            Event::AttemptFinished { task: TaskId(4), attempt, .. } => self.0.push(format!("{attempt} finished")),
            Event::AttemptOvertaken { task: TaskId(4), attempt, by, .. } => {
                self.0.push(format!("{attempt} overtaken by {by}"));
            }
            Event::AttemptFailed {
                task: TaskId(4),
                attempt,
                retry_in_ms: Some(wait_ms),
                another_under_way: false,
                ..
            } => {
                self.0.push(format!("{attempt} failed, retry in {wait_ms}"));
            }
            Event::AttemptFailed { task: TaskId(4), attempt, retry_in_ms: None, another_under_way, .. } => {
                let goes_on = if *another_under_way { ", another goes on" } else { "" };
                self.0.push(format!("{attempt} failed{goes_on}"));
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_straggler_gets_a_second_attempt_and_the_first_to_succeed_counts() {
    // The first attempt at the last task begins after two seconds, and is far slower than the others after three
    // seconds, which is three times the second that they took.
    let (result, seconds, said) =
        with_straggler(true, |number| if number == 1 { (100, None) } else { (1, None) }).await;
    result.expect("the second attempt succeeds");
    assert_eq!(seconds, 2 + 3 + 1);
    assert_eq!(said, ["1 started", "2 started", "1 overtaken by 2", "2 finished"]);
    let (result, seconds, said) =
        with_straggler(true, |number| if number == 1 { (10, None) } else { (100, None) }).await;
    result.expect("the first attempt succeeds");
    assert_eq!(seconds, 2 + 10);
    assert_eq!(said, ["1 started", "2 started", "1 finished", "2 overtaken by 1"]);
}

#[tokio::test(start_paused = true)]
async fn no_second_attempt_unless_it_is_asked_for() {
    let (result, seconds, said) =
        with_straggler(false, |number| if number == 1 { (100, None) } else { (1, None) }).await;
    result.expect("the first attempt succeeds");
    assert_eq!((seconds, said), (2 + 100, vec!["1 started".to_owned(), "1 finished".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_task_with_two_attempts_fails_when_both_have() {
    let broken = Some(ErrorKind::Input);
    let (result, seconds, said) =
        with_straggler(true, move |number| if number == 1 { (10, None) } else { (1, broken) }).await;
    result.expect("the first attempt succeeds");
    assert_eq!(seconds, 2 + 10);
    assert_eq!(said, ["1 started", "2 started", "2 failed, another goes on", "1 finished"]);
    let (result, seconds, said) =
        with_straggler(true, move |number| if number == 1 { (4, broken) } else { (3, broken) }).await;
    assert_eq!(result.expect_err("both failed").to_string(), "map of shard 4 failed (attempt 2): no");
    assert_eq!(seconds, 2 + 3 + 3);
    assert_eq!(said, ["1 started", "2 started", "1 failed, another goes on", "2 failed"]);
}

#[tokio::test(start_paused = true)]
async fn cancelling_lets_both_attempts_at_a_straggler_go_on_and_the_first_to_succeed_counts() {
    let (scheduler, started) = (Scheduler { speculative: true, ..scheduler(2) }, Instant::now());
    let cancel = scheduler.cancel.clone();
    tokio::spawn(async move {
        // The second attempt begins after five seconds, so cancel when both are under way.
        tokio::time::sleep(Duration::from_secs(6)).await;
        cancel.cancel();
    });
    let attempt = |TaskId(task), Try(number)| async move {
        let seconds = if task < 4 { 1 } else { 100 / number.pow(4) };
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        Ok(nothing())
    };
    let mut ended = Vec::new();
    let done = |TaskId(task), result: Result<Nothing>| {
        ended.push(task);
        result.map(drop)
    };
    let error = scheduler.run((0..5).map(TaskId), attempt, done).await.expect_err("cancelled");
    assert!(matches!(error.kind(), ErrorKind::Interrupted(_)), "{error}");
    ended.sort_unstable();
    assert_eq!((ended, started.elapsed()), (vec![0, 1, 2, 3, 4], Duration::from_secs(2 + 3 + 6)));
}

#[tokio::test(start_paused = true)]
async fn attempts_of_both_kinds_count_for_what_may_be_tried_again() {
    let away = Some(ErrorKind::Unavailable);
    let (result, _, said) = with_straggler(true, move |number| if number == 1 { (4, away) } else { (3, away) }).await;
    assert_eq!(result.expect_err("three attempts failed").to_string(), "map of shard 4 failed (attempt 3): no");
    let expected =
        ["1 started", "2 started", "1 failed, another goes on", "2 failed, retry in 20000", "3 started", "3 failed"];
    assert_eq!(said, expected);
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_takes_no_slot_that_a_task_waits_for() {
    let scheduler = Scheduler { speculative: true, ..scheduler(2) };
    // Task 0 is slow from the start; the other nineteen take the other slot.
    let attempt = |TaskId(task), Try(number)| async move {
        assert_eq!(number, 1, "a second attempt before its time");
        tokio::time::sleep(Duration::from_secs(if task == 0 { 15 } else { 1 })).await;
        Ok(nothing())
    };
    scheduler.run((0..20).map(TaskId), attempt, all_succeed).await.expect("all succeed");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_admitted_has_no_attempt_and_its_slot_is_free() {
    let admission: Admission = Arc::new(|TaskId(task)| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            task % 2 == 0
        })
    });
    let scheduler = Scheduler { admission: Some(admission), ..scheduler(2) };
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let attempt = move |TaskId(task), Try(number)| {
        counter.fetch_add(1, SeqCst);
        async move {
            assert_eq!(task % 2, 0, "it was not admitted");
            if number == 1 { Err(error(ErrorKind::Unavailable)) } else { Ok(nothing()) }
        }
    };
    let mut ended = Vec::new();
    let done = |TaskId(task), result: Result<Nothing>| {
        ended.push(task);
        result.map(drop)
    };
    scheduler.run((0..10).map(TaskId), attempt, done).await.expect("all succeed");
    ended.sort_unstable();
    assert_eq!((ended, asked.load(SeqCst)), (vec![0, 2, 4, 6, 8], 10));
}
