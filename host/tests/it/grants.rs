//! Grants: a step gets those parts of the real world that it is granted by name, and nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    guests::PROBE_WORLD,
    support::{Ended, NONE, Project, etl_host, etl_host_command},
};

/// Sends lines to `probe_world` with these grants and an environment, and returns the result of each line, in order.
fn probe(grants: &str, lines: &[&str]) -> Vec<String> {
    let project = project(grants, lines);
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).env("ETL_TEST_GRANTED", "seven").env("ETL_TEST_OTHER", "eight");
    Ended::of(&mut command).expect_success();
    let found = project.latest().remove(0).1;
    found.lines().map(|line| line.split_once(" -> ").expect("a probe emits its result").1.to_owned()).collect()
}

fn project(grants: &str, lines: &[&str]) -> Project {
    let pipeline = format!("map = [{{ plugin = {PROBE_WORLD}, grants = {grants} }}]\nsink.format = \"lines\"");
    Project::of(&pipeline).file("input/a.txt", lines.join("\n"))
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

#[test]
fn a_granted_clock_is_the_real_one() {
    let before = now_ms();
    let lines = ["clock", "monotonic", "clock"];
    let found = probe("[\"clock\"]", &lines);
    let ms = |found: &str| found.strip_prefix("ok: ").expect("it has a clock").parse::<u128>().expect("a number");
    let times: Vec<u128> = [0, 2].map(|line| ms(&found[line])).into();
    assert!(before <= times[0] && times[0] <= times[1] && times[1] <= now_ms(), "{before} {times:?}");
    // The clock without a grant moves by exactly a microsecond at each reading.
    assert_ne!(found[1], probe("[]", &lines)[1]);
}

#[test]
fn sleeping_takes_no_time_with_the_real_clock_either() {
    let found = probe("[\"clock\"]", &["sleep 86400000"]);
    let slept_ns: u64 = found[0].strip_prefix("ok: ").expect("it slept").parse().expect("a number");
    assert!(slept_ns >= 86_400_000 * 1_000_000, "a day seemed to pass in {slept_ns} ns");
}

#[test]
fn granted_random_numbers_are_random() {
    let found = [(); 2].map(|()| probe("[\"random\"]", &["random"]));
    assert_ne!(found[0], found[1]);
    let found = [(); 2].map(|()| probe("[\"clock\", \"env:ETL_TEST_GRANTED\"]", &["random"]));
    assert_eq!(found[0], found[1], "other grants do not make them so");
}

#[test]
fn a_step_sees_the_variables_it_is_granted_and_no_others() {
    let lines = ["env ETL_TEST_GRANTED", "env ETL_TEST_OTHER", "env PATH", "env"];
    let found = probe("[\"env:ETL_TEST_GRANTED\"]", &lines);
    assert_eq!(found[0], "ok: seven");
    assert!(found[1].starts_with("error: ") && found[2].starts_with("error: "), "{found:?}");
    assert_eq!(found[3], "ok: [(\"ETL_TEST_GRANTED\", \"seven\")]");
}

#[test]
fn a_grant_that_cannot_be_given_is_refused_before_anything_runs() {
    for command in ["check", "run"] {
        let run = |grants: &str| {
            let project = project(grants, &["clock"]);
            let ended = etl_host([command.into(), project.path("pipeline.toml").into_os_string()]);
            assert!(!project.path("runs").exists());
            ended
        };
        run("[\"network\"]").expect_error(2, &["`map[0].grants[0]` is `network`", "`clock`, `random`, `env:NAME`"]);
        run("[\"env:ETL_TEST_UNSET\"]").expect_error(2, &["`ETL_TEST_UNSET`, which is not set"]);
    }
}

#[test]
fn grants_are_shown_beside_what_could_be_granted() {
    let project = project("[\"clock\"]", &["clock"]);
    let shown = etl_host(["check".into(), project.path("pipeline.toml").into_os_string()]).stdout;
    assert!(shown.contains("granted clock; grantable clock, random, env:NAME"), "{shown}");
    let shown = etl_host(["inspect".into(), PROBE_WORLD.path().into_os_string()]).stdout;
    assert!(shown.contains("grantable  clock, random, env:NAME"), "{shown}");
}

#[test]
fn what_is_granted_decides_the_result() {
    let project = project("[]", &["random"]);
    project.run(["--run-id", "one", "--set", "run.concurrency=1"]).expect_success();
    project.run(["--run-id", "one", "--set", "run.concurrency=2"]).expect_success();
    std::fs::remove_file(project.path("runs/test/one/_SUCCESS")).expect("the run was complete");
    let changed = ["--run-id", "one", "--set", "map.0.grants=[\"random\"]"];
    project.run(changed).expect_error(2, &["map[0].grants"]);
    project.run(NONE).expect_success();
}
