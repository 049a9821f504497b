//! `--build`: the commands that build a pipeline's plugins.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use super::say;
use crate::{
    error::{Error, ErrorKind, Result, ResultExt},
    pipeline::Pipeline,
};

/// Runs each step's `build` command in the directory of the pipeline file, in the order data flows; a command that
/// several steps share runs once. What commands print goes to standard error, as it is.
///
/// # Errors
/// [`ErrorKind::Config`], naming step and command, when one cannot be started or fails; later ones are not run.
pub(super) fn build_plugins(pipeline: &Pipeline, file: &Path) -> Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut done: Vec<&str> = Vec::new();
    for step in pipeline.steps() {
        let Some(command) = step.build.as_deref().filter(|command| !done.contains(command)) else { continue };
        say(&pipeline.secrets.redact(&format!("build {}: {command}", step.name)));
        build(&step.name, command, directory)?;
        done.push(command);
    }
    Ok(())
}

fn build(step: &str, command: &str, directory: &Path) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::from(io::stderr()));
    let status = shell.status().or_kind(ErrorKind::Config, || "cannot start `sh` for a build command")?;
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
