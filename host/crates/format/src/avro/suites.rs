//! Tests with files that others wrote: those of Apache Avro's repository, and all types in all compressions by fastavro.
//! What is expected comes from Apache's library for Python; `tests/avro/make.py` says how.

use std::{fs, path::PathBuf};

use arrow_schema::DataType;
use bytes::Bytes;
use etl_core::{
    model::{error::Result, schema::Schema},
    text::rows::values,
};
use serde_json::{Map, Value};

use super::{
    Avro,
    tests::{joined, read_cut, reading},
};
use crate::{Reads, Section, Sizes, suites::check_table};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/avro")
}

fn file(name: &str) -> Bytes {
    fs::read(directory().join(name)).expect("a file").into()
}

/// Returns the fields that an object offers, with numbers for times, and numbers of the length that Python has.
fn fields_of(object: &Bytes) -> Result<Schema> {
    let offered = Avro.fields_of(&Section::in_memory("o.avro", object.clone()))?.unwrap_or_default();
    let number = |field: arrow_schema::Field| match field.data_type() {
        DataType::Date32 | DataType::Time32(_) => field.with_data_type(DataType::Int32),
        DataType::Time64(_) | DataType::Timestamp(..) => field.with_data_type(DataType::Int64),
        DataType::Float32 => field.with_data_type(DataType::Float64),
        _ => field,
    };
    Schema::new(offered.into_iter().filter_map(|(_, field)| field.map(number)).collect(), 0)
}

/// Returns the records of an object that is cut into slices of so many bytes, each as a JSON object.
fn records(object: &Bytes, slice: usize) -> Result<Vec<Value>> {
    let format = reading(fields_of(object)?);
    let cuts = (slice..object.len()).step_by(slice).map(|cut| cut as u64);
    let (rows, _) = joined(&read_cut(&format, object, cuts, Sizes::default())?, format.schema());
    let names = || format.schema().fields.fields().iter().map(|field| field.name().clone());
    let record = |row| names().zip(values(&rows, row)).collect::<Map<_, _>>().into();
    Ok((0..rows.num_rows()).map(record).collect())
}

/// Returns the fields of an expected record that a source offers.
fn of_offered(expected: &Value, offered: &Schema) -> Value {
    let expected = expected.as_object().expect("a record");
    let has = |name: &str| offered.fields.fields().iter().any(|field| field.name() == name);
    expected.iter().filter(|(name, _)| has(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns the fields of an object that no batch can have, as the end of a line of the table.
fn unsupported(object: &Bytes) -> Result<String> {
    let offered = Avro.fields_of(&Section::in_memory("o.avro", object.clone()))?.unwrap_or_default();
    let names: Vec<String> = offered.into_iter().filter(|field| field.1.is_none()).map(|field| field.0).collect();
    Ok(if names.is_empty() { String::new() } else { format!(", without `{}`: not supported", names.join("`, `")) })
}

/// Returns what became of a file, which fails where it is read as something else.
fn outcome(name: &str, expected: &Value) -> String {
    let object = file(name);
    let left_out = match unsupported(&object) {
        Ok(left_out) => left_out,
        Err(error) => return format!("refused: {}", error.to_string().trim_start_matches("object `o.avro` ")),
    };
    if fields_of(&object).is_err() {
        return format!("nothing to read{left_out}");
    }
    let found = match records(&object, usize::MAX) {
        Ok(found) => found,
        Err(error) => return format!("refused: {}", error.to_string().trim_start_matches("object `o.avro` ")),
    };
    let offered = fields_of(&object).expect("the fields were read before");
    let some = expected["first"].as_array().unwrap_or_else(|| panic!("{name}: others refuse it"));
    let wanted: Vec<Value> = some.iter().map(|record| of_offered(record, &offered)).collect();
    assert_eq!(Some(found.len() as u64), expected["count"].as_u64(), "{name}");
    assert_eq!(found[..wanted.len()], wanted, "{name}");
    assert_eq!(*found.last().expect("records"), of_offered(&expected["last"][0], &offered), "{name}");
    for slice in [object.len() / 2, object.len() / 3, 997, 100] {
        assert_eq!(records(&object, slice.max(1)).expect("reads"), found, "{name} in slices of {slice} bytes");
    }
    format!("right{left_out}")
}

#[test]
fn files_of_others_are_read_as_others_read_them_or_refused_with_a_reason() {
    let expected: Map<String, Value> = serde_json::from_slice(&file("expected.json")).expect("JSON");
    let mut outcomes: Vec<(String, String)> = Vec::new();
    for (name, expected) in expected.iter().filter(|(name, _)| *name != "types") {
        outcomes.push((name.clone(), outcome(name, expected)));
    }
    for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"] {
        let name = format!("types-{codec}.avro");
        outcomes.push((name.clone(), outcome(&name, &expected["types"])));
    }
    let lines = outcomes.iter().map(|(name, outcome)| format!("| `{name}` | {outcome} |"));
    let head = ["| file | outcome |", "| --- | --- |"].map(str::to_owned);
    check_table("avro", &head.into_iter().chain(lines).collect::<Vec<_>>());
}
