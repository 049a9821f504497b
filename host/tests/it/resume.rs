//! Resuming: which run is resumed, what may have changed since, and which changes are refused.

use std::fs;

use crate::{
    guests::CRIMES,
    support::{Ended, NONE, Project, etl_host_command, shell, succeed},
};

/// Returns steps over three shards, of which the second fails with a temporary error until its third attempt. Only one
/// attempt is allowed.
fn trouble() -> String {
    format!(
        r#"
split.target_size = 4
map = [{{ plugin = {CRIMES}, config = {{ crime = "retryable", task = 1, until = 3 }}, retry = {{ attempts = 1 }} }}]
sink.format = "lines"
"#
    )
}

const PATIENCE: [&str; 4] = ["--set", "map.0.retry.attempts=3", "--set", "map.0.retry.interval=1ms"];

fn project() -> Project {
    Project::of(&trouble()).file("input/a.txt", "one\ntwo\nsix\n")
}

fn text(result: &[(String, String)]) -> String {
    result.iter().map(|(_, text)| text.as_str()).collect()
}

/// Returns the command that a hint gives.
fn command(stderr: &str) -> &str {
    stderr.lines().last().expect("there is a hint").trim()
}

/// Returns the ids of all runs, in order of time.
fn runs(project: &Project) -> Vec<String> {
    let mut ids: Vec<String> =
        project.files("runs/test").iter().map(|f| f.split('/').next().expect("an id").to_owned()).collect();
    ids.dedup();
    ids
}

#[test]
fn the_command_printed_after_the_error_finishes_the_run() {
    let project = project();
    let ended = project.run(["--set", "run.concurrency=1"]);
    ended.expect_error(75, &["map of shard 1 failed", "this finishes the run:\n"]);
    // Here the operator deals with the trouble by allowing more attempts.
    succeed(&mut shell(&format!("{} {}", command(&ended.stderr), PATIENCE.join(" "))));
    assert_eq!((text(&project.latest()).as_str(), runs(&project).len()), ("one\ntwo\nsix\n", 1));
}

#[test]
fn an_unfinished_run_of_the_same_plan_is_pointed_out_and_resume_takes_the_newest() {
    let project = project();
    let start = |arguments: &[&str]| {
        let stderr = project.run(arguments).stderr;
        let id = stderr.split_whitespace().nth(1).expect("the run is named first").to_owned();
        (id, stderr.contains("`--resume` finishes it"))
    };
    let (first, pointed_out) = start(&[]);
    assert!(!pointed_out, "there was no run before");
    let (second, pointed_out) = start(&[]);
    assert!(pointed_out && second != first, "{first} {second}");
    let (third, pointed_out) = start(&["--new"]);
    assert!(!pointed_out && third != second, "{second} {third}");
    assert!(!start(&["--set", "map.0.config.task=2"]).1, "another plan");
    let resumed = project.run([&["--resume"], &PATIENCE[..]].concat());
    assert!(resumed.stdout.contains(&format!("run        {third} (resumed)")), "{resumed:#?}");
    let passed_over =
        "is not complete and is not resumed, because what it was planned with has changed: `map[0].config.task`";
    assert!(resumed.stderr.contains(passed_over), "{resumed:#?}");
    assert_eq!((text(&project.latest()).as_str(), runs(&project).len()), ("one\ntwo\nsix\n", 4));
}

#[test]
fn resume_starts_a_run_when_all_are_complete_or_none_can_go_on_and_names_those() {
    let project = project();
    project.run([&["--resume"], &PATIENCE[..]].concat()).expect_success();
    project.run([&["--resume"], &PATIENCE[..]].concat()).expect_success();
    assert_eq!(runs(&project).len(), 2);
    project.run(NONE).expect_error(75, &[]);
    // A new object in the source, as there is one every night.
    let project = project.file("input/b.txt", "ten\n");
    let ended = project.run([&["--resume"], &PATIENCE[..]].concat());
    ended.expect_success();
    let named =
        "is not complete and is not resumed, because what it was planned with has changed: the source's objects";
    assert!(ended.stderr.contains(named), "{ended:#?}");
    assert_eq!((text(&project.latest()).as_str(), runs(&project).len()), ("one\ntwo\nsix\nten\n", 4));
}

#[test]
fn what_does_not_decide_the_result_may_change_and_what_does_is_refused_by_name() {
    // The same component with one more section, which is empty and has no meaning.
    let bytes = [fs::read(CRIMES.path()).expect("it can be read"), b"\0\x02\x01x".to_vec()].concat();
    let project = project().file("changed.wasm", bytes);
    let changed = project.path("changed.wasm");
    project.run(["--run-id", "r"]).expect_error(75, &[]);
    for (set, named) in [
        ("map.0.config.task=2", "`map[0].config.task` (was 1, is 2)"),
        ("split.target_size=5", "`split.target_size` (was 4, is 5)"),
        ("sink.url=elsewhere/", "`sink.url` (was \"result/\", is \"elsewhere/\")"),
        (&format!("map.0.plugin={}", changed.display()), "the plugin of `map` (was "),
    ] {
        let ended = project.run(["--run-id", "r", "--set", set]);
        ended.expect_error(2, &["cannot be resumed", named]);
        assert!(!ended.stderr.contains("this finishes the run"), "{ended:#?}");
    }
    let harmless = ["run.concurrency=1", "run.max_rejects=7", "map.0.limits.timeout=9s", "map.0.limits.memory=32MiB"];
    let harmless = harmless.iter().flat_map(|set| ["--set", set]);
    project.run(["--run-id", "r"].into_iter().chain(harmless).chain(PATIENCE)).expect_success();
    assert_eq!(text(&project.latest()), "one\ntwo\nsix\n");
}

#[test]
fn another_value_of_a_variable_that_decides_is_refused_and_no_value_is_shown() {
    let project = Project::of(
        &trouble()
            .replace("task = 1", "task = 1, text = \"${WORDING}\"")
            .replace("\nmap", "\nstore_options.region = \"${TOKEN}\"\nmap"),
    );
    let project = project.file("input/a.txt", "one\ntwo\nsix\n");
    let start = |wording: &str, token: &str, more: &[&str]| {
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--run-id", "r"]).args(more);
        Ended::of(command.env("WORDING", wording).env("TOKEN", token))
    };
    start("first words", "old token", &[]).expect_error(75, &[]);
    let ended = start("second words", "old token", &[]);
    ended.expect_error(2, &["the environment variable `WORDING` in `map[0].config.text` (has another value)"]);
    assert!(!ended.stderr.contains("words"), "{ended:#?}");
    let plan = project.path("runs/test/r/plan.json");
    let text = fs::read_to_string(&plan).expect("a plan");
    assert!(!text.contains("words") && !text.contains("old token"), "{text}");
    let marks: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(marks["recipe"]["variables"].as_object().expect("marks").len(), 1, "{text}");
    start("first words", "new token", &PATIENCE).expect_success();
}

#[test]
fn a_run_that_another_version_planned_is_refused_by_the_version() {
    let project = project();
    project.run(["--run-id", "r"]).expect_error(75, &[]);
    fs::write(project.path("runs/test/r/plan.json"), r#"{"format":1,"host":"0.0.9","shards":3}"#).expect("written");
    let ended = project.run(["--run-id", "r"]);
    ended.expect_error(2, &["planned by etl-host 0.0.9 in format 1", "resume it with that version, or start another"]);
}

#[test]
fn a_source_that_changed_is_refused_by_the_name_of_the_object() {
    let project = project().file("input/b.txt", "ten\n");
    project.run(["--run-id", "r"]).expect_error(75, &[]);
    let refused = |named: &str| _ = project.run(["--run-id", "r"]).expect_error(2, &[named]);
    let input = |name: &str| project.path("input").join(name);
    fs::write(input("c.txt"), "new\n").expect("written");
    refused("source object `c.txt` (is in no shard of the plan)");
    fs::rename(input("c.txt"), input("b.txt")).expect("renamed");
    refused("source object `b.txt` (is another version)");
    fs::remove_file(input("b.txt")).expect("it was there");
    refused("source object `b.txt` (is gone)");
}

#[test]
fn an_ending_that_another_start_does_not_help_says_so() {
    let project = Project::of(&format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"fatal\" }} }}]\nsink.format = \"lines\""
    ))
    .file("input/a.txt", "one\n");
    let ended = project.run(NONE);
    ended.expect_error(42, &["another plugin, configuration or source needs a new run"]);
    let errors = ended.stderr.find("error: ").expect("there is one");
    assert!(ended.stderr.find("what is committed is kept").expect("there is a hint") > errors, "{ended:#?}");
}
