//! Crimes of a mapper against what batches have since they are Arrow's: nested columns, format strings, origins. Each is
//! named by its column and its fault, at a small cost.

use crate::{
    guests::CRIMES,
    support::{Ended, Project},
};

/// Runs `crimes` on three lines, and returns the peak memory in MiB, too.
fn commit(crime: &str, more: &str, sink: &str) -> (Project, Ended, u64) {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" {more} }}, retry = {{ interval = \"1ms\" }} }}]\n\
         sink.format = \"{sink}\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\nsix\n");
    let (ended, peak_mib) = project.run_for_peak(["--quiet"]);
    (project, ended, peak_mib)
}

/// Asserts that a crime ends its run with this code and text, in little memory, and leaves no result.
#[track_caller]
fn fails((project, ended, peak_mib): (Project, Ended, u64), code: i32, text: &str) {
    ended.expect_error(code, &["map plugin `crimes.wasm`", text]);
    assert!(ended.stderr.len() < 16 * 1024, "an error of {} bytes", ended.stderr.len());
    let left = project.files("result");
    assert!(left.iter().all(|file| file.contains("_attempts")), "{left:?}");
    assert!(peak_mib < 384, "a peak of {peak_mib} MiB: {ended:#?}");
}

#[test]
fn lies_in_nested_columns_are_named_with_their_part() {
    for (crime, text) in [
        ("list-offsets-decreasing", "column `tags` has decreasing offsets at value 1"),
        ("list-offsets-past-items", "column `tags` has a part `item` that has 3 values where there are 7"),
        ("list-offsets-huge", "column `tags` has offsets from 0 to 4294967295 for 4294967295 items"),
        ("list-offsets-not-from-zero", "column `tags` has offsets from 1 to 3 for 3 items"),
        ("list-offsets-too-few", "column `tags` has 12 bytes of offsets for 3 values"),
        ("list-offsets-cut", "column `tags` has 3 bytes of offsets"),
        ("list-no-buffer", "column `tags` has 0 buffers where list<text> has 1"),
        ("list-short-validity", "`tags` has a part `item` that has 0 bytes of validity bits for 3 values"),
        ("list-huge-length", "`tags` has a part `item` that has 16 bytes of offsets for 2147483647 values"),
        (
            "list-text-not-utf8",
            "`tags` has a part `item` that is not valid: Invalid argument error: Encountered non UTF-8",
        ),
        (
            "list-text-split-character",
            "`tags` has a part `item` that is not valid: Invalid argument error: Split UTF-8",
        ),
    ] {
        fails(commit(crime, "", "json"), 42, text);
    }
    for (crime, text) in [
        ("struct-short-member", "column `order` has a part `price` that has 2 values where there are 3"),
        ("struct-long-member", "column `order` has a part `price` that has 4 values where there are 3"),
        ("struct-short-values", "has a part `price` that has 40 bytes for 3 values of decimal(4,2)"),
        (
            "struct-with-buffer",
            "column `order` has 1 buffers where struct<price: decimal(4,2), document: json, day: date>",
        ),
        ("struct-wide-decimal", "has a part `price` that has a decimal of more than 4 digits in row 1"),
        ("struct-largest-decimal", "has a part `price` that has a decimal of more than 4 digits in row 1"),
        ("struct-bad-json", "has a part `document` that has text that is not JSON in row 1"),
        ("struct-far-day", "has a part `day` that has a date outside the years -9999 to 9999 in row 2"),
        ("struct-null-member", "column `order` is not valid: Invalid argument error: Found unmasked nulls"),
    ] {
        fails(commit(crime, "", "json"), 42, text);
    }
    for (crime, text) in [
        (
            "map-null-key",
            "column `notes` has a part `entries` that is not valid: Invalid argument error: Found unmasked",
        ),
        (
            "map-null-entry",
            "column `notes` is not valid: Invalid argument error: MapArray entries cannot contain nulls",
        ),
        ("map-short-values", "has a part `entries` that has a part `value` that has 16 bytes for 3 values of int64"),
        ("map-fewer-values", "has a part `entries` that has a part `value` that has 2 values where there are 3"),
        ("map-offsets-decreasing", "column `notes` has decreasing offsets at value 1"),
        ("part-missing", "emitted a batch of 9 columns where its schema has 10 fields"),
        ("part-too-many", "emitted a batch of 11 columns where its schema has 10 fields"),
        ("parts-swapped", "column `order` has a part `document` that has 1 buffers where json has 2"),
    ] {
        fails(commit(crime, "", "json"), 42, text);
    }
}

#[test]
fn nested_batches_without_a_lie_are_taken_as_they_are() {
    let (project, ended, _) = commit("nested-correct", "", "json");
    ended.expect_success();
    let rows = r#"{"tags":["a","b"],"order":{"price":0.01,"document":1,"day":"1970-01-01"},"notes":{"z":1,"a":2}}
{"tags":[],"order":{"price":-99.99,"document":{},"day":"1970-01-02"},"notes":{"z":3}}
{"tags":["c"],"order":{"price":99.99,"document":[],"day":"2024-10-04"},"notes":{}}
"#;
    assert_eq!(project.latest()[0].1, rows);
    let (project, ended, _) = commit("nested-repeated-key", "", "json");
    ended.expect_success();
    assert_eq!(project.latest()[0].1, rows.replace("\"a\":2", "\"z\":2"));
}

#[test]
fn formats_that_no_column_has_are_named_before_data_is_read() {
    let cannot = "which a column cannot have";
    let unknown = "that no column has (the table at `field` in `wit/types.wit` lists them)";
    for (format, why) in [
        ("", unknown),
        ("vu", unknown),
        ("+ud:0", unknown),
        ("d:4", unknown),
        ("d:39,2", cannot),
        ("d:9999999999,2", unknown),
        ("w:-1", cannot),
        ("tsx:UTC", unknown),
        ("tsu:Moon/Sea", cannot),
        ("+l", "and 0 children"),
        ("é", unknown),
    ] {
        let text = format!("returned a wrong schema from `open`: field `f` has the format `{format}`");
        let ended = commit("schema-format", &format!(", text = \"{format}\""), "json");
        assert!(ended.1.stderr.contains(why), "{:#?}", ended.1);
        fails(ended, 2, &text);
    }
    let escape = commit("schema-format", ", text = \"l\\u001b[31m\"", "json");
    fails(escape, 2, "has the format `l\\u{1b}[31m` that no column has");
    fails(commit("schema-huge-format", "", "json"), 2, "field `f` has the format `llll");
    for (crime, count, why) in [
        ("schema-child-count", 0, "field `f` has the format `+s` and 0 children"),
        ("schema-child-count", 2, "field `f` has 2 children, but the schema ends before the last one"),
        ("schema-child-count", u32::MAX, "field `f` has 4294967295 children, but the schema ends before the last one"),
        ("schema-deep", 16, "field `item` is nested deeper than 16 levels"),
        ("schema-deep", 1000, "field `f` is nested deeper than 16 levels"),
        ("schema-deep", 10_000, "a schema has 1 to 1024 fields, this one has 10001"),
    ] {
        fails(commit(crime, &format!(", count = {count}"), "json"), 2, why);
    }
}

#[test]
fn origins_that_name_no_rows_are_named() {
    commit("origins", "", "lines").1.expect_success();
    for (crime, text) in [
        ("origins-none", "emitted a batch whose origins have 0 bytes for 3 rows (4 for each)"),
        ("origins-too-few", "emitted a batch whose origins have 8 bytes for 3 rows (4 for each)"),
        ("origins-too-many", "emitted a batch whose origins have 16 bytes for 3 rows (4 for each)"),
        ("origins-cut", "emitted a batch whose origins have 10 bytes for 3 rows (4 for each)"),
        ("origins-outside", "emitted a batch whose origins name row 3 of a batch of 3 rows"),
    ] {
        fails(commit(crime, "", "lines"), 42, text);
    }
    let ended = commit("origins", ", at = \"finish\"", "lines");
    fails(ended, 42, "emitted a batch whose origins belong to no batch being processed");
}
