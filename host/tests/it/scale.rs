//! Very many shards and large shuffles: the same result, in memory that does not grow with them.

use crate::{
    guests::{COUNT_BY_TYPE, KEY_VALUE, SUM},
    support::{NONE, Project},
};

fn count() -> String {
    format!(
        "split.target_size = 8\n\
         map = [{{ plugin = {COUNT_BY_TYPE} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 2 }}\n"
    )
}

/// Counts lines of 1,000 kinds, each line a shard of its own, and returns the process's peak memory in MiB.
fn peak_mib(shards: usize) -> u64 {
    let lines: String = (0..shards).map(|number| format!("key {:03}\n", number * 7919 % 1000)).collect();
    let project = Project::of(&count()).file("input/a.txt", lines);
    let peak_mib = project.peak_mib(&["run.fsync=false"]);

    let expected = format!("\"count\":{}}}", shards / 1000);
    let rows: Vec<String> = project.latest().iter().flat_map(|(_, text)| text.lines().map(str::to_owned)).collect();
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().all(|row| row.ends_with(&expected)), "{rows:?}");
    let objects = project.files("runs").len();
    assert!(objects < 9000, "{objects} objects in the run store for {shards} shards");
    peak_mib
}

#[test]
fn a_shuffle_of_many_times_its_memory_takes_no_more_than_it_may() {
    let pipeline = format!(
        r#"
        split.target_size = "1GiB"
        map = [{{ plugin = {KEY_VALUE} }}]
        reduce = {{ plugin = {SUM}, partitions = 2 }}
        run.concurrency = 1
    "#
    );
    // Each of 150,000 rows of 500 bytes is about 1 KiB in the shuffle, with its key in comparable form.
    let lines: String = (0..150_000_u64).map(|n| format!("{:0500},{n}\n", n * 7919 % 140_009)).collect();
    let project = Project::of(&pipeline).file("input/a.txt", lines);
    let in_memory = project.peak_mib(&["run.shuffle_memory=1GiB"]);
    let expected = project.latest();
    let spilled = project.peak_mib(&["run.shuffle_memory=2MiB"]);
    assert!(project.latest() == expected && !expected.is_empty(), "the results differ");
    assert!(spilled + 60 < in_memory, "{spilled} MiB with 2 MiB to shuffle in, {in_memory} MiB with plenty");
}

#[test]
fn a_hundred_thousand_shards_take_no_more_memory_than_a_few_thousand() {
    let (few, many) = (peak_mib(5_000), peak_mib(100_000));
    assert!(many < few + 96, "{few} MiB for 5,000 shards, {many} MiB for 100,000");
}

#[test]
fn a_run_that_does_not_fit_its_memory_is_refused_before_anything_runs() {
    let project = Project::of(&count()).file("input/a.txt", "key 001\n");
    let texts = ["`run.memory` is 200.0 MiB, but one map attempt may take", "`limits.memory` of `map`"];
    project.run(["--set", "run.memory=200MiB"]).expect_error(2, &texts);
    assert!(project.files("runs").is_empty() && project.files("result").is_empty());
    assert_eq!(project.result(NONE).len(), 2);
}
