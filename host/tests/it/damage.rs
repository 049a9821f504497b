//! Damage: an object of a run that was changed since is named, and made again where that is possible.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use crate::{
    guests::{SUM, WORD_COUNT},
    support::{Project, etl_host_command},
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
    let directory = format!("runs/test/r/map/{task}");
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
        let (warning, named) = ("warning: map task 1 is run again: ", file.strip_prefix("runs/").expect("below"));
        assert!(ended.stderr.contains(warning) && ended.stderr.contains(named), "{how}: {ended:#?}");
        let mapped = |event: &&str| event.contains("attempt_started") && event.contains(r#""stage":"map""#);
        assert_eq!(ended.stdout.lines().filter(mapped).count(), 1, "{how}: {ended:#?}");
        assert_eq!(project.latest(), expected, "{how}");
    }
}

#[test]
fn other_documents_that_are_damaged_are_named() {
    for document in ["plan.json", "map/000001/commit.json"] {
        let project = mapped();
        change(&project.path("runs/test/r").join(document), |bytes| bytes.truncate(bytes.len() / 2));
        let ended = project.run(["--run-id", "r"]);
        ended.expect_error(42, &[document, "is damaged"]);
    }
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
    let task = project.files("runs/test/r/map/000001");
    assert_eq!(task, ["taken-back"], "neither a commit nor a failure");
    assert_eq!(project.result(["--quiet", "--run-id", "r"]), expected);
}
