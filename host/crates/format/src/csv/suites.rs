//! Test of public suites of CSV files, which `ETL_HOST_CSV_SUITES` names by a directory that holds them. Prints for each
//! directory what became of its files. Without the variable there is nothing to test.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    exact::by_csv_core,
    grammar::{Cell, Form, Found},
    *,
};
use crate::content::{HEAD_BYTES, check_head};

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

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            found.push(path);
        }
    }
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

#[test]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "who runs the test has the suites, and the table")]
fn public_suites_are_read_right_or_refused() {
    let Some(suites) = std::env::var_os("ETL_HOST_CSV_SUITES") else { return };
    for suite in fs::read_dir(suites).expect("a directory") {
        let suite = suite.expect("an entry").path();
        let (mut found, mut outcomes) = (Vec::new(), BTreeMap::<Outcome, usize>::new());
        files(&suite, &mut found);
        for file in &found {
            *outcomes.entry(outcome(file)).or_default() += 1;
        }
        println!("{}: {} files, {outcomes:?}", suite.display(), found.len());
    }
}
