//! `etl-host completions`: prints a shell's completion script.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{args::Cli, print};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script with which a shell completes the command line.
pub(super) fn completions(args: &CompletionsArgs) {
    // Generate into memory: written straight to standard output, the generator would panic when the reader goes away.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "etl-host", &mut script);
    print(&String::from_utf8_lossy(&script));
}
