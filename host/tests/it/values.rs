//! Values: none changes on its way from the source to the result, and none is lost without a word.

use std::{
    fs::OpenOptions,
    io::Write,
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, KEY_VALUE, SUM},
    support::{Ended, NONE, Project, etl_host_command},
};

/// Returns a pipeline that emits its input.
fn copying(keys: &str) -> Project {
    Project::of(&format!("map = [{{ plugin = {CRIMES} }}]\nrun.max_rejects = 100\n{keys}"))
}

fn text(project: &Project, arguments: &[&str]) -> String {
    project.result(arguments).into_iter().map(|(_, text)| text).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(data).expect("memory");
    gzip.finish().expect("memory")
}

#[test]
fn numbers_are_exact_or_rejects() {
    let numbers = [
        "9007199254740993.0",
        "-9007199254740993.0",
        "9.007199254740993e15",
        "9007199254740994.0",
        "0.99999999999999999999",
        "3.0000000000000001",
        "1e-400",
    ];
    let exact = "9007199254740993\n-9007199254740993\n9007199254740993\n9007199254740994\n";
    let json = numbers.map(|number| format!("{{\"v\":{number}}}\n")).concat();
    let expected = exact.lines().map(|number| format!("{{\"v\":{number}}}\n")).collect::<String>();
    let project = copying("source.format = \"json\"\nsource.fields.v = \"int64\"").file("input/a", json);
    assert_eq!(text(&project, &[]), expected);
    let project = copying("source.format = \"csv\"\nsource.fields.v = \"int64\"\nsink.format = \"csv\"");
    assert_eq!(text(&project.file("input/a", format!("v\n{}\n", numbers.join("\n"))), &[]), format!("v\n{exact}"));
}

#[test]
fn numbers_that_json_lacks_are_refused_by_name_unless_told_otherwise() {
    let project =
        copying("source.format = \"csv\"\nsource.fields.v = \"float64\"").file("input/a", "v\n1\nNaN\n-inf\n");
    project.run(NONE).expect_error(42, &["field `v` is NaN in row 1 of a batch", "set `sink.non_finite` to `null`"]);
    let with = |choice: &str| text(&project, &["--set", &format!("sink.non_finite={choice}")]);
    assert_eq!(with("text"), "{\"v\":1.0}\n{\"v\":\"NaN\"}\n{\"v\":\"-Infinity\"}\n");
    assert_eq!(with("null"), "{\"v\":1.0}\n{\"v\":null}\n{\"v\":null}\n");
}

#[test]
fn a_carriage_return_at_the_end_of_a_value_does_not_merge_with_the_line_end() {
    let project = copying("source.format = \"json\"\nsource.fields.v = \"text\"\nsink.format = \"lines\"");
    let project = project.file("input/a", "{\"v\":\"x\\r\"}\n");
    project.run(NONE).expect_error(42, &["row 0 of a batch ends with a carriage return"]);
}

#[test]
fn whether_a_sum_fits_depends_on_the_data_alone() {
    let pipeline = format!("map = [{{ plugin = {KEY_VALUE} }}]\nreduce = {{ plugin = {SUM} }}\n");
    let project = Project::of(&pipeline).file("input/a", "a,9223372036854775807\na,1\na,-1\na,-5\n");
    for combine in ["true", "false"] {
        for size in ["1", "22", "30", "1GiB"] {
            let set = [format!("reduce.combine={combine}"), format!("split.target_size={size}")];
            let found = text(&project, &["--set", &set[0], "--set", &set[1]]);
            assert!(found.contains("9223372036854775802"), "{set:?}: {found}");
        }
    }
    let project = project.file("input/b", "a,6\n");
    for combine in ["true", "false"] {
        let ended = project.run(["--set", &format!("reduce.combine={combine}"), "--set", "split.target_size=22"]);
        ended.expect_error(42, &["does not fit an int64"]);
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_value() {
    let pipeline = format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}\n");
    let project = Project::of(&pipeline).file("input/a", "\u{feff}x\ny\n").file("input/b", "\u{feff}x\nx\n");
    let found = text(&project, &[]);
    assert_eq!((found.lines().count(), found.contains('\u{feff}')), (2, false), "{found}");
}

#[test]
fn gzip_padded_with_zeros_is_whole() {
    let padded = [gzip(b"a\n"), vec![0; 10_000]].concat();
    assert_eq!(text(&copying("sink.format = \"lines\"").file("input/a.gz", padded), &[]), "a\n");
}

#[test]
fn what_holds_no_records_is_refused_whatever_may_be_rejected() {
    let utf16: Vec<u8> = "\u{feff}a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, content, texts) in [
        ("a", &gzip(&gzip(b"{}\n"))[..], ["object `a` is compressed twice, with gzip inside", "decompress it once"]),
        ("a.gz", b"{}\n", ["object `a.gz` is named like gzip, but begins like plain text", "a name that fits"]),
        ("a.xz", &gzip(b"{}\n"), ["object `a.xz` is named like xz, but begins like gzip", "a name that fits"]),
        ("a.txt", &utf16, ["object `a.txt` begins like UTF-16", "convert it to UTF-8"]),
        (
            "a.parquet",
            b"PAR1\x15\x04",
            ["object `a.parquet` is named like Parquet", "read it with `format = \"parquet\"`"],
        ),
        ("a.tar.gz", &gzip(b"x"), ["object `a.tar.gz` is named like tar", "unpack it"]),
    ] {
        for format in ["", "source.format = \"json\"\nsource.fields.v = \"text\""] {
            let project = copying(&format!("sink.format = \"lines\"\n{format}"));
            let project = project.file(&format!("input/{name}"), content);
            project.run(NONE).expect_error(42, &texts);
            assert_eq!(project.files("result"), Vec::<String>::new());
        }
    }
}

#[test]
fn a_record_that_is_too_long_is_named_with_its_key() {
    let data = [&b"a\n"[..], &vec![b'x'; 5000], b"\nb\n"].concat();
    let project = copying("sink.format = \"lines\"").file("input/a.gz", gzip(&data));
    let what = "the record at byte 2 of object `a.gz` is longer than the 4096 bytes that `source.max_record` allows";
    project.run(["--set", "source.max_record=4KiB"]).expect_error(42, &[what]);
    assert_eq!(text(&project, &["--set", "source.max_record=5001"]), String::from_utf8(data).expect("text"));
}

/// Runs the binary with its standard output at a device that is always full.
fn to_full_disk(command: &mut Command) -> Ended {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a device of every Linux");
    Ended::of(command.stdout(full).stderr(Stdio::piped()))
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let project = copying("sink.format = \"lines\"").file("input/a", "a\n");
    project.result(NONE);
    let (plugin, pipeline, input) = (CRIMES.to_string(), project.path("pipeline.toml"), project.path("input/a"));
    let (plugin, pipeline) = (plugin.trim_matches('"').to_owned(), pipeline.display().to_string());
    let input = input.display().to_string();
    for arguments in [
        &["--help"][..],
        &["schema"],
        &["explain"],
        &["completions", "bash"],
        &["inspect", &plugin],
        &["check", &pipeline],
        &["runs", &pipeline],
        &["runs", &pipeline, "--json"],
        &["show", &pipeline],
        &["show", &pipeline, "--json"],
        &["replay", &pipeline, "--shard", "0"],
        &["try", &plugin, "--input", &input],
        &["run", &pipeline, "--new"],
        &["run", &pipeline, "--new", "--events", "json"],
    ] {
        let ended = to_full_disk(etl_host_command().args(arguments));
        assert_eq!(ended.code, Some(75), "{arguments:?}: {ended:#?}");
        assert!(ended.stderr.contains("error: cannot write to standard output: "), "{arguments:?}: {ended:#?}");
    }
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let project = copying("sink.format = \"lines\"").file("input/a", "a\n");
    let pipeline = project.path("pipeline.toml").display().to_string();
    for arguments in [&["schema"][..], &["run", &pipeline], &["run", &pipeline, "--new", "--events", "json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = Ended::of(etl_host_command().args(arguments).stdout(writer).stderr(Stdio::piped()));
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
    }
}
