//! `etl-host man`: writes the manual pages.

use std::{fs, path::PathBuf};

use clap::{Args, Command};
use etl_core::model::error::{ErrorKind, Result, ResultExt};

use super::say;

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The directory to write them to, such as `~/.local/share/man/man1`; created if it does not exist
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Writes the manual pages of `program`, one for each command, to a directory, which is created if it does not exist.
pub(super) fn man(args: &ManArgs, program: Command) -> Result<()> {
    let written = fs::create_dir_all(&args.directory).and_then(|()| clap_mangen::generate_to(program, &args.directory));
    written.or_kind(ErrorKind::Config, || format!("cannot write manual pages to `{}`", args.directory.display()))?;
    say(&format!("manual pages are in {} (`man -l etl-host.1` shows the first)", args.directory.display()));
    Ok(())
}
