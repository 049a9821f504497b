//! `etl-host new`: creates a project for a plugin.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etl_core::{
    model::error::{Error, Result},
    text::command::quoted,
};
use etl_plugin::Interface;

use super::{print, say};
use crate::workbench::new::{self, Project, Sdk};

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The directory to create; if it exists, it must be empty
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The step to write
    #[arg(long, value_name = "STEP")]
    pub step: NewStep,
    /// The language to write the step in
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    pub lang: Language,
    /// The name of the pipeline, and of the crate [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The directory of the SDK for Rust [default: the one in the checkout this program was built in, or else the published SDK]
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NewStep {
    /// Divides the source into shards
    Split,
    /// Turns records into rows
    Map,
    /// Folds the rows of each key
    Reduce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// Rust with the SDK, the crate `etl-plugin`
    Rust,
    /// Python with the SDK, the package `etl_plugin`, which the project contains
    Python,
}

/// Creates a project and prints the commands to run next.
pub(super) fn new(args: &NewArgs) -> Result<()> {
    let step = match args.step {
        NewStep::Split => Interface::Splitter,
        NewStep::Map => Interface::Mapper,
        NewStep::Reduce => Interface::Reducer,
    };
    let (language, test) = match args.lang {
        Language::Rust => (new::Language::Rust(sdk(args)?), "cargo test"),
        Language::Python if args.sdk.is_some() => {
            return Err(Error::config("--sdk goes with Rust: a project in Python contains the SDK"));
        }
        Language::Python => (new::Language::Python, "python3 -m unittest"),
    };
    let project = Project::new(&name(args)?, step, language)?;
    let files = project.write(&args.directory)?;
    let directory = args.directory.display().to_string();
    print(&format!(
        "{directory}: a {} step, {} files\n\nNext:\n  cd {}\n  {test}\n  etl-host pipeline.toml --build\n",
        step.step(),
        files.len(),
        quoted(&directory),
    ))?;
    if project.language == new::Language::Rust(Sdk::Version) {
        say("the SDK is not published yet: to build the project, set the path of `etl-plugin` in its Cargo.toml to \
             the directory `guest-plugins/sdk` of a checkout of etl-host (`--sdk DIR` does this)");
    }
    Ok(())
}

fn name(args: &NewArgs) -> Result<String> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let name = args.directory.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| Error::config(format!("`{}` has no name: give one with `--name`", args.directory.display())))
}

fn sdk(args: &NewArgs) -> Result<Sdk> {
    let Some(directory) = &args.sdk else { return Ok(Sdk::of_this_build()) };
    let found = directory.canonicalize().ok().filter(|directory| directory.join("Cargo.toml").is_file());
    let found = found.ok_or_else(|| {
        Error::config(format!("--sdk `{}` is not the directory of a crate (it has no Cargo.toml)", directory.display()))
    });
    found.map(Sdk::Path)
}
