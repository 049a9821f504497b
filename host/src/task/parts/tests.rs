//! Tests of how rows are divided into parts: exactly once, in order, and the same however they arrive.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
};

use arrow_array::{ArrayRef, Int64Array, StringArray};
use etl_core::model::{schema::Schema, shared::Shared};
use proptest::prelude::*;

use super::*;

/// The parts that were completed and those that were discarded, by the locations of their files.
#[derive(Default)]
struct Seen {
    complete: BTreeMap<String, String>,
    discarded: Vec<String>,
    open: usize,
    open_max: usize,
}

struct Kept(Shared<Seen>);

struct KeptPart {
    key: String,
    bytes: Vec<u8>,
    seen: Shared<Seen>,
}

fn key(name: &PartName) -> String {
    format!("{}/{}{}", name.directory, name.task, name.number.map(|number| format!("-{number}")).unwrap_or_default())
}

impl PartStore for Kept {
    fn begin(&self, name: &PartName, _: u32) -> Box<dyn PartSink> {
        let mut seen = self.0.lock();
        seen.open += 1;
        seen.open_max = seen.open_max.max(seen.open);
        Box::new(KeptPart { key: key(name), bytes: Vec::new(), seen: self.0.clone() })
    }

    fn discard(&self, name: &PartName, _: &Pending) {
        self.0.lock().discarded.push(key(name));
    }
}

impl Write for KeptPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartSink for KeptPart {
    fn finish(self: Box<Self>) -> Result<(u64, Pending)> {
        let mut seen = self.seen.lock();
        seen.open -= 1;
        let pending = Pending::Staged { key: self.key.clone(), e_tag: None };
        let bytes = self.bytes.len() as u64;
        seen.complete.insert(self.key.clone(), String::from_utf8(self.bytes.clone()).expect("text"));
        Ok((bytes, pending))
    }
}

fn rows(values: &[(Option<&str>, i64)]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("k", Arc::new(values.iter().map(|(key, _)| *key).collect::<StringArray>())),
        ("n", Arc::new(values.iter().map(|(_, n)| *n).collect::<Int64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("rows")
}

fn settings(by: &[&str]) -> PartSettings {
    let by = by.iter().map(|name| (*name).to_owned()).collect();
    PartSettings { by, open_max: 32, rows_max: None, target_bytes: None }
}

fn writer(settings: &PartSettings, format: &str) -> (PartsWriter, Shared<Seen>) {
    let schema = Schema { fields: rows(&[]).schema(), key_fields: 0 };
    let (format, seen) = (SinkFormat::new(format).expect("a format"), Shared::new(Seen::default()));
    let partitioning = Arc::new(Partitioning::new(&settings.by, &schema).expect("fits"));
    let of = PartsOf { task: TaskId(7), format, settings: settings.clone(), partitioning };
    (PartsWriter::new(of, Box::new(Kept(seen.clone()))).expect("begins"), seen)
}

/// Writes rows in batches of these sizes, the last of which is repeated. Returns the files, and the parts of the commit.
fn written(settings: &PartSettings, rows: &RecordBatch, sizes: &[usize]) -> (BTreeMap<String, String>, Vec<Part>) {
    let (mut parts, seen) = writer(settings, "csv");
    let (mut first, mut sizes) = (0, sizes.iter().copied());
    let mut size = sizes.next().unwrap_or(usize::MAX);
    while first < rows.num_rows() {
        let taken = size.min(rows.num_rows() - first);
        parts.write(&rows.slice(first, taken)).expect("writes");
        first += taken;
        size = sizes.next().unwrap_or(size);
    }
    let parts = parts.finish().expect("finishes");
    let seen = seen.lock();
    assert!(seen.open_max <= settings.open_max && seen.open == 0 && seen.discarded.is_empty());
    (seen.complete.clone(), parts)
}

fn all(rows: &RecordBatch, settings: &PartSettings) -> BTreeMap<String, String> {
    written(settings, rows, &[]).0
}

fn files(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn without_settings_a_task_makes_one_part_even_of_no_rows() {
    assert_eq!(all(&rows(&[]), &settings(&[])), files(&[("/7", "k,n\n")]));
    let two = rows(&[(Some("a"), 1), (None, 2)]);
    assert_eq!(all(&two, &settings(&[])), files(&[("/7", "k,n\na,1\n,2\n")]));
}

#[test]
fn rows_go_to_the_directories_of_their_values_in_order_and_without_the_column() {
    let mixed = rows(&[(Some("b"), 1), (Some("a"), 2), (None, 3), (Some("b"), 4), (Some(""), 5), (Some("a/="), 6)]);
    let null = format!("k={}/7-2", hive::NULL);
    let expected =
        [("k=b/7-0", "n\n1\n4\n"), ("k=a/7-1", "n\n2\n"), (null.as_str(), "n\n3\n5\n"), ("k=a%2F%3D/7-3", "n\n6\n")];
    let (found, parts) = written(&settings(&["k"]), &mixed, &[]);
    assert_eq!(found, files(&expected));
    let named: Vec<_> = parts.iter().map(|part| (key(&part.name), part.rows, part.bytes)).collect();
    let sorted = [(null, 2, 6), ("k=a/7-1".into(), 1, 4), ("k=a%2F%3D/7-3".into(), 1, 4), ("k=b/7-0".into(), 2, 6)];
    assert_eq!(named, sorted);
    assert_eq!(all(&rows(&[]), &settings(&["k"])), files(&[]), "no rows make no parts");
}

#[test]
fn the_part_that_was_written_to_the_longest_ago_ends_when_another_is_needed() {
    let mixed = rows(&[(Some("a"), 1), (Some("b"), 2), (Some("a"), 3), (Some("c"), 4), (Some("a"), 5), (Some("b"), 6)]);
    let two = PartSettings { open_max: 2, ..settings(&["k"]) };
    let expected = [("k=a/7-0", "n\n1\n3\n5\n"), ("k=b/7-1", "n\n2\n"), ("k=b/7-3", "n\n6\n"), ("k=c/7-2", "n\n4\n")];
    assert_eq!(all(&mixed, &two), files(&expected));
}

#[test]
fn a_part_ends_at_the_row_or_the_size_that_is_asked_for() {
    let ten = rows(&(0..10).map(|n| (Some("a"), n)).collect::<Vec<_>>());
    let rows_max = PartSettings { rows_max: Some(4), ..settings(&[]) };
    let expected =
        [("/7-0", "k,n\na,0\na,1\na,2\na,3\n"), ("/7-1", "k,n\na,4\na,5\na,6\na,7\n"), ("/7-2", "k,n\na,8\na,9\n")];
    assert_eq!(all(&ten, &rows_max), files(&expected));
    let full = PartSettings { rows_max: Some(5), ..settings(&[]) };
    assert_eq!(all(&ten, &full).len(), 2, "a full part is followed by no empty one");

    let many = rows(&(0..100_000).map(|n| (Some("a"), n % 7)).collect::<Vec<_>>());
    let target = PartSettings { target_bytes: Some(64 << 10), ..settings(&[]) };
    let (_, parts) = written(&target, &many, &[]);
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 100_000);
    assert_eq!(parts.len(), 7);
    for part in &parts[..6] {
        assert!((64 << 10..(64 << 10) + 32).contains(&part.bytes), "{} bytes", part.bytes);
    }
}

#[test]
fn too_many_parts_are_refused_with_the_column_and_the_choices() {
    let keys: Vec<String> = (0..=PARTS_MAX).map(|n| n.to_string()).collect();
    let distinct = rows(&keys.iter().map(|key| (Some(key.as_str()), 1)).collect::<Vec<_>>());
    let (mut parts, seen) = writer(&settings(&["k"]), "csv");
    let error = parts.write(&distinct).expect_err("one too many");
    assert_eq!(error.kind(), ErrorKind::Input);
    let expected = "task 7 writes more than 10000 parts of the result: column `k` of `sink.partition_by` had 10000 values \
                    so far (partition by something of fewer values, ";
    assert!(error.to_string().starts_with(expected), "{error}");
    drop(parts);
    let seen = seen.lock();
    assert_eq!(seen.discarded.len(), seen.complete.len(), "what an attempt leaves is discarded");

    let (mut parts, _) = writer(&PartSettings { rows_max: Some(1), ..settings(&[]) }, "csv");
    let error = parts.write(&distinct).expect_err("one too many").to_string();
    assert!(error.ends_with("10000 parts of the result: raise `sink.max_rows` or `sink.target_size`"), "{error}");
}

#[test]
fn a_value_that_is_no_directory_fails_with_its_column() {
    let (mut parts, _) = writer(&settings(&["k"]), "csv");
    let error = parts.write(&rows(&[(Some(&"x".repeat(254)), 1)])).expect_err("too long");
    assert!(error.to_string().starts_with("column `k` has a value that makes the name of a directory of 256 bytes"));
}

proptest! {
    #[test]
    fn the_same_rows_give_the_same_parts_in_any_batches(
        keys in prop::collection::vec(0_u8..6, 0..300),
        sizes in prop::collection::vec(1_usize..40, 1..10),
        (open_max, rows_max, target) in (1_usize..5, prop::option::of(1_u64..50), prop::option::of(1_u64..600)),
        partitioned: bool,
    ) {
        let texts: Vec<Option<String>> = keys.iter().map(|key| (*key > 0).then(|| key.to_string())).collect();
        let values: Vec<_> = texts.iter().zip(0..).map(|(text, n)| (text.as_deref(), n)).collect();
        let by: &[&str] = if partitioned { &["k"] } else { &[] };
        let settings = PartSettings { open_max, rows_max, target_bytes: target, ..settings(by) };
        let (found, parts) = written(&settings, &rows(&values), &sizes);
        let (expected, of_one) = written(&settings, &rows(&values), &[]);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(&parts, &of_one);

        // Each row is there once, in the directory of its value, and those of a directory are in order.
        let mut there: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for part in &parts {
            let text = &found[&key(&part.name)];
            let numbers = text.lines().skip(1).map(|line| line.rsplit(',').next().expect("a number"));
            let numbers: Vec<i64> = numbers.map(|number| number.parse().expect("a number")).collect();
            prop_assert_eq!(numbers.len() as u64, part.rows);
            prop_assert!(rows_max.is_none_or(|max| part.rows <= max));
            there.entry(part.name.directory.clone()).or_default().extend(numbers);
        }
        let mut wanted: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (text, n) in &values {
            let mut directory = String::new();
            if partitioned {
                hive::push(&mut directory, "k", *text).expect("short");
            }
            wanted.entry(directory).or_default().push(*n);
        }
        if values.is_empty() && !partitioned {
            wanted.insert(String::new(), Vec::new());
        }
        prop_assert_eq!(there, wanted);
    }
}
