//! Differences between tasks: how long they took, and how much they read.

use etl_core::model::{
    event::Stage,
    ids::{TaskId, Try},
};
use serde::Serialize;

use crate::history::{Account, AttemptEnd, PastAttempt};

/// Maximum number of bars in a chart.
const BUCKETS_MAX: usize = 120;

/// Maximum number of slowest tasks listed.
const SLOWEST_MAX: usize = 30;

/// Durations of the tasks of a stage.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Durations {
    pub stage: Stage,
    pub median_ms: u64,
    pub p95_ms: u64,
    pub max_ms: u64,
    /// Bins: upper bound in milliseconds, and number of tasks. Each bound is twice the one before.
    pub bins: Vec<(u64, u64)>,
}

/// Amounts that the tasks of a stage read.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Skew {
    pub stage: Stage,
    /// `bytes`, or `records` where no bytes were counted.
    pub unit: &'static str,
    pub mean: u64,
    pub max: u64,
    /// Groups of neighbouring tasks: first task, last task, and the largest amount that a task of the group read.
    pub buckets: Vec<(TaskId, TaskId, u64)>,
}

/// One of the slowest tasks.
#[derive(Debug, Serialize)]
pub(super) struct Slow {
    stage: Stage,
    task: TaskId,
    number: Try,
    duration_ms: u64,
    guest_ms: u64,
    records: u64,
    bytes: u64,
}

/// Returns the attempts of a stage that committed.
fn committed(account: &Account, stage: Stage) -> Vec<&PastAttempt> {
    let is_one = |attempt: &&PastAttempt| attempt.stage == stage && attempt.end == AttemptEnd::Committed;
    account.attempts.iter().filter(is_one).collect()
}

/// Returns the durations of tasks, by stage; a stage without committed attempts is left out.
pub(super) fn durations(account: &Account) -> Vec<Durations> {
    let of = |stage| {
        let mut times: Vec<u64> = committed(account, stage).iter().map(|attempt| attempt.duration_ms).collect();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
        Some(Durations { stage, median_ms: at(50)?, p95_ms: at(95)?, max_ms: at(100)?, bins: bins(&times) })
    };
    [Stage::Map, Stage::Reduce].into_iter().filter_map(of).collect()
}

/// Counts times in bins whose bounds double. The times must be sorted and not empty.
fn bins(times: &[u64]) -> Vec<(u64, u64)> {
    let class = |time: u64| time.max(1).next_power_of_two().trailing_zeros();
    let (first, last) = (class(times[0]), class(times[times.len() - 1]));
    let upto = |class: u32| (1_u64 << class, times.partition_point(|time| *time <= 1 << class) as u64);
    let mut before = 0;
    (first..=last).map(upto).map(|(upto, number)| (upto, number - std::mem::replace(&mut before, number))).collect()
}

/// Returns the amounts that tasks read, by stage; a stage with fewer than two tasks is left out.
pub(super) fn skew(account: &Account) -> Vec<Skew> {
    let of = |stage| {
        let mut tasks = committed(account, stage);
        tasks.sort_by_key(|attempt| attempt.task);
        tasks.dedup_by_key(|attempt| attempt.task);
        if tasks.len() < 2 {
            return None;
        }
        let has_bytes = tasks.iter().any(|attempt| attempt.read.1 > 0);
        let amount = |attempt: &&PastAttempt| if has_bytes { attempt.read.1 } else { attempt.read.0 };
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

/// Returns the slowest tasks, the slowest first.
pub(super) fn slowest(account: &Account) -> Vec<Slow> {
    let mut tasks = [committed(account, Stage::Map), committed(account, Stage::Reduce)].concat();
    tasks.sort_by_key(|attempt| std::cmp::Reverse(attempt.duration_ms));
    let slow = |attempt: &&PastAttempt| {
        let (records, bytes, guest_us) = attempt.read;
        let PastAttempt { stage, task, number, duration_ms, .. } = **attempt;
        Slow { stage, task, number, duration_ms, guest_ms: guest_us / 1000, records, bytes }
    };
    tasks.iter().take(SLOWEST_MAX).map(slow).collect()
}
