//! The workload `log`: requests, bytes and slowest answer by path and status, from a web server's log in JSON lines.
//! There are few different paths and statuses.

use std::{borrow::Cow, path::Path};

use anyhow::{Context, Result};

use super::{
    json::{integer, project},
    part::Part,
    pieces::{Blocks, lines, on_threads, pieces, text},
    table::{Table, hash},
};

/// Totals of one path and status.
#[derive(Default)]
struct Totals {
    requests: i64,
    bytes: Option<i64>,
    slowest_ms: Option<f64>,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes = match (self.bytes, other.bytes) {
            (Some(one), Some(two)) => Some(one + two),
            (one, two) => one.or(two),
        };
        self.slowest_ms = match (self.slowest_ms, other.slowest_ms) {
            (Some(one), Some(two)) => Some(one.max(two)),
            (one, two) => one.or(two),
        };
    }
}

#[derive(Default)]
struct State {
    blocks: Blocks,
    table: Table<Totals>,
    key: Vec<u8>,
}

pub(crate) fn run(input: &Path, result: &Path, threads: usize) -> Result<()> {
    let state = || Ok(State::default());
    let states = on_threads(threads, &pieces(input)?, state, |State { blocks, table, key }, piece| {
        blocks.read(piece, |block| lines(text(block)?.as_bytes()).try_for_each(|line| add_record(line, table, key)))
    })?;
    let mut merged = Table::<Totals>::default();
    for (hash, key, totals) in states.iter().flat_map(|state| state.table.iter()) {
        merged.value(hash, key).add(totals);
    }
    write(Part::create(result, 0)?, &merged)
}

fn add_record(line: &[u8], table: &mut Table<Totals>, key: &mut Vec<u8>) -> Result<()> {
    let [path, status, bytes, latency_ms] = project(line, [b"path", b"status", b"bytes", b"latency_ms"])?;
    let path = unquote(path.context("a record has no path")?)?;
    let path = memchr::memchr(b'?', &path).map_or(&*path, |query| &path[..query]);
    let status = status.and_then(integer).context("a record has no status")?;
    key.clear();
    key.extend_from_slice(path);
    key.extend_from_slice(&status.to_le_bytes());
    let slowest_ms = latency_ms.map(|digits| text(digits)?.parse().context("a latency is not a number")).transpose()?;
    table.value(hash(key), key).add(&Totals { requests: 1, bytes: bytes.and_then(integer), slowest_ms });
    Ok(())
}

/// Returns the content of a JSON string, without quotes and escapes.
fn unquote(string: &[u8]) -> Result<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', string).is_some() {
        let unescaped: String = serde_json::from_slice(string)?;
        return Ok(Cow::Owned(unescaped.into_bytes()));
    }
    string.get(1..string.len() - 1).map(Cow::Borrowed).context("a path is not a string")
}

fn write(mut part: Part, table: &Table<Totals>) -> Result<()> {
    for (_, key, totals) in table.iter() {
        let (path, status) = key.split_last_chunk::<8>().context("a key ends with its status")?;
        part.bytes(b"{\"path\":").string(path)?.bytes(b",\"status\":").integer(i64::from_le_bytes(*status));
        part.bytes(b",\"requests\":").integer(totals.requests);
        if let Some(bytes) = totals.bytes {
            part.bytes(b",\"bytes\":").integer(bytes);
        }
        if let Some(slowest_ms) = totals.slowest_ms {
            part.bytes(format!(",\"slowest_ms\":{slowest_ms:?}").as_bytes());
        }
        part.bytes(b"}").end_row()?;
    }
    part.close()
}
