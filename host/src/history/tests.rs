use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst};

use etl_core::model::{
    error::ErrorKind,
    event::{Counts, Event, Events, Level, Stage, Stamped},
    ids::{AttemptId, PlanId, TaskId, Try},
    part::PartName,
    times::Times,
};
use etl_store::{Pending, testing::counting::counting};

use super::*;
use crate::run_store::{
    commit::{Commit, Output, Part},
    plan::{NewPlan, Planned, SinkMark},
    recipe::Recipe,
    shards::ShardTable,
};

/// When all plans of these tests are made: half an hour into the day.
const PLANNED_AT_MS: u64 = 1_795_307_400_500;

async fn write_log(store: &Store, run_id: &str, at_ms: u64, events: impl IntoIterator<Item = (u64, Event)>) {
    let line = |(at_ms, event)| serde_json::to_string(&Stamped { at_ms, event }).expect("JSON") + "\n";
    let text: String = events.into_iter().map(line).collect();
    store.put(&RunLayout::new("p", run_id).events(at_ms, "aa"), text).await.expect("written");
}

fn plan_id() -> PlanId {
    PlanId::of(AttemptId::new(Try::FIRST, "aa"))
}

async fn write_plan(store: &Store, run_id: &str) {
    let draft = NewPlan {
        planned_at_ms: PLANNED_AT_MS,
        pipeline: serde_json::Value::Null,
        recipe: Recipe { keys: BTreeMap::new(), variables: BTreeMap::new(), steps: Vec::new(), records: String::new() },
        listing: String::new(),
        objects: 1,
        bytes: 2,
        shards: ShardTable::default(),
        id: plan_id(),
        sink: SinkMark { name: "result/".to_owned(), mark: String::new() },
        fields: None,
        emits: String::new(),
    };
    Planned::freeze(store, &RunLayout::new("p", run_id), draft.into()).await.expect("written");
}

fn failed(kind: ErrorKind) -> Event {
    Event::RunFailed { kind, error: "no".to_owned(), duration_ms: 1 }
}

fn stage_started(tasks: u64) -> Event {
    Event::StageStarted { stage: Stage::Map, tasks, committed: 0 }
}

fn finished(task: u32, records_in: u64) -> Event {
    let counts = Counts { records_in, ..Counts::default() };
    Event::AttemptFinished { stage: Stage::Map, task: TaskId(task), attempt: Try::FIRST, duration_ms: 5, counts }
}

#[tokio::test]
async fn runs_are_newest_first_whatever_they_are_called_and_few_are_read() {
    let (store, requests) = counting();
    for second in 0..3000 {
        let id = format!("20261122T{:02}{:02}{:02}Z-5f3a90c2", second / 3600, second / 60 % 60, second % 60);
        store.put(&RunLayout::new("p", &id).success(), "").await.expect("written");
    }
    write_plan(&store, "a-name").await;
    let runs = run_ids(&store, "p").await.expect("listed");
    assert_eq!(runs.len(), 3001);
    assert_eq!(requests.gets.load(SeqCst), 1, "only the one that was named is read");
    assert_eq!(
        (runs[0].id.as_str(), runs[3000].id.as_str()),
        ("20261122T004959Z-5f3a90c2", "20261122T000000Z-5f3a90c2")
    );
    let at = runs.iter().position(|run| run.id == "a-name").expect("listed");
    let around = [at - 1, at + 1].map(|at| runs[at].id.as_str());
    assert_eq!(around, ["20261122T003001Z-5f3a90c2", "20261122T003000Z-5f3a90c2"]);
    assert_eq!(time_of_id("20261122T163000Z-5f3a90c2"), Some(1_795_365_000_000));
    assert_eq!(["nightly-07", "20261322T163000Z-x", "2026112ääT163000Z-x"].map(time_of_id), [None; 3]);
}

#[tokio::test]
async fn a_run_that_is_not_there_is_refused_with_some_that_are() {
    let (store, _) = counting();
    let error = find(&store, "p", None).await.expect_err("no runs");
    assert_eq!(error.to_string(), "there are no runs of `p` in run store `counting`");
    write_plan(&store, "one").await;
    assert_eq!(find(&store, "p", None).await.expect("the newest"), "one");
    let error = find(&store, "p", Some("two")).await.expect_err("no such run");
    assert!(error.to_string().ends_with("(the newest: `one`)"), "{error}");
}

#[tokio::test]
async fn a_run_is_in_the_state_that_the_last_process_left_it_in() {
    let (store, _) = counting();
    let state = async |run_id: &str| {
        let run = RunId { id: run_id.to_owned(), planned_at_ms: None };
        let overview = Overview::read(&store, "p", &run).await.expect("read");
        (overview.state, overview.duration_ms)
    };
    assert_eq!(state("a").await, (RunState::Unfinished, None));
    write_log(&store, "a", 1000, [(1000, stage_started(3)), (1500, finished(0, 1))]).await;
    assert_eq!(state("a").await, (RunState::Unfinished, Some(500)));
    write_log(&store, "a", 2000, [(2000, stage_started(3)), (2100, failed(ErrorKind::Interrupted(15)))]).await;
    assert_eq!(state("a").await, (RunState::Interrupted, Some(600)));
    write_log(&store, "a", 3000, [(3000, stage_started(3)), (3100, failed(ErrorKind::Input))]).await;
    assert_eq!(state("a").await, (RunState::Failed, Some(700)));
    // A warning about events that were left out of a log follows its end.
    let left_out = Event::Warning { message: "some were left out".to_owned() };
    write_log(&store, "a", 3000, [(3100, failed(ErrorKind::Input)), (3100, left_out)]).await;
    assert_eq!(state("a").await, (RunState::Failed, Some(700)));
    write_log(&store, "a", 3050, [(3050, stage_started(3)), (3200, finished(1, 1))]).await;
    assert_eq!(state("a").await, (RunState::Unfinished, Some(800)), "times that overlap count once");
}

#[tokio::test]
async fn the_end_of_a_log_is_found_behind_a_long_last_event() {
    let (store, _) = counting();
    let parts = (0..4096).map(|part| format!("file:///data/result/r/part-{part:05}.json")).collect();
    let end = Event::RunFinished { duration_ms: 1, result: "result".to_owned(), parts, parts_left_out: 0 };
    write_log(&store, "a", 1000, [(1000, stage_started(3)), (9000, end)]).await;
    let found = processes::processes(&store, &RunLayout::new("p", "a")).await.expect("read");
    assert_eq!((found[0].last_at_ms, &found[0].ending), (9000, &Some(Ending::Finished)));
}

#[tokio::test]
async fn an_account_counts_each_task_once_and_those_of_a_process_that_was_killed() {
    let (store, requests) = counting();
    let layout = RunLayout::new("p", "a").of_plan(&plan_id());
    write_plan(&store, "a").await;
    write_log(&store, "a", 1000, [(1000, stage_started(3)), (1010, finished(0, 7))]).await;
    let retry = Event::AttemptFailed {
        stage: Stage::Map,
        task: TaskId(1),
        attempt: Try::FIRST,
        shard: None,
        kind: ErrorKind::Unavailable,
        error: "away".to_owned(),
        retry_in_ms: Some(5),
        another_under_way: false,
    };
    let started =
        |task, attempt| Event::AttemptStarted { stage: Stage::Map, task: TaskId(task), attempt: Try(attempt) };
    let events = [
        (2000, stage_started(3)),
        (2000, finished(0, 7)),
        (2000, started(1, 1)),
        (2040, retry),
        (2050, started(1, 2)),
        (2055, started(2, 1)),
        (2060, finished(9, 1)),
    ];
    write_log(&store, "a", 2000, events).await;
    let pending = Pending::Upload { id: String::new(), parts: Vec::new() };
    let part = Part { name: PartName::only(TaskId(2)), rows: 1, bytes: 2, digest: String::new(), pending };
    let counts = Counts { records_in: 100, ..Counts::default() };
    let (attempt, rejected) = (AttemptId::new(Try::FIRST, "aa"), BTreeMap::new());
    let commit =
        Commit { plan: plan_id(), attempt, counts, output: Output::Parts(vec![part]), rejected, rejects: None };
    commit.write(Times::default(), &store, &layout, Stage::Map, TaskId(2), &Events::silent()).await.expect("committed");

    let gets = requests.gets.load(SeqCst);
    let account = Account::read(&store, "p", "a").await.expect("read");
    assert_eq!(requests.gets.load(SeqCst) - gets, 5, "the plan, whether it is complete, two logs and one commit");
    let map = &account.stages[&Stage::Map];
    assert_eq!((map.tasks, map.committed, map.counts.records_in, map.retries), (3, 3, 108, 1));
    assert_eq!(map.duration_ms, 70, "up to the last event of each process");
    let ends: Vec<_> = account.attempts.iter().map(|a| (a.process, a.task.0, a.duration_ms, &a.end)).collect();
    let (kind, error) = (ErrorKind::Unavailable, "away".to_owned());
    let away = AttemptEnd::Failed { kind, error, then: Then::Retry, shard: None };
    assert_eq!(ends.len(), 6);
    assert_eq!(ends[2], (1, 1, 40, &away));
    assert_eq!(ends[4], (1, 1, 10, &AttemptEnd::Open));
    assert_eq!(ends[5], (1, 2, 5, &AttemptEnd::Committed), "its commit says so");
    assert_eq!(account.attempts[5].read.0, 100);
    assert_eq!(account.failures().count(), 1);
}

#[tokio::test]
async fn an_attempt_that_fails_beside_another_is_no_retry_and_ends_no_task() {
    let (store, _) = counting();
    write_plan(&store, "a").await;
    let failed = |number, retry_in_ms, another_under_way| {
        let (stage, kind, error) = (Stage::Map, ErrorKind::Unavailable, "away".to_owned());
        (
            1000,
            Event::AttemptFailed {
                stage,
                task: TaskId(1),
                attempt: Try(number),
                shard: None,
                kind,
                error,
                retry_in_ms,
                another_under_way,
            },
        )
    };
    write_log(&store, "a", 1000, [failed(2, None, true), failed(1, Some(5), false), failed(3, None, false)]).await;
    let account = Account::read(&store, "p", "a").await.expect("read");
    let failures: Vec<_> = account.failures().map(|attempt| (attempt.number.0, &attempt.end)).collect();
    let ends = |then| AttemptEnd::Failed { kind: ErrorKind::Unavailable, error: "away".to_owned(), then, shard: None };
    assert_eq!(failures, [(3, &ends(Then::Nothing)), (2, &ends(Then::Other)), (1, &ends(Then::Retry))]);
    assert_eq!(account.stages[&Stage::Map].retries, 1);
}

#[tokio::test]
async fn an_attempt_lies_between_its_events() {
    let (store, _) = counting();
    write_plan(&store, "a").await;
    let started = |task| Event::AttemptStarted { stage: Stage::Map, task: TaskId(task), attempt: Try::FIRST };
    let events = [
        (1000, started(0)),
        (1003, finished(0, 1)),
        (1003, started(1)),
        (1020, finished(1, 1)),
        (1020, finished(2, 1)),
    ];
    write_log(&store, "a", 1000, events).await;
    let account = Account::read(&store, "p", "a").await.expect("read");
    let times: Vec<_> = account.attempts.iter().map(|attempt| (attempt.started_at_ms, attempt.duration_ms)).collect();
    assert_eq!(times, [(1000, 3), (1003, 5), (1015, 5)], "each took 5 ms by its own account");
}

#[tokio::test]
async fn what_is_kept_of_messages_is_bounded_and_the_rest_is_counted() {
    let (store, _) = counting();
    let log = |level, message: String| Event::Log { step: "map".to_owned(), task: TaskId(0), level, message };
    let chatter = (0..5000).map(|n| (1000 + n, log(Level::Info, "x".repeat(5000))));
    let chatter: Vec<_> = chatter.chain([(9000, log(Level::Error, "look".to_owned()))]).collect();
    write_log(&store, "a", 1000, chatter).await;
    let account = Account::read(&store, "p", "a").await.expect("read");
    assert_eq!((account.messages.len(), account.messages_left_out), (301, 4700));
    assert_eq!(account.messages[0].text.chars().count(), 2001);
    assert_eq!(account.messages[300].text, "look", "what matters is kept");
}
