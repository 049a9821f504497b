//! `etl-host diff`: two versions of a map step on the pipeline's own source.

use crate::{
    guests::{CRIMES, FILTER_CLEAN, Guest, KEY_VALUE, SPLIT_RANDOM, SUM, WORD_COUNT},
    support::{Ended, NONE, Project, etl_host_command},
};

fn diff(project: &Project, map: Guest, arguments: &[&str]) -> Ended {
    let mut command = etl_host_command();
    command.arg("diff").arg(project.path("pipeline.toml")).arg("--map").arg(map.path()).args(arguments);
    let ended = Ended::of(&mut command);
    assert_eq!((project.files("runs"), project.files("result")), (vec![], vec![]), "nothing is written");
    ended
}

fn pairs() -> Project {
    let lines = |first: usize| (first..first + 10).map(|n| format!("k{n},{n},{}\n", n % 9)).collect::<String>();
    Project::of(&format!("split.target_size = \"40B\"\n[[map]]\nplugin = {KEY_VALUE}\n"))
        .file("input/a.csv", lines(0))
        .file("input/b.csv", lines(10))
}

#[test]
fn the_same_version_does_the_same_on_some_shards() {
    let ended = diff(&pairs(), KEY_VALUE, &["--sample", "2"]);
    assert!(ended.expect_success().stdout.starts_with("map: 2 of "), "{ended:#?}");
    assert!(ended.stdout.ends_with("\nnothing differs\n"), "{ended:#?}");
}

#[test]
fn a_script_is_told_by_the_exit_code_whether_something_differs() {
    let project = pairs();
    assert_eq!(diff(&project, KEY_VALUE, &["--exit-code"]).code, Some(0));
    let different = diff(&project, KEY_VALUE, &["--exit-code", "--config", "{\"value\":2}"]);
    assert_eq!((different.code, different.stderr.as_str()), (Some(1), ""), "{different:#?}");
    diff(&project, SUM, &["--exit-code"]).expect_error(2, &["is a reduce plugin"]);
}

#[test]
fn rows_and_rejects_that_differ_are_shown_beside_each_other() {
    let other_field = ["--config", "{\"value\":2}", "--sample", "100"];
    let ended = diff(&pairs(), KEY_VALUE, &other_field);
    for text in [
        "20 records\n",
        "\nrows      ",
        "  too short to compare\n",
        " x ",
        "less, ",
        "   key  value\n-  k9       9\n",
        "+  k9       0\n",
    ] {
        assert!(ended.expect_success().stdout.contains(text), "no `{text}` in:\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("k3 "), "what is the same is not shown: {ended:#?}");

    let rejecting = diff(&pairs(), KEY_VALUE, &["--config", "{\"value\":3}", "--sample", "1"]);
    assert!(
        rejecting.expect_success().stdout.contains("+  `a.csv` at byte 0: the line has no field 3"),
        "{rejecting:#?}"
    );
    let columns = diff(&pairs(), WORD_COUNT, &[]);
    assert!(
        columns
            .expect_success()
            .stdout
            .contains("shard 0: other columns\n-  key text, value int64 (key: key)\n+  word text")
    );
}

#[test]
fn a_version_that_fails_is_a_difference_with_its_record() {
    let project = Project::of(&format!("[[map]]\nplugin = {FILTER_CLEAN}\n[[map]]\nplugin = {FILTER_CLEAN}\n"))
        .file("input/a.txt", "one\n two\n");
    let crime = ["--step", "map 2", "--config", "{\"crime\":\"panic-on-line\",\"text\":\"two\"}"];
    let ended = diff(&project, CRIMES, &crime);
    for text in [
        "map 2: 1 of 1 shard, 2 records",
        "failed shards",
        "shard 0, old: 2 rows out",
        "shard 0, new: failed: row 2: map 2 plugin `crimes.wasm` panicked",
    ] {
        assert!(ended.expect_success().stdout.contains(text), "no `{text}` in:\n{}", ended.stdout);
    }
}

#[test]
fn shards_of_a_splitter_are_compared_too() {
    let project = Project::of(&format!(
        "[split]\nplugin = {SPLIT_RANDOM}\nconfig = {{ min = 3, max = 3 }}\n[[map]]\nplugin = {WORD_COUNT}\n"
    ))
    .file("input/a.txt", "One\ntwo\nthree\nfour\n");
    let ended = diff(&project, WORD_COUNT, &["--config", "{\"lowercase\":false}"]);
    assert!(ended.expect_success().stdout.starts_with("map: 3 of 3 shards, 4 records\n"), "{ended:#?}");
    assert!(ended.stdout.contains("-  one       1\n+  One       1\n"), "{ended:#?}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let project = pairs();
    diff(&project, SUM, &[]).expect_error(2, &["sum.wasm", "is a reduce plugin"]);
    diff(&project, KEY_VALUE, &["--step", "map 7"]).expect_error(2, &["no map step `map 7` (it has `map`)"]);
    diff(&project, KEY_VALUE, &["--config", "{\"kee\":1}"]).expect_error(2, &["`config.kee` is not a field"]);
    assert_eq!(project.files("runs"), NONE);
}
