//! `etl-host completions`

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::print;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints what a shell needs to complete the command line of `program`.
pub(super) fn completions(args: &CompletionsArgs, program: &mut Command) {
    // Not straight to standard output: the generator panics when the reader goes away.
    let mut script = Vec::new();
    generate(args.shell, program, "etl-host", &mut script);
    print(&String::from_utf8_lossy(&script));
}
