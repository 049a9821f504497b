//! Parquet: written so that it is read back, read the same wherever it is cut; what does not fit is named.

use std::{fs, process::Command};

use crate::{
    guests::CRIMES,
    stores::python,
    support::{Ended, NONE, Project, etl_host, succeed},
};

/// Types of the fields of [`rows`].
const FIELDS: &str = "{ n = \"int64\", word = \"text\", at = \"timestamp(us, UTC)\", price = \"decimal(9,2)\" }";

/// Returns rows as JSON Lines.
fn rows(count: usize) -> String {
    let row = |n: usize| {
        let word = if n.is_multiple_of(5) { "null".to_owned() } else { format!("\"word {}\"", n % 7) };
        let at = format!("2026-11-28T09:{:02}:00Z", n % 60);
        format!("{{\"n\":{n},\"word\":{word},\"at\":\"{at}\",\"price\":{}.25}}\n", n % 100)
    };
    (0..count).map(row).collect()
}

/// Returns a pipeline that makes Parquet of JSON, in row groups of ten rows.
fn maker(rows: &str) -> Project {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"json\"\nsource.fields = {FIELDS}\n\
         sink.format = \"parquet\"\nsink.parquet = {{ row_group_rows = 10 }}\n"
    );
    Project::of(&pipeline).file("input/a.json", rows)
}

/// Returns the one part that a pipeline makes.
fn made(project: &Project) -> Vec<u8> {
    project.run(NONE).expect_success();
    let [(name, part)] = &project.latest_bytes()[..] else { panic!("one part") };
    assert!(name.ends_with(".parquet"), "{name}");
    part.clone()
}

/// Returns a pipeline that reads Parquet.
fn reader(fields: &str, parquet: &[u8]) -> Project {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"parquet\"\nsource.fields = {fields}\nrun.max_rejects = 9\n"
    );
    Project::of(&pipeline).file("input/a.parquet", parquet)
}

fn text(project: &Project, arguments: &[&str]) -> String {
    project.result(arguments).into_iter().map(|(_, text)| text).collect()
}

fn replay(project: &Project, arguments: &[&str]) -> Ended {
    let file = project.path("pipeline.toml").display().to_string();
    etl_host([&["replay", &file], arguments].concat())
}

#[test]
fn what_is_written_is_read_back_wherever_it_is_cut() {
    let json =
        Project::of(&format!("map = [{{ plugin = {CRIMES} }}]\nsource.format = \"json\"\nsource.fields = {FIELDS}\n"));
    let expected = text(&json.file("input/a.json", rows(95)), &[]);
    assert_eq!(expected.lines().count(), 95);
    let parquet = made(&maker(&rows(95)));
    assert_eq!(parquet, made(&maker(&rows(95))), "the same rows are the same bytes");
    let project = reader(FIELDS, &parquet);
    for size in ["1GiB", "2000", "700", "301", "97"] {
        assert_eq!(text(&project, &["--set", &format!("split.target_size={size}")]), expected, "{size}");
    }
    let copy = text(&reader("{ price = \"float64\", n = \"uint8\" }", &parquet), &[]);
    assert_eq!(copy.lines().nth(1), Some(r#"{"price":1.25,"n":1}"#), "some columns, as other types");
}

/// Prints what a library reads in a file, as JSON Lines, as [`rows`] has them.
const READ: &str = r#"
import sys, json, datetime
if sys.argv[1] == "pyarrow":
    import pyarrow as pa, pyarrow.parquet as pq
    table = pq.read_table(sys.argv[2])
    at = table["at"].cast(pa.int64()).to_pylist()
    rows = [{**row, "at": at, "price": float(row["price"])} for row, at in zip(table.to_pylist(), at)]
else:
    import duckdb
    found = duckdb.execute("select n, word, epoch_us(\"at\"), price::double from read_parquet(?)", [sys.argv[2]]).fetchall()
    rows = [dict(zip(["n", "word", "at", "price"], row)) for row in found]
for row in rows:
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=row["at"])
    print(json.dumps({**row, "at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}, separators=(",", ":")))
"#;

#[test]
fn other_libraries_read_what_is_written() {
    let project = maker(&rows(95));
    for compression in ["zstd", "snappy", "gzip", "lz4", "none"] {
        project.run(["--new", "--set", &format!("sink.parquet.compression={compression}")]).expect_success();
        let path = project.path("made.parquet");
        fs::write(&path, &project.latest_bytes()[0].1).expect("writes");
        for library in ["pyarrow", "duckdb"] {
            let found = succeed(Command::new(python()).args(["-c", READ, library]).arg(&path));
            assert_eq!(found, rows(95), "{library}, {compression}");
        }
    }
}

#[test]
fn a_value_that_does_not_fit_is_a_reject_by_its_row_and_a_row_is_replayed_by_its_number() {
    let project = reader("{ n = \"int8\", word = \"text\" }", &made(&maker(&rows(131))));
    let copied = text(&project, &["--run-id", "r"]);
    assert_eq!(copied.lines().count(), 128);
    let rejects: Vec<String> = project.files("runs").into_iter().filter(|file| file.contains("rejects")).collect();
    let [rejects] = &rejects[..] else { panic!("{rejects:?}") };
    let rejects = fs::read_to_string(project.path("runs").join(rejects)).expect("rejects");
    let first: serde_json::Value = serde_json::from_str(rejects.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["object"], &first["row"]), (&"a.parquet".into(), &128.into()));
    assert_eq!(first["reason"], "`128` in column `n` is int64, which does not fit int8");
    assert_eq!(first["record"], r#"{"n":128,"word":"word 2"}"#);

    let one = replay(&project, &["r", "--shard", "0", "--row", "17", "--object", "a.parquet"]);
    assert_eq!(one.expect_success().stdout, "{\"n\":17,\"word\":\"word 3\"}\n");
    let none = replay(&project, &["r", "--shard", "0", "--row", "128"]);
    none.expect_error(2, &["shard 0 has no row 128"]);
}

#[test]
fn files_and_columns_that_do_not_fit_are_named() {
    let parquet = made(&maker(&rows(3)));
    let error = |fields: &str, object: &[u8], texts: &[&str]| {
        reader(fields, object).run(NONE).expect_error(42, texts);
    };
    error("{ m = \"text\" }", &parquet, &["object `a.parquet` has no column `m` (columns: n, word, at, price)"]);
    error("{ n = \"list<text>\" }", &parquet, &["column `n` of type int64, which cannot become list<text>"]);
    error("{ n = \"int64\" }", b"n\n1\n2\n3\n", &["object `a.parquet` is no Parquet: it begins like plain text"]);
    error("{ n = \"int64\" }", &parquet[..parquet.len() - 9], &["it is cut off or damaged"]);
    let project = maker(&rows(3));
    project.run(["--set", "sink.format=json"]).expect_error(2, &["`sink.parquet` cannot be used with format `json`"]);
    project
        .run(["--set", "sink.compression=gzip"])
        .expect_error(2, &["`sink.compression` cannot be used with format `parquet`, which is compressed inside"]);
    project
        .run(["--set", "sink.parquet.compression=brotli"])
        .expect_error(2, &["`sink.parquet.compression` is `brotli` (choices: zstd, snappy, gzip, lz4, none)"]);
}

#[test]
fn a_step_is_tried_on_parquet() {
    let project = reader(FIELDS, &made(&maker(&rows(4))));
    let (plugin, input) = (CRIMES.path().display().to_string(), project.path("input/a.parquet").display().to_string());
    let tried = etl_host(["try", &plugin, "--input", &input, "--format", "parquet", "--fields", "n=int64"]);
    assert!(tried.expect_success().stdout.contains("3"), "{tried:#?}");
}
