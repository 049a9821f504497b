//! The workload `words`: counts words in lower case. A word is a longest sequence of alphanumeric characters.

use std::path::Path;

use anyhow::Result;

use super::{
    pieces::{Blocks, on_threads, pieces, text},
    sums::{self, Sums},
};

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let state = || Ok((Sums::default(), Blocks::default()));
    let states = on_threads(threads, &pieces(input)?, state, |(sums, blocks), piece| {
        blocks.read(piece, |block| {
            text(block)?;
            // The whole block is lowercased at once, by vector instructions, so nearly every word can be looked up
            // without a copy.
            block.make_ascii_lowercase();
            count_words(block, sums)
        })
    })?;
    sums::write(states.into_iter().map(|(sums, _)| sums).collect(), result, ["word", "count"])
}

/// The class of each byte of lowercased text: 0 separates words, 1 belongs to a word, 2 may do either.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = if byte >= 128 { 2 } else { (byte as u8).is_ascii_alphanumeric() as u8 };
        byte += 1;
    }
    classes
};

fn count_words(block: &[u8], sums: &mut Sums) -> Result<()> {
    let class = |position: usize| CLASSES[block[position] as usize];
    let mut position = 0;
    while position < block.len() {
        if class(position) == 0 {
            position += 1;
            continue;
        }
        let (start, mut classes) = (position, 0);
        while position < block.len() && class(position) != 0 {
            classes |= class(position);
            position += 1;
        }
        let run = &block[start..position];
        if classes == 1 { sums.add(run, 1) } else { count_unicode(text(run)?, sums) }
    }
    Ok(())
}

fn count_unicode(run: &str, sums: &mut Sums) {
    for word in run.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        sums.add(word.to_lowercase().as_bytes(), 1);
    }
}
