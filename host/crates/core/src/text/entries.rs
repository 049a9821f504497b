//! Labelled entries and the table of stages: how a run is written for people.

use std::fmt;

use crate::{
    model::{
        event::{Counts, Stage},
        ids::ShardId,
    },
    text::{
        numbers::{bytes, count, duration, printable},
        table::table,
    },
};

/// Width of the first column, in characters.
const LABEL_WIDTH: usize = 9;

/// Maximum number of counters listed.
pub const COUNTERS_MAX: usize = 20;

/// Returns a table of stages: the records and bytes that went in and out of each, and how long it took.
pub fn stage_table(rows: impl IntoIterator<Item = [String; 7]>) -> String {
    let header = ["stage", "tasks", "records in", "bytes in", "records out", "bytes out", "time"].map(str::to_owned);
    let rows: Vec<[String; 7]> = [header].into_iter().chain(rows).collect();
    table(&rows, LABEL_WIDTH, &[1, 2, 3, 4, 5, 6])
}

/// Returns a row of [`stage_table`].
pub fn stage_row(stage: Stage, tasks: u64, counts: &Counts, duration_ms: u64) -> [String; 7] {
    let [tasks, records_in, bytes_in, records_out, bytes_out] = match stage {
        Stage::Map | Stage::Reduce => [
            count(tasks),
            count(counts.records_in),
            bytes(counts.bytes_in),
            count(counts.records_out),
            bytes(counts.bytes_out),
        ],
        // Split and finalize handle no records.
        Stage::Split | Stage::Finalize => Default::default(),
    };
    [stage.name().to_owned(), tasks, records_in, bytes_in, records_out, bytes_out, duration(duration_ms)]
}

/// Returns the names of failed shards and the first line of their error.
pub fn left_out(shard: ShardId, shards: u32, error: &str) -> String {
    format!("{}: {}", shards_name(shard, shards), printable(error.lines().next().unwrap_or_default()))
}

/// Returns the name of `count` neighbouring shards in messages: `shard 3`, `shards 8 to 11`.
pub fn shards_name(first: ShardId, count: u32) -> String {
    match count {
        0 | 1 => format!("shard {first}"),
        count => format!("shards {first} to {}", u64::from(first.0) + u64::from(count) - 1),
    }
}

/// Returns the name of a step at its work on a shard, or of a reducer at its work on a partition, in messages: `map of
/// shard 3`.
pub fn step_name(step: &str, number: u32) -> String {
    match step {
        "split" => step.to_owned(),
        "reduce" => format!("reduce of partition {number}"),
        _ => format!("{step} of shard {number}"),
    }
}

/// Writes a label and its lines, aligned. A line may itself contain line breaks. Writes nothing if there are no lines.
pub fn entry(f: &mut impl fmt::Write, label: &str, lines: &[String]) -> fmt::Result {
    for (position, line) in lines.iter().enumerate() {
        let label = if position == 0 { label } else { "" };
        let line = line.replace('\n', &format!("\n{:LABEL_WIDTH$}  ", ""));
        writeln!(f, "{label:LABEL_WIDTH$}  {line}")?;
    }
    Ok(())
}

/// Returns the first `max` items, then an item with the number of items left out, if there are more.
pub fn first(mut items: Vec<String>, max: usize) -> Vec<String> {
    let more = items.len().saturating_sub(max);
    items.truncate(max);
    if more > 0 {
        items.push(format!("… and {} more", count(more as u64)));
    }
    items
}

/// Returns a number with its sign and with separators.
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", count(number.unsigned_abs()))
}
