//! Runs a child process and measures its cost.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use wait4::Wait4;

/// The cost of a process, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Processor time, in user mode and in the kernel, of all its threads.
    pub(crate) cpu: Duration,
    /// Peak resident memory. The system also counts the memory that this process had when it started the child, so this
    /// program must not hold much memory.
    pub(crate) peak_bytes: u64,
}

/// Runs a process to its end.
///
/// # Errors
/// When the process cannot be started, or ends with a code other than 0.
pub(crate) fn measure(command: &mut Command) -> Result<Cost> {
    let started = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let child = child.with_context(|| format!("cannot start {command:?}"))?;
    let ended = child.wait4().context("cannot wait for a child")?;
    let wall = started.elapsed();
    ensure!(ended.status.success(), "{command:?} failed ({})", ended.status);
    Ok(Cost { wall, cpu: ended.rusage.utime + ended.rusage.stime, peak_bytes: ended.rusage.maxrss })
}
