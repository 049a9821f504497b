//! Fields that nobody wrote, and where a record came from: inferred from a sample, kept in the plan, printed; columns of
//! the source.

use std::{fs, io::Write};

use crate::{
    guests::{CRIMES, WORD_COUNT},
    support::{Ended, Project, etl_host},
};

/// Returns a pipeline that copies records of a format.
fn copying(format: &str, more: &str) -> String {
    format!("map = [{{ plugin = {CRIMES} }}]\nsource.format = \"{format}\"\n{more}")
}

fn command(project: &Project, command: &str, arguments: &[&str]) -> Ended {
    let file = project.path("pipeline.toml").display().to_string();
    etl_host([&[command, &file], arguments].concat())
}

fn text(project: &Project, arguments: &[&str]) -> String {
    project.result(arguments).into_iter().map(|(_, text)| text).collect()
}

const ORDERS: &str = "name,id,price,day,code\nBern,1,2.5,2024-01-01,007\nChur,2,3,2024-01-02,010\n";

const INFERRED: &str =
    "fields = { name = \"text\", id = \"int64\", price = \"float64\", day = \"date\", code = \"text\" }";

const COPIED: &str = "{\"name\":\"Bern\",\"id\":1,\"price\":2.5,\"day\":\"2024-01-01\",\"code\":\"007\"}\n\
                      {\"name\":\"Chur\",\"id\":2,\"price\":3.0,\"day\":\"2024-01-02\",\"code\":\"010\"}\n";

#[test]
fn fields_that_are_left_out_are_inferred_shown_once_and_kept_in_the_plan() {
    let project = Project::of(&copying("csv", "")).file("input/a.csv", ORDERS);
    let run = project.run(["--run-id", "r"]);
    run.expect_success();
    let shown = format!("source: fields inferred from 2 records of 1 object: {INFERRED}\n");
    assert_eq!(run.stderr.matches(&shown).count(), 1, "{run:#?}");
    assert_eq!(project.latest().into_iter().map(|(_, text)| text).collect::<String>(), COPIED);
    let plan = project.json("runs/test/r/plan.json");
    assert_eq!(plan["fields"]["fields"][1], serde_json::json!(["id", "int64"]));
    assert_eq!(plan["fields"]["inferred"], true);
    assert_eq!(plan["recipe"]["keys"]["source.fields.day"], "date");

    let check = command(&project, "check", &[]);
    check.expect_success();
    let shown = format!("fields inferred from 2 records of 1 object:\n          {INFERRED}\n");
    assert!(check.stdout.contains(&shown), "{check:#?}");
    let replayed = command(&project, "replay", &["r", "--shard", "0"]);
    assert_eq!(replayed.expect_success().stdout, COPIED);
}

#[test]
fn fields_that_are_declared_keep_their_order_in_a_replay() {
    let fields = "source.fields = { price = \"float64\", id = \"int64\", name = \"text\" }";
    let project = Project::of(&copying("csv", fields)).file("input/a.csv", ORDERS);
    let expected = "{\"price\":2.5,\"id\":1,\"name\":\"Bern\"}\n{\"price\":3.0,\"id\":2,\"name\":\"Chur\"}\n";
    assert_eq!(text(&project, &["--run-id", "r"]), expected);
    assert_eq!(command(&project, "replay", &["r", "--shard", "0"]).expect_success().stdout, expected);
}

#[test]
fn a_run_goes_on_with_the_fields_of_its_plan_whoever_wrote_them() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"retryable\", task = 0, until = 3 }}, \
         retry = {{ attempts = 1 }} }}]\nsource.format = \"csv\"\n"
    );
    let patience = ["--set", "map.0.retry.attempts=3", "--set", "map.0.retry.interval=1ms"];
    for go_on in [&["--resume"][..], &["--run-id", "r"], &["--run-id", "r", "--set", &format!("source.{INFERRED}")]] {
        let project = Project::of(&pipeline).file("input/a.csv", ORDERS);
        project.run(["--run-id", "r"]).expect_error(75, &["this finishes the run"]);
        let ended = project.run([go_on, &patience].concat());
        assert!(ended.expect_success().stdout.contains("r (resumed)"), "{ended:#?}");
        let is_told =
            ended.stderr.contains(&format!("inferred from the first records when it was planned: {INFERRED}"));
        assert_eq!(is_told, go_on.len() < 3, "{ended:#?}");
        assert_eq!(project.latest().into_iter().map(|(_, text)| text).collect::<String>(), COPIED);
    }
}

#[test]
fn a_later_value_that_does_not_fit_is_a_reject_that_says_the_type_was_inferred() {
    let mut project = Project::of(&copying("csv", "run.max_rejects = 1\n"));
    for name in ["a", "b", "c", "d"] {
        project = project.file(&format!("input/{name}.csv"), "n\n1\n");
    }
    let project = project.file("input/e.csv", "n\n2\nmany\n");
    assert_eq!(text(&project, &[]), "{\"n\":1}\n".repeat(4) + "{\"n\":2}\n");
    let files = project.files("runs").into_iter().filter(|file| file.contains("/rejects/"));
    let rejects: String =
        files.map(|file| fs::read_to_string(project.path("runs").join(file)).expect("readable")).collect();
    let reason = "`many` in column `n` is not of type int64; the type was inferred from the first records: declare it";
    assert!(rejects.contains(reason), "{rejects}");
}

#[test]
fn check_names_a_field_that_no_record_of_a_sample_has() {
    let records = "{\"id\":1,\"actor\":{\"login\":\"x\"}}\n";
    let project = |fields: &str| {
        let fields = format!("[source.fields]\nid = \"int64\"\n{fields}\n");
        let pipeline = format!("{}[source]\nurl = \"input/\"\nformat = \"json\"\n{fields}", {
            format!("name = \"test\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\nmap = [{{ plugin = {CRIMES} }}]\n")
        });
        Project::new(&pipeline).file("input/a.json", records)
    };
    let check = |fields: &str, texts: &[&str]| command(&project(fields), "check", &[]).expect_error(2, texts).code;
    check(
        "\"actor.login\" = \"text\"",
        &[":10: `source.fields.actor.login` is a key that none of", "path = \"actor.login\""],
    );
    check(
        "actr = \"text\"",
        &[":10: `source.fields.actr` is read from `actr`, which none of", "did you mean `actor`?"],
    );
    command(&project("actr = { type = \"text\", optional = true }"), "check", &[]).expect_success();
    project("actr = \"text\"").run(["--run-id", "r"]).expect_success();
}

#[test]
fn the_command_fields_prints_what_can_be_pasted() {
    let project = Project::of(&copying("csv", "")).file("input/a.csv", ORDERS);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"b\":{\"c d\":[1]},\"a.b\":\"x\"}\n{\"b\":null}\n").expect("in memory");
    let project = project.file("data/x.jsonl.gz", gzip.finish().expect("in memory"));
    let printed = etl_host(["fields", &project.path("data/").display().to_string()]);
    let fields = "[source.fields]\nb = 'struct<\"c d\": list<int64>>'  # {\"c d\":[1]}\n";
    let block = printed.expect_success().stdout.clone();
    assert!(block.starts_with("[source]\nurl = \"") && block.contains("\nformat = \"json\"\n\n"), "{block}");
    assert!(block.contains(fields), "{block}");
    assert_eq!(printed.stderr, "inferred from 2 records of 1 object\n");

    let steps = format!("name = \"test\"\nsink.url = \"result/\"\nmap = [{{ plugin = {CRIMES} }}]\n");
    let pasted = Project::new(&(steps + &block));
    assert_eq!(text(&pasted, &[]), "{\"b\":{\"c d\":[1]},\"a.b\":\"x\"}\n{\"b\":null,\"a.b\":null}\n");

    let printed = command(&project, "fields", &[]);
    let expected = "[source.fields]\nname = \"text\"      # Bern\nid = \"int64\"       # 1\n";
    assert!(printed.expect_success().stdout.starts_with(expected), "{printed:#?}");
    let untold = project.file("data/x", "a,b\n");
    etl_host(["fields", &untold.path("data/x").display().to_string()])
        .expect_error(2, &["the name of object `x` does not tell its format: say `--format csv`"]);
}

#[test]
fn columns_say_which_object_a_record_is_from_and_where_it_stands() {
    let columns = "source.columns = { at = \"offset\", file = \"object\" }\n";
    let project = Project::of(&copying("csv", &format!("{columns}split.target_size = 5\n")));
    let project = project.file("input/a.csv", "n\n1\n22\n").file("input/b.csv", "n\n3\n");
    let expected = "{\"n\":1,\"file\":\"a.csv\",\"at\":2}\n{\"n\":22,\"file\":\"a.csv\",\"at\":4}\n\
                    {\"n\":3,\"file\":\"b.csv\",\"at\":2}\n";
    assert_eq!(text(&project, &["--run-id", "r"]), expected);
    assert_eq!(project.json("runs/test/r/plan.json")["recipe"]["keys"]["source.columns.at"], "offset");
    assert!(command(&project, "replay", &["r", "--shard", "0"]).expect_success().stdout.contains("\"file\":\"a.csv\""));

    let lines = Project::of(&copying("lines", columns)).file("input/a.txt", "one\ntwo\n");
    let taken = lines.run(["--set", "source.columns={line=\"object\"}"]);
    taken.expect_error(2, &["`source.columns` cannot be added: two fields are called `line`"]);
    let refused = Project::of(&format!("map = [{{ plugin = {WORD_COUNT} }}]\n{columns}")).file("input/a.txt", "one\n");
    refused.run(["--run-id", "r"]).expect_error(
        2,
        &["the step takes lines, which is one column of binary or text (the input's columns:", "file"],
    );
    let found = text(&lines, &["--set", "sink.format=json"]);
    assert!(found.contains("\"file\":\"a.txt\",\"at\":4}"), "{found}");
}

#[test]
fn directories_that_a_sink_made_are_columns_of_a_source() {
    let sink = "sink.partition_by = [\"day\", \"city\"]\nsink.open_parts = 4\n";
    let rows = "day,city,n\n2026-11-27,Bern,1\n2026-11-28,a/b=c,2\n2026-11-28,Bern,3\n,Bern,4\n";
    for format in ["json", "csv", "parquet", "avro"] {
        let written = Project::of(&copying("csv", &format!("{sink}sink.format = \"{format}\"\n")));
        let written = written.file("input/a.csv", rows);
        written.run(["--run-id", "r"]).expect_success();
        let url = format!("source.url={}", written.path("result/r/").display());
        let columns = "source.columns = { day = \"hive\", city = \"hive\" }\n";
        let project = Project::of(&copying(format, &format!("{columns}sink.format = \"json\"\n")));
        project.run(["--set", &url]).expect_success();
        let copied: String = project.latest().into_iter().map(|(_, text)| text).collect();
        let mut copied: Vec<&str> = copied.lines().collect();
        copied.sort_unstable();
        let expected = [
            r#"{"n":1,"city":"Bern","day":"2026-11-27"}"#,
            r#"{"n":2,"city":"a/b=c","day":"2026-11-28"}"#,
            r#"{"n":3,"city":"Bern","day":"2026-11-28"}"#,
            r#"{"n":4,"city":"Bern","day":null}"#,
        ];
        assert_eq!(copied, expected, "{format}");
        let missing = project.run(["--new", "--set", &url, "--set", "source.columns.hour=hive"]);
        missing.expect_error(42, &["lies in no directory `hour=…` below `source.url`", "column `hour`"]);
    }
}

#[test]
fn a_step_is_tried_on_records_whose_fields_nobody_wrote() {
    let project = Project::of("").file("a.csv", ORDERS);
    let input = project.path("a.csv").display().to_string();
    let plugin = CRIMES.path().display().to_string();
    let tried = etl_host(["try", &plugin, "--input", &input, "--format", "csv", "--output", "json"]);
    assert_eq!(tried.expect_success().stdout, COPIED);
    assert!(tried.stderr.contains("fields inferred from 2 records of 1 object: name = \"text\","), "{tried:#?}");
}

#[test]
fn the_fields_of_parquet_are_those_that_its_objects_say_they_have() {
    let written = Project::of(&copying("csv", "sink.format = \"parquet\"\n")).file("input/a.csv", ORDERS);
    written.run(["--run-id", "r"]).expect_success();
    let url = written.path("result/r/").display().to_string();
    let pipeline = copying("parquet", "sink.format = \"json\"\nsource.columns = { at = \"offset\" }\n");
    let project = Project::of(&pipeline);
    let ended = project.run(["--set", &format!("source.url={url}")]);
    ended.expect_success();
    assert!(ended.stderr.contains(&format!("inferred from the schema of 1 object: {INFERRED}")), "{ended:#?}");
    let copied: String = project.latest().into_iter().map(|(_, text)| text).collect();
    assert_eq!(copied, COPIED.replacen('}', ",\"at\":0}", 1).replace("010\"}", "010\",\"at\":1}"));
    let printed = etl_host(["fields", &url]);
    assert!(
        printed.expect_success().stdout.contains("[source.fields]\nname = \"text\"\nid = \"int64\"\n"),
        "{printed:#?}"
    );
    let part = written.files("result/r").into_iter().find(|file| file.ends_with(".parquet")).expect("a part");
    let (plugin, part) = (CRIMES.path().display().to_string(), format!("{url}{part}"));
    let tried = etl_host(["try", &plugin, "--input", &part, "--format", "parquet", "--output", "json"]);
    assert_eq!(tried.expect_success().stdout, COPIED);
}
