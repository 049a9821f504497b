//! `${NAME}` in a pipeline: where its value is shown, where it is masked, and who needs it.

use std::{ffi::OsStr, fs};

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, FILTER_CLEAN, SUM},
    support::{Ended, NONE, Project, etl_host_command},
};

/// Runs a command on the project's pipeline with these variables.
fn with<A: AsRef<OsStr>>(project: &Project, command: &str, variables: &[(&str, &str)], arguments: &[A]) -> Ended {
    let mut host = etl_host_command();
    host.arg(command).arg(project.path("pipeline.toml")).args(arguments).envs(variables.iter().copied());
    Ended::of(&mut host)
}

#[test]
fn a_value_that_is_no_secret_is_shown_and_may_be_a_number_or_a_switch() {
    let project = Project::of(&format!(
        "sink.format = \"${{FMT}}\"\nrun.concurrency = \"${{N}}\"\nrun.fsync = \"${{SYNC}}\"\n\
         map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM}, partitions = \"${{N}}\" }}\n"
    ));
    let project = project.file("input/a.txt", "a\nb\na\n");
    let variables = |n| [("FMT", "json"), ("N", n), ("SYNC", "false")];
    let ended = with(&project, "run", &variables("2"), &["--events", "json"]);
    assert!(ended.expect_success().stdout.contains("part-00001.json") && !ended.stdout.contains("${"), "{ended:#?}");
    with(&project, "run", &variables("many"), &NONE)
        .expect_error(2, &["pipeline.toml:6: `run.concurrency` (`${N}`) must be a whole number, not string \"many\""]);
}

#[test]
fn a_plugin_is_given_the_type_that_it_describes() {
    let project = Project::of(&format!(
        "sink.format = \"lines\"\nmap = [{{ plugin = {FILTER_CLEAN}, config = {{ columns = \"${{N}}\", trim = \"${{TRIM}}\", \
         separator = \"${{SEPARATOR}}\" }} }}]\n"
    ));
    let project = project.file("input/a.txt", "a1b\n");
    let variables = |n| [("N", n), ("TRIM", "true"), ("SEPARATOR", "1")];
    with(&project, "run", &variables("2"), &NONE).expect_success();
    with(&project, "run", &variables("many"), &NONE)
        .expect_error(2, &["`map[0].config.columns` (`${N}`) must be a whole number, 0 to 4294967295, not text of"]);
}

#[test]
fn commands_that_look_at_runs_need_only_the_variables_of_the_places() {
    let project = Project::of(&format!(
        "source.include = [\"${{DAY}}*\"]\nsource.format = \"${{DAY}}\"\nrun.memory = \"${{DAY}}\"\n\
         sink.format = \"lines\"\nmap = [{{ plugin = {CRIMES} }}]\n"
    ));
    let project = project.file("input/2026-11-28.txt", "a\n");
    let set = ["--set", "source.format=lines", "--set", "run.memory=1GiB", "--run-id", "2026-11-28"];
    with(&project, "run", &[("DAY", "2026-11-28")], &set).expect_success();
    let runs = with(&project, "runs", &[], &NONE);
    assert!(runs.expect_success().stdout.contains("2026-11-28  complete"), "{runs:#?}");
    assert!(with(&project, "show", &[], &NONE).expect_success().stdout.contains("run        2026-11-28, complete"));
    with(&project, "report", &[], &NONE).expect_success();
    with(&project, "clean", &[], &["2026-11-28", "--dry-run"]).expect_success();
    with(&project, "check", &[], &NONE).expect_error(2, &["`source.include[0]` needs the environment variable `DAY`"]);
    with(&project, "runs", &[], &["--set", "run.store=${DAY}"]).expect_error(2, &["`run.store` (`${DAY}`) needs the"]);
}

#[test]
fn a_secret_is_masked_in_each_of_its_lines_before_a_text_is_cut() {
    let secret = "correct-horse\n\"battery\"-staple\n";
    // Messages of plugins are cut after 4 KiB, in the middle of the secret.
    let begin = "x".repeat(4090);
    for crime in ["panic", "fatal", "other", "invalid-input", "invalid-config"] {
        let project = Project::of(&format!(
            "secrets = [\"ETL_TEST_SECRET\"]\nsink.format = \"lines\"\nmap = [{{ plugin = {CRIMES}, retry = {{ attempts = 1 }}, \
             config = {{ crime = \"{crime}\", text = \"{begin}${{ETL_TEST_SECRET}}\" }} }}]\n"
        ));
        let project = project.file("input/a.txt", "a\n");
        let ended = with(&project, "run", &[("ETL_TEST_SECRET", secret)], &NONE);
        assert!(!matches!(ended.code, Some(0)), "{crime}: {ended:#?}");
        let mut written = ended.stdout + &ended.stderr;
        for file in project.files("runs") {
            written += &String::from_utf8_lossy(&fs::read(project.path("runs").join(file)).expect("it can be read"));
        }
        assert!(written.contains("xxx"), "{crime}: {written}");
        let found = ["corr", "horse", "batt", "staple"].into_iter().find(|part| written.contains(part));
        assert_eq!(found, None, "{crime}: {written}");
    }
}
