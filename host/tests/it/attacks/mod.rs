//! Attacks on the host's own resources: components that are dear to parse, to compile, or to explain.
//!
//! Each attack is refused with its reason, in bounded memory. `cargo attacks` prints a line for each: the size of the
//! component, the peak memory of the host and its compiler, the time, and what the operator sees.

mod compiling;
mod debug_info;
mod one_run;
mod structure;

use std::time::Instant;

use crate::{
    hostile_components::with_plugin,
    support::{Ended, etl_host_command, measured},
};

/// Memory that compiling may take in these tests, in MiB.
const COMPILE_MIB: u64 = 64;

/// Most memory that the host or its compiler may take, in MiB: the compiler's limit, what its process takes besides, and
/// the component itself, twice.
const PEAK_MIB: u64 = COMPILE_MIB + 192 + 128;

/// A component that attacks, and what the operator sees of it.
struct Attack {
    name: &'static str,
    component: Vec<u8>,
    /// Texts of the message.
    told: &'static [&'static str],
}

/// Asserts that attacks end the run before there is a plan, with exit code 2 and their texts, and within the limits of
/// memory; prints a line for each.
#[track_caller]
#[expect(clippy::print_stdout, reason = "`cargo attacks` shows what these tests print")]
fn refused(attacks: Vec<Attack>) {
    let mut wrong = Vec::new();
    for Attack { name, component, told } in attacks {
        let bytes = component.len();
        let limits = format!(", compile_memory = \"{COMPILE_MIB}MiB\", compile_timeout = \"5s\"");
        let project = with_plugin(&limits).file("bad.wasm", component);
        let started = Instant::now();
        let mut etl_host = etl_host_command();
        etl_host.env("ETL_HOST_CACHE", "off").arg(project.path("pipeline.toml"));
        let (Ended { code, stderr, .. }, peak_mib) = measured(&etl_host);
        let seconds = started.elapsed().as_secs_f64();
        let message =
            stderr.split("error: ").last().unwrap_or_default().replace(&*project.path("").to_string_lossy(), "");
        println!("| {name} | {bytes} B | {peak_mib} MiB | {seconds:.1} s | {} |", message.trim().replace('\n', " "));
        let as_told = code == Some(2) && told.iter().chain(&["bad.wasm"]).all(|text| stderr.contains(text));
        if !as_told || stderr.len() > 16 * 1024 || peak_mib > PEAK_MIB || project.path("runs").exists() {
            wrong.push(format!("{name}: exit code {code:?}, {peak_mib} MiB, {} bytes: {:.2000}", stderr.len(), stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
