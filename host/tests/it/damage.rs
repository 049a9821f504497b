//! Damage: an object of a run that was changed since is named, and made again where that is possible.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use crate::{
    guests::{SUM, WORD_COUNT},
    support::{Project, etl_host, etl_host_command},
};

/// Runs a pipeline up to its first reduce task, and kills it there.
fn mapped() -> Project {
    let words: String = (0..400_u32).map(|n| format!("w{}\n", n.wrapping_mul(7_919) % 101)).collect();
    let pipeline = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 2 }}\nsplit.target_size = 400"
    );
    let project = Project::of(&pipeline).file("input/a.txt", words);
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
    let status = command.env("ETL_HOST_FAIL_POINT", "reduce.begin").status().expect("it starts");
    assert_eq!(status.signal(), Some(9), "it was not killed");
    project
}

/// Returns the path of the shuffle file of a map task in the project.
fn shuffle_file(project: &Project, task: &str) -> String {
    let directory = format!("{}/map/{task}", project.of_plan("r"));
    let file = project.files(&directory).into_iter().find(|file| file.ends_with(".arrow")).expect("a shuffle file");
    format!("{directory}/{file}")
}

fn change(file: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).expect("it is there");
    change(&mut bytes);
    fs::write(file, bytes).expect("it can be written");
}

/// Damages `file`; `other` is the shuffle file of another task.
fn damage(how: &str, file: &Path, other: &Path) {
    match how {
        "truncated" => change(file, |bytes| bytes.truncate(bytes.len() / 4)),
        "flipped" => change(file, |bytes| {
            let length = bytes.len();
            bytes[length / 8..length / 2].iter_mut().for_each(|byte| *byte ^= 0x40);
        }),
        "foreign" => _ = fs::copy(other, file).expect("it can be copied"),
        _ => fs::remove_file(file).expect("it was there"),
    }
}

#[test]
fn a_damaged_shuffle_file_is_named_and_its_task_alone_is_run_again() {
    let expected = mapped().result(["--quiet", "--run-id", "r"]);
    for how in ["truncated", "flipped", "foreign", "missing"] {
        let project = mapped();
        let (file, other) = (shuffle_file(&project, "000001"), shuffle_file(&project, "000002"));
        damage(how, &project.path(&file), &project.path(&other));
        let ended = project.run(["--run-id", "r", "--events", "json"]);
        ended.expect_success();
        let (warning, named) = ("warning: map task 1 is run again", file.strip_prefix("runs/").expect("below"));
        assert!(ended.stderr.contains(warning) && ended.stderr.contains(named), "{how}: {ended:#?}");
        let mapped = |event: &&str| event.contains("attempt_started") && event.contains(r#""stage":"map""#);
        assert_eq!(ended.stdout.lines().filter(mapped).count(), 1, "{how}: {ended:#?}");
        assert_eq!(project.latest(), expected, "{how}");
    }
}

#[test]
fn all_shuffle_files_that_are_lost_are_made_again_at_once() {
    let expected = mapped().result(["--quiet", "--run-id", "r"]);
    let project = mapped();
    let tasks = project.files(&format!("{}/map", project.of_plan("r")));
    let lost: Vec<&String> = tasks.iter().filter(|file| file.ends_with(".arrow")).skip(1).collect();
    assert!(lost.len() > 2, "{tasks:?}");
    for (number, file) in lost.iter().enumerate() {
        let file = project.path(&project.of_plan("r")).join("map").join(file);
        damage(if number % 2 == 0 { "missing" } else { "truncated" }, &file, &file);
    }
    let ended = project.run(["--run-id", "r"]);
    ended.expect_success();
    assert_eq!(ended.stderr.matches("is run again").count(), 1, "{ended:#?}");
    assert!(ended.stderr.contains(&format!("and so are {} others", lost.len() - 1)), "{ended:#?}");
    assert_eq!(project.latest(), expected);
}

#[test]
fn plans_and_shards_that_are_damaged_are_named_and_are_no_bad_data_that_could_be_tolerated() {
    for document in ["plan.json", "shards/00000.json"] {
        for how in ["truncated", "flipped", "missing"] {
            let project = mapped();
            let directory = if document == "plan.json" { "runs/test/r".to_owned() } else { project.of_plan("r") };
            let file = project.path(&directory).join(document);
            if how == "missing" && document == "plan.json" {
                continue;
            }
            fs::remove_dir_all(project.path(&format!("{}/map/000001", project.of_plan("r")))).expect("it was there");
            damage(how, &file, &file);
            let ended = project.run(["--run-id", "r", "--set", "run.tolerated_failures=100%"]);
            ended.expect_error(42, &[document]);
            assert!(ended.stderr.contains("is damaged") || ended.stderr.contains("is gone"), "{ended:#?}");
            assert!(!project.path("result/r/_SUCCESS").exists());
        }
    }
}

#[test]
fn a_run_whose_plan_is_lost_does_not_mix_its_result_with_that_of_another_plan() {
    let project = mapped();
    let of_plan = project.of_plan("r");
    fs::remove_file(project.path("runs/test/r/plan.json")).expect("it was there");
    let plan = of_plan.rsplit('/').next().expect("an id");
    project.run(["--run-id", "r"]).expect_error(2, &["result/r` belongs to plan ", plan, "`--run-id`"]);
    assert!(!project.path("runs/test/r/plan.json").exists(), "a plan that may not write was frozen");
}

#[test]
fn damaged_commits_are_made_again() {
    let expected = mapped().result(["--quiet", "--run-id", "r"]);
    for how in ["truncated", "flipped", "foreign"] {
        let project = mapped();
        let commit = |task: &str| project.path(&format!("{}/map/{task}/commit.json", project.of_plan("r")));
        damage(how, &commit("000001"), &project.path("pipeline.toml"));
        let ended = project.run(["--run-id", "r"]);
        ended.expect_success();
        assert!(ended.stderr.contains("the commit of map of shard 1 is damaged, so it is run again"), "{ended:#?}");
        assert_eq!(project.latest(), expected, "{how}");
    }
}

#[test]
fn a_part_that_was_damaged_before_it_was_published_is_made_again() {
    let expected = mapped().result(["--quiet", "--run-id", "r"]);
    for how in ["truncated", "flipped", "missing"] {
        let project = mapped();
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
        let killed = command.env("ETL_HOST_FAIL_POINT", "publish.begin").status().expect("it starts");
        assert_eq!(killed.signal(), Some(9));
        let staged = project.files("result/r/_attempts");
        let file = project.path("result/r/_attempts").join(&staged[0]);
        damage(how, &file, &file);
        let ended = project.run(["--run-id", "r"]);
        ended.expect_success();
        assert!(ended.stderr.contains("committed parts are gone from the sink or damaged: 0, so"), "{how}: {ended:#?}");
        assert_eq!(project.latest(), expected, "{how}");
    }
}

#[test]
fn damage_to_a_complete_result_is_said_and_repaired_when_asked_for() {
    let expected = mapped().result(["--quiet", "--run-id", "r"]);
    for how in ["truncated", "flipped", "missing"] {
        let project = mapped();
        project.result(["--quiet", "--run-id", "r"]);
        let part = project.path("result/r/part-00001.json");
        damage(how, &part, &part);
        let what = "the result of run `r` is not whole any more: parts that are gone or were changed since: 1";
        project.run(["--run-id", "r"]).expect_error(42, &[what, "`--repair` makes them again"]);
        let ended = project.run(["--run-id", "r", "--repair"]);
        assert!(ended.expect_success().stderr.contains(what), "{ended:#?}");
        assert_eq!(project.latest(), expected, "{how}");
        assert!(project.path("result/r/_SUCCESS").exists());
        let again = project.run(["--run-id", "r", "--repair"]);
        assert!(again.expect_success().stdout.contains("was done before"), "{again:#?}");
    }
}

#[test]
fn a_complete_result_that_was_cleaned_up_after_cannot_be_repaired_and_stays_as_it_is() {
    let project = mapped();
    project.result(["--quiet", "--run-id", "r"]);
    etl_host(["clean".into(), project.path("pipeline.toml").into_os_string(), "r".into()]).expect_success();
    fs::remove_file(project.path("result/r/part-00001.json")).expect("it was there");
    let ended = project.run(["--run-id", "r", "--repair"]);
    ended.expect_error(42, &["what they were made from was cleaned up, so start another run (`--new`)"]);
    assert!(project.path("result/r/part-00000.json").exists());
}

#[test]
fn a_complete_result_that_was_copied_elsewhere_and_back_is_whole() {
    let project = mapped();
    project.result(["--quiet", "--run-id", "r"]);
    let part = project.path("result/r/part-00001.json");
    let bytes = fs::read(&part).expect("it is there");
    fs::remove_file(&part).expect("it was there");
    fs::write(&part, bytes).expect("written");
    let again = project.run(["--run-id", "r"]);
    assert!(again.expect_success().stdout.contains("was done before"), "{again:#?}");
}

#[test]
fn a_task_whose_output_was_damaged_is_not_left_out_because_partitions_may_have_its_rows() {
    let expected = mapped().result(["--quiet", "--run-id", "r"]);
    let project = mapped();
    fs::remove_file(project.path(&shuffle_file(&project, "000001"))).expect("it was there");
    // A limit does not change the result, so a resumed run may have another one. With this limit, the task fails.
    let failing = ["--set", "map.0.limits.output=1", "--set", "run.tolerated_failures=5"];
    let ended = project.run(["--run-id", "r"].into_iter().chain(failing));
    ended.expect_error(42, &["`limits.output`", "the shard was mapped before, so it cannot be left out now"]);
    let task = project.files(&format!("{}/map/000001", project.of_plan("r")));
    assert_eq!(task, ["taken-back"], "neither a commit nor a failure");
    assert_eq!(project.result(["--quiet", "--run-id", "r"]), expected);
}
