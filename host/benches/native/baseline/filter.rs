//! The workload `filter`: writes the trimmed lines that contain a text, in the order of the input, one part for each
//! piece.

use std::path::Path;

use anyhow::Result;
use memchr::{memchr, memmem::Finder, memrchr};

use super::{
    count::trim,
    part::Part,
    pieces::{Blocks, on_threads, pieces, text},
};

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let finder = Finder::new(b"status=ok");
    on_threads(
        threads,
        &pieces(input)?,
        || Ok(Blocks::default()),
        |blocks, piece| {
            let mut part = Part::create(result, piece.number)?;
            blocks.read(piece, |block| keep(text(block)?.as_bytes(), &finder, &mut part))?;
            part.close()
        },
    )?;
    Ok(())
}

/// Writes the lines of a block that contain the text. It searches for the text and not for lines, so the lines without
/// the text cost nothing of their own.
fn keep(block: &[u8], finder: &Finder<'_>, part: &mut Part) -> Result<()> {
    let mut rest = block;
    while let Some(hit) = finder.find(rest) {
        let start = memrchr(b'\n', &rest[..hit]).map_or(0, |end| end + 1);
        let end = memchr(b'\n', &rest[hit..]).map_or(rest.len(), |end| hit + end);
        part.bytes(trim(&rest[start..end])).end_row()?;
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Ok(())
}
