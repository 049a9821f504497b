//! The two sides of a workload: prepares both, and runs each once.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    child::{Cost, measure},
    input,
    pipeline::Project,
    result::Rows,
    times::Times,
    workload::Workload,
};

/// Both programs for one workload, ready to run.
pub(crate) struct Sides {
    workload: Workload,
    input: PathBuf,
    pub(crate) input_bytes: u64,
    threads: usize,
}

/// The cost of one run of each side, and the rows that both gave.
pub(crate) struct Pair {
    pub(crate) native: Cost,
    pub(crate) host: Cost,
    /// Where etl-host's time went.
    pub(crate) times: Times,
    pub(crate) rows: Rows,
}

impl Sides {
    /// Does everything that must not be measured: makes the input unless it exists, reads it into the page cache, and
    /// builds the plugins.
    pub(crate) fn prepare(workload: Workload, bytes: Option<u64>, threads: usize) -> Result<Self> {
        let input = input::make(workload, bytes.unwrap_or(workload.input_bytes()))?;
        let input_bytes = input::warm(&input)?;
        let sides = Self { workload, input, input_bytes, threads };
        sides.project()?.build()?;
        Ok(sides)
    }

    fn project(&self) -> Result<Project> {
        Project::new(self.workload, &self.input, self.threads)
    }

    /// Runs both sides once and shows how long they took.
    pub(crate) fn run_shown(&self, run: u32, runs: u32) -> Result<Pair> {
        let pair = self.run(&[])?;
        let [native, host] = [&pair.native, &pair.host].map(|cost| cost.wall.as_secs_f64());
        eprintln!("{} {run}/{runs}: native {native:.3} s, etl-host {host:.3} s", self.workload.name());
        Ok(pair)
    }

    /// Runs both sides once, etl-host with these keys of the pipeline changed. If the results differ, both are kept.
    pub(crate) fn run(&self, settings: &[&str]) -> Result<Pair> {
        let project = self.project()?;
        let native = measure(&mut self.native(&project.native_result())?)?;
        let host = measure(&mut project.command(settings))?;
        let (rows, found) = (Rows::read(&project.native_result())?, Rows::read(&project.host_result())?);
        let times = Times::read(&project.manifest())?;
        if rows != found {
            let kept = project.keep();
            bail!("the results of {} differ: {rows}, {found}; see {}", self.workload.name(), kept.display());
        }
        Ok(Pair { native, host, times, rows })
    }

    fn native(&self, result: &Path) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("this program has a path")?);
        command
            .args(["native", self.workload.name().as_str()])
            .args([&self.input, result])
            .arg(self.threads.to_string());
        Ok(command)
    }
}
