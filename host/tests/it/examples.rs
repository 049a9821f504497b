//! Every directory in `examples`, run as its README says, gives the result that the README promises.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    guests::{SELECT, built},
    support::{COMPILE_CACHE, Ended, Project, etl_host, repository},
};

/// Makes a copy of an example's directory, so that nothing is left in the repository.
fn example(name: &str) -> Project {
    let example = directory(name);
    let text = fs::read_to_string(example.join("pipeline.toml")).expect("an example has a pipeline");
    let plugins = built().display().to_string();
    let mut project = Project::new(&text.replace("../../guest-plugins/target/wasm32-wasip2/release", &plugins));
    for input in fs::read_dir(example.join("input")).expect("an example has input") {
        let input = input.expect("an entry");
        let name = format!("input/{}", input.file_name().to_string_lossy());
        project = project.file(&name, fs::read(input.path()).expect("the input can be read"));
    }
    project
}

fn directory(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// Runs an example and compares its result with the one it promises.
fn run_example(name: &str) -> Project {
    let project = example(name);
    let result = project.result(["--quiet"]);
    let expected = fs::read_dir(directory(name).join("expected")).expect("an example has an expected result");
    assert_eq!(result.len(), expected.count(), "{name} has another number of parts");
    for (part, text) in result {
        let expected = directory(name).join("expected").join(&part);
        assert_eq!(text, fs::read_to_string(expected).expect("an expected part"), "{part} of {name}");
    }
    project
}

/// Returns the rejects of the runs of a project.
fn rejects(project: &Project) -> Vec<serde_json::Value> {
    let files: Vec<String> = project.files("runs").into_iter().filter(|file| file.contains("/rejects/")).collect();
    let text = fs::read_to_string(project.path("runs").join(&files[0])).expect("the rejects can be read");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
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
    let reject = rejects(&project);
    assert_eq!(reject.len(), 2, "{reject:?}");
    assert_eq!(reject[0]["step"], "map 2");
    assert_eq!(reject[0]["record"], "1099,Bern,3");
}

#[test]
fn csv_totals_gives_its_expected_result_from_shards_that_are_cut_within_quotes() {
    let project = run_example("csv-totals");
    let maps =
        project.files("runs").into_iter().filter(|file| file.contains("/map/") && file.ends_with("/commit.json"));
    assert!(maps.count() > 2);
}

#[test]
fn nginx_logs_gives_its_expected_result_and_sets_cut_lines_aside() {
    let reject = rejects(&run_example("nginx-logs"));
    assert_eq!(reject.len(), 2, "{reject:?}");
    assert_eq!(reject[0]["reason"], "a quoted field is not closed in its line, so its first line is set aside");
    assert_eq!(reject[1]["reason"], "`-` in column `status` is not of type int64");
}

#[test]
fn nested_json_gives_its_expected_result() {
    run_example("nested-json");
}

#[test]
fn newest_by_id_gives_its_expected_result_combined_or_not() {
    let combined = run_example("newest-by-id").latest();
    let many = ["--quiet", "--set", "reduce.combine=false", "--set", "split.target_size=1KiB"];
    assert_eq!(example("newest-by-id").result(many), combined);
}

#[test]
fn parquet_to_parquet_gives_the_rows_of_its_expected_result() {
    let project = example("parquet-to-parquet");
    project.run(["--quiet"]).expect_success();
    let latest = project.json("result/latest.json");
    let part = latest["parts"][0].as_str().expect("a part");
    let written = fs::read(project.path("result").join(part)).expect("the part is there");
    let expected = fs::read(directory("parquet-to-parquet").join("expected/part-00000.parquet")).expect("it is there");
    let rows = read_parquet(&written);
    assert_eq!(rows.lines().count(), 427);
    assert_eq!(rows, read_parquet(&expected));
}

/// Returns the rows of a Parquet file with the columns of `parquet-to-parquet`, as JSON Lines.
fn read_parquet(bytes: &[u8]) -> String {
    let pipeline = format!(
        "map = [{{ plugin = {SELECT} }}]\nsource.format = \"parquet\"\nsource.fields = {{ trip = \"int64\", \
         started = \"timestamp(us, UTC)\", minutes = \"int16\", fare = \"decimal(9,2)\", zones = \"list<text>\", \
         from = \"struct<lat: float64, lon: float64>\" }}\n"
    );
    let result = Project::of(&pipeline).file("input/a.parquet", bytes).result(["--quiet"]);
    result.into_iter().map(|(_, text)| text).collect()
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
    include_str!("examples.rs").contains(&format!("example(\"{name}\")"))
}

/// Runs an example in place and the demo in one test, because both run in the example's own directory, and the demo
/// shows the newest run there.
#[test]
fn an_example_runs_in_place_with_build_as_its_readme_says_and_so_does_the_demo() {
    built();
    let pipeline = directory("count-types").join("pipeline.toml");
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
