//! Tolerated failures: a run ends without the shards that failed, says so, and leaves out no others; a redrive makes
//! the result whole.

use std::fs;

use serde_json::Value;

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, SUM, WORD_COUNT},
    support::{Ended, Project, batch_timeout, etl_host_command},
};

/// Five shards of one line each; some make the mapper panic.
const INPUT: &str = "one\nbad\ntwo\nbad\nsix\n";

/// Returns a step that panics at lines that contain `bad`.
fn trips() -> String {
    format!(
        "plugin = {CRIMES}, config = {{ crime = \"panic-on-line\", text = \"bad\" }}, \
         retry = {{ interval = \"1ms\" }}"
    )
}

fn map_only() -> Project {
    Project::of(&format!("split.target_size = 4\nmap = [{{ {} }}]\nsink.format = \"lines\"", trips()))
        .file("input/a.txt", INPUT)
}

fn with_reduce() -> Project {
    let maps = format!("[{{ {} }}, {{ plugin = {COUNT_BY_TYPE} }}]", trips());
    let reduce = format!("{{ plugin = {SUM}, combine = true, partitions = 2 }}");
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
        assert!(ended.stderr.contains("the result lacks 2 shards that failed"), "{ended:#?}");
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
        let batch_timeout = batch_timeout(crime, "1s");
        let project = Project::of(&format!(
            "split.target_size = 4\nsink.format = \"lines\"\nrun.tolerated_failures = 5\nmap = [{{ plugin = \
             {CRIMES}, config = {{ crime = \"{crime}\", task = 1 }}, limits = {{ timeout = \"2h\", batch_timeout = \"{batch_timeout}\" }}, \
             retry = {{ interval = \"1ms\" }} }}]"
        ));
        let ended = project.file("input/a.txt", "one\ntwo\nsix\n").run(["--quiet"]);
        assert_eq!(ended.code, Some(code), "{crime}: {ended:#?}");
    }
}

#[test]
fn a_partition_that_fails_is_not_tolerated() {
    let project = Project::of(&format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, limits = {{ output = 1 }} }}\n\
         run.tolerated_failures = \"100%\""
    ));
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
            // The shards that are left out are decided by now, so a lower tolerance comes too late.
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

/// Arguments that mend the mapper: no line makes it panic any more.
const MENDED: [&str; 2] = ["--set", "map.0.config.text=nothing like it"];

fn redrive(project: &Project, more: &[&str]) -> Ended {
    project.run([&["--redrive"], more].concat())
}

/// Returns the result of an undisturbed run of the mended pipeline.
fn mended(project: &Project) -> Vec<(String, String)> {
    let result = project.result([&["--quiet", "--run-id", "undisturbed"], &MENDED[..]].concat());
    fs::remove_dir_all(project.path("runs/test/undisturbed")).expect("it was there");
    result
}

#[test]
fn a_redrive_makes_the_whole_result_and_maps_only_what_failed() {
    // The same component with one more section, which is empty and has no meaning.
    let bytes = [fs::read(CRIMES.path()).expect("it can be read"), b"\0\x02\x01x".to_vec()].concat();
    for project in [map_only(), with_reduce()] {
        let project = project.file("mended.wasm", &bytes);
        let expected = mended(&project);
        assert_eq!(tolerate(&project, "2").code, Some(3));
        let partial = project.latest();
        let mended = [&MENDED[..], &["--set", "map.0.plugin=mended.wasm"]].concat();
        let ended = redrive(&project, &mended);
        assert!(ended.stderr.contains("the plugin of `map` (was "), "{ended:#?}");
        ended.expect_success();
        assert_eq!(project.latest(), expected);
        assert!(ended.stderr.contains("`map[0].config.text` (was \"bad\", is \"nothing like it\")"), "{ended:#?}");
        let latest = json(&project, "result/latest.json");
        assert_eq!((&latest["run_id"], &latest["failed_shards"]), (&"r-redrive-1".into(), &0.into()));
        assert_eq!(json(&project, "runs/test/r-redrive-1/manifest.json")["redrives"], "r");
        let counts = |run_id: &str, shard: u32| {
            json(&project, &format!("{}/map/{shard:06}/commit.json", project.of_plan(run_id)))["counts"].clone()
        };
        for shard in 0..5 {
            let same = counts("r-redrive-1", shard) == counts("r", shard);
            assert_eq!(same, shard % 2 == 0, "shard {shard}");
        }
        // The result of the run that was redriven is unchanged.
        for (part, text) in partial {
            assert_eq!(fs::read_to_string(project.path("result/r").join(part)).expect("it is there"), text);
        }
        let again = redrive(&project, &[&mended[..], &["--run-id", "r"]].concat());
        assert!(again.expect_success().stdout.contains("run r-redrive-1 was done before"), "{again:#?}");
        let nothing = redrive(&project, &mended);
        assert!(nothing.expect_success().stderr.contains("run r-redrive-1 left out no shards"), "{nothing:#?}");
    }
}

#[test]
fn a_redrive_that_does_not_help_stands_in_the_way_of_no_other() {
    let project = with_reduce();
    let expected = mended(&project);
    assert_eq!(tolerate(&project, "2").code, Some(3));
    // The mapper is not mended, and no failure is tolerated.
    redrive(&project, &[]).expect_error(42, &["--run-id r-redrive-1"]);
    // The new configuration mends one of the two shards; the failure of the other one is tolerated.
    let ended = redrive(&project, &["--set", "map.0.config.task=3", "--set", "run.tolerated_failures=2"]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("--redrive --run-id r-redrive-2"), "{ended:#?}");
    redrive(&project, &MENDED).expect_success();
    assert_eq!(project.latest(), expected);
    let manifest = json(&project, "runs/test/r-redrive-3/manifest.json");
    assert_eq!((&manifest["redrives"], &manifest["failed"]), (&"r-redrive-2".into(), &serde_json::json!([])));
}

#[test]
fn a_redrive_is_refused_when_more_changed_than_mappers_or_there_is_none_to_make() {
    let project = with_reduce();
    redrive(&project, &[]).expect_error(2, &["no run of pipeline `test` has ended yet"]);
    redrive(&project, &["--run-id", "x"]).expect_error(2, &["there is no run `x`"]);
    tolerate(&project, "1").expect_error(42, &[]);
    redrive(&project, &["--run-id", "r"]).expect_error(2, &["run `r` has not ended"]);
    assert_eq!(tolerate(&project, "2").code, Some(3));
    let other_schema = format!("map.1.plugin={WORD_COUNT}");
    for (set, named) in [
        ("reduce.partitions=3", "`reduce.partitions` (was 2, is 3)"),
        ("map.0.grants=['clock']", "`map[0].grants`"),
        (&other_schema, "what the mappers emit (was `"),
    ] {
        redrive(&project, &["--set", set]).expect_error(2, &["cannot be redriven", named]);
    }
    fs::write(project.path("input/b.txt"), "ten\n").expect("written");
    redrive(&project, &MENDED).expect_error(2, &["cannot be redriven", "source object `b.txt`"]);
}

#[test]
fn a_redrive_is_resumed_like_any_run_and_processes_may_race_on_it() {
    for project in [map_only(), with_reduce()] {
        let expected = mended(&project);
        assert_eq!(tolerate(&project, "2").code, Some(3));
        let start = |point: &str| {
            let mut command = etl_host_command();
            command.arg(project.path("pipeline.toml")).args(["--quiet", "--redrive", "--run-id", "r"]).args(MENDED);
            command.env("ETL_HOST_FAIL_POINT", point).spawn().expect("it starts")
        };
        for point in ["plan.frozen", "redrive.take:2", "map.begin:2", "publish.moved"] {
            assert_eq!(start(point).wait().expect("it ends").code(), None, "{point}");
            assert_eq!(json(&project, "result/latest.json")["run_id"], "r", "{point}");
        }
        let processes: Vec<_> = (0..2).map(|_| start("")).collect();
        for mut process in processes {
            assert!(process.wait().expect("it ends").success());
        }
        assert_eq!(project.latest(), expected);
    }
}

#[test]
fn a_run_that_an_unfinished_redrive_reads_is_not_deleted() {
    let project = with_reduce();
    let expected = mended(&project);
    assert_eq!(tolerate(&project, "2").code, Some(3));
    // The first redrive mends nothing. The second redrives the first and is killed; it reads shuffle files of run `r`.
    assert_eq!(redrive(&project, &["--run-id", "r", "--set", "run.tolerated_failures=2"]).code, Some(3));
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(["--quiet", "--redrive", "--run-id", "r-redrive-1"]).args(MENDED);
    assert_eq!(Ended::of(command.env("ETL_HOST_FAIL_POINT", "reduce.begin")).code, None);
    let clean = |more: &[&str]| {
        let mut command = etl_host_command();
        Ended::of(command.arg("clean").arg(project.path("pipeline.toml")).args(more))
    };
    for run in ["r", "r-redrive-1"] {
        clean(&[run]).expect_error(2, &[&format!("run `{run}` cannot be deleted, because run `r-redrive-2`")]);
    }
    let kept = clean(&["--older-than", "0s"]);
    assert!(kept.expect_success().stdout.contains("kept 2 runs that incomplete redrives still read"), "{kept:#?}");
    redrive(&project, &[&["--run-id", "r-redrive-1"], &MENDED[..]].concat()).expect_success();
    assert_eq!(project.latest(), expected);
    clean(&["r"]).expect_success();
}
