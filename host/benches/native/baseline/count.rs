//! The workloads `count` and `files`: counts the trimmed lines of the input.

use std::path::Path;

use anyhow::Result;

use super::{
    pieces::{Blocks, lines, on_threads, pieces, text},
    sums::{self, Sums},
};

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let state = || Ok((Sums::default(), Blocks::default()));
    let states = on_threads(threads, &pieces(input)?, state, |(sums, blocks), piece| {
        blocks.read(piece, |block| {
            lines(text(block)?.as_bytes()).for_each(|line| sums.add(trim(line), 1));
            Ok(())
        })
    })?;
    sums::write(states.into_iter().map(|(sums, _)| sums).collect(), result, ["type", "count"])
}

/// Trims white space from both ends of a line, which must be valid text.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    let plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    if plain(line.first()) && plain(line.last()) {
        return line;
    }
    str::from_utf8(line).map_or(line, |line| line.trim().as_bytes())
}
