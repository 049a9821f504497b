//! Tolerated failures: a run ends without the shards that failed, says so, and leaves out no others.

use std::fs;

use serde_json::Value;

use crate::support::{Ended, Project, etl_host_command};

/// Five shards of a line each; some trip the mapper.
const INPUT: &str = "one\nbad\ntwo\nbad\nsix\n";

/// Trips over what the lines that are bad contain.
const TRIPS: &str = "plugin = \"plugin:crimes\", config = { crime = \"panic-on-line\", text = \"bad\" }, \
                     retry = { interval = \"1ms\" }";

fn map_only() -> Project {
    Project::of(&format!("split.target_size = 4\nmap = [{{ {TRIPS} }}]\nsink.format = \"lines\""))
        .file("input/a.txt", INPUT)
}

fn with_reduce() -> Project {
    let maps = format!("[{{ {TRIPS} }}, {{ plugin = \"plugin:count_by_type\" }}]");
    let reduce = "{ plugin = \"plugin:sum\", combine = true, partitions = 2 }";
    Project::of(&format!("split.target_size = 4\nmap = {maps}\nreduce = {reduce}")).file("input/a.txt", INPUT)
}

fn tolerate(project: &Project, tolerated: &str) -> Ended {
    project.run(["--run-id", "r", "--set", &format!("run.tolerated_failures={tolerated}")])
}

fn json(project: &Project, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(project.path(file)).expect(file)).expect("JSON")
}

fn text(project: &Project) -> String {
    project.latest().into_iter().map(|(_, text)| text).collect()
}

#[track_caller]
fn check_manifest(project: &Project) {
    let failed = json(project, "runs/test/r/manifest.json")["failed"].clone();
    assert_eq!(failed.as_array().expect("a list").len(), 2, "{failed}");
    for (place, shard) in [(0, 1), (1, 3)] {
        let failure = &failed[place];
        assert_eq!((&failure["shard"], &failure["shards"]), (&shard.into(), &1.into()), "{failure}");
        let slice = serde_json::json!([{ "object": "a.txt", "offset": shard * 4, "length": 4 }]);
        assert_eq!((&failure["slices"], &failure["kind"]), (&slice, &"input".into()), "{failure}");
        assert!(failure["error"].as_str().expect("text").contains("tripped over `bad`"), "{failure}");
    }
    assert_eq!(json(project, "result/latest.json")["failed_shards"], 2);
    assert!(project.path("result/r/_SUCCESS").exists());
}

#[test]
fn a_run_ends_without_the_shards_that_failed_and_says_which_and_why() {
    for tolerated in ["2", "40%"] {
        let project = map_only();
        let ended = tolerate(&project, tolerated);
        assert_eq!(ended.code, Some(3), "{ended:#?}");
        assert_eq!(text(&project), "one\ntwo\nsix\n");
        check_manifest(&project);
        let parts: Vec<String> = project.latest().into_iter().map(|(part, _)| part).collect();
        assert_eq!(parts, ["part-00000.txt", "part-00002.txt", "part-00004.txt"]);
        assert!(ended.stdout.contains("left out   shard 1: map of shard 1 failed: record `bad`"), "{ended:#?}");
        assert!(ended.stderr.contains("2 shards failed and not in the result"), "{ended:#?}");
        let again = tolerate(&project, tolerated);
        assert_eq!((again.code, again.stdout.contains("was done before")), (Some(3), true), "{again:#?}");
    }
}

#[test]
fn what_the_reducer_gets_lacks_the_shards_that_failed() {
    let project = with_reduce();
    assert_eq!(tolerate(&project, "2").code, Some(3));
    let mut lines: Vec<String> = text(&project).lines().map(str::to_owned).collect();
    lines.sort();
    let counts = ["one", "six", "two"].map(|line| format!("{{\"type\":\"{line}\",\"count\":1}}"));
    assert_eq!(lines, counts);
    check_manifest(&project);
}

#[test]
fn one_failure_too_many_fails_the_run_which_tries_all_of_them_again() {
    for tolerated in ["1", "39%"] {
        let project = map_only();
        let ended = tolerate(&project, tolerated);
        ended.expect_error(42, &["2 shards failed (1, 3), but `run.tolerated_failures` allows 1", "map of shard "]);
        let runs = project.files("runs");
        assert!(
            !runs.iter().any(|file| file.ends_with("000001/commit.json") || file.ends_with("_SUCCESS")),
            "{runs:?}"
        );
        assert!(!project.path("result/latest.json").exists());
        assert_eq!(tolerate(&project, "2").code, Some(3));
        assert_eq!(text(&project), "one\ntwo\nsix\n");
    }
    tolerate(&map_only(), "0").expect_error(42, &["error: map of shard "]);
}

#[test]
fn what_is_not_the_datas_or_a_plugins_is_not_tolerated() {
    for (crime, code) in [("invalid-config", 2), ("retryable", 75), ("fatal", 3), ("invalid-input", 3), ("spin", 3)] {
        let project = Project::of(&format!(
            "split.target_size = 4\nsink.format = \"lines\"\nrun.tolerated_failures = 5\nmap = [{{ plugin = \
             \"plugin:crimes\", config = {{ crime = \"{crime}\", task = 1 }}, limits = {{ batch_timeout = \"1s\" }}, \
             retry = {{ interval = \"1ms\" }} }}]"
        ));
        let ended = project.file("input/a.txt", "one\ntwo\nsix\n").run(["--quiet"]);
        assert_eq!(ended.code, Some(code), "{crime}: {ended:#?}");
    }
}

#[test]
fn a_partition_that_fails_is_not_tolerated() {
    let project = Project::of(
        "map = [{ plugin = \"plugin:word_count\" }]\nreduce = { plugin = \"plugin:sum\", limits = { output = 1 } }\n\
         run.tolerated_failures = \"100%\"",
    );
    project.file("input/a.txt", "one\n").run(["--quiet"]).expect_error(42, &["reduce of partition 0 failed"]);
}

#[test]
fn killed_while_failures_are_committed_a_run_goes_on_to_the_same_bytes() {
    let project = with_reduce();
    assert_eq!(tolerate(&project, "2").code, Some(3));
    let expected = project.latest();
    for point in ["failure.commit", "failure.commit:2", "reduce.begin", "publish.begin"] {
        fs::remove_dir_all(project.path("runs")).expect("it was there");
        fs::remove_dir_all(project.path("result")).expect("it was there");
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--run-id", "r", "--set", "run.tolerated_failures=2"]);
        let killed = Ended::of(command.env("ETL_HOST_FAIL_POINT", point));
        assert_eq!(killed.code, None, "{point}: {killed:#?}");
        if point == "reduce.begin" {
            // What is left out is settled; to tolerate less comes too late.
            tolerate(&project, "1").expect_error(42, &["leaves out 2 shards that failed (1, 3)", "raise it again"]);
        }
        let resumed = tolerate(&project, "2");
        assert_eq!(resumed.code, Some(3), "{point}: {resumed:#?}");
        assert_eq!(project.latest(), expected, "{point}");
        check_manifest(&project);
    }
}

#[test]
fn processes_that_race_leave_out_the_same_shards() {
    let project = with_reduce();
    let start = || {
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
        command.args(["--set", "run.tolerated_failures=2"]).spawn().expect("it starts")
    };
    let processes: Vec<_> = (0..3).map(|_| start()).collect();
    for mut process in processes {
        assert_eq!(process.wait().expect("it ends").code(), Some(3));
    }
    check_manifest(&project);
    assert_eq!(text(&project).lines().count(), 3);
}
