//! The native side: each workload as a Rust program written for that work alone.
//!
//! The programs use as many threads as etl-host gets, large reads, vector instructions to find line ends and
//! delimiters, and hash tables without an allocation for each row. They write the result in parts, one for each thread
//! or piece of input. A workload is defined as the plugin that does it for etl-host defines it, down to the check that
//! text is UTF-8; no code is shared. Malformed input, which a pipeline would reject, ends the program; the inputs of
//! the benchmark have none.

mod count;
mod filter;
mod json;
mod keys;
mod log;
mod part;
mod pieces;
mod sums;
mod table;
mod words;

use std::{fs, path::Path};

use anyhow::Result;

use crate::workload::Workload;

/// Runs a workload in this process: reads the files in `input`, and writes parts into the new directory `result`.
pub(crate) fn run(workload: Workload, input: &Path, result: &Path, threads: usize) -> Result<()> {
    fs::create_dir(result)?;
    match workload {
        Workload::Count | Workload::Files => count::run(input, result, threads),
        Workload::Words => words::run(input, result, threads),
        Workload::Log => log::run(input, result, threads),
        Workload::Keys => keys::run(input, result, threads),
        Workload::Filter => filter::run(input, result, threads),
    }
}
