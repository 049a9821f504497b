//! Lines of a key and a whole number: the sum of each key, of which there are too many for the caches.
//!
//! So rows are first dealt to partitions whose tables do fit, and then summed partition by partition.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};

use super::{
    count::trim,
    json::integer,
    part::Part,
    pieces::{Blocks, lines, on_threads, pieces, text},
    table::{Table, hash, partition},
};

const PARTITIONS: usize = 256;

/// The rows of each partition that one thread has read, one after the other: length of the key, key, value.
struct Dealt {
    blocks: Blocks,
    partitions: Vec<Vec<u8>>,
}

impl Dealt {
    fn new() -> Self {
        Self { blocks: Blocks::default(), partitions: vec![Vec::new(); PARTITIONS] }
    }
}

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let dealt = on_threads(threads, &pieces(input)?, Dealt::new, |Dealt { blocks, partitions }, piece| {
        blocks.read(piece, |block| lines(text(block)?.as_bytes()).try_for_each(|line| deal(line, partitions)))
    })?;
    let (partitions, parts): (Vec<usize>, _) = ((0..PARTITIONS).collect(), AtomicUsize::new(0));
    let new_part = || (Part::create(result, parts.fetch_add(1, Ordering::Relaxed)), Table::default());
    let parts = on_threads(threads, &partitions, new_part, |(part, table), partition| {
        let part = part.as_mut().map_err(|error| anyhow::anyhow!("{error}"))?;
        table.clear();
        dealt.iter().for_each(|dealt| sum(&dealt.partitions[*partition], table));
        write(part, table)
    })?;
    parts.into_iter().try_for_each(|(part, _)| part?.close())
}

fn deal(line: &[u8], partitions: &mut [Vec<u8>]) -> Result<()> {
    let malformed = || format!("this is no key and number: {}", String::from_utf8_lossy(line));
    let comma = line.iter().position(|byte| *byte == b',').with_context(malformed)?;
    let (key, value) = (&line[..comma], integer(trim(&line[comma + 1..])).with_context(malformed)?);
    let rows = &mut partitions[partition(hash(key), PARTITIONS)];
    rows.extend_from_slice(&u16::try_from(key.len()).with_context(malformed)?.to_le_bytes());
    rows.extend_from_slice(key);
    rows.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

fn sum(mut rows: &[u8], table: &mut Table<i64>) {
    while let Some((length, rest)) = rows.split_first_chunk() {
        let (key, rest) = rest.split_at(u16::from_le_bytes(*length).into());
        let (value, rest) = rest.split_first_chunk().expect("a value follows its key");
        *table.value(key) += i64::from_le_bytes(*value);
        rows = rest;
    }
}

fn write(part: &mut Part, table: &Table<i64>) -> Result<()> {
    for (key, sum) in table.iter() {
        part.bytes(b"{\"key\":").string(key)?.bytes(b",\"value\":").integer(*sum).bytes(b"}").end_row()?;
    }
    Ok(())
}
