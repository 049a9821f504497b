//! Prints the tables, for the terminal and for `docs/benchmarks.md`: the cost of both sides, and where etl-host's time
//! went.

use std::time::SystemTime;

use crate::{
    figures::{
        Figures,
        Side::{Host, Native},
    },
    machine,
    times::KINDS,
    workload::Workload,
};

const COSTS: [&str; 9] =
    ["workload", "input", "native", "etl-host", "ratio", "processor time", "native peak", "etl-host peak", "goal"];

/// Rows of cells; the first row is the headings.
type Table = Vec<Vec<String>>;

/// Prints the tables with aligned columns.
pub(crate) fn terminal(figures: &[Figures]) {
    for table in [costs(figures), shares(figures)] {
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
        for row in &table {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("{}", cells.join("  ").trim_end());
        }
        println!();
    }
}

/// Prints the tables as Markdown, with the machine and the day.
pub(crate) fn markdown(figures: &[Figures], threads: usize) {
    let day = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    println!("Measured on {} with {threads} threads, {}.", &day[..10], machine::describe());
    for table in [costs(figures), shares(figures)] {
        println!("\n| {} |\n|{}", table[0].join(" | "), " --- |".repeat(table[0].len()));
        table[1..].iter().for_each(|row| println!("| {} |", row.join(" | ")));
    }
}

fn costs(figures: &[Figures]) -> Table {
    let headings = COSTS.map(str::to_owned).into();
    let row = |figures: &Figures| {
        vec![
            figures.workload.title().to_owned(),
            format!("{:.0} MB", figures.input_bytes as f64 / 1e6),
            format!("{:.2} s", figures.wall(Native)),
            format!("{:.2} s", figures.wall(Host)),
            format!("{:.2}", figures.wall_ratio()),
            processor_time(figures),
            format!("{} MiB", figures.peak_mib(Native)),
            format!("{} MiB", figures.peak_mib(Host)),
            goal(figures.workload),
        ]
    };
    [headings].into_iter().chain(figures.iter().map(row)).collect()
}

/// Returns the ratio of processor times, or the time of a shard for the workload that is judged by it.
fn processor_time(figures: &Figures) -> String {
    match figures.workload {
        Workload::Files => format!("{:.0} µs a file", figures.cpu_micros_per_file()),
        _ => format!("{:.2}", figures.cpu_ratio()),
    }
}

fn goal(workload: Workload) -> String {
    let goal = workload.goal();
    let time = goal.ratio.map_or_else(|| "100 µs a file".to_owned(), |ratio| format!("{ratio}"));
    format!("{time}, {} MiB", goal.peak_mib)
}

fn shares(figures: &[Figures]) -> Table {
    let headings = ["where the time goes"].iter().chain(&KINDS).map(|heading| (*heading).to_owned()).collect();
    let row = |figures: &Figures| {
        let shares = figures.shares().map(|share| format!("{share:.0} %"));
        [figures.workload.title().to_owned()].into_iter().chain(shares).collect()
    };
    [headings].into_iter().chain(figures.iter().map(row)).collect()
}
