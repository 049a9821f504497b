//! How tasks differ: how long they took, and how much they had to read.

use serde::Serialize;

use crate::{
    event::Stage,
    history::{Account, Attempt, AttemptEnd},
};

/// The most bars of a chart.
const BUCKETS_MAX: usize = 120;

/// How many of the slowest tasks are named.
const SLOWEST_MAX: usize = 30;

/// How long the tasks of a stage took.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Durations {
    pub stage: Stage,
    pub median_ms: u64,
    pub p95_ms: u64,
    pub max_ms: u64,
    /// Up to how many milliseconds, and how many tasks; each bin reaches twice as far as the one before.
    pub bins: Vec<(u64, u64)>,
}

/// How much the tasks of a stage had to read.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Skew {
    pub stage: Stage,
    /// `bytes`, or `records` where no bytes were counted.
    pub unit: &'static str,
    pub mean: u64,
    pub max: u64,
    /// First and last task, and the most that one of them read.
    pub buckets: Vec<(u32, u32, u64)>,
}

/// A task that took long.
#[derive(Debug, Serialize)]
pub(super) struct Slow {
    stage: Stage,
    task: u32,
    number: u32,
    duration_ms: u64,
    guest_ms: u64,
    records: u64,
    bytes: u64,
}

/// Returns the attempts that committed, of the stages that have several.
fn committed(account: &Account, stage: Stage) -> Vec<&Attempt> {
    let is_one = |attempt: &&Attempt| attempt.stage == stage && attempt.end == AttemptEnd::Committed;
    account.attempts.iter().filter(is_one).collect()
}

/// Returns how long tasks took, by stage.
pub(super) fn durations(account: &Account) -> Vec<Durations> {
    let of = |stage| {
        let mut times: Vec<u64> = committed(account, stage).iter().map(|attempt| attempt.duration_ms).collect();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
        Some(Durations { stage, median_ms: at(50)?, p95_ms: at(95)?, max_ms: at(100)?, bins: bins(&times) })
    };
    [Stage::Map, Stage::Reduce].into_iter().filter_map(of).collect()
}

/// Counts times, which are sorted and at least one, in bins that double.
fn bins(times: &[u64]) -> Vec<(u64, u64)> {
    let class = |time: u64| time.max(1).next_power_of_two().trailing_zeros();
    let (first, last) = (class(times[0]), class(times[times.len() - 1]));
    let upto = |class: u32| (1_u64 << class, times.partition_point(|time| *time <= 1 << class) as u64);
    let mut before = 0;
    (first..=last).map(upto).map(|(upto, number)| (upto, number - std::mem::replace(&mut before, number))).collect()
}

/// Returns how much tasks had to read, by stage, where there are several.
pub(super) fn skew(account: &Account) -> Vec<Skew> {
    let of = |stage| {
        let mut tasks = committed(account, stage);
        tasks.sort_by_key(|attempt| attempt.task);
        tasks.dedup_by_key(|attempt| attempt.task);
        if tasks.len() < 2 {
            return None;
        }
        let has_bytes = tasks.iter().any(|attempt| attempt.read.1 > 0);
        let amount = |attempt: &&Attempt| if has_bytes { attempt.read.1 } else { attempt.read.0 };
        let buckets = tasks.chunks(tasks.len().div_ceil(BUCKETS_MAX)).map(|chunk| {
            let (first, last) = (chunk[0].task, chunk[chunk.len() - 1].task);
            (first, last, chunk.iter().map(amount).max().unwrap_or_default())
        });
        Some(Skew {
            stage,
            unit: if has_bytes { "bytes" } else { "records" },
            mean: tasks.iter().map(amount).sum::<u64>() / tasks.len() as u64,
            max: tasks.iter().map(amount).max().unwrap_or_default(),
            buckets: buckets.collect(),
        })
    };
    [Stage::Map, Stage::Reduce].into_iter().filter_map(of).collect()
}

/// Returns the tasks that took longest, the longest first.
pub(super) fn slowest(account: &Account) -> Vec<Slow> {
    let mut tasks = [committed(account, Stage::Map), committed(account, Stage::Reduce)].concat();
    tasks.sort_by_key(|attempt| std::cmp::Reverse(attempt.duration_ms));
    let slow = |attempt: &&Attempt| {
        let (records, bytes, guest_us) = attempt.read;
        let Attempt { stage, task, number, duration_ms, .. } = **attempt;
        Slow { stage, task, number, duration_ms, guest_ms: guest_us / 1000, records, bytes }
    };
    tasks.iter().take(SLOWEST_MAX).map(slow).collect()
}
