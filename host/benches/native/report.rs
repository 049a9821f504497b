//! The table, for the terminal and for `docs/benchmarks.md`.

use std::time::SystemTime;

use crate::{
    figures::{Figures, peak_mib, wall_seconds},
    machine,
    workload::{FILE_BYTES, Workload},
};

const HEADINGS: [&str; 9] = [
    "workload",
    "input",
    "native",
    "etl-host",
    "ratio",
    "ratio of processor time",
    "native peak",
    "etl-host peak",
    "goal",
];

/// Prints the table with aligned columns.
pub(crate) fn terminal(table: &[Figures]) {
    let rows: Vec<Vec<String>> = table.iter().map(row).collect();
    let headings: Vec<String> = HEADINGS.map(str::to_owned).into();
    let width = |column: usize| rows.iter().chain([&headings]).map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in [&headings].into_iter().chain(&rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
    table.iter().filter_map(per_shard).for_each(|line| println!("{line}"));
}

/// Prints the table as Markdown, with the machine and the day.
pub(crate) fn markdown(table: &[Figures], threads: usize) {
    let day = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    println!("{}; {threads} threads; {}.\n", machine::describe(), &day[..10]);
    println!("| {} |\n|{}", HEADINGS.join(" | "), " --- |".repeat(HEADINGS.len()));
    for figures in table {
        println!("| {} |", row(figures).join(" | "));
    }
    table.iter().filter_map(per_shard).for_each(|line| println!("\n{line}"));
}

/// Says what a shard of a file took.
fn per_shard(figures: &Figures) -> Option<String> {
    let micros = figures.host_cpu_micros_per(FILE_BYTES);
    (figures.workload == Workload::Files).then(|| format!("A file of 1 KiB took {micros:.0} µs of processor time."))
}

fn row(figures: &Figures) -> Vec<String> {
    let Figures { workload, input_bytes, native, host } = figures;
    let goal = workload.goal();
    let ratio = goal.ratio.map_or_else(String::new, |ratio| format!("{ratio}, "));
    vec![
        workload.title().to_owned(),
        format!("{:.1} MB", *input_bytes as f64 / 1e6),
        format!("{:.3} s", wall_seconds(native)),
        format!("{:.3} s", wall_seconds(host)),
        format!("{:.2}", figures.wall_ratio()),
        format!("{:.2}", figures.cpu_ratio()),
        format!("{} MiB", peak_mib(native)),
        format!("{} MiB", peak_mib(host)),
        format!("{ratio}{} MiB", goal.peak_mib),
    ]
}
