//! Formats: lines, JSON and CSV, compressed or not, become JSON, CSV or lines, and no record is lost.

use std::io::Write;

use crate::{
    guests::{CRIMES, SPLIT_CRIMES},
    support::{NONE, Project},
};

/// Returns a step that emits its input.
fn copying() -> String {
    format!("map = [{{ plugin = {CRIMES} }}]\nsink.format = \"lines\"\n")
}

fn lines(input: impl AsRef<[u8]>) -> Project {
    Project::of(&copying()).file("input/a.txt", input)
}

fn text(project: &Project, arguments: &[&str]) -> String {
    project.result(arguments).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn line_ends_of_either_kind_empty_lines_and_a_missing_last_one_are_read() {
    assert_eq!(text(&lines("a\r\nb\n\n\r\nc\rd\ne"), &[]), "a\nb\n\n\nc\rd\ne\n");
    assert_eq!(text(&lines("\n"), &[]), "\n");
    assert_eq!(text(&lines("only"), &[]), "only\n");
}

#[test]
fn records_are_neither_cut_nor_lost_wherever_the_source_is_cut() {
    let input = "a\r\n\nlonger than any slice here\nb\r\n\r\nc\nthe last, without an end";
    let expected = input.replace("\r\n", "\n") + "\n";
    let project = lines(input).file("input/b.txt", "").file("input/c.txt", "x\ny");
    for size in 1..=9 {
        assert_eq!(text(&project, &["--set", &format!("split.target_size={size}")]), expected.clone() + "x\ny\n");
    }
}

#[test]
fn a_splitter_may_cut_at_any_byte() {
    let input = "one\r\ntwo\n\nthree\nfour";
    for position in 0..=input.len() {
        let pipeline = format!(
            "{}split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"cuts\", positions = [{position}] }} }}",
            copying()
        );
        let project = Project::of(&pipeline).file("input/a.txt", input);
        assert_eq!(text(&project, &[]), "one\ntwo\n\nthree\nfour\n", "cut at {position}");
    }
}

#[test]
fn records_longer_than_a_batch_pass_whole() {
    let long = "x".repeat(3 << 20);
    let project = lines(format!("a\n{long}\nb\n"));
    assert_eq!(text(&project, &["--set", "split.target_size=100KiB"]), format!("a\n{long}\nb\n"));
}

#[test]
fn gzip_and_zstd_are_read_by_extension_one_shard_each() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"from gzip\n").expect("memory");
    let mut members = gzip.finish().expect("memory");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"second member").expect("memory");
    members.extend(gzip.finish().expect("memory"));
    let zstd = zstd::encode_all(&b"from zstd\r\nagain\n"[..], 3).expect("memory");
    let project = lines("plain\n").file("input/b.txt.gz", members).file("input/c.txt.zst", zstd);
    let result = project.result(["--set", "split.target_size=1"]);
    let parts: Vec<&str> = result.iter().map(|(_, text)| text.as_str()).collect();
    let (compressed, plain): (Vec<&str>, Vec<&str>) = parts.iter().partition(|text| text.contains("from"));
    assert_eq!(compressed, ["from gzip\nsecond member\n", "from zstd\nagain\n"]);
    assert_eq!(plain.concat(), "plain\n");
}

/// The same lines as other tools compressed them, with the extensions that these give; see `etl-format`'s `testdata`.
const PACKED: [(&str, &[u8]); 6] = [
    ("gz", include_bytes!("../../crates/format/testdata/plain.json.gz")),
    ("zst", include_bytes!("../../crates/format/testdata/plain.json.zst")),
    ("bz2", include_bytes!("../../crates/format/testdata/plain.json.bz2")),
    ("xz", include_bytes!("../../crates/format/testdata/plain.json.xz")),
    ("sz", include_bytes!("../../crates/format/testdata/plain.json.sz")),
    ("lz4", include_bytes!("../../crates/format/testdata/plain.json.lz4")),
];
const PLAIN: &str = include_str!("../../crates/format/testdata/plain.json");

#[test]
fn each_compression_is_read_by_name_and_by_first_bytes_and_gives_the_same_as_the_plain_object() {
    for format in
        ["", "source.format = \"json\"\nsource.fields = { n = \"int64\", text = \"text\" }\nsink.format = \"json\"\n"]
    {
        let pipeline = format!(
            "map = [{{ plugin = {CRIMES} }}]\n{}",
            if format.is_empty() { "sink.format = \"lines\"\n" } else { format }
        );
        let plain = text(&Project::of(&pipeline).file("input/a", PLAIN), &[]);
        assert_eq!(plain.lines().count(), 200);
        let project = PACKED.iter().fold(Project::of(&pipeline), |project, (extension, packed)| {
            project
                .file(&format!("input/{extension}.{extension}"), packed)
                .file(&format!("input/unnamed-{extension}"), packed)
        });
        for target_size in ["1", "1GiB"] {
            let found = text(&project, &["--set", &format!("split.target_size={target_size}")]);
            assert!(found == plain.repeat(2 * PACKED.len()), "{target_size}: {} lines", found.lines().count());
        }
    }
}

#[test]
fn a_splitter_that_cuts_what_turns_out_to_be_compressed_loses_and_repeats_nothing() {
    let pipeline = format!(
        "{}split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"cuts\", positions = [1, 100, 101, 900] }} }}",
        copying()
    );
    for (extension, packed) in PACKED {
        let project = Project::of(&pipeline).file("input/a", packed).file("input/b", PLAIN);
        assert!(text(&project, &[]) == PLAIN.repeat(2), "{extension}");
    }
}

#[test]
fn a_compressed_result_is_read_back_and_has_the_same_bytes_however_it_is_made() {
    let pipeline = format!("{}run.fsync = false\nsplit.target_size = \"4KiB\"\n", copying());
    let lines = Project::of(&pipeline).file("input/a", PLAIN);
    for (compression, extension) in
        [("gzip", "gz"), ("zstd", "zst"), ("bzip2", "bz2"), ("xz", "xz"), ("snappy", "sz"), ("lz4", "lz4")]
    {
        let compressed = format!("sink.compression={compression}");
        let parts = |concurrency: &str| {
            let concurrency = format!("run.concurrency={concurrency}");
            lines.run(["--new", "--set", &compressed, "--set", &concurrency]).expect_success();
            let latest = lines.json("result/latest.json");
            let keys = latest["parts"].as_array().expect("a list").iter().map(|key| key.as_str().expect("a key"));
            let part = |key: &str| {
                let name = key.rsplit('/').next().expect("a name").to_owned();
                (name, std::fs::read(lines.path("result").join(key)).expect("it is there"))
            };
            keys.map(part).collect::<Vec<_>>()
        };
        let made = parts("1");
        assert!(made == parts("4"), "{compression}");
        let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<String> = (0..4).map(|part| format!("part-{part:05}.txt.{extension}")).collect();
        assert_eq!(names, expected);
        let back = made
            .iter()
            .fold(Project::of(&copying()), |project, (name, part)| project.file(&format!("input/{name}"), part));
        assert!(text(&back, &[]) == PLAIN, "{compression}");
    }
}

#[test]
fn limits_of_a_plugin_count_rows_before_compression_and_those_of_the_run_what_is_stored() {
    let line = "x".repeat(99) + "\n";
    let project = Project::of(&format!(
        "map = [{{ plugin = {CRIMES}, limits.output = \"1MiB\" }}]\nsink.format = \"lines\"\nsink.compression = \"zstd\"\n"
    ));
    let project = project.file("input/a", line.repeat(9_000));
    project.run(["--set", "run.max_output=10KiB"]).expect_success();
    project
        .run(["--new", "--set", "run.max_output=10KiB", "--set", "sink.compression=none"])
        .expect_error(42, &["run.max_output"]);
    let project = project.file("input/a", line.repeat(11_000));
    project.run(["--new"]).expect_error(42, &["`limits.output`"]);
}

#[test]
fn a_damaged_archive_is_named() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all("some text\n".repeat(1_000).as_bytes()).expect("memory");
    let mut bytes = gzip.finish().expect("memory");
    bytes.truncate(bytes.len() / 2);
    let project = lines("a\n").file("input/b.txt.gz", bytes);
    project.run(NONE).expect_error(42, &["b.txt.gz"]);
}

fn json() -> String {
    format!(
        "source.format = \"json\"\n\
         source.fields = {{ name = \"text\", n = \"int64\", x = \"float64\", ok = \"boolean\" }}\n\
         map = [{{ plugin = {CRIMES} }}]\n"
    )
}

const DOCUMENTS: &str = concat!(
    "{\"n\": 9007199254740993, \"name\": \"a \\\"b\\\" \\u00e9\", \"x\": 0.1, \"ok\": true, \"more\": {\"name\": 1}}\n",
    "\n",
    "{\"x\": 2, \"name\": null}\r\n",
    "{\"ok\": false, \"n\": -1, \"name\": \"c, d\", \"x\": 1e300}",
);

#[test]
fn json_gives_the_asked_for_fields_in_the_order_asked_for() {
    let project = Project::of(&json()).file("input/a.jsonl", DOCUMENTS);
    let expected = concat!(
        "{\"name\":\"a \\\"b\\\" é\",\"n\":9007199254740993,\"x\":0.1,\"ok\":true}\n",
        "{\"name\":null,\"n\":null,\"x\":2.0,\"ok\":null}\n",
        "{\"name\":\"c, d\",\"n\":-1,\"x\":1.0e300,\"ok\":false}\n",
    );
    assert_eq!(text(&project, &[]), expected);
}

#[test]
fn csv_has_a_header_and_quotes_what_needs_it() {
    let project = Project::of(&json()).file("input/a.jsonl", DOCUMENTS);
    let csv = text(&project, &["--set", "sink.format=csv"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows[0], "name,n,x,ok");
    assert!(rows[1].starts_with("\"a \"\"b\"\" é\",9007199254740993,0.1,true"), "{csv}");
    assert_eq!(rows[2], ",,2.0,");
    assert!(rows[3].starts_with("\"c, d\",-1,"), "{csv}");
}

#[test]
fn a_source_may_be_one_file() {
    let project = lines("a\n").file("input/b.txt", "b\n");
    assert_eq!(text(&project, &["--set", "source.url=input/b.txt"]), "b\n");
}

#[test]
fn include_chooses_objects_and_hidden_ones_are_left_out() {
    let project = lines("a\n").file("input/deep/b.txt", "b\n").file("input/c.csv", "c\n").file("input/_SUCCESS", "");
    let project = project.file("input/.hidden", "h\n");
    assert_eq!(text(&project, &[]), "a\nc\nb\n");
    assert_eq!(text(&project, &["--set", "source.include=['*.txt']"]), "a\n");
    assert_eq!(text(&project, &["--set", "source.include=['**/*.txt']"]), "a\nb\n");
}

#[test]
fn csv_is_read_by_its_header_whole_and_wherever_its_lines_end() {
    let pipeline = format!(
        "source.format = \"csv\"\nsource.fields = {{ city = \"text\", pieces = \"int64\" }}\n\
         map = [{{ plugin = {CRIMES} }}]\nrun.max_rejects = 2\n"
    );
    let rows = "7,,\"Chur, \"\"old\"\"\ntown\"\r\n\r\nx,,Bern\r\n,,Sion\n1,2\n";
    let project = Project::of(&pipeline)
        .file("input/a.csv", format!("pieces,note,city\r\n{rows}"))
        .file("input/b.csv", "city,pieces\nZug,-1");
    let expected = "{\"city\":\"Chur, \\\"old\\\"\\ntown\",\"pieces\":7}\n{\"city\":\"Sion\",\"pieces\":null}\n\
                    {\"city\":\"Zug\",\"pieces\":-1}\n";
    for size in ["1", "10", "1GiB"] {
        assert_eq!(text(&project, &["--set", &format!("split.target_size={size}")]), expected);
    }
    let files = project.files("runs").into_iter().filter(|file| file.contains("/rejects/"));
    let read = |file| std::fs::read_to_string(project.path("runs").join(file)).expect("they can be read");
    let rejects: String = files.map(read).collect();
    for reason in ["`x` in column `pieces` is not of type int64", "2 fields, but the header has 3"] {
        assert!(rejects.contains(reason), "{rejects}");
    }
    let missing = project.file("input/b.csv", "city\nZug\n").run(NONE);
    missing.expect_error(42, &["object `b.csv` has no column `pieces` in its header (columns: city)"]);
}
