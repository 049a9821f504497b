//! The compile cache as an operator sees it: the second start compiles nothing, and no entry is used unchecked.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    guests::{COUNT_BY_TYPE, Guest, SUM, WORD_COUNT},
    support::{Ended, NONE, Project, etl_host_command},
};

/// The mappers of two pipelines over the same lines: the first counts the lines, the second counts their words.
const MAPPERS: [Guest; 2] = [COUNT_BY_TYPE, WORD_COUNT];

fn project(mapper: Guest) -> Project {
    let pipeline = format!("map = [{{ plugin = {mapper} }}]\nreduce = {{ plugin = {SUM} }}");
    Project::of(&pipeline).file("input/a.txt", "to be\nor not\nto be\n")
}

/// Runs the project with this cache directory, or without a cache if it is `off`.
fn run(project: &Project, cache: &str, arguments: &[&str]) -> Ended {
    Ended::of(etl_host_command().env("ETL_HOST_CACHE", cache).arg(project.path("pipeline.toml")).args(arguments))
}

/// Returns the reason why each plugin was compiled, by step; null if it was not compiled.
fn compiled(ended: &Ended) -> Vec<(String, Value)> {
    let events = ended.expect_success().stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let loaded = events.filter(|event: &Value| event["event"] == "plugin_loaded");
    loaded.map(|event| (event["step"].as_str().expect("a step").to_owned(), event["compiled"].clone())).collect()
}

fn entries(cache: &str) -> Vec<PathBuf> {
    fs::read_dir(cache).expect("there is a cache").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_second_start_compiles_nothing() {
    let project = project(COUNT_BY_TYPE);
    let cache = project.path("cache/components").display().to_string();
    let steps = |compiled: &str| ["map", "reduce"].map(|step| (step.to_owned(), Value::from(compiled)));
    assert_eq!(compiled(&run(&project, &cache, &["--events", "json"])), steps("it is not in the cache"));
    let first = project.latest();
    let not_compiled = ["map", "reduce"].map(|step| (step.to_owned(), Value::Null));
    assert_eq!(compiled(&run(&project, &cache, &["--events", "json"])), not_compiled);
    assert_eq!(project.latest(), first);

    let shown = run(&project, &cache, &["--verbose"]).stderr;
    assert_eq!(shown.matches("compiled before").count(), 2, "{shown}");
    assert!(!run(&project, &cache, &[]).stderr.contains("compiled before"));
    assert_eq!(compiled(&run(&project, "off", &["--events", "json"])), steps("the cache is off"));
}

#[test]
fn an_entry_of_another_plugin_is_not_run() {
    let [counts, words] = MAPPERS.map(project);
    let cache = counts.path("cache").display().to_string();
    run(&counts, &cache, &[]).expect_success();
    let own = entries(&cache);
    run(&words, &cache, &[]).expect_success();
    let foreign: Vec<PathBuf> = entries(&cache).into_iter().filter(|entry| !own.contains(entry)).collect();
    let result = counts.latest();
    assert_ne!(result, words.latest());

    for entry in &own {
        fs::copy(&foreign[0], entry).expect("an entry can be replaced");
    }
    let again = run(&counts, &cache, &["--events", "json"]);
    let damaged = Value::from("its entry in the cache is damaged");
    assert_eq!(compiled(&again), ["map", "reduce"].map(|step| (step.to_owned(), damaged.clone())));
    assert_eq!(counts.latest(), result);
}

#[test]
fn a_cache_that_cannot_be_used_harms_nothing() {
    let project = project(COUNT_BY_TYPE).file("a-file", "");
    let result = project.result(NONE);
    for cache in [project.path("a-file"), project.path("a-file/below"), PathBuf::from("/proc/nowhere")] {
        let ended = run(&project, &cache.display().to_string(), &["--events", "json"]);
        let why = Value::from("the cache needs a directory that only this user can write to");
        assert!(compiled(&ended).iter().all(|(_, compiled)| *compiled == why), "{ended:?}");
        assert!(!ended.stderr.contains("warning"), "{ended:?}");
        assert_eq!(project.latest(), result);
    }
}
