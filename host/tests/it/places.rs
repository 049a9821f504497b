//! Where source, sink and run store lie: what they may be called, and that they are apart.

use std::{ffi::OsStr, fs, os::unix::fs::symlink};

use crate::{
    guests::CRIMES,
    support::{Ended, NONE, Project, etl_host},
};

/// Makes a project whose step emits what it is given.
fn project(keys: &str) -> Project {
    Project::new(&format!("name = \"test\"\nsink.format = \"lines\"\n{keys}\nmap = [{{ plugin = {CRIMES} }}]\n"))
}

fn on(project: &Project, command: &str, arguments: &[&str]) -> Ended {
    let words = [OsStr::new(command), project.path("pipeline.toml").as_os_str()].map(ToOwned::to_owned);
    etl_host(words.into_iter().chain(arguments.iter().map(Into::into)))
}

#[test]
fn a_local_path_is_taken_as_it_is() {
    let odd = "in #1? 100%23 ü";
    let project = project(&format!("source.url = \"{odd}/\"\nsink.url = \"out#{odd}\"\nrun.store = \"runs?{odd}\""));
    let project = project.file(&format!("{odd}/a?b #1.txt"), "one\n");
    assert!(on(&project, "check", &[]).expect_success().stdout.contains("1 object, "));
    on(&project, "run", &["--run-id", "r"]).expect_success();
    let part = project.path(&format!("out#{odd}/r/part-00000.txt"));
    assert_eq!(fs::read_to_string(part).expect("where the pipeline says"), "one\n");
    assert!(on(&project, "runs", &[]).expect_success().stdout.contains(&format!("out#{odd}/r")));
}

#[test]
fn a_url_with_something_that_no_store_uses_is_refused_before_anything_runs() {
    let project = project("source.url = \"s3://bucket/logs#2024/\"\nsink.url = \"out\"");
    for command in ["check", "run"] {
        on(&project, command, &[])
            .expect_error(2, &["pipeline.toml:3: `source.url` has a `#`, which the URL of a store"]);
    }
    on(&project, "runs", &["--set", "run.store=s3://key:hunter2@bucket/"])
        .expect_error(2, &["names a user or a password"]);
}

#[test]
fn a_sink_that_leads_into_the_source_is_refused_before_anything_runs() {
    let project = project("source.url = \"input\"\nsink.url = \"link/out\"").file("input/a.txt", "one\n");
    symlink("input", project.path("link")).expect("linked");
    for command in ["check", "run"] {
        on(&project, command, &[]).expect_error(2, &["link/out`) lies inside `source.url`"]);
    }
    assert_eq!((project.files("runs"), project.files("input")), (Vec::new(), vec!["a.txt".to_owned()]));
}

#[test]
fn a_run_whose_result_would_lie_among_the_runs_is_refused_and_never_cleaned() {
    let project =
        project("source.url = \"input\"\nsink.url = \"runs\"\nrun.store = \"runs\"").file("input/a.txt", "one\n");
    for id in ["test", "latest.json", "_SUCCESS", "_attempts", ".x"] {
        on(&project, "run", &["--run-id", id]).expect_error(2, &[&format!("`{id}`")]);
    }
    assert_eq!(project.files("runs"), NONE, "nothing was begun");
    on(&project, "run", &["--run-id", "good"]).expect_success();
    // A run of this name may have been begun by an older version.
    let project = project.file("runs/test/test/manifest.json", "{").file("runs/test/test/plan.json", "{");
    on(&project, "clean", &["test", "--results"])
        .expect_error(2, &["the result of run `test` in `", "lies where the runs of pipeline `test` are"]);
    assert!(project.path("runs/test/good/manifest.json").exists());
}

#[test]
fn a_run_of_the_longest_name_can_be_redriven() {
    let lines = (0..200).map(|n| format!("{n}\n")).collect::<String>();
    let crime = format!("map = [{{ plugin = {CRIMES}, config = {{ crime = \"fatal\", on = \"77\" }} }}]\n");
    let project = Project::of(&format!(
        "sink.format = \"lines\"\nsplit.target_size = 100\nrun.tolerated_failures = \"50%\"\n{crime}"
    ));
    let project = project.file("input/a.txt", lines);
    let id = "x".repeat(128);
    assert_eq!(project.run(["--run-id", &id]).code, Some(3));
    let honest = ["--redrive", "--run-id", &id, "--set", "map.0.config.on=never"];
    project.run(honest).expect_success();
    assert!(project.path(&format!("result/{id}-redrive-1/_SUCCESS")).exists());
    let shown = on(&project, "show", &[&format!("{id}-redrive-1")]);
    shown.expect_success();
    on(&project, "run", &["--run-id", &format!("{id}x")]).expect_error(2, &["use 1 to 128 letters"]);
}
