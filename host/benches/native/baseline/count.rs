//! Lines, trimmed, and how often each occurs.

use std::path::Path;

use anyhow::Result;

use super::{
    part::Part,
    pieces::{Blocks, lines, on_threads, pieces, text},
    table::{Table, merge},
};

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let pieces = pieces(input)?;
    let states =
        on_threads(threads, &pieces, Default::default, |(table, blocks): &mut (Table<i64>, Blocks), piece| {
            blocks.read(piece, |block| {
                let block = text(block)?.as_bytes();
                lines(block).for_each(|line| *table.value(trim(line)) += 1);
                Ok(())
            })
        })?;
    let tables: Vec<Table<i64>> = states.into_iter().map(|(table, _)| table).collect();
    write(&tables, result, "type")
}

/// Merges counts and writes them as rows.
pub(crate) fn write(tables: &[Table<i64>], result: &Path, name: &str) -> Result<()> {
    let before = format!("{{\"{name}\":");
    let add = |total: &mut i64, count: &i64| *total += count;
    merge(tables, add, |number, table| {
        let mut part = Part::create(result, number)?;
        for (key, count) in table.iter() {
            part.bytes(before.as_bytes()).string(key)?.bytes(b",\"count\":").integer(*count).bytes(b"}").end_row()?;
        }
        part.close()
    })
}

/// Cuts white space off both ends of a line of valid text.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    let plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    if plain(line.first()) && plain(line.last()) {
        return line;
    }
    str::from_utf8(line).map_or(line, |line| line.trim().as_bytes())
}
