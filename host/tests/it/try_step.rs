//! `etl-host try`: one step on sample records, as the author of a plugin runs it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    guests::{CRIMES, FILTER_CLEAN, Guest, KEY_VALUE, PROBE_WORLD, SPLIT_BY_SIZE, SUM, WORD_COUNT},
    support::{Ended, Project, etl_host_command},
};

const WORDS: &str = "to be\nor not\nto be\n";

/// Runs `try` in a directory with the files that the tests use.
fn try_step(plugin: Guest, arguments: &[&str]) -> Ended {
    let directory = Project::of("")
        .file("words.txt", WORDS)
        .file("pairs.csv", "a,1\nb,2\nbad\na,3\n")
        .file("probes.txt", "env PATH\n")
        .file("rows.jsonl", "{\"k\":\"b\",\"n\":2}\n{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":3}\n");
    let mut command = etl_host_command();
    command.current_dir(directory.path("")).arg("try").arg(plugin.path()).args(arguments);
    Ended::of(&mut command)
}

fn path(plugin: Guest) -> String {
    plugin.path().display().to_string()
}

#[test]
fn a_mapper_shows_rows_rejects_and_what_it_used() {
    let ended = try_step(KEY_VALUE, &["--input", "pairs.csv", "--output", "table"]);
    assert_eq!(ended.expect_success().stdout, "key  value\na        1\nb        2\na        3\n");
    for text in [
        "map plugin `key_value.wasm`: 4 records in, 3 rows out, 1 rejected, ",
        " a record, ",
        " of memory",
        "rejected `pairs.csv` at byte 8: the line has no field 1 (fields count from 0): record `bad`",
    ] {
        assert!(ended.stderr.contains(text), "no `{text}` in {ended:#?}");
    }
    let json = try_step(KEY_VALUE, &["--input", "pairs.csv", "--limit", "2"]);
    assert_eq!(json.expect_success().stdout, "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":2}\n");
    assert!(json.stderr.contains("only the first 2 records were read (`--limit` sets how many)"), "{json:#?}");
}

#[test]
fn a_step_is_tried_with_the_grants_and_limits_it_is_given() {
    let probe = |more: &[&str]| try_step(PROBE_WORLD, &[&["--input", "probes.txt"], more].concat());
    assert!(probe(&[]).expect_success().stdout.contains("env PATH -> error: "));
    assert!(probe(&["--grant", "env:PATH"]).expect_success().stdout.contains("env PATH -> ok: "));
    assert!(probe(&["--set", "grants=[\"env:PATH\"]"]).expect_success().stdout.contains("env PATH -> ok: "));
    probe(&["--set", "limits.output=1"]).expect_error(42, &["`limits.output`"]);
    probe(&["--grant", "tea"]).expect_error(2, &["`grants[0]` is `tea`, which cannot be granted (choices: `clock`"]);
    let misspelt = probe(&["--set", "limits.memroy=1GiB"]);
    misspelt.expect_error(2, &["probe_world.wasm (by --set): `limits.memroy` is not a known key", "`memory`"]);
    probe(&["--set", "max_rejects=1"]).expect_error(2, &["`max_rejects` is not a known key", "grants, limits"]);
}

#[test]
fn a_mapper_goes_on_into_a_reducer() {
    let ended = try_step(WORD_COUNT, &["--input", "words.txt", "--reduce", &path(SUM)]);
    let expected = ["{\"word\":\"be\",\"count\":2}", "{\"word\":\"not\",\"count\":1}", "{\"word\":\"or\",\"count\":1}"];
    let lines: Vec<&str> = ended.expect_success().stdout.lines().collect();
    assert_eq!(lines[..3], expected);
    assert!(ended.stderr.contains("map plugin `word_count.wasm`: 3 records in, 4 rows out"), "{ended:#?}");
    assert!(ended.stderr.contains("reduce plugin `sum.wasm`: 4 records in, 4 rows out"), "{ended:#?}");

    let largest = ["--input", "pairs.csv", "--reduce", &path(SUM), "--reduce-config", "{\"max\":[\"value\"]}"];
    let ended = try_step(KEY_VALUE, &largest);
    assert_eq!(ended.expect_success().stdout, "{\"key\":\"a\",\"value\":3}\n{\"key\":\"b\",\"value\":2}\n");
}

#[test]
fn a_reducer_alone_takes_json_with_a_key() {
    let rows = ["--input", "rows.jsonl", "--format", "json", "--fields", "k=text,n=int64", "--key-fields", "1"];
    let ended = try_step(SUM, &rows);
    assert_eq!(ended.expect_success().stdout, "{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":5}\n");
    try_step(SUM, &rows[..6]).expect_error(2, &["a reducer takes rows with a key", "`--key-fields`"]);
}

#[test]
fn records_may_come_from_standard_input() {
    let mut command = etl_host_command();
    command.arg("try").arg(KEY_VALUE.path()).args(["--input", "-", "--config", "{\"separator\":\";\"}"]);
    let mut child: Command = command;
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(b"a;1\n").expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"key\":\"a\",\"value\":1}\n");
}

#[test]
fn a_splitter_shows_its_shards() {
    let ended = try_step(SPLIT_BY_SIZE, &["--input", "words.txt", "--config", "{\"target_size\":7}"]);
    let expected = "\
{\"shard\":0,\"object\":\"words.txt\",\"offset\":0,\"length\":13,\"records\":null}
{\"shard\":1,\"object\":\"words.txt\",\"offset\":13,\"length\":6,\"records\":null}
";
    assert_eq!(ended.expect_success().stdout, expected);
    assert!(ended.stderr.contains("split plugin `split_by_size.wasm`: 2 shards of 1 object, "), "{ended:#?}");
    let directory = try_step(SPLIT_BY_SIZE, &["--input", ".", "--output", "table"]);
    assert!(
        directory.expect_success().stdout.starts_with("shard  object         offset  length  records\n"),
        "{directory:#?}"
    );
    assert!(directory.stdout.contains("\n    0  words.txt           0      19     null\n"), "{directory:#?}");
}

#[test]
fn a_trap_names_the_plugin_the_record_and_the_line_of_its_source() {
    let panic = ["--input", "words.txt", "--config", "{\"crime\":\"panic-on-line\",\"text\":\"or not\"}"];
    let ended = try_step(CRIMES, &panic);
    ended.expect_error(
        42,
        &["error: the record of `words.txt` at byte 6: map plugin `crimes.wasm` panicked in `process` at ", "acts.rs:"],
    );
    assert_eq!(ended.stdout, "");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |plugin: Guest, arguments: &[&str], texts: &[&str]| {
        try_step(plugin, arguments).expect_error(2, texts);
    };
    refused(WORD_COUNT, &["--input", "none.txt"], &["cannot open `none.txt`"]);
    refused(WORD_COUNT, &["--input", "."], &["`.` is a directory (use one file, or `-` for standard input)"]);
    refused(WORD_COUNT, &["--input", "words.txt", "--config", "7"], &["the configuration is not a JSON object"]);
    refused(
        WORD_COUNT,
        &["--input", "words.txt", "--config", "{\"case\":1}"],
        &["`config.case` is not a field", "lowercase"],
    );
    refused(WORD_COUNT, &["--input", "words.txt", "--format", "json"], &["the fields cannot be inferred"]);
    refused(
        WORD_COUNT,
        &["--input", "words.txt", "--fields", "a=text"],
        &["`--fields` cannot be used with format `lines` (they go with `json`, `csv`, `parquet`, `avro`)"],
    );
    refused(WORD_COUNT, &["--input", "words.txt", "--reduce", &path(KEY_VALUE)], &["is a map plugin"]);
    refused(FILTER_CLEAN, &["--input", "words.txt", "--reduce", &path(SUM)], &["without a key"]);
    refused(SUM, &["--input", "words.txt", "--reduce", &path(SUM)], &["--reduce goes with a map plugin"]);
}

#[test]
fn what_a_source_section_says_holds_for_samples_too() {
    let directory = Project::of("")
        .file("de.csv", "Stadt;Preis;Note\n'Bern; alt';1,5;x\nChur;n/a;y\n")
        .file("doc.json", "[\n {\"a\": 1},\n {\"a\": 2}\n]");
    let run = |command: &str, arguments: &[&str]| {
        let mut host = etl_host_command();
        host.current_dir(directory.path("")).arg(command).arg(CRIMES.path()).args(arguments);
        Ended::of(&mut host)
    };
    let dialect = [
        "--input",
        "de.csv",
        "--format",
        "csv",
        "--set",
        "source.csv.delimiter=';'",
        "--set",
        "source.csv.quote=\"'\"",
        "--set",
        "source.csv.null=['n/a']",
        "--set",
        "source.columns={file='object',at='offset'}",
    ];
    let tried = run("try", &[&dialect[..], &["--fields", "Stadt=text,Preis=text"]].concat());
    let expected = "{\"Stadt\":\"Bern; alt\",\"Preis\":\"1,5\",\"file\":\"de.csv\",\"at\":17}\n\
                    {\"Stadt\":\"Chur\",\"Preis\":null,\"file\":\"de.csv\",\"at\":35}\n";
    assert_eq!(tried.expect_success().stdout, expected);
    let field = "source.fields={price={type='text',column='Preis'}}";
    let tried = run("try", &[&dialect[..8], &["--set", field]].concat());
    assert_eq!(tried.expect_success().stdout, "{\"price\":\"1,5\"}\n{\"price\":\"n/a\"}\n");
    let laws = run("laws", &dialect);
    assert!(laws.expect_success().stderr.contains("tried on 2 records"), "{laws:#?}");
    let documents = ["--input", "doc.json", "--format", "json", "--set", "source.json.layout=documents"];
    assert_eq!(run("try", &documents).expect_success().stdout, "{\"a\":1}\n{\"a\":2}\n");
    let wrong = run("try", &["--input", "de.csv", "--format", "csv", "--set", "source.csv.delimter=';'"]);
    wrong.expect_error(2, &["`source.csv.delimter` is not a known key", "`delimiter`"]);
    run("try", &["--input", "de.csv", "--set", "source.url=x"])
        .expect_error(2, &["`source.url` cannot be set here: `--input` names the records"]);
}

#[test]
fn samples_are_files_of_any_format() {
    let json = "map = [{ plugin = \"unused\" }]\nsource.format = \"json\"\n".replace("\"unused\"", &CRIMES.to_string());
    let made = Project::of(&format!("{json}source.fields = {{ n = \"int64\", price = \"decimal(9,2)\" }}\n"));
    let made = made.file("input/a.jsonl", "{\"n\":1,\"price\":1.25}\n{\"n\":2,\"price\":null}\n");
    for format in ["parquet", "avro", "csv"] {
        made.run(["--new", "--set", &format!("sink.format={format}")]).expect_success();
        let project = Project::of("").file("sample", &made.latest_bytes()[0].1);
        for (command, more, shown) in [
            ("try", "", "{\"n\":1,\"price\":1.25}\n{\"n\":2,\"price\":null}\n"),
            ("try", "n=int8,price=decimal(12,3)", "{\"n\":1,\"price\":1.250}\n{\"n\":2,\"price\":null}\n"),
            ("laws", "", "holds"),
        ] {
            let mut host = etl_host_command();
            host.current_dir(project.path("")).arg(command).arg(CRIMES.path());
            host.args(["--input", "sample", "--format", format]);
            if !more.is_empty() {
                host.args(["--fields", more]);
            }
            let ended = Ended::of(&mut host);
            assert!(ended.expect_success().stdout.replace('"', "").contains(&shown.replace('"', "")), "{ended:#?}");
        }
    }
}

#[test]
fn a_trace_shows_the_record_that_each_row_was_made_of() {
    let ended = try_step(WORD_COUNT, &["--input", "words.txt", "--trace"]);
    assert!(ended.expect_success().stdout.contains("\"trace.at\":null,\"trace.record\":null"), "{ended:#?}");
    let ended = try_step(KEY_VALUE, &["--input", "pairs.csv", "--trace"]);
    let row = |key: &str, value: u8, at: u8| {
        format!(
            "{{\"key\":\"{key}\",\"value\":{value},\"trace.at\":\"pairs.csv at byte {at}\",\
             \"trace.record\":\"{key},{value}\"}}\n"
        )
    };
    assert_eq!(ended.expect_success().stdout, row("a", 1, 0) + &row("b", 2, 4) + &row("a", 3, 12));
    let table = try_step(KEY_VALUE, &["--input", "pairs.csv", "--trace", "--output", "table"]);
    assert!(table.expect_success().stdout.contains("pairs.csv at byte 12  a,3\n"), "{table:#?}");
    try_step(WORD_COUNT, &["--input", "words.txt", "--trace", "--reduce", &path(SUM)])
        .expect_error(2, &["`--trace` goes with a map plugin alone"]);
}
