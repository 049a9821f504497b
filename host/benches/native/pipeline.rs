//! The etl-host side: a `pipeline.toml` in a scratch directory, and the commands that check and run it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::workload::Workload;

/// Returns the directory for the benchmark's inputs and scratch files: `bench-native` in cargo's target directory.
pub(crate) fn directory() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("cargo's target directory has a name")?;
    let directory = target.join("bench-native");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

fn guests() -> Result<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the host has a parent directory")?;
    Ok(repository.join("guest-plugins"))
}

/// Installs the compilation target of the plugins if it is missing.
///
/// # Errors
/// When `guest-plugins/wasm-target` fails.
pub(crate) fn prepare_target() -> Result<()> {
    succeed(&mut Command::new(guests()?.join("wasm-target")))
}

/// A scratch directory with a pipeline, and room for the results of both sides; deleted when dropped.
pub(crate) struct Project {
    scratch: TempDir,
}

impl Project {
    pub(crate) fn new(workload: Workload, input: &Path, threads: usize) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(directory()?)?;
        let project = Self { scratch };
        let steps = with_plugins(workload.steps(), &guests()?);
        let text = format!(
            "name = \"bench\"\nsource.url = \"{}\"\nsink.url = \"sink\"\n\
             run = {{ store = \"runs\", scratch = \"{}\", concurrency = {threads} }}\n{steps}",
            input.display(),
            project.path("").display(),
        );
        fs::write(project.path("pipeline.toml"), text)?;
        Ok(project)
    }

    /// Builds the pipeline's plugins, and checks it.
    pub(crate) fn build(&self) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etl-host"));
        command.arg("check").arg(self.path("pipeline.toml")).arg("--build");
        // Cargo's settings for this program must not apply to the build of the plugins.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
            command.env_remove(name);
        }
        succeed(&mut command)
    }

    /// Returns the command that runs the pipeline, with these keys of `pipeline.toml` changed.
    pub(crate) fn command(&self, settings: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etl-host"));
        command.arg(self.path("pipeline.toml")).args(["--quiet", "--run-id", "bench"]);
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        command
    }

    /// Returns the path of etl-host's result.
    pub(crate) fn host_result(&self) -> PathBuf {
        self.path("sink/bench")
    }

    /// Returns the path of the manifest of etl-host's run.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.path("runs/bench/bench/manifest.json")
    }

    /// Returns the path of the native program's result.
    pub(crate) fn native_result(&self) -> PathBuf {
        self.path("native")
    }

    /// Keeps the directory instead of deleting it, and returns its path.
    pub(crate) fn keep(self) -> PathBuf {
        self.scratch.keep()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// Replaces each `plugin:NAME` with the two keys it stands for.
fn with_plugins(steps: &str, guests: &Path) -> String {
    let mut pieces = steps.split("plugin:");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find([',', ' ']).unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        let file = guests.join("target/wasm32-wasip2/release").join(name.replace('-', "_")).with_extension("wasm");
        let build = "cargo build --quiet --release --target wasm32-wasip2 --package";
        text.push_str(&format!(
            "plugin = \"{}\", build = \"cd '{}' && {build} {name}\"{rest}",
            file.display(),
            guests.display()
        ));
    }
    text
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
