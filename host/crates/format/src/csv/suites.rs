//! Tests of public suites of CSV files: each is read as `csv-core` reads it, or refused.

use std::{fs, path::Path};

use super::{
    exact::by_csv_core,
    grammar::{Cell, Form, Found},
    *,
};
use crate::{
    content::{HEAD_BYTES, check_head},
    suites::{check_table, files, folder, whole},
};

/// What becomes of a file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Every record is what `csv-core` reads, or what the suite's JSON says.
    Right,
    /// Some records are refused, and all others are right.
    Rejects,
    /// The object is refused as what it is.
    Foreign,
}

/// Returns the records of an object as a source reads them, with `None` for a reject, and the bytes that were read
/// before the first reject.
fn records(data: &[u8]) -> (Vec<Option<Vec<Vec<u8>>>>, usize) {
    let cells = Cells::new(&CsvSource::default(), 8 << 20);
    let (mut at, mut records, mut width, mut before) = (0, Vec::new(), None, None);
    loop {
        let mut found = Vec::new();
        let (skipped, what) = cells.grammar.next(&data[at..], true, |cell| found.push(cell));
        let (text, length) = match what {
            Found::Record(text, length) => (text, length),
            Found::Unclosed(text, length) => {
                found.clear();
                (text, length)
            }
            Found::TooLong | Found::More => break,
        };
        let record = &data[at + skipped..at + skipped + text];
        let is_ragged = *width.get_or_insert(found.len()) != found.len();
        let is_refused = found.is_empty() || is_ragged || found.iter().any(|cell: &Cell| cell.form == Form::Overrun);
        if is_refused {
            before.get_or_insert(records.len());
        }
        records.push((!is_refused).then(|| found.iter().map(|cell| field(&cells, cell, record)).collect()));
        at += skipped + length;
    }
    let before = before.unwrap_or(records.len());
    (records, before)
}

fn field(cells: &Cells, cell: &Cell, record: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match cell.form {
        Form::Escaped => cells.grammar.unescape(cell.of(record), &mut text),
        _ => text.extend_from_slice(cell.of(record)),
    }
    text
}

/// Checks the records against the JSON beside csv-spectrum's files, if there is some.
fn check_json(path: &Path, records: &[Option<Vec<Vec<u8>>>]) {
    let Some(name) = path.file_stem() else { return };
    let json = path.with_file_name("..").join("json").join(name).with_extension("json");
    let rows = fs::read(json).ok().and_then(|json| serde_json::from_slice::<Vec<serde_json::Value>>(&json).ok());
    let Some((rows, header)) = rows.zip(records.first().and_then(Option::as_ref)) else { return };
    assert_eq!(rows.len(), records.len() - 1, "{}", path.display());
    for (row, record) in rows.iter().zip(&records[1..]) {
        let record = record.as_ref().expect("no reject");
        for (name, value) in header.iter().zip(record) {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            assert_eq!(row[&*name], *value, "{}", path.display());
        }
    }
}

fn outcome(path: &Path) -> Outcome {
    let data = fs::read(path).expect("a file");
    if check_head("o", &data[..data.len().min(HEAD_BYTES)]).is_err() {
        return Outcome::Foreign;
    }
    let data = data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&data);
    let (found, before) = records(data);
    let expected = by_csv_core(&CsvSource::default(), data);
    let good: Vec<_> = found.iter().flatten().collect();
    if good.len() == found.len() {
        assert!(good.into_iter().eq(&expected), "{} is read as something else", path.display());
        check_json(path, &found);
        return Outcome::Right;
    }
    // Behind a reject the two may go on at different places.
    let is_same = found[..before].iter().flatten().eq(&expected[..before]);
    assert!(is_same, "{} is read as something else", path.display());
    Outcome::Rejects
}

/// Largest size of a file that is read.
const SIZE_MAX: u64 = 2_000_000;

/// Returns a line of the table: what becomes of the files below a folder, and how many there are of each.
fn line(name: &str, folder: &Path) -> String {
    let mut files = files(folder, "csv");
    files.retain(|file| fs::metadata(file).expect("a file").len() < SIZE_MAX);
    let outcomes: Vec<Outcome> = files.iter().map(|file| outcome(file)).collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let (right, rejects, foreign) = (count(Outcome::Right), count(Outcome::Rejects), count(Outcome::Foreign));
    format!("| {name} | {} | {right} | {rejects} | {foreign} |", outcomes.len())
}

fn table(lines: Vec<String>) -> Vec<String> {
    let head = ["| files | number | right | rejects | refused |", "| --- | --- | --- | --- | --- |"];
    head.map(str::to_owned).into_iter().chain(lines).collect()
}

#[test]
fn files_of_others_are_read_right_or_refused() {
    let lines = [
        ("csv-spectrum", "csv-spectrum, all"),
        ("arrow-csv", "arrow-csv, all of `arrow-csv/test/data`"),
        ("duckdb", "DuckDB, of `data/csv` files below 1 KB in 14 folders"),
    ];
    check_table("csv", &table(lines.map(|(suite, name)| line(name, &folder(suite))).into()));
}

#[test]
fn all_files_of_others_are_read_right_or_refused() {
    let Some(duckdb) = whole("duckdb/data/csv") else { return };
    check_table("csv-whole", &table(vec![line("DuckDB, all of `data/csv` below 2 MB", &duckdb)]));
}
