//! CSV as people have it: cut anywhere, in any dialect, malformed in every way.

use crate::{
    guests::{CRIMES, SPLIT_CRIMES},
    support::{NONE, Project},
};

/// Returns a pipeline that copies two fields of CSV, with more keys.
fn copying(more: &str) -> String {
    format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"csv\"\n\
         source.fields = {{ city = \"text\", pieces = \"int64\" }}\n{more}"
    )
}

fn text(project: &Project, settings: &[&str]) -> String {
    let arguments = settings.iter().flat_map(|set| ["--set", set]);
    project.result(arguments).into_iter().map(|(_, text)| text).collect()
}

/// Returns the offsets and reasons of the rejects of the runs so far.
fn rejects(project: &Project) -> Vec<String> {
    let files = project.files("runs").into_iter().filter(|file| file.contains("/rejects/"));
    let text: String =
        files.map(|file| std::fs::read_to_string(project.path("runs").join(file)).expect("readable")).collect();
    let reject = |line: &str| {
        let reject: serde_json::Value = serde_json::from_str(line).expect("JSON");
        format!("{} {}", reject["offset"], reject["reason"].as_str().unwrap_or_default())
    };
    let mut rejects: Vec<String> = text.lines().map(reject).collect();
    rejects.sort();
    rejects
}

const ROWS: &str =
    "pieces,note,city\r\n7,\"a\n\nb\",\"Chur, \"\"old\"\"\ntown\"\r\n\r\n3,,Bern\r\n,\",\",\"\"\n5,\"\r\n\",Sion";

const EXPECTED: &str = "{\"city\":\"Chur, \\\"old\\\"\\ntown\",\"pieces\":7}\n{\"city\":\"Bern\",\"pieces\":3}\n\
                        {\"city\":\"\",\"pieces\":null}\n{\"city\":\"Sion\",\"pieces\":5}\n";

#[test]
fn what_is_cut_within_quotes_is_read_like_what_is_not_cut() {
    let project = Project::of(&copying("")).file("input/a.csv", ROWS).file("input/b.csv", "city,pieces\nZug,-1");
    for size in [1, 2, 5, 7, 20, 1 << 30] {
        let size = format!("split.target_size={size}");
        assert_eq!(text(&project, &[&size]), format!("{EXPECTED}{{\"city\":\"Zug\",\"pieces\":-1}}\n"), "{size}");
    }
}

#[test]
fn a_splitter_may_cut_csv_at_any_byte() {
    for positions in ["[1, 20, 21, 30]", "[5]", "[25, 26, 27, 40, 60]", "[17, 18, 19]"] {
        let split =
            format!("split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"cuts\", positions = {positions} }} }}\n");
        let project = Project::of(&copying(&split)).file("input/a.csv", ROWS);
        assert_eq!(text(&project, &[]), EXPECTED, "cut at {positions}");
    }
}

#[test]
fn a_quote_that_is_not_closed_costs_one_line_wherever_the_object_is_cut() {
    let rows = "city,pieces\nBern,1\n\"Chur,2\nSion,3\nZug,\"x\nBiel,4\n";
    for (size, multiline) in [("1", true), ("9", true), ("1GiB", true), ("1", false), ("7", false)] {
        let project = Project::of(&copying("run.max_rejects = 2\n")).file("input/a.csv", rows);
        let settings = [format!("split.target_size={size}"), format!("source.csv.multiline={multiline}")];
        let found = text(&project, &[&settings[0], &settings[1], "source.max_record=1KiB"]);
        let rejects = rejects(&project);
        if multiline {
            // The quote of `Zug` closes that of `Chur`.
            assert_eq!(found, "{\"city\":\"Bern\",\"pieces\":1}\n{\"city\":\"Biel\",\"pieces\":4}\n");
            assert_eq!(rejects, ["19 1 fields, but the header has 2"]);
        } else {
            let rows = [("Bern", 1), ("Sion", 3), ("Biel", 4)];
            let rows = rows.map(|(city, pieces)| format!("{{\"city\":\"{city}\",\"pieces\":{pieces}}}\n"));
            assert_eq!(found, rows.concat());
            let reason = "a quoted field is not closed in its line, so its first line is set aside";
            assert_eq!(rejects, [format!("19 {reason}"), format!("34 {reason}")]);
        }
    }
    let open = Project::of(&copying("run.max_rejects = 1\n")).file("input/a.csv", "city,pieces\n\"Chur,2\nSion,3\n");
    assert_eq!(text(&open, &["split.target_size=3"]), "{\"city\":\"Sion\",\"pieces\":3}\n");
    let reason = "a quoted field is not closed within `source.max_record` or by the end of the object, so its first \
                  line is set aside";
    assert_eq!(rejects(&open), [format!("12 {reason}")]);
}

#[test]
fn a_sink_writes_what_a_source_of_the_same_dialect_reads() {
    let dialect = "delimiter = \";\", quote = \"'\", header = false, null = ";
    let written = Project::of(&copying(&format!("sink.format = \"csv\"\nsink.csv = {{ {dialect}\"NA\" }}\n")))
        .file("input/a.csv", "city,pieces\n\"a;b\",1\n\"it's\",2\nNA,3\n,4\n\"\",5\nZug,\n");
    let part = text(&written, &[]);
    assert_eq!(part, "'a;b';1\n'it''s';2\n'NA';3\nNA;4\n'';5\nZug;NA\n");
    let fields = "city = { type = \"text\", position = 1 }, pieces = { type = \"int64\", position = 2 }";
    let again = Project::of(&format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"csv\"\nsource.fields = {{ {fields} }}\n\
         source.csv = {{ {dialect}[\"NA\"] }}\nsink.format = \"csv\"\nsink.csv = {{ {dialect}\"NA\" }}\n"
    ));
    assert_eq!(text(&again.file("input/a.csv", &part), &["split.target_size=5"]), part);
}

#[test]
fn a_value_that_a_dialect_without_quotes_cannot_write_is_refused() {
    let project = Project::of(&copying("sink.format = \"csv\"\nsink.csv.quote = \"\"\n"));
    let project = project.file("input/a.csv", "city,pieces\n\"a,b\",1\n");
    project.run(NONE).expect_error(
        42,
        &["field `city` in row 0 of a batch holds the delimiter or a line break: a `csv` sink cannot write it"],
    );
}

#[test]
fn a_column_is_renamed_picked_and_may_be_missing_in_an_object_only_if_that_is_said() {
    let pipeline = |city: &str| {
        format!(
            "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"csv\"\n\
             source.fields.city = {{ type = \"text\", column = \"The city\"{city} }}\n\
             source.fields.pieces = {{ type = \"int64\", position = 1 }}\n"
        )
    };
    let files = |pipeline: &str| {
        Project::of(pipeline).file("input/a.csv", "n,The city\n1,Bern\n").file("input/b.csv", "pieces\n2\n")
    };
    let refused = files(&pipeline("")).run(NONE);
    refused.expect_error(42, &["object `b.csv` has no column `The city` in its header (columns: pieces)"]);
    let expected = "{\"city\":\"Bern\",\"pieces\":1}\n{\"city\":null,\"pieces\":2}\n";
    assert_eq!(text(&files(&pipeline(", optional = true")), &[]), expected);
    let renamed = Project::of(&format!(
        "map = [{{ plugin = {CRIMES} }}]\nsource.format = \"json\"\n\
         source.fields.city = {{ type = \"text\", column = \"The city\" }}\n"
    ));
    let renamed = renamed.file("input/a.jsonl", "{\"The city\": \"Bern\", \"city\": \"Zug\"}\n");
    assert_eq!(text(&renamed, &[]), "{\"city\":\"Bern\"}\n");
}

#[test]
fn other_encodings_are_read_if_they_are_declared() {
    let utf16: Vec<u8> = "\u{feff}city\tpieces\r\nZürich\t1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let project = Project::of(&copying("source.csv.delimiter = \"\\t\"\n")).file("input/a.csv", utf16);
    project.run(NONE).expect_error(42, &["`a.csv` begins like UTF-16", "set `source.csv.encoding = \"utf-16\"`"]);
    let expected = "{\"city\":\"Zürich\",\"pieces\":1}\n";
    assert_eq!(text(&project, &["source.csv.encoding=utf-16", "split.target_size=3"]), expected);
    let latin = Project::of(&copying("source.csv.encoding = \"latin1\"\n"));
    let latin = latin.file("input/a.csv", b"city,pieces\nZ\xFCrich,1\n");
    assert_eq!(text(&latin, &["split.target_size=3"]), expected);
}

#[test]
fn a_run_is_not_resumed_in_another_dialect() {
    let project = Project::of(&copying("")).file("input/a.csv", "city,pieces\nBern,x\n");
    project.run(["--run-id", "r"]).expect_error(42, &["`x` in column `pieces` is not of type int64"]);
    let other = project.run(["--run-id", "r", "--set", "source.csv.trim=true"]);
    other.expect_error(2, &["`source.csv.trim` (was not there, is true)"]);
}
