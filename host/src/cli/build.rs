//! `etl-host build`, and the option `--build` of other commands: runs the commands that build a pipeline's plugins.

use std::{
    fmt::Write,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use clap::Args;
use etl_core::{
    model::error::{Error, ErrorKind, Result, ResultExt},
    text::{
        command::PIPELINE_FILE,
        numbers::{bytes, printable},
    },
};
use etl_plugin::{self, Engine, Inspection};

use super::{compiling, load, print, redacted, say};
use crate::pipeline::{Pipeline, Step};

/// The compilation target of plugins.
const TARGET: &str = "wasm32-wasip2";

/// The shell script that installs the target: with rustup or, if rustup cannot download it, from Debian's packages.
const GET_TARGET: &str = include_str!("../../../guest-plugins/wasm-target");

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The pipeline file, or a directory with a pipeline.toml
    #[arg(value_name = "PIPELINE", default_value = PIPELINE_FILE)]
    pub file: PathBuf,
    /// Set a key of the pipeline, such as `map.0.build=make`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Builds the plugins of a pipeline, compiles them, so that the first run need not, and prints the file, interface, size
/// and digest of each.
pub(super) fn build(args: &BuildArgs) -> Result<()> {
    let file = if args.file.is_dir() { args.file.join(PIPELINE_FILE) } else { args.file.clone() };
    let pipeline = load(&file, &args.set, true)?;
    let compiler = compiling::told();
    let engine = Engine::new(1, compiler.clone())?;
    for step in pipeline.steps() {
        let inspection = compiler.inspect(&step.plugin.path).map_err(|error| redacted(&error, &pipeline.secrets))?;
        let loaded = engine.load(&step.plugin, inspection.interface);
        loaded.map_err(|error| redacted(&error, &pipeline.secrets))?;
        print(&pipeline.secrets.redact(&built(step, &inspection)))?;
    }
    Ok(())
}

/// Returns the lines that describe the component of a step.
fn built(step: &Step, inspection: &Inspection) -> String {
    let Inspection { interface, wit_version, digest, size_bytes, .. } = inspection;
    let kind = interface.step();
    let mut text = format!("{:8}  {}\n", step.plugin.name, printable(&step.plugin.path.display().to_string()));
    if step.plugin.build.is_none() {
        _ = writeln!(text, "{:8}  not built here: the step has no `build` command", "");
    }
    _ = writeln!(text, "{:8}  etl:plugin/{kind}-plugin@{wit_version}, {}, sha256:{digest}", "", bytes(*size_bytes));
    text
}

/// Runs each step's `build` command in the directory of the pipeline file, in the order data flows. A command that
/// several steps share runs once. Installs the wasm target first if a command mentions it and it is missing. The output
/// of the commands goes to standard error, unchanged.
///
/// # Errors
/// [`ErrorKind::Config`] when a command fails, naming its step and the command, or when `sh` cannot be started. Later
/// commands are not run.
pub(super) fn build_plugins(pipeline: &Pipeline, file: &Path) -> Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if pipeline.steps().any(|step| step.plugin.build.as_ref().is_some_and(|command| command.contains(TARGET))) {
        get_target(directory)?;
    }
    let mut done: Vec<&str> = Vec::new();
    for step in pipeline.steps() {
        let Some(command) = step.plugin.build.as_deref().filter(|command| !done.contains(command)) else { continue };
        say(&pipeline.secrets.redact(&format!("build {}: {command}", step.plugin.name)));
        build_step(&step.plugin.name, command, directory)?;
        done.push(command);
    }
    Ok(())
}

/// Installs the target for the compiler that is used in a directory; does nothing if it is installed. If the target
/// cannot be installed, only prints a warning: the build command may bring its own compiler.
fn get_target(directory: &Path) -> Result<()> {
    if !shell(GET_TARGET, directory)?.success() {
        say(&format!("warning: the target {TARGET}, which plugins are built for, could not be added"));
    }
    Ok(())
}

fn shell(script: &str, directory: &Path) -> Result<ExitStatus> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::from(io::stderr()));
    shell.status().or_kind(ErrorKind::Config, || "cannot start `sh` for a build command")
}

fn build_step(step: &str, command: &str, directory: &Path) -> Result<()> {
    let status = shell(command, directory)?;
    if !status.success() {
        return Err(Error::config(format!("{step}: build command `{command}` failed ({status})")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn built(first: &str, second: &str) -> (String, Result<()>) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pipeline.toml");
        let text = format!(
            "name = 'b'\nsource.url = 'in/'\nsink.url = 'out/'\n\
             [[map]]\nplugin = 'a.wasm'\nbuild = '{first}'\n[[map]]\nplugin = 'b.wasm'\nbuild = '{second}'\n"
        );
        fs::write(&file, text).expect("written");
        let pipeline = Pipeline::load(&file, &[], |_| None).expect("valid");
        let result = build_plugins(&pipeline, &file);
        (fs::read_to_string(directory.path().join("log")).unwrap_or_default(), result)
    }

    #[test]
    fn a_shared_command_runs_once_in_the_directory_of_the_pipeline() {
        let (log, result) = built("echo a >> log", "echo a >> log");
        assert_eq!((log.as_str(), result.is_ok()), ("a\n", true));
        let (log, result) = built("echo a >> log", "echo b >> log");
        assert_eq!((log.as_str(), result.is_ok()), ("a\nb\n", true));
    }

    #[test]
    fn a_build_that_fails_names_its_step_and_ends_the_rest() {
        let (log, result) = built("exit 3", "echo b >> log");
        let error = result.expect_err("it failed");
        assert_eq!(error.to_string(), "map: build command `exit 3` failed (exit status: 3)");
        assert_eq!((log.as_str(), error.kind()), ("", ErrorKind::Config));
    }
}
