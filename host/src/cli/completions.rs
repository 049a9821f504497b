//! `etl-host completions`: prints a shell's completion script.

use clap::{Args, Command};
use clap_complete::{Shell, generate};
use etl_core::model::error::Result;

use super::print_exact;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script with which a shell completes the command line of `program`.
pub(super) fn completions(args: &CompletionsArgs, program: &mut Command) -> Result<()> {
    // Generate into memory: written straight to standard output, the generator would panic when the reader goes away.
    let mut script = Vec::new();
    generate(args.shell, program, "etl-host", &mut script);
    print_exact(&String::from_utf8_lossy(&script))
}
