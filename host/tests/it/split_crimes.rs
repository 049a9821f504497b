//! Crimes of splitters and combiners: each is named in the error, and has no other effect.

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES, SPLIT_CRIMES, SUM},
    support::{NONE, Project, batch_timeout},
};

#[test]
fn a_splitter_cannot_add_shards_the_source_does_not_have() {
    for (mode, text) in [
        ("outside", "but the object has"),
        ("outside-overflow", "but the object has"),
        ("overlapping", "overlaps"),
        ("twice", "overlaps"),
        ("unknown-object", "which the source does not have"),
        ("empty-name", "which the source does not have"),
        ("path-tricks #0", "named object `./a.txt`, which the source does not have"),
        ("path-tricks #1", "named object `x/../a.txt`, which the source does not have"),
        ("path-tricks #2", "named object `/a.txt`, which the source does not have"),
        ("path-tricks #3", "named object `../../etc/passwd`, which the source does not have"),
        ("huge-name", "exceeded `limits.output` (limit 65536 bytes per attempt)"),
        ("zero-slices", "shard 0 has no slices"),
        ("spin", "exceeded `limits.batch_timeout` (1s) in `split`"),
        ("endless-shards", "exceeded `limits.output` (limit 65536 bytes per attempt)"),
        ("million-shards", "exceeded `limits.output` (limit 65536 bytes per attempt)"),
        ("records-of-other-schema", "added a shard of records"),
        ("records-with-bad-offsets", "added a shard of records"),
        ("panic", "panicked in `split`"),
    ] {
        let (mode, count) = mode.split_once(" #").unwrap_or((mode, "1000000"));
        let batch_timeout = batch_timeout(mode, "1s");
        let pipeline = format!(
            "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"{mode}\", count = {count} }}, retry = {{ attempts = 1 }}, \
             limits = {{ timeout = \"2h\", batch_timeout = \"{batch_timeout}\", output = \"64KiB\" }} }}\n\
             map = [{{ plugin = {COUNT_BY_TYPE} }}]"
        );
        let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\n");
        let ended = project.run(NONE);
        ended.expect_error(42, &["split failed", "split_crimes.wasm", text]);
        assert!(ended.stderr.len() < 16 * 1024, "{mode}: an error of {} bytes", ended.stderr.len());
        assert!(!project.files("runs").iter().any(|file| file.ends_with("plan.json")), "{mode} was planned");
    }
}

#[test]
fn a_splitter_reads_objects_of_the_source_and_nothing_else() {
    let pipeline = format!(
        "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"probe-source\" }} }}\n\
         map = [{{ plugin = {COUNT_BY_TYPE} }}]"
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\n");
    let shown = project.run(NONE).expect_success().stderr.clone();
    for (read, found) in [
        ("unknown", "Err(StepError::Fatal(\"the source has no object `no such object`"),
        ("parent", "Err(StepError::Fatal(\"the source has no object `../a.txt`"),
        ("absolute", "Err(StepError::Fatal(\"the source has no object `/etc/passwd`"),
        ("at the end", "Ok(0)"),
        ("past the end", "Err(StepError::Fatal(\"offset 9 is past the end"),
        ("far out", "Err(StepError::Fatal(\"offset 18446744073709551615 is past the end"),
        ("too much", "Ok(8)"),
    ] {
        assert!(shown.contains(&format!("{read} -> {found}")), "{read}: {shown}");
    }
}

#[test]
fn a_splitter_may_leave_everything_out_but_not_silently() {
    for mode in ["zero-shards", "zero-length"] {
        let pipeline = format!(
            "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"{mode}\" }} }}\n\
             map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}"
        );
        let project = Project::of(&pipeline).file("input/a.txt", "one\n");
        let ended = project.run(NONE);
        assert!(ended.expect_success().stderr.contains("the splitter left out 4 of the source's 4 bytes"), "{ended:?}");
        assert_eq!(project.latest(), [("part-00000.json".to_owned(), String::new())], "{mode}");
    }
}

#[test]
fn a_splitter_cannot_cut_what_is_compressed() {
    let pipeline = format!(
        "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"part-of-compressed\" }} }}\n\
         map = [{{ plugin = {COUNT_BY_TYPE} }}]"
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\n").file("input/b.txt.gz", [0; 20]);
    let ended = project.run(NONE);
    ended.expect_error(42, &["split failed", "cut `b.txt.gz`, which is compressed and can only be a slice as a whole"]);
    assert!(!project.files("runs").iter().any(|file| file.ends_with("plan.json")), "it was planned");
}

#[test]
fn slices_are_read_in_the_order_the_splitter_gives_them() {
    let pipeline = format!(
        "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"reversed\" }} }}\n\
         map = [{{ plugin = {CRIMES} }}]\nsink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\n").file("input/b.txt", "six\neleven\nten\n");
    // The middle of `b.txt` is in its second line, which belongs to the slice in which the line starts.
    let expected = "ten\nsix\neleven\ntwo\none\n";
    assert_eq!(project.result(NONE), [("part-00000.txt".to_owned(), expected.to_owned())]);
}

#[test]
fn a_splitter_in_passing_trouble_is_tried_again() {
    let pipeline = format!(
        "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"retryable\" }}, \
         retry = {{ attempts = 3, interval = \"1ms\" }} }}\nmap = [{{ plugin = {COUNT_BY_TYPE} }}]"
    );
    let ended = Project::of(&pipeline).file("input/a.txt", "one\n").run(NONE);
    ended.expect_error(75, &["split failed (attempt 3)", "split_crimes.wasm"]);
}

#[test]
fn a_combiner_that_breaks_the_order_is_named() {
    let pipeline = |mode: &str| {
        format!(
            "map = [{{ plugin = {COUNT_BY_TYPE} }}]\n\
             reduce = {{ plugin = {BAD_COMBINER}, combine = true, config = {{ mode = \"{mode}\" }}, retry = {{ interval = \"1ms\" }} }}"
        )
    };
    let run = |mode| Project::of(&pipeline(mode)).file("input/a.txt", "a\nb\nc\nd\ne\nf\n").run(NONE);
    run("unsorted").expect_error(42, &["out of", "order"]);
    run("other-schema").expect_error(2, &["`reduce.combine` needs a reducer that emits what it is given"]);
    run("other-type").expect_error(2, &["`reduce.combine` needs a reducer that emits what it is given"]);
    run("panic").expect_error(42, &["bad_combiner.wasm", "panicked in `process`"]);
    run("honest").expect_success();
}
