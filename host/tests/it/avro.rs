//! Avro: what is written is read back, also by others, wherever it is cut and wherever it lies; what does not fit is named.

use std::{fs, process::Command};

use crate::{
    guests::CRIMES,
    stores::{S3, python},
    support::{Ended, NONE, Project, etl_host, etl_host_command, succeed},
};

/// Types of the fields of [`rows`].
const FIELDS: &str = "{ n = \"int64\", word = \"text\", at = \"timestamp(us, UTC)\", price = \"decimal(9,2)\", \
                      tags = \"list<text>\", place = \"struct<day: date, share: float64>\" }";

/// Returns rows as JSON Lines, as a sink writes them.
fn rows(count: usize) -> String {
    let row = |n: usize| {
        let word = if n.is_multiple_of(5) { "null".to_owned() } else { format!("\"word {}\"", n % 7) };
        let tags = if n.is_multiple_of(3) { "[]".to_owned() } else { format!("[\"a\",null,\"{n}\"]") };
        format!(
            "{{\"n\":{n},\"word\":{word},\"at\":\"2026-11-28T09:{:02}:00Z\",\"price\":{}.25,\"tags\":{tags},\
             \"place\":{{\"day\":\"2026-11-{:02}\",\"share\":{}.5}}}}\n",
            n % 60,
            n % 100,
            n % 28 + 1,
            n % 9
        )
    };
    (0..count).map(row).collect()
}

/// Returns a pipeline that makes Avro of JSON, in small blocks.
fn maker(rows: &str) -> Project {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"json\"\nsource.fields = {FIELDS}\n\
         sink.format = \"avro\"\nsink.avro.block_size = \"1KiB\"\n"
    );
    Project::of(&pipeline).file("input/a.json", rows)
}

/// Returns the one part that a pipeline makes.
fn made(project: &Project, settings: &[&str]) -> Vec<u8> {
    project.run(settings.iter().flat_map(|set| ["--set", set]).chain(["--new"])).expect_success();
    let [(name, part)] = &project.latest_bytes()[..] else { panic!("one part") };
    assert_eq!(name, "part-00000.avro");
    part.clone()
}

/// Returns the sections of a pipeline that reads Avro.
fn reading(fields: &str) -> String {
    format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"avro\"\n{}run.max_rejects = 9\n",
        if fields.is_empty() { String::new() } else { format!("source.fields = {fields}\n") }
    )
}

fn reader(fields: &str, avro: &[u8]) -> Project {
    Project::of(&reading(fields)).file("input/a.avro", avro)
}

fn text(project: &Project, arguments: &[&str]) -> String {
    project.result(arguments).into_iter().map(|(_, text)| text).collect()
}

fn command(project: &Project, command: &str, arguments: &[&str]) -> Ended {
    let file = project.path("pipeline.toml").display().to_string();
    etl_host([&[command, &file], arguments].concat())
}

#[test]
fn what_is_written_is_read_back_wherever_it_is_cut() {
    let avro = made(&maker(&rows(95)), &[]);
    assert_eq!(avro, made(&maker(&rows(95)), &[]), "the same rows are the same bytes");
    let project = reader(FIELDS, &avro);
    for size in ["1GiB", "2000", "700", "301", "97"] {
        assert_eq!(text(&project, &["--set", &format!("split.target_size={size}")]), rows(95), "{size}");
    }
    assert!(project.files("runs").iter().filter(|file| file.ends_with("commit.json")).count() > 20, "it was cut");
    let copy = text(&reader("{ price = \"float64\", n = \"uint8\" }", &avro), &[]);
    assert_eq!(copy.lines().nth(1), Some(r#"{"price":1.25,"n":1}"#), "some columns, as other types");
}

#[test]
fn each_compression_is_read_back() {
    for compression in ["none", "deflate", "snappy", "zstd", "bzip2", "xz"] {
        let avro = made(&maker(&rows(95)), &[&format!("sink.avro.compression={compression}")]);
        assert_eq!(text(&reader(FIELDS, &avro), &["--set", "split.target_size=500"]), rows(95), "{compression}");
    }
}

/// Prints what a library reads in a file, as JSON Lines, as a sink writes them.
const READ: &str = r#"
import sys, json, datetime, decimal
def shown(value):
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: shown(of) for name, of in value.items()}
    return [shown(of) for of in value] if isinstance(value, list) else value
with open(sys.argv[2], "rb") as file:
    if sys.argv[1] == "fastavro":
        import fastavro
        rows = list(fastavro.reader(file))
    else:
        import avro.datafile, avro.io
        rows = list(avro.datafile.DataFileReader(file, avro.io.DatumReader()))
for row in rows:
    print(json.dumps(shown(row), separators=(",", ":")))
"#;

#[test]
fn other_libraries_read_what_is_written() {
    let project = maker(&rows(95));
    // Those that the libraries know without others.
    for compression in ["none", "deflate", "bzip2"] {
        let path = project.path("made.avro");
        fs::write(&path, made(&project, &[&format!("sink.avro.compression={compression}")])).expect("writes");
        for library in ["fastavro", "avro"] {
            let found = succeed(Command::new(python()).args(["-c", READ, library]).arg(&path));
            assert_eq!(found, rows(95), "{library}, {compression}");
        }
    }
}

#[test]
fn a_value_that_does_not_fit_is_a_reject_and_a_row_is_replayed_by_block_and_row() {
    let project = reader("{ n = \"int8\", word = \"text\" }", &made(&maker(&rows(131)), &[]));
    assert_eq!(text(&project, &["--run-id", "r"]).lines().count(), 128);
    let rejects = project.files("runs").into_iter().find(|file| file.contains("rejects")).expect("rejects");
    let rejects = fs::read_to_string(project.path("runs").join(rejects)).expect("rejects");
    let first: serde_json::Value = serde_json::from_str(rejects.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["reason"], "`128` in column `n` is int64, which does not fit int8");
    assert_eq!(first["record"], r#"{"n":128,"word":"word 2"}"#);
    let (offset, row) = (first["offset"].to_string(), first["row"].as_u64().expect("a row"));
    let before = (row - 1).to_string();
    let one = command(&project, "replay", &["r", "--shard", "0", "--offset", &offset, "--row", &before]);
    assert_eq!(one.expect_success().stdout, "{\"n\":127,\"word\":\"word 1\"}\n");
}

#[test]
fn objects_and_fields_that_do_not_fit_are_named() {
    let avro = made(&maker(&rows(3)), &[]);
    let error = |fields: &str, object: &[u8], texts: &[&str]| {
        reader(fields, object).run(NONE).expect_error(42, texts);
    };
    error("{ m = \"text\" }", &avro, &["object `a.avro` has no", "`m`", "n, word, at, price, tags, place"]);
    error("{ n = \"list<text>\" }", &avro, &["`n` of type int64, which cannot become list<text>"]);
    error("{ n = \"int64\" }", b"n\n1\n2\n3\n", &["object `a.avro` is no Avro: it begins like plain text"]);
    error("{ n = \"int64\" }", &avro[..avro.len() - 9], &["object `a.avro` is damaged"]);
    let project = maker(&rows(3));
    project.run(["--set", "sink.format=json"]).expect_error(2, &["`sink.avro` cannot be used with format `json`"]);
    project
        .run(["--set", "sink.compression=gzip"])
        .expect_error(2, &["`sink.compression` cannot be used with format `avro`, which is compressed inside"]);
}

#[test]
fn fields_are_inferred_and_avro_is_read_and_written_in_a_remote_store() {
    let s3 = S3::start();
    let avro = made(&maker(&rows(95)), &[]);
    s3.put("input/a.avro", avro);
    s3.put("input/b.avro", made(&maker(&rows(2)), &[]));
    let project = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/input/\"\nsink.url = \"s3://bucket/result/\"\n\
         run.store = \"s3://bucket/runs/\"\nsink.format = \"avro\"\n{}{}",
        reading(""),
        s3.section()
    ));
    let fields = command(&project, "fields", &[]);
    fields.expect_success();
    let expected = ["n = \"int64\"", "word = \"text\"", "at = \"timestamp(us, UTC)\"", "price = \"decimal(9,2)\""];
    for line in expected {
        assert!(fields.stdout.contains(line), "{fields:#?}");
    }
    assert!(fields.stdout.contains("struct<day: date, share: float64>"), "{fields:#?}");
    let ended = project.run(["--run-id", "r", "--set", "split.target_size=900"]);
    ended.expect_success();
    assert!(
        ended.stderr.contains("fields inferred from the schema of 2 objects: fields = { n = \"int64\""),
        "{ended:#?}"
    );
    let parts = s3.keys("result/r").into_iter().filter(|key| key.ends_with(".avro"));
    let parts: Vec<(String, Vec<u8>)> = parts.map(|key| (key.clone(), s3.get_bytes(&key))).collect();
    assert!(parts.len() > 3, "{} parts", parts.len());
    let back = parts.iter().enumerate().fold(Project::of(&reading("")), |project, (number, (_, part))| {
        project.file(&format!("input/{number:03}.avro"), part)
    });
    assert_eq!(text(&back, &[]), rows(95) + &rows(2));
}

#[test]
fn fields_of_a_url_are_printed_for_each_format_in_a_remote_store() {
    let s3 = S3::start();
    s3.put("csv/a.csv", "city,pieces\nBern,1\n");
    s3.put("json/a.jsonl", "{\"city\":\"Bern\",\"pieces\":1}\n");
    let json = format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"json\"\n\
         source.fields = {{ city = \"text\", pieces = \"int64\" }}\n"
    );
    let project = Project::of(&json).file("input/a.jsonl", "{\"city\":\"Bern\",\"pieces\":1}\n");
    for format in ["avro", "parquet"] {
        project.run(["--new", "--set", &format!("sink.format={format}")]).expect_success();
        s3.put(&format!("{format}/a.{format}"), project.latest_bytes().remove(0).1);
    }
    for format in ["csv", "json", "avro", "parquet"] {
        let mut fields = etl_host_command();
        fields.env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", s3.port)).env("AWS_ALLOW_HTTP", "true");
        fields.env("AWS_REGION", "us-east-1").env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let ended = Ended::of(fields.args(["fields", &format!("s3://bucket/{format}/")]));
        ended.expect_success();
        let block = format!("[source]\nurl = \"s3://bucket/{format}/\"\nformat = \"{format}\"\n");
        assert!(ended.stdout.starts_with(&block), "{ended:#?}");
        assert!(ended.stdout.contains("city = \"text\"") && ended.stdout.contains("pieces = \"int64\""), "{ended:#?}");
    }
}
