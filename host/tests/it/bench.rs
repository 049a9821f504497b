//! The benchmark's workloads, on small inputs: etl-host gives the same rows as an independent native program.

use std::process::Command;

use crate::support::{repository, succeed};

/// Runs the benchmark without measuring, built with the profile of the tests. If the results of a workload differ, the
/// benchmark ends with an error.
#[test]
fn every_workload_of_the_benchmark_gives_the_native_result() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["bench", "--quiet", "--profile", "dev", "--package", "etl-host", "--bench", "native", "--"]);
    let shown = succeed(cargo.args(["--check", "--size", "1MB"]).current_dir(repository()));
    for workload in ["count", "words", "log", "keys", "files", "filter"] {
        let line = shown.lines().find_map(|line| line.strip_prefix(&format!("{workload}: both sides give the same ")));
        let rows = line.and_then(|line| line.strip_suffix(" rows")?.parse::<u64>().ok());
        assert!(rows.is_some_and(|rows| rows >= 1_000), "{workload} in:\n{shown}");
    }
}
