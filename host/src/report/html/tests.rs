use etl_core::model::{
    event::Stage,
    ids::{TaskId, Try},
};

use super::{fill, spread, timeline};
use crate::history::{Account, AttemptEnd, PastAttempt};

fn attempts(number: u32, of: impl Fn(u32) -> PastAttempt) -> Account {
    Account { attempts: (0..number).map(of).collect(), ..Account::default() }
}

fn attempt(task: u32, started_at_ms: u64, duration_ms: u64) -> PastAttempt {
    let (read, end) = ((1, u64::from(task), 0), AttemptEnd::Committed);
    PastAttempt {
        process: 0,
        stage: Stage::Map,
        task: TaskId(task),
        number: Try::FIRST,
        started_at_ms,
        duration_ms,
        read,
        end,
    }
}

#[test]
fn values_are_not_looked_into() {
    assert_eq!(fill("a{{x}}b{{y}}", &[("x", "{{y}}"), ("y", "}}")]), "a{{y}}b}}");
}

#[test]
fn attempts_at_the_same_time_are_in_different_rows() {
    // Three at a time: each begins when the third before it has ended.
    let account = attempts(9, |task| attempt(task, 1000 + u64::from(task) * 10, 30));
    let timeline = serde_json::to_value(timeline::Timeline::of(&account)).expect("JSON");
    assert_eq!((&timeline["origin_ms"], &timeline["span_ms"]), (&1000.into(), &110.into()));
    assert_eq!(timeline["lanes"], serde_json::json!([0, 0, 0]));
    let lanes: Vec<_> = timeline["blocks"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|block| (block[0].clone(), block[5].clone()))
        .collect();
    let expected: Vec<_> =
        [0, 3, 6, 1, 4, 7, 2, 5, 8].iter().enumerate().map(|(at, task)| ((at / 3).into(), (*task).into())).collect();
    assert_eq!(lanes, expected);
}

#[test]
fn very_many_attempts_become_few_blocks_that_still_count_them_all() {
    let account = attempts(90_000, |task| {
        let end = if task == 777 { AttemptEnd::Open } else { AttemptEnd::Committed };
        PastAttempt { end, ..attempt(task, u64::from(task) * 7, if task % 10_000 == 0 { 50_000 } else { 6 }) }
    });
    let timeline = serde_json::to_value(timeline::Timeline::of(&account)).expect("JSON");
    let blocks = timeline["blocks"].as_array().expect("blocks");
    assert!((100..=4000).contains(&blocks.len()), "{} blocks", blocks.len());
    let drawn: u64 = blocks.iter().map(|block| block[7].as_u64().expect("a number")).sum();
    assert_eq!(drawn, 90_000);
    assert_eq!(blocks.iter().filter(|block| block[4] == "open").count(), 1, "what is to be looked at stays visible");
    let is_long = |block: &&serde_json::Value| block[2].as_u64() >= Some(50_000);
    assert_eq!(blocks.iter().filter(is_long).count(), 9);
}

#[test]
fn tasks_are_counted_by_how_long_they_took_and_the_slowest_are_named() {
    let account = attempts(1000, |task| attempt(task, 0, if task == 600 { 9000 } else { u64::from(task % 4) }));
    let [durations] = spread::durations(&account).try_into().expect("one stage");
    assert_eq!((durations.median_ms, durations.p95_ms, durations.max_ms), (2, 3, 9000));
    assert_eq!(durations.bins.iter().map(|(_, number)| number).sum::<u64>(), 1000);
    assert_eq!(durations.bins[..3], [(1, 499), (2, 250), (4, 250)]);
    assert_eq!(durations.bins.last(), Some(&(16_384, 1)));
    let slowest = serde_json::to_value(spread::slowest(&account)).expect("JSON");
    assert_eq!((slowest.as_array().map(Vec::len), &slowest[0]["task"]), (Some(30), &600.into()));
}

#[test]
fn how_much_tasks_had_to_read_is_summed_up_in_few_bars() {
    let account = attempts(1000, |task| attempt(task, 0, 1));
    let [skew] = spread::skew(&account).try_into().expect("one stage");
    assert_eq!((skew.unit, skew.mean, skew.max), ("bytes", 499, 999));
    assert_eq!(
        (skew.buckets.len(), skew.buckets[0], skew.buckets[111]),
        (112, (TaskId(0), TaskId(8), 8), (TaskId(999), TaskId(999), 999))
    );
    assert!(spread::skew(&attempts(1, |task| attempt(task, 0, 1))).is_empty(), "one task has nothing to differ from");
}
