//! `etl-host run`: runs a pipeline, and shows what to do after an error. The commands that do a part of a run go through
//! the same functions.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::{Event, Events, Invocation, Level},
        shared::Shared,
    },
    text::{command, numbers::counted},
};

use super::{
    FailedCommand, SHARDS_LEFT_OUT, compiling, load, no_command, outside, print, print_exact, redacted, runtime, say,
    signals::Interrupts, written,
};
use crate::{
    pipeline::Pipeline,
    report::{self, JsonLines, MetricsFile, Summary, html, otlp::Telemetry},
    run::{self, Outcome, Part, Place, RunOptions, Start},
    run_store::document::to_json_pretty,
    task::stores::Stores,
};

// This struct must not flatten another one: clap would then take a command line without `run` for one without these
// arguments.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The pipeline file; relative paths in it are relative to its directory
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,
    /// Set a key of the pipeline, such as `run.concurrency=8` or `map.0.limits.memory=1GiB`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// First run each step's `build` command, in the pipeline's directory
    #[arg(long)]
    pub build: bool,
    /// Name the run; if an incomplete run has this name, finish that run [default: a new name]
    #[arg(long, value_name = "ID", conflicts_with_all = ["resume", "new"])]
    pub run_id: Option<String>,
    /// Finish the newest incomplete run of this pipeline; if there is none, start a new run
    #[arg(long, conflicts_with = "new")]
    pub resume: bool,
    /// Start a new run, even if there is an incomplete run to finish
    #[arg(long)]
    pub new: bool,
    /// Run the failed shards that were left out of the newest run, or of the run named by `--run-id`, again in a new
    /// run
    #[arg(long, conflicts_with_all = ["resume", "new"])]
    pub redrive: bool,
    /// Make parts of the result again that are gone or were changed since the run was complete
    #[arg(long, requires = "run_id")]
    pub repair: bool,
    /// Write events to standard output, one per line, instead of the summary
    #[arg(long, value_name = "FORMAT")]
    pub events: Option<EventFormat>,
    /// Print the summary as a JSON object, and after an error, too
    #[arg(long, conflicts_with = "events")]
    pub summary_json: bool,
    /// Keep metrics in this file during the run, in Prometheus text format
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Show only warnings and errors: no progress, no summary
    #[arg(long, short)]
    pub quiet: bool,
    /// Also show how plugins were loaded, and their debug messages
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EventFormat {
    /// One JSON object per line
    Json,
}

/// What a command does of a run, and what it shows of it.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// The name of the command.
    pub command: &'static str,
    pub file: &'a Path,
    pub set: &'a [String],
    pub build: bool,
    pub start: Start,
    pub part: Part,
    pub place: Place,
    /// Whether others are meant to work on the run, too.
    pub shared: bool,
    pub repair: bool,
    pub show: Show<'a>,
    /// The command's own options, for the command line that goes on.
    pub options: Vec<String>,
}

/// What a command shows of its work.
#[derive(Debug)]
pub(super) struct Show<'a> {
    pub events: Option<EventFormat>,
    pub summary_json: bool,
    pub metrics: Option<&'a Path>,
    pub quiet: bool,
    pub verbose: bool,
}

/// Runs a pipeline to its end. `program` is the name this program was called by, for the commands in hints.
pub(super) fn run(program: &OsStr, args: &RunArgs) -> Result<ExitCode, FailedCommand> {
    work(program, &job(args))
}

fn job(args: &RunArgs) -> Job<'_> {
    let RunArgs { file, set, build, repair, events, summary_json, metrics, quiet, verbose, .. } = args;
    let metrics = metrics.as_deref();
    Job {
        command: "run",
        file,
        set,
        build: *build,
        start: start(args),
        part: Part::Whole,
        place: Place::First,
        shared: false,
        repair: *repair,
        show: Show { events: *events, summary_json: *summary_json, metrics, quiet: *quiet, verbose: *verbose },
        options: repair.then(|| "--repair".to_owned()).into_iter().collect(),
    }
}

/// Does a job, and shows progress and the summary as it asks.
pub(super) fn work(program: &OsStr, job: &Job<'_>) -> Result<ExitCode, FailedCommand> {
    let pipeline = load(job.file, job.set, job.build).map_err(|error| {
        let hint = if job.file.exists() { None } else { no_command(job.file.as_os_str()) };
        FailedCommand { error, hint }
    })?;
    let redact = pipeline.secrets.redactor();
    let events = Events::new(outside::now);
    let summary = Shared::new(Summary::default());
    events.listen(summary.clone());
    report::show_progress(&events, level(&job.show), redact.clone());
    if let Some(file) = job.show.metrics {
        events.listen(MetricsFile::create(file, redact.clone())?);
    }
    let lines = job.show.events.map(|_| Shared::new(JsonLines::new(io::stdout(), redact.clone())));
    lines.iter().for_each(|lines| events.listen(lines.clone()));

    let runtime = runtime(&pipeline)?;
    let telemetry = Telemetry::start(&events, runtime.handle(), outside::variable, redact.clone())?;
    let outcome = runtime.block_on(run_until_interrupted(&pipeline, job, &events));
    let logged = summary.lock().logged_run().map(str::to_owned).filter(|_| job.ends_run());
    if let Some(run_id) = logged {
        runtime.block_on(write_report(&pipeline, &run_id, &events));
    }
    if let Some(message) = telemetry.and_then(Telemetry::finish) {
        events.emit(Event::Warning { message });
    }
    // Do not wait for the runtime's threads: the plugin of an attempt that was given up may still be computing.
    runtime.shutdown_background();
    lines.map_or(Ok(()), |lines| written(lines.lock().outcome()))?;
    if job.show.summary_json {
        print_exact(&redact(&summary_json(job, &summary.lock(), &outcome)?))?;
    }
    match outcome {
        Ok(outcome) => {
            if !job.show.quiet && job.show.events.is_none() && !job.show.summary_json && !summary.lock().is_empty() {
                print(&redact(&format!("\n{}", summary.lock())))?;
            }
            if outcome.failed_shards == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            let again = go_on(program, &job.redrive(), &["--redrive", "--run-id", &outcome.run_id]);
            say(&redact(&format!("{}:\n  {again}", left_out(&outcome))));
            Ok(ExitCode::from(SHARDS_LEFT_OUT))
        }
        Err(error) => {
            let hint = hint(program, job, &summary.lock(), error.kind());
            Err(FailedCommand { error: redacted(&error, &pipeline.secrets), hint: hint.map(|hint| redact(&hint)) })
        }
    }
}

/// Returns the summary for programs, with how the command ends.
fn summary_json(job: &Job<'_>, summary: &Summary, outcome: &Result<Outcome>) -> Result<String> {
    let mut document = summary.for_programs();
    document["command"] = job.command.into();
    match outcome {
        Ok(Outcome { run_id, already_done, failed_shards }) => {
            document["run_id"] = run_id.as_str().into();
            document["already_done"] = (*already_done).into();
            document["failed_shards"] = (*failed_shards).into();
            document["exit_code"] = if *failed_shards == 0 { 0 } else { SHARDS_LEFT_OUT }.into();
        }
        Err(error) => {
            document["exit_code"] = error.kind().exit_code().into();
            document["error"] = error.to_string().into();
        }
    }
    to_json_pretty(&document)
}

impl Job<'_> {
    /// Returns whether the command may end the run, so that it writes the run's report.
    fn ends_run(&self) -> bool {
        matches!(self.part, Part::Whole | Part::Finalize)
    }

    /// Returns the job that runs the shards again that a run left out.
    fn redrive(&self) -> Job<'_> {
        let show = Show { ..self.show };
        let (command, options) =
            if self.command == "run" { ("run", self.options.clone()) } else { ("run", Vec::new()) };
        Job { command, options, show, start: self.start.clone(), part: Part::Whole, ..*self }
    }
}

/// Returns the hints after an error: where the report is, the command that replays the failed task, and the command
/// that finishes the run. None if there are no hints.
fn hint(program: &OsStr, job: &Job<'_>, summary: &Summary, kind: ErrorKind) -> Option<String> {
    let report = summary.report().map(|report| format!("what happened: {report}"));
    let run_id = summary.planned_run();
    let by_a_step = matches!(kind, ErrorKind::Input | ErrorKind::Plugin | ErrorKind::Sandbox);
    let replay = summary.failed_task().filter(|_| by_a_step).zip(run_id).and_then(|((stage, task, shard), run_id)| {
        let command = command::replay(&program.to_string_lossy(), &invocation(job), run_id, stage, task, shard)?;
        Some(format!("this does the same again, writing nothing:\n  {command}"))
    });
    let go_on = |run_id| go_on(program, job, &["--run-id", run_id]);
    let finish = run_id.and_then(|run_id| Some(format!("{}:\n  {}", advice(kind)?, go_on(run_id))));
    let hints: Vec<String> = [report, replay, finish].into_iter().flatten().collect();
    (!hints.is_empty()).then(|| hints.join("\n"))
}

/// Returns the message that failed shards are missing from the result.
fn left_out(outcome: &Outcome) -> String {
    let shards = counted(outcome.failed_shards, "shard");
    format!(
        "the result lacks {shards} that failed: `manifest.json` of run {} lists them and their errors; once the cause \
         is fixed, this runs them again",
        outcome.run_id
    )
}

/// Returns the lowest level that is shown.
fn level(show: &Show<'_>) -> Level {
    match show {
        Show { quiet: true, .. } => Level::Warn,
        Show { verbose: true, .. } => Level::Debug,
        _ => Level::Info,
    }
}

fn start(args: &RunArgs) -> Start {
    match &args.run_id {
        run_id if args.redrive => Start::Redrive(run_id.clone()),
        Some(run_id) => Start::Id(run_id.clone()),
        None if args.resume => Start::Resume,
        None if args.new => Start::New,
        None => Start::Default,
    }
}

fn invocation(job: &Job<'_>) -> Invocation {
    Invocation { file: Some(job.file.display().to_string()), set: job.set.to_vec() }
}

async fn run_until_interrupted(pipeline: &Pipeline, job: &Job<'_>, events: &Events) -> Result<Outcome> {
    let interrupts = Interrupts::watch()?;
    let compiler = if job.show.quiet { outside::compiler() } else { compiling::told() };
    let options = RunOptions {
        start: job.start.clone(),
        part: job.part.clone(),
        place: job.place,
        shared: job.shared,
        id: outside::process(),
        repair: job.repair,
        cancel: interrupts.cancel.clone(),
        invocation: invocation(job),
        ..RunOptions::new(compiler, outside::now(), outside::random())
    };
    run::run(pipeline, options, events).await.map_err(|error| match (error.kind(), interrupts.signal()) {
        // The exit code depends on the signal, but the run only knows that it was cancelled.
        (ErrorKind::Interrupted(_), Some(signal)) => {
            Error::new(ErrorKind::Interrupted(signal), anyhow::Error::msg(error.to_string()))
        }
        _ => error,
    })
}

/// Writes the report of a run, from what the run store says by now. The run is as good without it.
async fn write_report(pipeline: &Pipeline, run_id: &str, events: &Events) {
    let write =
        async { html::write(&Stores::run_store(pipeline)?, &pipeline.name, run_id, pipeline.secrets.redactor()).await };
    events.emit(match write.await {
        Ok(report) => Event::Reported { report },
        Err(error) => Event::Warning { message: format!("the report could not be written: {error}") },
    });
}

/// Returns the advice before the command that finishes a run, which has a plan and ended with an error of this kind.
/// None if that command is not shown.
fn advice(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Interrupted(_) => Some("what is committed is kept; this finishes the run"),
        ErrorKind::Unavailable => Some("what is committed is kept; once the trouble has passed, this finishes the run"),
        ErrorKind::Config => Some("what is committed is kept; once that is put right, this finishes the run"),
        ErrorKind::Input | ErrorKind::Plugin | ErrorKind::Sandbox => Some(
            "what is committed is kept; if other `limits`, `retry` or `max_rejects` help, set them and this finishes \
             the run (another plugin, configuration or source needs a new run)",
        ),
        ErrorKind::Changed | ErrorKind::Damaged(_) | ErrorKind::Internal => None,
    }
}

/// Returns the command line that continues a run, quoted for a shell. `which` are the options that select the run.
fn go_on(program: &OsStr, job: &Job<'_>, which: &[&str]) -> String {
    let Job { show, .. } = job;
    let mut words =
        vec![program.to_string_lossy().into_owned(), job.command.to_owned(), job.file.display().to_string()];
    words.extend(job.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    words.extend(which.iter().map(|word| (*word).to_owned()));
    words.extend(job.options.iter().cloned());
    words.extend(show.events.iter().flat_map(|_| ["--events".to_owned(), "json".to_owned()]));
    words.extend(show.summary_json.then(|| "--summary-json".to_owned()));
    words.extend(show.metrics.iter().flat_map(|file| ["--metrics".to_owned(), file.display().to_string()]));
    words.extend(show.quiet.then(|| "--quiet".to_owned()));
    words.extend(show.verbose.then(|| "--verbose".to_owned()));
    command::shell(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_goes_on_is_complete_and_a_shell_reads_it_as_it_was_meant() {
        let args = RunArgs {
            file: PathBuf::from("my pipelines/p.toml"),
            set: vec!["run.concurrency=2".to_owned(), "map.0.config.text=it's $HOME".to_owned()],
            build: true,
            run_id: None,
            resume: true,
            new: false,
            redrive: false,
            repair: false,
            events: Some(EventFormat::Json),
            summary_json: false,
            metrics: Some(PathBuf::from("a b.prom")),
            quiet: true,
            verbose: false,
        };
        let shown = go_on(OsStr::new("target/debug/etl-host"), &job(&args), &["--run-id", "r-1"]);
        let shell = std::process::Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {shown}")).output();
        let words = String::from_utf8(shell.expect("sh starts").stdout).expect("text");
        let expected = [
            "target/debug/etl-host",
            "run",
            "my pipelines/p.toml",
            "--set",
            "run.concurrency=2",
            "--set",
            "map.0.config.text=it's $HOME",
            "--run-id",
            "r-1",
            "--events",
            "json",
            "--metrics",
            "a b.prom",
            "--quiet",
        ];
        assert_eq!(words.lines().collect::<Vec<_>>(), expected);
    }
}
