//! The files of the Apache project `parquet-testing`: each is read as pyarrow reads it, or refused with a reason.
//!
//! A part of the files is beside this crate, in `testdata/parquet-testing`, with what pyarrow reads in them, which
//! `expect.py` wrote.

use std::{collections::BTreeMap, fs, path::Path};

use etl_core::{model::schema::Schema, text::rows::json_lines};
use serde_json::Value;

use crate::{Chunk, Section, SourceBatch, SourceFormat, fields_of, suites::whole};

/// What pyarrow reads in a file.
#[derive(serde::Deserialize)]
struct Expected {
    error: Option<String>,
    rows: Option<usize>,
    #[serde(default)]
    head: Vec<Value>,
}

/// What the host reads in a file: its rows as JSON, and the names of columns that no batch can have.
fn read(name: &str, object: Vec<u8>) -> Result<(Vec<Value>, Vec<String>), String> {
    let section = Section { object: name.into(), ..Section::in_memory("o", object.into()) };
    let all = fields_of("parquet", &section).map_err(|error| error.to_string())?.expect("Parquet says its fields");
    let unsupported = all.iter().filter(|(_, field)| field.is_none()).map(|(name, _)| name.clone()).collect();
    let fields: Vec<_> = all.into_iter().filter_map(|(_, field)| field).collect();
    if fields.is_empty() {
        return Ok((Vec::new(), unsupported));
    }
    let schema = Schema::new(fields, 0).map_err(|error| error.to_string())?;
    let format = SourceFormat::new("parquet", Some(schema.into())).expect("a format");
    let mut decoder = format.decoder(Box::new([Ok(Chunk::Section(section))].into_iter())).expect("a decoder");
    let batches: Result<Vec<SourceBatch>, _> = std::iter::from_fn(|| decoder.next_batch().transpose()).collect();
    let batches = batches.map_err(|error| error.to_string())?;
    if let Some(reject) = batches.iter().flat_map(|batch| &batch.rejects).next() {
        return Err(format!("reject: {reject}"));
    }
    let rows: String = batches.iter().map(|batch| json_lines(&batch.batch)).collect();
    Ok((rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), unsupported))
}

/// Returns a line for the table: what became of a file.
fn outcome(name: &str, object: Vec<u8>, expected: &Expected) -> String {
    match (read(name, object), &expected.error) {
        (Err(ours), _) => format!("refused: {}", ours.replace(&format!("object `{name}` "), "").replace('|', "\\|")),
        (Ok((rows, unsupported)), error) => {
            let head: Vec<Value> = expected.head.iter().map(|row| without(row, &unsupported)).collect();
            let found = &rows[..rows.len().min(head.len())];
            let without = match &unsupported[..] {
                [] => String::new(),
                names => format!(", without `{}`, whose type is not supported", names.join("`, `")),
            };
            match error {
                Some(_) => format!("read{without}; pyarrow does not read it"),
                None if rows.is_empty() && !unsupported.is_empty() => format!("nothing to read{without}"),
                None if Some(rows.len()) != expected.rows => format!("WRONG: {} rows", rows.len()),
                None => match found.iter().zip(&head).find(|(found, expected)| !same(found, expected)) {
                    Some((found, expected)) => format!("WRONG: {found} is not {expected}"),
                    None => format!("right{without}"),
                },
            }
        }
    }
}

/// Returns whether two values are equal; numbers are however they are written.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn without(row: &Value, names: &[String]) -> Value {
    let members = row.as_object().expect("a row").iter().filter(|(name, _)| !names.contains(name));
    members.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns what became of each file in a folder.
fn outcomes(folder: &Path) -> BTreeMap<String, String> {
    let expected = fs::read_to_string(folder.join("expected.json")).expect("what pyarrow reads");
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&expected).expect("JSON");
    let files = expected.iter().map(|(name, expected)| {
        let object = fs::read(folder.join(name)).expect("the file is there");
        (name.clone(), outcome(name, object, expected))
    });
    files.collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "who runs the tests says whether the page is written")]
fn files_of_others_are_read_as_pyarrow_reads_them_or_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("../../../docs/reference/parquet-testing.md");
    let all = whole("parquet-testing");
    let found = outcomes(&all.clone().unwrap_or_else(|| root.join("testdata/parquet-testing")));
    let wrong: Vec<_> = found.iter().filter(|(_, outcome)| outcome.starts_with("WRONG")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let lines: Vec<String> = found.iter().map(|(name, outcome)| format!("| `{name}` | {outcome} |")).collect();
    let written = fs::read_to_string(&page).expect("the page is there");
    if all.is_some() && std::env::var_os("ETL_HOST_UPDATE_DOCS").is_some() {
        let (before, _) = written.split_once("| --- | --- |\n").expect("a table");
        return fs::write(&page, format!("{before}| --- | --- |\n{}\n", lines.join("\n"))).expect("written");
    }
    let missing: Vec<_> = lines.iter().filter(|line| !written.contains(*line)).collect();
    assert!(missing.is_empty(), "not in {}: {missing:#?}", page.display());
}
