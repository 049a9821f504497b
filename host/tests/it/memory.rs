//! `run.memory` holds for anything that a guest or the data does: the peak of the real process, for large rows anywhere.

use std::{fmt::Write as _, io::Write as _};

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES, JOIN, LARGE_ROWS},
    support::Project,
};

/// The memory that each run is given, in MiB.
const MEMORY_MIB: u64 = 832;

fn run() -> String {
    format!("run.memory = \"{MEMORY_MIB}MiB\"\nrun.concurrency = 2\nrun.fsync = false\n")
}

/// Returns a pipeline whose mapper emits the rows that `input/` names, with these further sections.
fn large_rows(sections: &str) -> Project {
    Project::of(&format!(
        "{}run.shuffle_memory = \"16MiB\"\n\
         map = [{{ plugin = {LARGE_ROWS}, limits.memory = \"96MiB\" }}]\n{sections}",
        run()
    ))
}

/// Returns a reducer that counts the rows of each key.
fn counting() -> String {
    format!("reduce = {{ plugin = {BAD_COMBINER}, config.mode = \"honest\", limits.memory = \"96MiB\" }}\n")
}

/// Returns a line for each of `rows` rows.
fn lines(rows: usize, line: impl Fn(usize) -> String) -> String {
    (0..rows).fold(String::new(), |mut lines, row| {
        let _ = writeln!(lines, "{}", line(row));
        lines
    })
}

#[track_caller]
fn check(project: &Project, settings: &[&str]) {
    let peak_mib = project.peak_mib(settings);
    assert!(peak_mib <= MEMORY_MIB, "a peak of {peak_mib} MiB in a run that may have {MEMORY_MIB} MiB");
}

/// One shard for each line of `input/`.
const LINE_BY_LINE: &str = "split.target_size = 8\n";

#[test]
fn an_object_with_the_longest_window_is_read_in_the_memory_of_the_run() {
    let (mut packed, line) =
        (zstd::Encoder::new(Vec::new(), 1).expect("memory"), [&[b'x'; 99_999][..], b"\n"].concat());
    packed.window_log(27).expect("the longest");
    (0..1_600).for_each(|_| packed.write_all(&line).expect("memory"));
    let packed = packed.finish().expect("memory");
    let pipeline = format!("{}map = [{{ plugin = {COUNT_BY_TYPE}, limits.memory = \"96MiB\" }}]\n", run());
    let project = Project::of(&format!("{pipeline}{}", counting())).file("input/a.zst", packed);
    let peak_mib = project.peak_mib(&[]);
    assert!((128..=MEMORY_MIB).contains(&peak_mib), "a peak of {peak_mib} MiB");
}

#[test]
fn large_rows_of_many_keys_are_merged_in_the_memory_of_the_run() {
    let project = large_rows(&format!("{LINE_BY_LINE}{}", counting()));
    let project = project.file("input/a.txt", lines(45, |row| format!("key-{row:03},15000")));
    check(&project, &[]);
    assert_eq!(project.latest()[0].1.lines().count(), 45);
}

#[test]
fn large_rows_of_one_key_are_merged_in_the_memory_of_the_run() {
    let project = large_rows(&format!("{LINE_BY_LINE}{}", counting()));
    let project = project.file("input/a.txt", lines(45, |_| "the-key,15000".to_owned()));
    check(&project, &[]);
    assert_eq!(project.latest()[0].1, "{\"type\":\"the-key\",\"count\":45}\n");
}

#[test]
fn large_keys_are_merged_in_the_memory_of_the_run() {
    let project = large_rows(&format!("{LINE_BY_LINE}{}sink.format = \"csv\"\n", counting()));
    let project = project.file("input/a.txt", lines(20, |row| format!("{row:02},0,15000")));
    check(&project, &[]);
    assert_eq!(project.latest()[0].1.lines().count(), 21);
}

#[test]
fn large_rows_are_spilled_and_combined_in_the_memory_of_the_run() {
    let combined = format!("reduce = {{ plugin = {JOIN}, combine = true, limits.memory = \"96MiB\" }}\n");
    let project = large_rows(&combined);
    let project = project.file("input/a.txt", lines(24, |row| format!("key-{},3750", row / 4)));
    check(&project, &[]);
    let (_, joined) = &project.latest()[0];
    assert_eq!(joined.lines().map(str::len).collect::<Vec<_>>(), [15000 * 1024 * 6 + 25; 6]);
}

#[test]
fn large_rows_are_spilled_in_the_memory_of_the_run() {
    let project = large_rows(&counting());
    let project = project.file("input/a.txt", lines(20, |row| format!("key-{row:03},15000")));
    check(&project, &["run.shuffle_memory=1MiB"]);
    assert_eq!(project.latest()[0].1.lines().count(), 20);
}

#[test]
fn large_rows_are_written_to_the_sink_in_the_memory_of_the_run() {
    let project = large_rows(LINE_BY_LINE).file("input/a.txt", lines(6, |row| format!("key-{row},15000")));
    check(&project, &[]);
    assert_eq!(project.latest().iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 6);
}

#[test]
fn records_of_the_longest_length_are_read_in_the_memory_of_the_run() {
    let mut project = Project::of(&format!(
        "{}map = [{{ plugin = {CRIMES}, limits.memory = \"96MiB\" }}]\nsink.format = \"lines\"\n",
        run()
    ));
    for number in 0..12 {
        project = project.file(&format!("input/{number}.txt"), "r".repeat((8 << 20) - 1) + "\n");
    }
    check(&project, &[]);
    assert_eq!(project.latest().iter().map(|(_, text)| text.len()).sum::<usize>(), 12 * (8 << 20));
}
