//! Test with the files of JSONTestSuite: what is JSON is read as that, and what is not is refused.

use std::{collections::BTreeMap, fs};

use arrow_array::cast::AsArray;
use bytes::Bytes;
use etl_core::model::{object::Compression, schema::Schema};
use serde_json::Value;

use crate::{
    Chunk, HEAD_BYTES, JsonLayout, SourceFormat,
    suites::{check_table, files, folder},
};

/// What becomes of an object: the texts of a `json` field in its records, or why some of it is refused.
type Outcome = Result<Vec<Option<String>>, String>;

/// A way to read a file: its name, its layout, the field that is asked for, and what is put around the file.
type Way = (&'static str, JsonLayout, &'static str, [&'static str; 2]);

const WAYS: [Way; 4] = [
    ("the value of a `json` field", JsonLayout::Documents, "v=json", ["{\"v\":", "}"]),
    ("a value that is not asked for", JsonLayout::Documents, "other=json", ["{\"v\":", "}"]),
    ("documents", JsonLayout::Documents, "v=json", ["", ""]),
    ("lines", JsonLayout::Lines, "v=json", ["", ""]),
];

fn read(&(_, layout, field, [before, behind]): &Way, file: &[u8]) -> Outcome {
    let schema = Schema::parse(&[field.to_owned()], 0).expect("a schema");
    let format = SourceFormat::new("json", Some(schema.into())).and_then(|format| format.with_json(layout));
    let data = Bytes::from([before.as_bytes(), file, behind.as_bytes()].concat());
    let head = data.slice(..data.len().min(HEAD_BYTES));
    let start = Chunk::Start { object: "o".into(), offset: 0, compression: Compression::None, head };
    let chunks = [start, Chunk::Data(data)].map(Ok);
    let format = format.expect("a format");
    let mut decoder = format.decoder(Box::new(chunks.into_iter())).expect("fields of JSON");
    let (mut values, mut refused) = (Vec::new(), None);
    while let Some(found) = decoder.next_batch().map_err(|error| error.to_string())? {
        let column = found.batch.column(0).as_string::<i32>();
        values.extend(column.iter().map(|value| value.map(str::to_owned)));
        refused = refused.or(found.rejects.into_iter().next().map(|reject| reject.reason));
    }
    refused.map_or(Ok(values), Err)
}

/// Returns the outcome as the table has it.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Ok(values) if values.is_empty() => "no record".to_owned(),
        Ok(_) => "read".to_owned(),
        Err(why) if why.contains("expected an object") => "refused: a document is not an object".to_owned(),
        Err(why) if why.contains("are the documents not lines?") => "refused: an object over several lines".to_owned(),
        Err(_) => "refused: not JSON".to_owned(),
    }
}

/// Asserts that the value of a field is what the file holds.
fn check_value(name: &str, file: &[u8], outcome: &Outcome) {
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
    let [value] = outcome.as_deref().expect(name) else { panic!("{name}: {outcome:?}") };
    assert_eq!(json(value.as_deref().unwrap_or("null").as_bytes()), json(file), "{name}");
}

#[test]
fn json_is_read_and_what_is_none_is_refused() {
    let files = files(&folder("json-test-suite"), "json");
    assert_eq!(files.len(), 318);
    let mut lines = vec!["| as | files | outcome | number |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    let mut empty = Vec::new();
    for way in &WAYS {
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for path in &files {
            let (name, file) = (path.file_name().expect("a name").to_string_lossy(), fs::read(path).expect("a file"));
            let outcome = read(way, &file);
            let told = told(&outcome);
            let kind = match &name[..2] {
                "y_" => "`y_`: JSON",
                "n_" => "`n_`: not JSON",
                _ => "`i_`: either",
            };
            match (&name[..2], way.0) {
                ("y_", "the value of a `json` field") => check_value(&name, &file, &outcome),
                ("n_", way) if !told.starts_with("refused") => empty.push(format!("{name} as {way}: {told}")),
                _ => {}
            }
            *counts.entry((kind, told)).or_default() += 1;
        }
        let line =
            |((kind, told), count): (&(&str, String), &usize)| format!("| {} | {kind} | {told} | {count} |", way.0);
        lines.extend(counts.iter().rev().map(line));
    }
    assert_eq!(
        empty,
        [
            "n_single_space.json as documents: no record",
            "n_structure_UTF8_BOM_no_data.json as documents: no record",
            "n_structure_double_array.json as documents: no record",
            "n_structure_no_data.json as documents: no record",
            "n_single_space.json as lines: no record",
            "n_structure_UTF8_BOM_no_data.json as lines: no record",
            "n_structure_no_data.json as lines: no record",
        ],
        "nothing that is not JSON is read, and an object may be empty, or have one array behind the other"
    );
    check_table("json-test-suite", &lines);
}
