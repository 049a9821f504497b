//! Every directory in `examples`, run as its README says, gives the result that the README promises.

use std::{fs, path::Path, process::Command};

use crate::{
    guests::built,
    support::{COMPILE_CACHE, Ended, Project, etl_host, repository},
};

/// Runs an example from a copy of its directory, so that nothing is left in the repository.
fn run_example(name: &str) -> Project {
    let example = repository().join("examples").join(name);
    let text = fs::read_to_string(example.join("pipeline.toml")).expect("an example has a pipeline");
    let plugins = built().display().to_string();
    let mut project = Project::new(&text.replace("../../guest-plugins/target/wasm32-wasip2/release", &plugins));
    for input in fs::read_dir(example.join("input")).expect("an example has input") {
        let input = input.expect("an entry");
        let name = format!("input/{}", input.file_name().to_string_lossy());
        project = project.file(&name, fs::read(input.path()).expect("the input can be read"));
    }
    let result = project.result(["--quiet"]);
    let expected = fs::read_dir(example.join("expected")).expect("an example has an expected result");
    assert_eq!(result.len(), expected.count(), "{name} has another number of parts");
    for (part, text) in result {
        let expected = fs::read_to_string(example.join("expected").join(&part)).expect("an expected part");
        assert_eq!(text, expected, "{part} of {name}");
    }
    project
}

#[test]
fn count_types_gives_its_expected_result_and_leaves_its_intermediates() {
    let project = run_example("count-types");
    let run = project.files("runs");
    let count = |suffix: &str| run.iter().filter(|file| file.ends_with(suffix)).count();
    let shards = count(".arrow") / 2;
    assert!((3..=5).contains(&shards), "{run:?}");
    assert_eq!(run.iter().filter(|file| file.contains("/map/") && file.ends_with("/commit.json")).count(), shards);
    assert_eq!(run.iter().filter(|file| file.contains("/reduce/")).count(), 2);
    for file in ["/plan.json", "/manifest.json", "/_SUCCESS"] {
        assert_eq!(count(file), 1, "{file} in {run:?}");
    }
    assert_eq!(run.iter().filter(|file| file.contains("/events/")).count(), 1, "{run:?}");
    let result = project.files("result");
    assert!(!result.iter().any(|file| file.contains("_attempts")), "{result:?}");
    assert!(result.contains(&"latest.json".to_owned()), "{result:?}");
}

#[test]
fn word_count_gives_its_expected_result() {
    run_example("word-count");
}

#[test]
fn access_log_gives_its_expected_result() {
    run_example("access-log");
}

#[test]
fn clean_csv_gives_its_expected_result_and_keeps_its_rejects() {
    let project = run_example("clean-csv");
    let rejects: Vec<String> = project.files("runs").into_iter().filter(|file| file.contains("/rejects/")).collect();
    let text = fs::read_to_string(project.path("runs").join(&rejects[0])).expect("the rejects can be read");
    let reject: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(reject.len(), 2, "{text}");
    assert_eq!(reject[0]["step"], "map 2");
    assert_eq!(reject[0]["record"], "1099,Bern,3");
}

#[test]
fn every_example_has_a_readme_a_pipeline_an_input_and_an_expected_result() {
    for example in fs::read_dir(repository().join("examples")).expect("there are examples") {
        let example = example.expect("an entry").path();
        for needed in ["README.md", "pipeline.toml", "input", "expected"] {
            assert!(example.join(needed).exists(), "{} has no {needed}", example.display());
        }
        assert!(is_tested(&example), "{} has no test here", example.display());
    }
}

fn is_tested(example: &Path) -> bool {
    let name = example.file_name().expect("a name").to_string_lossy().into_owned();
    include_str!("examples.rs").contains(&format!("run_example(\"{name}\")"))
}

/// Runs an example in place and the demo in one test, because both run in the example's own directory, and the demo
/// shows the newest run there.
#[test]
fn an_example_runs_in_place_with_build_as_its_readme_says_and_so_does_the_demo() {
    built();
    let pipeline = repository().join("examples/count-types/pipeline.toml");
    let ended: Ended = etl_host([pipeline.as_os_str(), "--build".as_ref()]);
    ended.expect_success();
    assert!(ended.stdout.contains("result"), "{ended:#?}");

    let mut cargo = Command::new(env!("CARGO"));
    cargo.env(COMPILE_CACHE.0, COMPILE_CACHE.1);
    let shown = crate::support::succeed(cargo.arg("demo").current_dir(repository()));
    for text in ["What each mapper counted", "part-00000.json", "data_1", "data_2", "_SUCCESS"] {
        assert!(shown.contains(text), "no `{text}` in:\n{shown}");
    }
}
