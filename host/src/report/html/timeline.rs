//! The timeline: attempts as blocks in rows, so that attempts under way at the same time are in different rows.

use etl_core::model::ids::{TaskId, Try};
use serde::Serialize;

use crate::history::{Account, AttemptEnd, PastAttempt};

/// Maximum number of blocks drawn. If there are more, short blocks that follow each other are joined.
const BLOCKS_MAX: usize = 4000;

/// Maximum number of rows drawn.
const LANES_MAX: usize = 200;

/// The attempts of a run, by row and time.
#[derive(Debug, Default, Serialize)]
pub(super) struct Timeline {
    /// Start of the first attempt, in milliseconds since the Unix epoch.
    pub origin_ms: u64,
    /// Time from the start of the first attempt to the end of the last, in milliseconds.
    pub span_ms: u64,
    /// The process of each row, as an index into the account's processes.
    pub lanes: Vec<usize>,
    /// Number of rows left out.
    #[serde(skip)]
    pub lanes_left_out: usize,
    /// Blocks to draw.
    pub blocks: Vec<Block>,
}

/// An attempt, or several that follow each other: row, start after the origin in milliseconds, duration in
/// milliseconds, stage, how it ended, first task, number of that task's attempt, number of attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Block(usize, u64, u64, &'static str, &'static str, TaskId, Try, u64);

impl Timeline {
    /// Assigns the attempts of a run to rows.
    pub(super) fn of(account: &Account) -> Self {
        let origin_ms = account.attempts.iter().map(|attempt| attempt.started_at_ms).min().unwrap_or_default();
        let end = |attempt: &PastAttempt| attempt.started_at_ms + attempt.duration_ms;
        let span_ms = account.attempts.iter().map(end).max().unwrap_or_default() - origin_ms;
        let mut attempts: Vec<&PastAttempt> = account.attempts.iter().collect();
        attempts.sort_by_key(|attempt| (attempt.process, attempt.started_at_ms, end(attempt)));
        let mut places = Places::default();
        let mut blocks = Vec::new();
        let mut left_out = 0;
        for attempt in attempts {
            let lane = places.take(attempt.process, attempt.started_at_ms, end(attempt));
            if lane < LANES_MAX {
                blocks.push(block(lane, origin_ms, attempt));
            } else {
                left_out = left_out.max(lane + 1 - LANES_MAX);
            }
        }
        let mut lanes: Vec<usize> = places.lanes.iter().map(|(process, _)| *process).collect();
        lanes.truncate(LANES_MAX);
        Self { origin_ms, span_ms: span_ms.max(1), lanes, lanes_left_out: left_out, blocks: merged(blocks, span_ms) }
    }
}

/// The rows: the process of each, and the time until which the row is taken.
#[derive(Default)]
struct Places {
    lanes: Vec<(usize, u64)>,
    /// The first row of the process that is being placed.
    first: usize,
}

impl Places {
    /// Takes the first free row of a process, or adds a row. Must be called for one process after the other, and for
    /// the attempts of a process in the order of their starts.
    fn take(&mut self, process: usize, from_ms: u64, to_ms: u64) -> usize {
        if self.lanes.last().is_none_or(|(last, _)| *last != process) {
            self.first = self.lanes.len();
        }
        let free = self.lanes[self.first..].iter().position(|(_, until_ms)| *until_ms <= from_ms);
        let lane = match free {
            Some(lane) => self.first + lane,
            None => {
                self.lanes.push((process, 0));
                self.lanes.len() - 1
            }
        };
        self.lanes[lane].1 = to_ms;
        lane
    }
}

fn block(lane: usize, origin_ms: u64, attempt: &PastAttempt) -> Block {
    let end = match attempt.end {
        AttemptEnd::Committed => "committed",
        AttemptEnd::Failed { .. } => "failed",
        AttemptEnd::Overtaken => "overtaken",
        AttemptEnd::Open => "open",
    };
    let start_ms = attempt.started_at_ms - origin_ms;
    Block(lane, start_ms, attempt.duration_ms, attempt.stage.name(), end, attempt.task, attempt.number, 1)
}

/// Joins blocks of the same row and stage that are short and close, until there are at most `BLOCKS_MAX`. Drops the
/// rest if joining is not enough.
fn merged(mut blocks: Vec<Block>, span_ms: u64) -> Vec<Block> {
    blocks.sort_by_key(|Block(lane, start_ms, ..)| (*lane, *start_ms));
    let mut length_ms = (span_ms / BLOCKS_MAX as u64).max(1);
    while blocks.len() > BLOCKS_MAX {
        let mut joined: Vec<Block> = Vec::new();
        for block in blocks {
            match joined.last_mut() {
                Some(last) if last.0 == block.0 && last.3 == block.3 && block.1 + block.2 - last.1 <= length_ms => {
                    last.2 = block.1 + block.2 - last.1;
                    last.4 = worse(last.4, block.4);
                    last.7 += block.7;
                }
                _ => joined.push(block),
            }
        }
        blocks = joined;
        length_ms *= 2;
        if length_ms > span_ms.saturating_mul(4) {
            blocks.truncate(BLOCKS_MAX);
        }
    }
    blocks
}

/// Returns how a joined block ended: the end that most needs to be looked at counts.
fn worse(one: &'static str, other: &'static str) -> &'static str {
    ["failed", "open", "overtaken"].into_iter().find(|end| *end == one || *end == other).unwrap_or("committed")
}
