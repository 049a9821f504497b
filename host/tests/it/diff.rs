//! `etl-host diff`: two versions of a map step on the pipeline's own source.

use crate::support::{Ended, NONE, Project, etl_host_command, plugin};

fn diff(project: &Project, map: &str, arguments: &[&str]) -> Ended {
    let mut command = etl_host_command();
    command.arg("diff").arg(project.path("pipeline.toml")).arg("--map").arg(plugin(map)).args(arguments);
    let ended = Ended::of(&mut command);
    assert_eq!((project.files("runs"), project.files("result")), (vec![], vec![]), "nothing is written");
    ended
}

fn pairs() -> Project {
    let lines = |first: usize| (first..first + 10).map(|n| format!("k{n},{n},{}\n", n % 9)).collect::<String>();
    Project::of("split.target_size = \"40B\"\n[[map]]\nplugin = \"plugin:key_value\"\n")
        .file("input/a.csv", lines(0))
        .file("input/b.csv", lines(10))
}

#[test]
fn the_same_version_does_the_same_on_some_shards() {
    let ended = diff(&pairs(), "key_value", &["--sample", "2"]);
    assert!(ended.expect_success().stdout.starts_with("map: 2 of "), "{ended:#?}");
    assert!(ended.stdout.ends_with("\nnothing differs\n"), "{ended:#?}");
}

#[test]
fn a_script_is_told_by_the_exit_code_whether_something_differs() {
    let project = pairs();
    assert_eq!(diff(&project, "key_value", &["--exit-code"]).code, Some(0));
    let different = diff(&project, "key_value", &["--exit-code", "--config", "{\"value\":2}"]);
    assert_eq!((different.code, different.stderr.as_str()), (Some(1), ""), "{different:#?}");
    diff(&project, "sum", &["--exit-code"]).expect_error(2, &["is a reduce plugin"]);
}

#[test]
fn rows_and_rejects_that_differ_are_shown_beside_each_other() {
    let other_field = ["--config", "{\"value\":2}", "--sample", "100"];
    let ended = diff(&pairs(), "key_value", &other_field);
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

    let rejecting = diff(&pairs(), "key_value", &["--config", "{\"value\":3}", "--sample", "1"]);
    assert!(
        rejecting.expect_success().stdout.contains("+  `a.csv` at byte 0: the line has no field 3"),
        "{rejecting:#?}"
    );
    let columns = diff(&pairs(), "word_count", &[]);
    assert!(
        columns
            .expect_success()
            .stdout
            .contains("shard 0: other columns\n-  key text, value int64 (key: key)\n+  word text")
    );
}

#[test]
fn a_version_that_fails_is_a_difference_with_its_record() {
    let project = Project::of("[[map]]\nplugin = \"plugin:filter_clean\"\n[[map]]\nplugin = \"plugin:filter_clean\"\n")
        .file("input/a.txt", "one\n two\n");
    let crime = ["--step", "map 2", "--config", "{\"crime\":\"panic-on-line\",\"text\":\"two\"}"];
    let ended = diff(&project, "crimes", &crime);
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
    let project = Project::of("[split]\nplugin = \"plugin:split_random\"\nconfig = { min = 3, max = 3 }\n[[map]]\nplugin = \"plugin:word_count\"\n")
        .file("input/a.txt", "One\ntwo\nthree\nfour\n");
    let ended = diff(&project, "word_count", &["--config", "{\"lowercase\":false}"]);
    assert!(ended.expect_success().stdout.starts_with("map: 3 of 3 shards, 4 records\n"), "{ended:#?}");
    assert!(ended.stdout.contains("-  one       1\n+  One       1\n"), "{ended:#?}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let project = pairs();
    diff(&project, "sum", &[]).expect_error(2, &["sum.wasm", "is a reduce plugin"]);
    diff(&project, "key_value", &["--step", "map 7"]).expect_error(2, &["no map step `map 7` (it has `map`)"]);
    diff(&project, "key_value", &["--config", "{\"kee\":1}"]).expect_error(2, &["`config.kee` is not a field"]);
    assert_eq!(project.files("runs"), NONE);
}
