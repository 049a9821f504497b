//! The command line: reads arguments, calls the library, prints, and turns errors into exit codes.
//!
//! Owns no logic of a run. [`main_from`] is the whole program; `main.rs` and the demo call it.

mod args;
mod build;
mod check;
mod clean;
mod compiling;
mod completions;
mod diff;
mod explain;
mod fields;
mod inspect;
mod laws;
mod man;
mod manifests;
mod new;
mod outside;
mod replay;
mod report;
mod run;
mod runs;
mod sample;
mod schema;
mod show;
mod signals;
mod slurm;
mod stages;
mod status;
mod try_step;
mod which_run;

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::ExitCode,
};

use clap::{CommandFactory, Parser};
use etl_core::{
    model::error::{Error, ErrorKind, Result, ResultExt},
    runtime::fail_point,
    text::{nearest::did_you_mean, numbers},
};
use tokio::runtime::{Builder, Runtime};

use self::args::{Cli, Command};
use crate::{
    pipeline::{Pipeline, Places, Secrets},
    run::budget::stack_bytes,
};

const REPORT_A_BUG: &str = "this is a bug in etl-host; please report it, with the text above and what you ran";

/// Runs the program with the given arguments, the first of which is the program's name, and returns the exit code.
///
/// In a debug build, arms the [fail point](fail_point) that `ETL_HOST_FAIL_POINT` names.
///
/// The program starts itself to compile plugins, with [`etl_plugin::COMPILER`] as its first argument, so it must hand on
/// the arguments it was started with.
///
/// Results go to standard output, everything else to standard error. A panic in the host ends in exit code 70.
pub fn main_from<I, T>(args: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    if args.get(1).is_some_and(|command| command == etl_plugin::COMPILER) {
        return etl_plugin::serve(&args[2..]);
    }
    outside::variable("ETL_HOST_FAIL_POINT").iter().for_each(|asked| fail_point::arm(asked));
    let program = args.first().cloned().unwrap_or_default();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(usage) => {
            let printed = written(usage.print().and_then(|()| io::stdout().flush()));
            if let (Err(error), false) = (printed, usage.use_stderr()) {
                say(&format!("error: {error}"));
                return ExitCode::from(error.kind().exit_code());
            }
            if usage.kind() == clap::error::ErrorKind::ArgumentConflict {
                args.get(1).and_then(|word| no_command(word)).iter().for_each(|hint| say(hint));
            }
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let done = panic::catch_unwind(AssertUnwindSafe(|| dispatch(&program, cli)));
    let kind = match done {
        Ok(Ok(code)) => return code,
        Ok(Err(FailedCommand { error, hint })) => {
            say(&format!("error: {}", numbers::printable(&error.to_string())));
            hint.iter().for_each(|hint| say(hint));
            error.kind()
        }
        // The panic hook has already printed the panic's message.
        Err(_) => ErrorKind::Internal,
    };
    if kind == ErrorKind::Internal {
        say(REPORT_A_BUG);
    }
    ExitCode::from(kind.exit_code())
}

/// Returns the hint that a word is not a command, if the word looks like one: only lowercase letters, at least one, and
/// not the name of a command. clap takes such a word for a pipeline file, because `run` may be left out before the
/// file.
fn no_command(word: &OsStr) -> Option<String> {
    let looks_like_one = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    let word = word.to_str().filter(looks_like_one)?;
    let cli = Cli::command();
    let known: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    let meant = did_you_mean(word, &known);
    (!known.contains(&word)).then(|| format!("`{word}` is no command ({meant}commands: {})", known.join(", ")))
}

/// The error that ended a command, with a hint for the operator.
struct FailedCommand {
    error: Error,
    /// What to do next; printed after the error.
    hint: Option<String>,
}

impl From<Error> for FailedCommand {
    fn from(error: Error) -> Self {
        Self { error, hint: None }
    }
}

/// Exit code of a run that is complete except for failed shards, as `run.tolerated_failures` allows.
const SHARDS_LEFT_OUT: u8 = 3;

fn dispatch(program: &OsStr, cli: Cli) -> Result<ExitCode, FailedCommand> {
    match (cli.command, cli.run) {
        (Some(Command::Run(args)), _) | (None, Some(args)) => return run::run(program, &args),
        (Some(Command::Build(args)), _) => build::build(&args)?,
        (Some(Command::Check(args)), _) => check::check(&args)?,
        (Some(Command::Clean(args)), _) => clean::clean(&args)?,
        (Some(Command::Completions(args)), _) => completions::completions(&args, &mut Cli::command())?,
        (Some(Command::Diff(args)), _) => return Ok(diff::diff(&args)?),
        (Some(Command::Explain(args)), _) => explain::explain(&args)?,
        (Some(Command::Fields(args)), _) => fields::fields(&args)?,
        (Some(Command::Finalize(args)), _) => return stages::finalize(program, &args),
        (Some(Command::Inspect(args)), _) => inspect::inspect(&args)?,
        (Some(Command::Laws(args)), _) => laws::laws(&args)?,
        (Some(Command::Man(args)), _) => man::man(&args, Cli::command())?,
        (Some(Command::Manifests(args)), _) => manifests::manifests(&args)?,
        (Some(Command::Map(args)), _) => return stages::map(program, &args),
        (Some(Command::New(args)), _) => new::new(&args)?,
        (Some(Command::Plan(args)), _) => return stages::plan(program, &args),
        (Some(Command::Reduce(args)), _) => return stages::reduce(program, &args),
        (Some(Command::Replay(args)), _) => replay::replay(&args)?,
        (Some(Command::Report(args)), _) => report::report(&args)?,
        (Some(Command::Runs(args)), _) => runs::runs(&args)?,
        (Some(Command::Schema), _) => schema::schema()?,
        (Some(Command::Show(args)), _) => show::show(&args)?,
        (Some(Command::Slurm(args)), _) => slurm::slurm(&args)?,
        (Some(Command::Status(args)), _) => status::status(&args)?,
        (Some(Command::Try(args)), _) => try_step::try_step(&args)?,
        (Some(Command::Worker(args)), _) => return stages::worker(program, &args),
        (None, None) => return Err(Error::config("no pipeline file (see `etl-host --help`)").into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Loads a pipeline file, with variables from the environment, and then builds its plugins if `build` is set. Secrets
/// are redacted from a build error.
fn load(file: &Path, set: &[String], build: bool) -> Result<Pipeline> {
    let pipeline = Pipeline::load(file, set, outside::variable)?;
    if build {
        build::build_plugins(&pipeline, file).map_err(|error| redacted(&error, &pipeline.secrets))?;
    }
    Ok(pipeline)
}

/// Loads the places of a pipeline file, with variables from the environment.
fn load_places(file: &Path, set: &[String]) -> Result<Places> {
    Places::load(file, set, outside::variable)
}

/// Starts the runtime for a pipeline. The stack of its threads is large enough for all instances that may be nested on
/// one thread at a time.
fn runtime(pipeline: &Pipeline) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(stack_bytes(pipeline.maps.len()));
    builder.build().or_kind(ErrorKind::Internal, || "cannot start the runtime")
}

/// Runs a command's work to its end on a new runtime for its pipeline. Secrets are redacted from an error.
fn block_on<T>(pipeline: &Pipeline, work: impl Future<Output = Result<T>>) -> Result<T> {
    runtime(pipeline)?.block_on(work).map_err(|error| redacted(&error, &pipeline.secrets))
}

/// Runs a command's work on a pipeline's runs and results to its end. Secrets are redacted from an error.
fn look<T>(places: &Places, work: impl Future<Output = Result<T>>) -> Result<T> {
    small_runtime()?.block_on(work).map_err(|error| redacted(&error, &places.secrets))
}

/// Starts a runtime with default settings, for work without a pipeline.
fn small_runtime() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().or_kind(ErrorKind::Internal, || "cannot start the runtime")
}

/// Returns an error of the same kind, with the secrets redacted from its text.
fn redacted(error: &Error, secrets: &Secrets) -> Error {
    let text = secrets.redact(&error.to_string()).into_owned();
    Error::new(error.kind(), anyhow::Error::msg(text))
}

/// Prints a line to standard error. It may contain foreign text.
fn say(line: &str) {
    // If standard error cannot be written, there is no place left to report that.
    _ = writeln!(io::stderr(), "{}", numbers::harmless(line));
}

/// Prints a result for people to standard output. It may contain foreign text.
///
/// # Errors
/// As [`written`].
fn print(text: &str) -> Result<()> {
    print_exact(&numbers::harmless(text))
}

/// Prints a result for programs to standard output, as it is.
///
/// # Errors
/// As [`written`].
fn print_exact(text: &str) -> Result<()> {
    let mut stdout = io::stdout();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Returns the outcome of a write to standard output. A reader that closed the pipe early (`| head`) is not an error.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the text was not written.
fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.or_kind(ErrorKind::Unavailable, || "cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_that_looks_like_a_command_is_said_to_be_none() {
        let hint = no_command(OsStr::new("chek")).expect("it looks like a command");
        assert!(hint.starts_with("`chek` is no command (did you mean `check`? commands: run, "), "{hint}");
        for word in ["", "check", "pipeline.toml", "--set", "a/b"] {
            assert_eq!(no_command(OsStr::new(word)), None, "{word}");
        }
    }
}
