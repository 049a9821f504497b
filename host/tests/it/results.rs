//! Results: they are right, and have the same bytes for any division of the work and after any trouble on the way.

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt};

use crate::{
    guests::{COUNT_BY_TYPE, FILTER_CLEAN, SUM, WORD_COUNT},
    support::{NONE, Project, etl_host, etl_host_command},
};

fn word_count() -> String {
    format!("map = [{{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, combine = true, partitions = 3 }}\n")
}

/// Returns text of many words, some common and some rare; the same for the same seed.
fn words(lines: u64, seed: u64) -> String {
    let mut state = seed;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let roll = state >> 33;
        format!("w{}", if roll.is_multiple_of(3) { roll % 10 } else { roll % 5_000 })
    };
    (0..lines).map(|_| format!("{} {} {}\n", word(), word(), word())).collect()
}

fn count(text: &str) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

fn parse(result: &[(String, String)]) -> BTreeMap<String, i64> {
    let rows = result.iter().flat_map(|(_, text)| text.lines());
    let rows = rows.map(|row| serde_json::from_str::<serde_json::Value>(row).expect("a row is JSON"));
    let pair = |row: serde_json::Value| {
        (row["word"].as_str().expect("a word").to_owned(), row["count"].as_i64().expect("a count"))
    };
    rows.map(pair).collect()
}

#[test]
fn words_are_counted_right_and_each_partition_is_sorted() {
    let (one, two) = (words(5_000, 1), words(3_000, 2));
    let project = Project::of(&word_count()).file("input/one.txt", &one).file("input/deep/two.txt", &two);
    let result = project.result(["--set", "split.target_size=10KiB"]);
    assert_eq!(result.len(), 3);
    assert_eq!(parse(&result), count(&(one + &two)));
    for (name, text) in &result {
        let words: Vec<String> = parse(&[(name.clone(), text.clone())]).into_keys().collect();
        let order: Vec<&str> = text.lines().collect();
        assert_eq!(words.len(), order.len(), "every word is in one row of one part");
        assert!(order.is_sorted_by_key(|row| row.split('"').nth(3)), "{name} is not sorted");
    }
}

#[test]
fn the_result_has_the_same_bytes_for_any_concurrency_shard_size_and_shuffle_memory_on_every_run() {
    let project = Project::of(&word_count()).file("input/a.txt", words(20_000, 3)).file("input/b.txt", words(100, 4));
    let expected = project.result(NONE);
    for set in [
        "run.concurrency=1",
        "run.concurrency=16",
        "split.target_size=1KiB",
        "split.target_size=77777",
        "run.shuffle_memory=1MiB",
        "reduce.combine=false",
        "name=other",
    ] {
        assert_eq!(project.result(["--set", set]), expected, "with {set}");
    }
    assert_eq!(project.result(["--set", "run.concurrency=3"]), expected);
}

#[test]
fn a_shuffle_larger_than_its_memory_spills_and_gives_the_same_bytes() {
    let pipeline = format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}\n");
    let lines: String = (0..300_000_u64).map(|n| format!("key {}\n", n.wrapping_mul(7_919) % 250_007)).collect();
    let project = Project::of(&pipeline).file("input/a.txt", lines);
    let in_memory = project.result(NONE);
    assert_eq!(in_memory[0].1.lines().count(), 250_007);
    assert_eq!(project.result(["--set", "run.shuffle_memory=1MiB"]), in_memory);
}

#[test]
fn a_plugin_is_swapped_without_building_the_host() {
    let project = Project::of(&format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}"))
        .file("input/a.txt", "b a\na b\na b\n");
    assert_eq!(project.result(NONE)[0].1, "{\"type\":\"a b\",\"count\":2}\n{\"type\":\"b a\",\"count\":1}\n");
    let swap = format!("map.0.plugin={WORD_COUNT}");
    assert_eq!(project.result(["--set", &swap])[0].1, "{\"word\":\"a\",\"count\":3}\n{\"word\":\"b\",\"count\":3}\n");
}

#[test]
fn without_a_reducer_parts_hold_the_records_in_the_order_of_the_source() {
    let lines: String = (0..5_000).map(|n| format!("line {n}\n")).collect();
    let project = Project::of(&format!("map = [{{ plugin = {FILTER_CLEAN} }}]\nsink.format = \"lines\""))
        .file("input/a.txt", &lines)
        .file("input/b.txt", "last");
    let result = project.result(["--set", "split.target_size=3KiB"]);
    assert!(result.len() > 10, "{} parts", result.len());
    assert_eq!(result.into_iter().map(|(_, text)| text).collect::<String>(), lines + "last\n");
}

#[test]
fn chained_maps_run_in_one_task() {
    let pipeline = format!(
        r#"
        map = [
            {{ plugin = {FILTER_CLEAN}, config = {{ pattern = "^keep " }} }},
            {{ plugin = {COUNT_BY_TYPE}, config = {{ separator = " ", field = 1 }} }},
        ]
        reduce = {{ plugin = {SUM} }}
    "#
    );
    let project = Project::of(&pipeline).file("input/a.txt", "keep a\ndrop a\n  keep b\nkeep a\n");
    assert_eq!(project.result(NONE)[0].1, "{\"type\":\"a\",\"count\":2}\n{\"type\":\"b\",\"count\":1}\n");
}

#[test]
fn a_run_that_is_done_is_not_done_again() {
    let project = Project::of(&word_count()).file("input/a.txt", words(100, 5));
    let first = project.result(["--run-id", "nightly"]);
    let before = project.files("runs");
    assert_eq!(project.result(["--run-id", "nightly"]), first);
    assert_eq!(project.files("runs"), before);
}

#[test]
fn a_run_goes_on_with_what_is_not_committed() {
    let project = Project::of(&word_count()).file("input/a.txt", words(3_000, 6));
    let arguments = ["--run-id", "nightly", "--set", "split.target_size=4KiB"];
    let expected = project.result(arguments);
    let run = project.path("runs/test/nightly");
    let of_plan = project.path(&project.of_plan("nightly"));
    let kept = fs::read(of_plan.join("map/000001/commit.json")).expect("shard 1 is committed");
    for lost in [run.join("_SUCCESS"), run.join("manifest.json"), of_plan.join("map/000002/commit.json")] {
        fs::remove_file(lost).expect("it was there");
    }
    fs::remove_dir_all(project.path("result")).expect("the result was there");
    // The parts were deleted with the result, so the reduce tasks must make them again.
    fs::remove_dir_all(of_plan.join("reduce")).expect("the partitions were committed");
    assert_eq!(project.result(arguments), expected);
    assert_eq!(fs::read(of_plan.join("map/000001/commit.json")).expect("it is still there"), kept);
}

#[test]
fn a_run_is_not_resumed_when_plugin_pipeline_or_source_changed() {
    let project = Project::of(&word_count()).file("input/a.txt", words(100, 7));
    project.result(["--run-id", "nightly"]);
    fs::remove_file(project.path("runs/test/nightly/_SUCCESS")).expect("it was there");
    let id = ["--run-id", "nightly", "--set"];
    project.run([&id[..], &["reduce.partitions=2"]].concat()).expect_error(2, &["`reduce.partitions` (was 3, is 2)"]);
    let project = project.file("input/a.txt", "something else\n");
    project.run(["--run-id", "nightly"]).expect_error(2, &["source object `a.txt`"]);
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let project = Project::of(&word_count()).file("input/a.txt", words(60_000, 8));
    let arguments = ["--quiet", "--set", "split.target_size=8KiB", "--set", "run.concurrency=2"];
    let expected = project.result(arguments);
    for commits in [1, 20, 40, 10] {
        let status = etl_host_command()
            .arg(project.path("pipeline.toml"))
            .args(arguments)
            .args(["--run-id", "killed"])
            .env("ETL_HOST_FAIL_POINT", format!("commit.end:{commits}"))
            .status()
            .expect("the binary starts");
        assert_eq!(status.signal(), Some(9), "it was not killed after {commits} commits");
    }
    let result = project.result([&arguments[..], &["--run-id", "killed"]].concat());
    assert_eq!(result, expected);
}

#[test]
fn two_processes_on_one_run_give_one_result() {
    let project = Project::of(&word_count()).file("input/a.txt", words(20_000, 9));
    let arguments = ["--quiet", "--run-id", "shared", "--set", "split.target_size=8KiB"];
    let expected = project.result(["--quiet", "--set", "split.target_size=8KiB"]);
    std::thread::scope(|threads| {
        let both: Vec<_> = (0..2).map(|_| threads.spawn(|| project.run(arguments))).collect();
        for ended in both {
            ended.join().expect("no panic").expect_success();
        }
    });
    assert_eq!(project.files("runs/test/shared/events").len(), 2, "each process keeps its own events");
    assert_eq!(project.latest(), expected);
}

#[test]
fn a_thousand_shards_in_flight_do_not_starve_each_other() {
    let project = Project::of(&word_count()).file("input/a.txt", words(3_000, 13));
    let expected = project.result(NONE);
    assert_eq!(project.result(["--quiet", "--set", "run.concurrency=600", "--set", "split.target_size=40"]), expected);
}

#[test]
fn memory_can_hold_the_run_while_the_result_goes_to_disk() {
    let project = Project::of(&word_count()).file("input/a.txt", words(500, 11));
    let expected = project.result(NONE);
    assert_eq!(project.result(["--set", "run.store=memory://here/runs"]), expected);
}

#[test]
fn inspect_says_what_a_plugin_is() {
    let ended = etl_host([std::ffi::OsStr::new("inspect"), SUM.path().as_os_str()]);
    ended.expect_success();
    for text in ["reduce", "0.1.0", "etl:plugin/output@0.2.0"] {
        assert!(ended.stdout.contains(text), "no `{text}` in {ended:#?}");
    }
    assert!(!ended.stdout.contains("etl:plugin/source"), "{ended:#?}");
}

#[test]
fn check_says_what_a_run_would_do_and_touches_nothing() {
    let project = Project::of(&word_count()).file("input/a.txt", words(1_000, 12));
    let ended = etl_host([
        "check".as_ref(),
        project.path("pipeline.toml").as_os_str(),
        "--set".as_ref(),
        "split.target_size=4KiB".as_ref(),
    ]);
    ended.expect_success();
    for text in ["word text, count int64 (key: word)", "line binary"] {
        assert!(ended.stdout.contains(text), "no `{text}` in {ended:#?}");
    }
    assert!(!project.path("runs").exists() && !project.path("result").exists());
}
