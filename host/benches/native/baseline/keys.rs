//! The workload `keys`: sums the whole numbers of each key, from lines of a key and a number.

use std::path::Path;

use anyhow::{Context, Result};

use super::{
    count::trim,
    json::integer,
    pieces::{Blocks, lines, on_threads, pieces, text},
    sums::{self, Sums},
};

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let state = || Ok((Sums::default(), Blocks::default()));
    let states = on_threads(threads, &pieces(input)?, state, |(sums, blocks), piece| {
        blocks.read(piece, |block| lines(text(block)?.as_bytes()).try_for_each(|line| add(line, sums)))
    })?;
    sums::write(states.into_iter().map(|(sums, _)| sums).collect(), result, ["key", "value"])
}

fn add(line: &[u8], sums: &mut Sums) -> Result<()> {
    let malformed = || format!("this is not a key and a number: {}", String::from_utf8_lossy(line));
    let comma = line.iter().position(|byte| *byte == b',').with_context(malformed)?;
    let value = integer(trim(&line[comma + 1..])).with_context(malformed)?;
    sums.add(&line[..comma], value);
    Ok(())
}
