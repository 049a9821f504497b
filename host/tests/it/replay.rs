//! `etl-host replay`: an attempt of an earlier run is run again unchanged, and nothing is written.

use std::{collections::BTreeMap, fs};

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES, PROBE_WORLD, SUM, WORD_COUNT},
    support::{Ended, NONE, Project, etl_host, shell},
};

/// Returns a step that tries what each line names. One of the lines makes it panic.
fn probe() -> String {
    format!("map = [{{ plugin = {PROBE_WORLD} }}]")
}

fn replay(project: &Project, arguments: &[&str]) -> Ended {
    let file = project.path("pipeline.toml").display().to_string();
    etl_host([&["replay", &file], arguments].concat())
}

/// Returns all files of run store and sink, with their contents.
fn stores(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let files =
        |directory: &'static str| project.files(directory).into_iter().map(move |file| format!("{directory}/{file}"));
    files("runs")
        .chain(files("result"))
        .map(|file| (file.clone(), fs::read(project.path(&file)).expect("read")))
        .collect()
}

/// Returns the command that follows this line of a message.
fn command_after<'a>(stderr: &'a str, line: &str) -> &'a str {
    let (_, rest) = stderr.split_once(line).unwrap_or_else(|| panic!("no `{line}` in {stderr}"));
    rest.trim_start().lines().next().expect("a command")
}

#[test]
fn a_failed_run_says_how_to_see_it_again_and_a_fixed_plugin_can_be_tried_on_it() {
    let project = Project::of(&probe()).file("input/a.txt", "clock\npanic at the disco\nrandom\n");
    let run = project.run(["--run-id", "r"]);
    run.expect_error(42, &["record `panic at the disco` (`a.txt` at byte 6)"]);
    let before = stores(&project);

    let again = Ended::of(&mut shell(command_after(&run.stderr, "this does the same again, writing nothing:\n")));
    again.expect_error(
        42,
        &["error: map of shard 0 failed: record `panic at the disco` (`a.txt` at byte 6) makes `map` fail"],
    );
    again.expect_error(
        42,
        &["panicked in `process` at fixtures/probe-world/src/lib.rs:", ": at the disco\n  in probe ("],
    );
    assert_eq!(again.stdout, "");

    let fixed = CRIMES.path().display().to_string();
    let fixed = replay(&project, &["r", "--shard", "0", "--plugin", &fixed, "--set", "sink.format=lines"]);
    let lines = "{\"line\":\"clock\"}\n{\"line\":\"panic at the disco\"}\n{\"line\":\"random\"}\n";
    assert_eq!(fixed.expect_success().stdout, lines);
    assert!(fixed.stderr.ends_with("map of shard 0: 3 records in, 3 rows out\n"), "{fixed:#?}");
    assert_eq!(stores(&project), before);
}

#[test]
fn random_numbers_clock_and_configuration_are_those_of_the_run() {
    let project = Project::of(&probe()).file("input/a.txt", "random\nclock\nmonotonic\n");
    let result = project.result(NONE);
    let again = replay(&project, &["--shard", "0"]);
    assert_eq!(again.expect_success().stdout, result[0].1);
    // The configuration in `pipeline.toml` changes, but a replay uses the one in the plan.
    let text = fs::read_to_string(project.path("pipeline.toml")).expect("read");
    let project = project.file("pipeline.toml", text.replace("map = [{", "map = [{ config = { no = \"such key\" },"));
    project.run(NONE).expect_error(2, &["`map[0].config.no` is not known"]);
    assert_eq!(replay(&project, &["--shard", "0"]).expect_success().stdout, result[0].1);
}

#[test]
fn what_is_not_as_it_was_is_refused_by_name() {
    let copy = fs::read(PROBE_WORLD.path()).expect("read");
    let project =
        Project::of("map = [{ plugin = \"step.wasm\" }]").file("step.wasm", &copy).file("input/a.txt", "clock\n");
    project.run(NONE).expect_success();
    // The same component with one more section, which is empty and has no meaning.
    let project = project.file("step.wasm", [&copy[..], b"\0\x02\x01x"].concat());
    replay(&project, &["--shard", "0"])
        .expect_error(2, &["the plugin of `map` is not the one of run `", "(was ", "`--plugin`"]);
    let changed = project.path("step.wasm").display().to_string();
    replay(&project, &["--shard", "0", "--plugin", &changed]).expect_success();
    let project = project.file("step.wasm", &copy).file("input/a.txt", "random\n");
    replay(&project, &["--shard", "0"]).expect_error(42, &["a.txt"]);

    replay(&project, &["--shard", "1"]).expect_error(2, &["the run has no shard 1 (it has one: 0)"]);
    replay(&project, &["--partition", "0"]).expect_error(2, &["the run has no partitions"]);
    replay(&project, &["other", "--shard", "0"]).expect_error(2, &["no run `other`"]);
    replay(&project, &["--shard", "0", "--plugin", "x", "--step", "map 2"])
        .expect_error(2, &["no step `map 2` (choices: `map`)"]);
    replay(&project, &["--partition", "0", "--plugin", "x"])
        .expect_error(2, &["the run has no partitions (its pipeline has no `[reduce]`; `--shard N` replays a shard)"]);
    assert_eq!(replay(&project, &[]).code, Some(2));
}

#[test]
fn one_record_can_be_replayed_by_its_number_or_its_place() {
    let project = Project::of(&probe()).file("input/a.txt", "a\npanic now\n").file("input/b.txt", "b\nc\n");
    project.run(["--set", "run.max_rejects=1"]).expect_success();
    let emitted = |of: &[&str]| replay(&project, &[&["--shard", "0"], of].concat()).expect_success().stdout.clone();
    let line = |line: &str| format!("{{\"line\":\"{line} -> error: unknown command `{line}`\"}}\n");
    assert_eq!(emitted(&["--record", "3"]), line("c"));
    assert_eq!(emitted(&["--offset", "0"]), line("a"));
    assert_eq!(emitted(&["--offset", "2", "--object", "b.txt"]), line("c"));
    let poison = replay(&project, &["--shard", "0", "--record", "1"]);
    poison.expect_error(42, &["error: record `panic now` (`a.txt` at byte 2): map plugin `probe_world.wasm` panicked"]);
    let none =
        |of: &[&str], what: &str| _ = replay(&project, &[&["--shard", "0"], of].concat()).expect_error(2, &[what]);
    none(&["--record", "4"], "shard 0 has no record 4 (it has 4, counted from 0)");
    none(&["--offset", "1"], "no record of shard 0 starts at byte 1");
}

#[test]
fn rows_past_the_limit_are_counted_and_rejects_shown() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic\", on = \"bad\" }}, max_rejects = 1 }}]\nsink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", format!("{}bad\n", "good\n".repeat(50)));
    project.run(NONE).expect_success();
    let again = replay(&project, &["--shard", "0"]);
    assert_eq!(again.expect_success().stdout, "{\"line\":\"good\"}\n".repeat(20));
    for text in [
        "… and 30 more rows (`--limit` ",
        "map of shard 0: 51 records in, 50 rows out, 1 rejected\n  rejected `a.txt` at byte 250: panicked",
    ] {
        assert!(again.stderr.contains(text), "no `{text}` in {again:#?}");
    }
    assert_eq!(replay(&project, &["--shard", "0", "--limit", "50"]).stdout.lines().count(), 50);
    replay(&project, &["--shard", "0", "--set", "map.0.max_rejects=0"])
        .expect_error(42, &["record `bad`", "(limit 0)"]);
}

#[test]
fn a_shard_of_a_task_of_many_is_replayed_alone() {
    let pipeline = format!("map = [{{ plugin = {PROBE_WORLD} }}]\nsplit.target_size = 7\n");
    let project = Project::of(&pipeline).file("input/a.txt", "random\n".repeat(600));
    let result = project.result(["--set", "run.fsync=false"]);
    let all: Vec<&str> = result.iter().flat_map(|(_, text)| text.lines()).collect();
    assert!(result.len() < 600 && all.len() == 600, "a task is more than a shard");
    for shard in [0, 1, 599] {
        assert_eq!(replay(&project, &["--shard", &shard.to_string()]).stdout.trim(), all[shard]);
    }
}

#[test]
fn a_partition_is_replayed_when_all_its_rows_are_there() {
    let pipeline = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, combine = true, partitions = 2 }}\nsplit.target_size = 9"
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one two\nthree one\nfour five one\n");
    let result = project.result(["--run-id", "r"]);
    let before = stores(&project);
    for (partition, (_, part)) in result.iter().enumerate() {
        let again = replay(&project, &["r", "--partition", &partition.to_string()]);
        assert_eq!(&again.expect_success().stdout, part);
    }
    assert_eq!(stores(&project), before);

    let pipeline = format!(
        "map = [{{ plugin = {COUNT_BY_TYPE} }}]\n\
         reduce = {{ plugin = {BAD_COMBINER}, config = {{ mode = \"panic-on-key\", key = \"b\" }}, retry = {{ attempts = 1 }} }}"
    );
    let project = Project::of(&pipeline).file("input/a.txt", "a\nb\n");
    let run = project.run(["--run-id", "s"]);
    let again = Ended::of(&mut shell(command_after(&run.stderr, "this does the same again, writing nothing:\n")));
    again.expect_error(
        42,
        &["error: reduce of partition 0 failed: key `b`: reduce plugin `bad_combiner.wasm` panicked"],
    );
    let commit = project.path(&format!("{}/map/000000/commit.json", project.of_plan("s")));
    fs::remove_file(commit).expect("it was there");
    replay(&project, &["s", "--partition", "0"]).expect_error(2, &["has committed 0 of 1 map tasks", "`--run-id s`"]);
}
