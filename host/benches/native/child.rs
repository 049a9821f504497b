//! A child process and what it took.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use wait4::Wait4;

/// What a process took, from its start until it was gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Processor time, in user mode and in the kernel, of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory it had resident. The system counts what this process had when it started the child, too, so
    /// nothing here may hold much memory.
    pub(crate) peak_bytes: u64,
}

/// Runs a process to its end.
///
/// # Errors
/// It cannot be started, or ends with another code than 0.
pub(crate) fn measure(command: &mut Command) -> Result<Cost> {
    let started = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let child = child.with_context(|| format!("cannot start {command:?}"))?;
    let ended = child.wait4().context("cannot wait for a child")?;
    let wall = started.elapsed();
    ensure!(ended.status.success(), "{command:?} failed ({})", ended.status);
    Ok(Cost { wall, cpu: ended.rusage.utime + ended.rusage.stime, peak_bytes: ended.rusage.maxrss })
}
