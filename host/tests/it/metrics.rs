//! The metrics of a run, as a monitoring system reads them.

use std::fs;

use crate::{
    guests::{FILTER_CLEAN, KEY_VALUE, SUM},
    support::Project,
};

pub(crate) fn project() -> Project {
    let lines: String =
        (0..100).map(|n| if n == 50 { "bad\n".to_owned() } else { format!("k{},{n}\n", n % 7) }).collect();
    let pipeline = format!(
        "map = [{{ plugin = {FILTER_CLEAN}, config = {{ columns = 2 }} }}, {{ plugin = {KEY_VALUE} }}]\n\
         split.target_size = 64\nreduce = {{ plugin = {SUM}, partitions = 2 }}\nrun.max_rejects = 5\n"
    );
    Project::of(&pipeline).file("input/a.csv", lines)
}

/// Returns the value of a metric, by its name with all labels.
#[track_caller]
fn value(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no `{name}` in {text}")).parse().expect("a whole number")
}

#[test]
fn the_metrics_at_the_end_are_those_of_the_manifest() {
    let project = project();
    let file = project.path("etl.prom");
    let name = file.to_str().expect("text");
    project.result(["--run-id", "r", "--metrics", name]);
    let text = fs::read_to_string(&file).expect("there are metrics");
    let manifest = project.json("runs/test/r/manifest.json");
    for (name, stage, of) in [
        ("records_read_total", "map", &manifest["mapped"]["records_in"]),
        ("read_bytes_total", "map", &manifest["mapped"]["bytes_in"]),
        ("records_written_total", "map", &manifest["mapped"]["records_out"]),
        ("rejects_total", "map", &manifest["rejected"]["map"]),
        ("records_read_total", "reduce", &manifest["reduced"]["records_in"]),
        ("records_written_total", "reduce", &manifest["reduced"]["records_out"]),
        ("written_bytes_total", "reduce", &manifest["reduced"]["bytes_out"]),
    ] {
        let name = format!("etl_host_{name}{{pipeline=\"test\",stage=\"{stage}\"}}");
        assert_eq!(Some(value(&text, &name)), of.as_u64(), "{name}");
    }
    assert_eq!(value(&text, "etl_host_run_state{pipeline=\"test\",state=\"complete\"}"), 1);
    assert!(value(&text, "etl_host_store_requests_total{pipeline=\"test\",store=\"sink\",request=\"write\"}") > 0);
}

#[test]
fn a_run_that_fails_says_so_and_a_file_that_cannot_be_written_is_refused_first() {
    let project = project();
    let file = project.path("etl.prom");
    let name = file.to_str().expect("text");
    let ended = project.run(["--set", "map.0.limits.output=1", "--metrics", name]);
    ended.expect_error(42, &["limits.output", " --metrics "]);
    let text = fs::read_to_string(&file).expect("there are metrics");
    assert_eq!(value(&text, "etl_host_run_state{pipeline=\"test\",state=\"failed\"}"), 1);
    project
        .run(["--run-id", "r", "--metrics", "/nowhere/x.prom"])
        .expect_error(2, &["`/nowhere/x.prom` (`--metrics`)"]);
    assert!(!project.path("runs/test/r").exists());
}

#[test]
fn copying_in_and_out_of_plugins_is_told_apart_from_running_them() {
    let lines: String = (0..200_000).map(|n| format!("k{n},{n}\n")).collect();
    let project = Project::of(&format!("map = [{{ plugin = {KEY_VALUE} }}]\nreduce = {{ plugin = {SUM} }}\n"))
        .file("input/a.csv", lines);
    project.result(["--run-id", "r"]);
    let manifest = project.json("runs/test/r/manifest.json");
    for stage in ["mapped", "reduced"] {
        let times = &manifest[stage]["times"];
        let [copy_in, guest, copy_out] =
            ["copy_in_us", "guest_us", "copy_out_us"].map(|kind| times[kind].as_u64().expect("a time"));
        // About 3 MB are copied in each direction.
        assert!(copy_in > 0 && copy_out > 0 && guest > 0, "{stage}: {times}");
    }
}
