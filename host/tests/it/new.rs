//! `etl-host new`: the projects it makes can be built, tested and run with nothing added.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    guests::built,
    support::{Ended, etl_host, etl_host_command, repository, succeed, with_built_plugins},
};

/// Makes a project outside of the repository that uses the dependencies built for the plugins.
fn project(step: &str) -> (TempDir, PathBuf) {
    built();
    let outside = tempfile::tempdir().expect("a directory");
    let project = outside.path().join(format!("new-{step}"));
    let made = etl_host(["new".as_ref(), project.as_os_str(), "--step".as_ref(), step.as_ref()]);
    assert!(made.expect_success().stdout.contains("etl-host pipeline.toml --build"), "{made:#?}");
    let guests = repository().join("guest-plugins");
    symlink(guests.join("target"), project.join("target")).expect("a link");
    // With this lock file the project uses dependencies that are built already, and nothing is downloaded.
    fs::copy(guests.join("Cargo.lock"), project.join("Cargo.lock")).expect("the versions in use are copied");
    (outside, project)
}

/// Runs the binary as outside of a test, without the settings of the test run.
fn outside<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    let mut command = etl_host_command();
    Ended::of(with_built_plugins(&mut command).args(arguments))
}

fn test_build_and_run(project: &Path) -> String {
    let mut cargo = Command::new("cargo");
    let tested = succeed(with_built_plugins(cargo.current_dir(project).arg("test")));
    assert!(
        tested.contains("test result: ok.") && !tested.contains("running 0 tests\n\ntest result: ok. 0 passed"),
        "{tested}"
    );

    let ended = outside([project.join("pipeline.toml").as_os_str(), "--build".as_ref(), "--run-id=r".as_ref()]);
    assert!(!ended.expect_success().stderr.contains("warning"), "{ended:#?}");
    let parts = fs::read_dir(project.join("result/r")).expect("a result").map(|part| part.expect("an entry").path());
    let mut parts: Vec<PathBuf> = parts.filter(|part| part.extension().is_some()).collect();
    parts.sort();
    parts.iter().map(|part| fs::read_to_string(part).expect("a part")).collect()
}

#[test]
fn a_new_map_project_builds_and_runs() {
    let cities = test_build_and_run(&project("map").1);
    assert_eq!(cities.lines().next(), Some(r#"{"city":"Chur","pieces":34}"#));
    assert_eq!(cities.lines().count(), 4, "{cities}");
}

#[test]
fn a_new_reduce_project_builds_and_runs() {
    let (_outside, project) = project("reduce");
    let sums = test_build_and_run(&project);
    assert_eq!(
        sums,
        "{\"city\":\"Bern\",\"pieces\":3}\n{\"city\":\"Chur\",\"pieces\":61}\n{\"city\":\"Genf\",\"pieces\":8}\n"
    );
}

#[test]
fn build_says_what_each_plugin_is_and_shows_what_the_compiler_says() {
    let (_outside, project) = project("split");
    let built = outside(["build".as_ref(), project.as_os_str()]);
    for text in ["new_split.wasm", "examples/lengths.wasm", "etl:plugin/split-plugin@0.2.0", "KiB, sha256:"] {
        assert!(built.expect_success().stdout.contains(text), "no `{text}` in {built:#?}");
    }
    assert_eq!(built.stderr.matches("cargo build").count(), 1, "the command of both steps runs once: {built:#?}");

    let broken = fs::read_to_string(project.join("src/lib.rs")).expect("the step").replace("Ok(())", "Ok(1)");
    fs::write(project.join("src/lib.rs"), broken).expect("written");
    let failed = outside(["build".as_ref(), project.join("pipeline.toml").as_os_str()]);
    for text in ["\nerror[E0308]: mismatched types", "src/lib.rs:", "\nerror: split: build command `cargo build"] {
        assert!(failed.stderr.contains(text), "no `{text}` in {failed:#?}");
    }
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_new_split_project_builds_and_runs() {
    let lines = test_build_and_run(&project("split").1);
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(lines.contains(r#"{"line":"1001,Chur,34,473.98","length":19}"#), "{lines}");
}

#[test]
fn nothing_is_made_where_something_is_or_of_a_name_no_crate_has() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("mine.txt"), "mine").expect("written");
    let new = |arguments: &[&str]| {
        let mut command = etl_host_command();
        Ended::of(command.current_dir(directory.path()).arg("new").args(arguments))
    };
    new(&[".", "--step", "map", "--name", "a"]).expect_error(2, &["`.` is not empty"]);
    new(&["Not A Crate", "--step", "map"]).expect_error(2, &["`Not A Crate` cannot be the name of a crate", "--name"]);
    new(&["a", "--step", "map", "--sdk", "nowhere"]).expect_error(2, &["--sdk `nowhere`", "no Cargo.toml"]);
    assert_eq!(new(&["a", "--step", "join"]).code, Some(2));
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
}
