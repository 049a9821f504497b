//! `etl-host completions`

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::args::Cli;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints what a shell needs to complete the command line.
pub(super) fn completions(args: &CompletionsArgs) {
    generate(args.shell, &mut Cli::command(), "etl-host", &mut io::stdout());
}
