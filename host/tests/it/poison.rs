//! Poison records: a record that makes a mapper fail is found, named and set aside; the result is that of the others.

use std::fs;

use serde_json::Value;

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES, FILTER_CLEAN, SPLIT_RANDOM, SUM, WORD_COUNT},
    support::{Ended, NONE, Project, batch_timeout, etl_host_command},
};

/// Returns steps that panic at lines with `poison`, and count the words of the other lines in memory.
fn word_count() -> String {
    format!(
        r#"
map = [{{ plugin = {CRIMES}, config = {{ crime = "panic-on-line", text = "poison" }}, max_rejects = 9 }},
       {{ plugin = {WORD_COUNT} }}]
reduce = {{ plugin = {SUM}, combine = true, partitions = 2 }}
"#
    )
}

/// Returns 6,000 lines; the lines with these numbers are poison.
fn lines(poison: &[usize]) -> String {
    let line = |n| if poison.contains(&n) { format!("poison {n}\n") } else { format!("word{} of {n}\n", n % 97) };
    (0..6000).map(line).collect()
}

/// Returns the lines that are not poison.
fn good(lines: &str) -> String {
    lines.lines().filter(|line| !line.contains("poison")).map(|line| format!("{line}\n")).collect()
}

/// Returns the rejects of the complete run, as its manifest lists them.
fn rejects(project: &Project) -> Vec<Value> {
    let runs = project.path("runs");
    let manifest = project.files("runs").into_iter().find(|file| file.ends_with("manifest.json")).expect("it is done");
    let manifest = project.json(&format!("runs/{manifest}"));
    let files = manifest["rejects"].as_array().expect("a list").iter();
    let texts = files.map(|file| fs::read_to_string(runs.join(file.as_str().expect("a key"))).expect("it is there"));
    let rejects: Vec<Value> = texts
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<_>>())
        .collect();
    let counts = manifest["rejected"].as_object().expect("counts").values();
    let counted: u64 = counts.map(|count| count.as_u64().expect("a number")).sum();
    assert_eq!(counted, rejects.len() as u64, "a reject is a line, once");
    rejects
}

/// Returns the events about poison records.
fn told(project: &Project) -> Vec<Value> {
    let files = project.files("runs").into_iter().filter(|file| file.contains("/events/"));
    let events =
        files.map(|file| fs::read_to_string(project.path("runs").join(file)).expect("read")).collect::<String>();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter(|event| event["event"] == "poison_record").collect()
}

#[test]
fn without_its_poison_records_a_shard_has_the_result_it_would_have_if_they_were_not_there() {
    let input = lines(&[7, 1234, 1235, 1236, 5999]);
    let expected = Project::of(&word_count()).file("input/a.txt", good(&input)).result(NONE);
    for settings in [&["run.concurrency=1"][..], &["run.concurrency=4", "split.target_size=9000"]] {
        let project = Project::of(&word_count()).file("input/a.txt", &input);
        let result = project.result(settings.iter().flat_map(|setting| ["--set", setting]));
        assert_eq!(result, expected, "{settings:?}");
        let rejects = rejects(&project);
        assert_eq!(rejects.len(), 5);
        for (number, reject) in [7, 1234, 1235, 1236, 5999].into_iter().zip(&rejects) {
            let record = format!("poison {number}");
            assert_eq!((&reject["object"], &reject["step"]), (&"a.txt".into(), &"map".into()));
            assert_eq!(
                reject["offset"].as_u64().expect("an offset") as usize,
                input.find(&record).expect("it is there")
            );
            assert_eq!(reject["record"], record.as_str());
            let reason = reject["reason"].as_str().expect("a reason");
            assert!(reason.starts_with("panicked in `process` at fixtures/crimes/src/acts.rs:"), "{reason}");
            assert!(reason.contains("tripped over `poison`\nin panic_on_line ("), "{reason}");
        }
        assert_eq!(told(&project).len(), 5);
    }
}

#[test]
fn many_poison_records_of_a_batch_are_found_at_once() {
    let poison: Vec<usize> = (100..200).step_by(12).collect();
    let project = Project::of(&word_count()).file("input/a.txt", lines(&poison));
    let ended = project.run(["--events", "json"]);
    assert_eq!(ended.expect_success().stdout.matches("\"event\":\"poison_record\"").count(), poison.len());
    // Messages that the plugin prints while records are replayed do not become events again.
    assert_eq!(
        ended.stdout.matches("tripped over `poison`\",\"step\":\"map\",\"task\"").count(),
        1,
        "{}",
        ended.stdout
    );
}

/// Maps three lines, the second of which makes `crimes` fail.
fn commit(crime: &str, more: &str) -> (Project, Ended) {
    let batch_timeout = batch_timeout(crime, "500ms");
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\", on = \"bad\" {more} }}, max_rejects = 1, \
         limits = {{ memory = \"32MiB\", timeout = \"2h\", batch_timeout = \"{batch_timeout}\", output = \"8MiB\" }}, \
         retry = {{ interval = \"1ms\" }} }}]\nsink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "good\nbad\nfine\n");
    let ended = project.run(NONE);
    (project, ended)
}

#[test]
fn whatever_way_a_record_makes_a_mapper_fail_it_is_set_aside() {
    for (crime, reason) in [
        ("panic", "panicked in `process` at"),
        ("unreachable", "trapped (wasm `unreachable` instruction executed) in `process`"),
        ("exit", "called `exit` in `process`"),
        ("stack-overflow", "or its stack overflowed) in `process`"),
        ("bad-function-pointer", "out of bounds table access"),
        ("spin", "exceeded `limits.batch_timeout` (500ms) in `process`"),
        ("grow-memory", "exceeded `limits.memory`"),
        ("output-flood", "exceeded `limits.output`"),
        ("other", "failed in `process`: as asked"),
    ] {
        let (project, ended) = commit(crime, "");
        ended.expect_success();
        assert_eq!(project.latest()[0].1, "good\nfine\n", "{crime}");
        let rejects = rejects(&project);
        assert_eq!((rejects.len(), &rejects[0]["record"], &rejects[0]["offset"]), (1, &"bad".into(), &5.into()));
        assert!(rejects[0]["reason"].as_str().is_some_and(|told| told.contains(reason)), "{crime}: {rejects:?}");
        assert!(ended.stderr.contains("map of shard 0: record 1, `a.txt` at byte 5, is set aside: "), "{ended:#?}");
    }
}

#[test]
fn a_failure_that_does_not_come_again_sets_nothing_aside() {
    for crime in ["panic", "spin", "grow-memory"] {
        let (project, ended) = commit(crime, ", until = 2");
        ended.expect_success();
        assert_eq!((project.latest()[0].1.as_str(), rejects(&project).len()), ("good\nbad\nfine\n", 0), "{crime}");
        let named = "attempt 1 failed, trying again in 1ms: no single record makes the mapper fail: ";
        assert!(ended.stderr.contains(named), "{ended:#?}");
    }
}

#[test]
fn a_record_that_may_not_be_set_aside_is_named_and_ends_the_run_at_once() {
    let project = Project::of(&word_count()).file("input/a.txt", lines(&[3000, 3001, 3002]));
    let none = project.run(["--set", "map.0.max_rejects=0"]);
    none.expect_error(
        42,
        &[
            "error: map of shard 0 failed: record `poison 3000` (`a.txt` at byte ",
            ") makes `map` fail each time, and its `max_rejects` allows no further reject (limit 0): map plugin \
             `crimes.wasm` panicked in `process` at fixtures/crimes/src/acts.rs:",
            ": tripped over `poison`\n  in panic_on_line (",
        ],
    );
    assert!(!none.stderr.contains("trying again"), "{none:#?}");
    let two = project.run(["--set", "map.0.max_rejects=2"]);
    two.expect_error(42, &["record `poison 3002` (", "(limit 2)"]);
    // `max_rejects` may be raised when a run is resumed, since the number of bad records was not known before.
    project.run(["--resume", "--set", "map.0.max_rejects=3"]).expect_success();
    assert!(project.files("result").iter().any(|file| file.ends_with("_SUCCESS")));
}

#[test]
fn poison_and_what_the_step_itself_rejects_count_together_and_over_all_shards() {
    let project = Project::of(&word_count()).file("input/a.txt", lines(&[10, 3000, 5990]));
    let shards = ["--set", "split.target_size=9000", "--set"];
    project.run([&shards[..], &["map.0.max_rejects=2"]].concat()).expect_error(42, &["(limit 2)"]);
    project.run([&shards[..], &["map.0.max_rejects=3"]].concat()).expect_success();
}

#[test]
fn in_a_chain_the_step_that_fails_is_blamed_for_the_record_it_came_from() {
    let pipeline = format!(
        "map = [{{ plugin = {FILTER_CLEAN}, config = {{ pattern = \"o\" }} }},\n\
         {{ plugin = {CRIMES}, config = {{ crime = \"panic-on-line\", text = \"poison\" }}, max_rejects = 1 }}]\n\
         sink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\n  poison  \nsix\ntwo\n");
    assert_eq!(project.result(NONE)[0].1, "one\ntwo\n");
    let rejects = rejects(&project);
    assert_eq!((rejects.len(), &rejects[0]["step"], &rejects[0]["offset"]), (1, &"map 2".into(), &4.into()));
    assert_eq!((&rejects[0]["record"], &rejects[0]["object"]), (&"  poison  ".into(), &"a.txt".into()));
}

#[test]
fn records_of_json_are_named_by_their_lines() {
    let pipeline = format!(
        "source.format = \"json\"\nsource.fields = {{ word = \"text\", n = \"int64\" }}\n\
         map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic\", on = \"bad\" }} }}]\n"
    );
    let input = "{\"word\":\"a\",\"n\":1}\nnot json\n{\"n\":2}\n{\"word\":\"bad\",\"n\":3}\n{\"word\":\"c\"}\n";
    let project = Project::of(&pipeline).file("input/a.jsonl", input);
    let result = project.result(["--set", "run.max_rejects=1"]);
    assert_eq!(result[0].1, "{\"word\":\"a\",\"n\":1}\n{\"word\":null,\"n\":2}\n{\"word\":\"c\",\"n\":null}\n");
    let rejects = rejects(&project);
    let steps: Vec<&Value> = rejects.iter().map(|reject| &reject["step"]).collect();
    assert_eq!(steps, ["source", "map"]);
    assert_eq!((&rejects[1]["offset"], &rejects[1]["record"]), (&36.into(), &"{\"word\":\"bad\",\"n\":3}".into()));
}

#[test]
fn records_a_splitter_made_are_named_by_their_shard_and_number() {
    let pipeline = format!(
        "split = {{ plugin = {SPLIT_RANDOM}, config = {{ min = 1, max = 1 }} }}\n\
         map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic\", on = \"bad\" }} }}]\n\
         sink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "good\nfine\nbad\n");
    project.run(NONE).expect_error(42, &["record `bad` (record 2 of shard 0) makes `map` fail each time"]);
    assert_eq!(project.result(["--set", "run.max_rejects=1"])[0].1, "good\nfine\n");
    let rejects = rejects(&project);
    assert_eq!(
        (&rejects[0]["shard"], &rejects[0]["number"], &rejects[0]["record"]),
        (&0.into(), &2.into(), &"bad".into())
    );
}

#[test]
fn a_record_that_fails_only_after_others_of_its_batch_is_not_blamed() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic-on-second\", text = \"once\" }}, max_rejects = 1 }}]\n\
         sink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "once\nmore\nonce again\nlast\n");
    project.run(NONE).expect_error(
        42,
        &["no single record makes the mapper fail, only the batch as a whole, from record `once` (`a.txt` at byte 0) \
           to record `last` (`a.txt` at byte 21): map plugin `crimes.wasm` panicked in `process` at"],
    );
    assert!(told(&project).is_empty(), "a record is blamed");
}

#[test]
fn a_task_of_many_shards_goes_on_without_the_poison_of_each() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic\", on = \"bad\" }}, max_rejects = 3 }}]\n\
         sink.format = \"lines\"\nsplit.target_size = 4\n"
    );
    let line = |n: usize| if [4, 5, 1100].contains(&n) { "bad\n" } else { "one\n" };
    let project = Project::of(&pipeline).file("input/a.txt", (0..1200).map(line).collect::<String>());
    let result = project.result(["--set", "run.fsync=false"]);
    assert!(result.len() < 1200, "a task is more than a shard");
    assert_eq!(result.into_iter().map(|(_, text)| text).collect::<String>(), "one\n".repeat(1197));
    let offsets: Vec<Value> = rejects(&project).iter().map(|reject| reject["offset"].clone()).collect();
    assert_eq!(offsets, [16, 20, 4400]);
}

#[test]
fn killed_at_any_step_a_run_sets_each_poison_record_aside_once() {
    let input = lines(&[7, 1234, 5999]);
    let expected = Project::of(&word_count()).file("input/a.txt", good(&input)).result(NONE);
    for point in [
        "map.begin:2",
        "map.mapped",
        "upload.finish",
        "upload.finished:2",
        "commit.begin",
        "commit.end:2",
        "reduce.begin",
    ] {
        let project = Project::of(&word_count()).file("input/a.txt", &input);
        let settings = ["--run-id", "r", "--set", "split.target_size=30000", "--set", "run.concurrency=2"];
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(settings).env("ETL_HOST_FAIL_POINT", point);
        assert_eq!(Ended::of(&mut command).code, None, "killed at {point}");
        assert_eq!(project.result(settings), expected, "{point}");
        let records: Vec<Value> = rejects(&project).iter().map(|reject| reject["record"].clone()).collect();
        assert_eq!(records, ["poison 7", "poison 1234", "poison 5999"], "{point}");
    }
}

#[test]
fn a_reducer_that_fails_is_told_with_the_key_it_was_at() {
    let pipeline = format!(
        "map = [{{ plugin = {COUNT_BY_TYPE} }}]\n\
         reduce = {{ plugin = {BAD_COMBINER}, config = {{ mode = \"panic-on-key\", key = \"c\" }}, retry = {{ attempts = 1 }} }}"
    );
    let project = Project::of(&pipeline).file("input/a.txt", "a\nb\nc\nd\n");
    project.run(NONE).expect_error(
        42,
        &["reduce of partition 0 failed: key `c`: reduce plugin `bad_combiner.wasm` panicked in `process`"],
    );
    let batch = project.run(["--set", "reduce.config.mode=panic"]);
    batch.expect_error(42, &["reduce of partition 0 failed: key `a`: reduce plugin"]);
    // The search for the key fails; the failure is told all the same.
    let search = project.run(["--set", "reduce.config.mode=panic-then-in-open"]);
    search.expect_error(
        42,
        &["reduce of partition 0 failed: keys `a` to `d`: reduce plugin `bad_combiner.wasm` panicked in `process`"],
    );
}
