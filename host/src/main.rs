//! The `etl-host` binary. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    etl_host::cli::main_from(std::env::args_os())
}
