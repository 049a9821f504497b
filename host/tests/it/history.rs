//! The commands for runs of the past: `runs`, `show` and `clean`.

use serde_json::Value;

use crate::{
    guests::{CRIMES, SUM, WORD_COUNT},
    support::{Ended, NONE, Project, etl_host, etl_host_command, shell},
};

fn words() -> Project {
    let pipeline = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\nsplit.target_size = 16\n\
         reduce = {{ plugin = {SUM}, partitions = 2 }}\n"
    );
    Project::of(&pipeline).file("input/a.txt", "one two three\none two\nfour five six\n")
}

/// Runs a command on the pipeline of a project.
fn on(project: &Project, command: &str, arguments: &[&str]) -> Ended {
    let file = project.path("pipeline.toml").into_os_string().into_string().expect("text");
    etl_host([&[command, &file], arguments].concat())
}

#[track_caller]
fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.expect_success().stdout).expect("JSON")
}

/// Makes a project in which one shard of four fails, after it was tried again once.
fn failing() -> Project {
    let step = format!(
        "plugin = {CRIMES}, config = {{ crime = \"panic\", at = \"finish\", task = 1 }}, retry = {{ interval = \"1ms\" }}"
    );
    Project::of(&format!("map = [{{ {step} }}]\nsplit.target_size = 4\nsink.format = \"lines\"\nrun.concurrency = 1"))
        .file("input/a.txt", "one\ntwo\nsix\nten\n")
}

/// Runs the binary in the directory of a project.
fn inside(project: &Project, arguments: &str) -> Ended {
    let mut command = etl_host_command();
    Ended::of(command.current_dir(project.path("")).args(arguments.split(' ')))
}

#[test]
fn a_run_is_named_alone_where_its_pipeline_is_the_one_of_the_directory() {
    let project = failing();
    inside(&project, "pipeline.toml --run-id bad").expect_error(42, &["replay pipeline.toml bad --shard 1"]);
    for shows in ["show", "show bad", "show pipeline.toml", "show pipeline.toml bad", "show ./pipeline.toml bad"] {
        let shown = inside(&project, shows);
        assert!(shown.expect_success().stdout.starts_with("run        bad, failed\n"), "{shows}: {shown:#?}");
    }
    assert!(inside(&project, "show bad").stdout.contains(" etl-host replay pipeline.toml bad --shard 1\n"));
    assert_eq!(inside(&project, "runs").expect_success().stdout, inside(&project, "runs pipeline.toml").stdout);
    inside(&project, "replay bad --shard 0").expect_success();
    inside(&project, "replay --shard 0").expect_success();
    inside(&project, "report bad --output report.html").expect_success();
    assert!(project.path("report.html").exists());
    inside(&project, "show badd").expect_error(2, &["there is no run `badd` of `test`", "the newest: `bad`"]);
    inside(&project, "show other.toml").expect_error(2, &["cannot read pipeline file `other.toml`: No such"]);
    inside(&project, "show pipline.toml").expect_error(2, &["`pipline.toml` (did you mean `pipeline.toml`?): No such"]);
    inside(&project, "./").expect_error(2, &["`./` (did you mean `./pipeline.toml`?): Is a directory"]);
    let elsewhere = Project::new("").file("other.toml", "");
    std::fs::remove_file(elsewhere.path("pipeline.toml")).expect("it was there");
    inside(&elsewhere, "show bad").expect_error(2, &["no pipeline file `bad`, and no `pipeline.toml` in this"]);
    inside(&elsewhere, "show").expect_error(2, &["no `pipeline.toml` in this directory: name the pipeline file"]);
}

#[test]
fn clean_deletes_nothing_where_a_word_could_be_meant_otherwise() {
    let project = failing().file("bad", "a file that is called like the run");
    inside(&project, "pipeline.toml --run-id bad").expect_error(42, &[]);
    let before = project.files("runs");
    inside(&project, "clean bad").expect_error(2, &["say which runs of `bad`", "name one after the pipeline file"]);
    inside(&project, "clean pipeline.toml").expect_error(2, &["say which runs of `pipeline.toml`", "--older-than"]);
    inside(&project, "clean").expect_error(2, &["say which runs of `pipeline.toml`"]);
    inside(&project, "clean badd --older-than 0s").expect_error(2, &["`badd` is taken for a run", "--older-than"]);
    inside(&project, "clean pipeline.toml bad --older-than 0s").expect_error(2, &["`bad` is taken for a run"]);
    let no_age = inside(&project, "clean --older-than 7");
    assert!(no_age.code == Some(2) && no_age.stderr.contains("such as `7d` or `12h`"), "{no_age:#?}");
    inside(&project, "clean --older-than 0s").expect_success();
    assert_eq!(project.files("runs"), before);
    std::fs::remove_file(project.path("bad")).expect("it was there");
    inside(&project, "clean bad").expect_success();
    assert_eq!(project.files("runs"), NONE);
}

#[test]
fn the_command_that_replays_is_one_that_works_wherever_it_is_told() {
    let project = failing();
    std::fs::create_dir(project.path("my jobs")).expect("a directory");
    let text = std::fs::read_to_string(project.path("pipeline.toml")).expect("the pipeline");
    let text = text.replace("\"input/\"", "\"../input/\"").replace("\"result/\"", "\"../result/\"");
    let project = project.file("my jobs/orders.toml", text);
    let store = "run.store=../elsewhere/";
    let mut run = etl_host_command();
    run.current_dir(project.path("")).args(["my jobs/orders.toml", "--run-id", "bad", "--set", store]);
    Ended::of(&mut run).expect_error(42, &["replay 'my jobs/orders.toml' bad --shard 1 --set run.store="]);
    let page = std::fs::read_to_string(project.path("elsewhere/test/bad/report.html")).expect("a report");
    let told = page.split("\"replay\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a command");
    let program = etl_host_command().get_program().to_string_lossy().into_owned();
    let again = Ended::of(shell(&told.replace("etl-host", &program)).current_dir(project.path("")));
    again.expect_error(42, &["map of shard 1", "panicked"]);
}

#[test]
fn a_task_of_several_shards_is_called_by_all_of_them() {
    let step = format!(
        "plugin = {CRIMES}, config = {{ crime = \"panic\", at = \"finish\", task = 601 }}, retry = {{ interval = \"1ms\" }}"
    );
    let project = Project::of(&format!("map = [{{ {step} }}]\nsplit.target_size = 1\nsink.format = \"lines\""))
        .file("input/a.txt", "a\n".repeat(700));
    let failed = project.run(["--run-id", "bad"]);
    failed.expect_error(42, &["shard 601", "writing nothing:\n", " bad --shard 601\n"]);
    let shown = on(&project, "show", &[]);
    assert!(shown.expect_success().stdout.contains("failed     map of shards 592 to 607, attempt 2: "), "{shown:#?}");
    assert_eq!(shown.stdout.matches(" bad --shard 601\n").count(), 2, "{shown:#?}");
    let page = std::fs::read_to_string(project.path("runs/test/bad/report.html")).expect("a report");
    assert!(page.contains(" bad --shard 601\"") && !page.contains(" bad --shard 592"), "{page}");
    let left_out = project.run(["--run-id", "r", "--set", "run.tolerated_failures=20"]);
    assert_eq!(left_out.code, Some(3), "{left_out:#?}");
    assert!(on(&project, "show", &["r"]).stdout.contains("left out   shards 592 to 607: "));
    assert_eq!(on(&project, "show", &["r"]).stdout.matches(" r --shard 601\n").count(), 3);
}

#[test]
fn runs_are_listed_newest_first_with_what_became_of_them() {
    let project = words();
    on(&project, "runs", &[]).expect_success();
    assert_eq!(on(&project, "runs", &[]).stdout, "there are no runs of test\n");
    project.result(NONE);
    project.result(["--run-id", "second"]);
    std::fs::write(project.path("input/a.txt"), "other words\n").expect("written");
    project.run(["--run-id", "third", "--set", "map.0.limits.output=1"]).expect_error(42, &["limits.output"]);
    let runs = json(&on(&project, "runs", &["--json"]));
    let runs = runs.as_array().expect("an array");
    let seen: Vec<_> = runs.iter().map(|run| (run["state"].as_str(), run["shards"].as_u64())).collect();
    assert_eq!(seen, [(Some("failed"), Some(1)), (Some("complete"), Some(3)), (Some("complete"), Some(3))]);
    assert_eq!((&runs[0]["run_id"], &runs[1]["run_id"]), (&"third".into(), &"second".into()));
    let shown = on(&project, "runs", &[]);
    assert_eq!(shown.expect_success().stdout.lines().count(), 4, "{shown:#?}");
    assert!(shown.stdout.contains(&format!("{}/second", project.path("result").display())), "{shown:#?}");
}

#[test]
fn a_run_is_shown_with_its_failures_first_and_the_numbers_of_its_manifest() {
    let project = failing();
    project.run(["--run-id", "bad"]).expect_error(42, &["map of shard 1"]);
    let shown = on(&project, "show", &[]).expect_success().stdout.clone();
    let replay = format!("etl-host replay {} bad --shard 1", project.path("pipeline.toml").display());
    let order = [
        "run        bad, failed",
        "error      map of shard 1",
        "failed     map of shard 1, attempt 2: ",
        "\n             in ",
        &replay,
        "attempt 1, tried again: ",
        "stage ",
        "retries    map 1",
    ];
    let places: Vec<_> =
        order.iter().map(|text| shown.find(text).unwrap_or_else(|| panic!("no `{text}` in {shown}"))).collect();
    assert!(places.is_sorted(), "{shown}");
    assert!(shown.contains("crimes/src/") && !shown.contains("sdk/src/"), "only what the author wrote: {shown}");
    let bad = json(&on(&project, "show", &["bad", "--json"]));
    assert_eq!((&bad["failures"][0]["task"], &bad["failures"][0]["replay"]), (&1.into(), &replay.into()));
    assert_eq!((&bad["failures"][0]["retried"], &bad["failures"][1]["retried"]), (&false.into(), &true.into()));

    let project = words();
    project.result(["--run-id", "good"]);
    let good = json(&on(&project, "show", &["--json"]));
    let manifest = project.json("runs/test/good/manifest.json");
    assert_eq!(good["stages"]["map"]["counts"], manifest["mapped"]);
    assert_eq!(good["stages"]["reduce"]["counts"], manifest["reduced"]);
    assert_eq!((&good["run"]["state"], &good["failures"]), (&"complete".into(), &Value::Array(Vec::new())));
    on(&project, "show", &["other"]).expect_error(2, &["no run `other`", "the newest: `good`"]);
}

#[test]
fn a_run_that_left_out_failed_shards_says_which_and_can_be_cleaned_up_after() {
    let project = failing();
    let ended = project.run(["--run-id", "r", "--set", "run.tolerated_failures=1"]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let runs = json(&on(&project, "runs", &["--json"]));
    assert_eq!((&runs[0]["state"], &runs[0]["failed_shards"]), (&"complete_with_failures".into(), &1.into()));
    let shown = on(&project, "show", &["r"]).expect_success().stdout.clone();
    let replay = format!("\n             etl-host replay {} r --shard 1\n", project.path("pipeline.toml").display());
    assert!(shown.starts_with("run        r, complete with failures\n"), "{shown}");
    assert!(shown.contains("\nleft out   shard 1: ") && shown.contains(&replay), "{shown}");
    let page = std::fs::read_to_string(project.path("runs/test/r/report.html")).expect("a report");
    assert!(page.contains(r#""left_out":[{"error":""#), "the report has them too");
    let of_plan = project.of_plan("r");
    let map = project.path(&format!("{of_plan}/map"));
    let kept = on(&project, "clean", &["--older-than", "0s"]).expect_success().stdout.clone();
    assert!(
        kept.contains("kept 1 run that left out shards, which `--redrive` can complete: name it to delete"),
        "{kept}"
    );
    assert!(map.exists());
    on(&project, "clean", &["r"]).expect_success();
    assert!(!map.exists() && project.path("runs/test/r/manifest.json").exists());
}

#[test]
fn what_a_complete_run_left_is_deleted_and_its_result_and_story_stay() {
    let project = words();
    let result = project.result(["--run-id", "one"]);
    let before = (project.files("runs"), project.files("result"));
    let would = on(&project, "clean", &["one", "--dry-run"]);
    assert!(would.expect_success().stdout.contains("\nwould delete 15 objects ("), "{would:#?}");
    assert_eq!(before, (project.files("runs"), project.files("result")));

    let did = on(&project, "clean", &["one"]).expect_success().stdout.replace("deleted", "would delete");
    assert_eq!(did, would.stdout);
    assert_eq!((project.latest(), project.files("result")), (result, before.1));
    let left = project.files("runs/test/one");
    let kept = ["_SUCCESS", "events/", "manifest.json", "plan.json", "report.html"];
    assert!(left.iter().all(|file| kept.iter().any(|kept| file.starts_with(kept))), "{left:?}");
    assert!(!project.path(&format!("{}/map", project.of_plan("one"))).exists(), "an empty directory is left");
    assert!(on(&project, "show", &["one"]).expect_success().stdout.starts_with("run        one, complete\n"));
    project.run(["--run-id", "one"]).expect_success();
}

#[test]
fn a_run_that_is_not_complete_is_deleted_only_by_its_name_and_then_whole() {
    let project = failing();
    project.run(["--run-id", "bad"]).expect_error(42, &[]);
    let before = project.files("runs");
    let kept = on(&project, "clean", &["--older-than", "0s"]).expect_success().stdout.clone();
    assert_eq!(kept, "deleted 0 objects (0 B)\nkept 1 run that is not complete: name one to delete it\n");
    assert_eq!(before, project.files("runs"));
    on(&project, "clean", &["bad"]).expect_success();
    assert_eq!(project.files("runs"), Vec::<String>::new());
    assert_eq!(project.files("result"), Vec::<String>::new());
    on(&project, "clean", &[]).expect_error(2, &["--older-than"]);
}

#[test]
fn results_go_only_if_asked_for_and_never_the_newest() {
    let project = words();
    project.result(["--run-id", "one"]);
    let newest = project.result(["--run-id", "two"]);
    on(&project, "clean", &["two", "--results"]).expect_error(2, &["`two` is the newest", "latest.json"]);
    assert_eq!(json(&on(&project, "clean", &["--older-than", "1h", "--results", "--json"])), Value::Array(Vec::new()));
    let cleaned = json(&on(&project, "clean", &["--older-than", "0s", "--results", "--json"]));
    assert_eq!((cleaned.as_array().expect("an array").len(), &cleaned[0]["run_id"]), (1, &"one".into()));
    assert_eq!(cleaned[0]["results"]["objects"], 4, "two parts, `_SUCCESS` and the claim");
    assert_eq!(project.latest(), newest);
    assert!(!project.path("runs/test/one").exists() && !project.path("result/one").exists());
}
