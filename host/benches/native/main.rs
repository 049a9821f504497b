//! `cargo bench-native`: measures etl-host against the best native program for the same work.
//!
//! For each workload, the benchmark makes the input once and then runs two whole processes in turn: itself, doing the
//! work natively ([`baseline`]), and the real `etl-host` on a pipeline. It checks that both give the same rows, and
//! prints the cost of each.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table goes to stdout, progress goes to stderr")]
#![expect(clippy::disallowed_methods, reason = "a report has a date, and builds an environment of their own")]

mod baseline;
mod child;
mod figures;
mod input;
mod machine;
mod pipeline;
mod report;
mod result;
mod sides;
mod text;
mod times;
mod workload;

use std::{num::NonZero, path::PathBuf};

use anyhow::Result;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};

use figures::Figures;
use sides::{Pair, Sides};
use workload::Workload;

#[derive(Debug, Parser)]
#[command(name = "cargo bench-native", about = "Measures etl-host against the best native program for the same work")]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    job: Option<Job>,
    /// Passed to every benchmark by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Args)]
struct Options {
    /// Run this workload only; may be repeated
    #[arg(long, value_enum)]
    workload: Vec<Workload>,
    /// Size of each workload's input, such as `100MB` [default: the size that `docs/benchmarks.md` was measured with]
    #[arg(long)]
    size: Option<ByteSize>,
    /// Number of runs of each side; the median is shown
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads of each side [default: cores]
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// Print a section of `docs/benchmarks.md` instead of a table for the terminal
    #[arg(long)]
    markdown: bool,
    /// Only compare the results of both sides, once
    #[arg(long, conflicts_with = "markdown")]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Run a workload natively, in this process
    #[command(hide = true)]
    Native { workload: Workload, input: PathBuf, result: PathBuf, threads: usize },
}

fn main() -> Result<()> {
    let Cli { options, job, .. } = Cli::parse();
    match job {
        Some(Job::Native { workload, input, result, threads }) => baseline::run(workload, &input, &result, threads),
        None => bench(&options),
    }
}

fn bench(options: &Options) -> Result<()> {
    let chosen = match options.workload.as_slice() {
        [] => Workload::value_variants(),
        chosen => chosen,
    };
    pipeline::prepare_target()?;
    let mut table = Vec::new();
    for workload in chosen {
        let sides = Sides::prepare(*workload, options.size.map(|size| size.0), options.threads())?;
        if options.check {
            println!(
                "{}: both sides give the same {} rows",
                workload.name(),
                sides.run(workload.small_tasks())?.rows.count
            );
            continue;
        }
        let runs: Vec<Pair> =
            (1..=options.runs).map(|run| sides.run_shown(run, options.runs)).collect::<Result<_>>()?;
        table.push(Figures { workload: *workload, input_bytes: sides.input_bytes, runs });
    }
    if options.markdown {
        report::markdown(&table, options.threads());
    } else if !options.check {
        report::terminal(&table);
    }
    Ok(())
}

impl Options {
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.threads.map_or_else(cores, NonZero::get)
    }
}
