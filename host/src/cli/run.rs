//! `etl-host run`

use std::io;

use super::{args::RunArgs, load, print, redacted, runtime, say, signals::Interrupts};
use crate::{
    error::{Error, ErrorKind, Result},
    event::{Events, Level},
    pipeline::Pipeline,
    report::{self, JsonLines, Shared, Summary},
    run::{self, Outcome, RunOptions},
};

/// Runs a pipeline to its end, showing progress and the summary as asked for.
pub(super) fn run(args: RunArgs) -> Result<()> {
    let pipeline = load(&args.file, &args.set, args.build)?;
    let redact = pipeline.secrets.redactor();
    let events = Events::default();
    let summary = Shared::new(Summary::default());
    events.listen(summary.clone());
    report::show_progress(&events, level(&args), redact.clone());
    if args.events.is_some() {
        events.listen(JsonLines::new(io::stdout(), redact.clone()));
    }

    let runtime = runtime()?;
    let outcome = runtime.block_on(run_until_interrupted(&pipeline, args.run_id, &events));
    // A plugin of an attempt that was given up may still compute; nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(_) => {
            if !args.quiet && args.events.is_none() {
                print(&redact(&format!("\n{}", summary.lock())));
            }
            Ok(())
        }
        Err(error) => {
            if let Some(run_id) = summary.lock().run_id().filter(|_| can_go_on(error.kind())) {
                say(&redact(&format!("run {run_id} can be finished later: add `--run-id {run_id}`")));
            }
            Err(redacted(&error, &pipeline.secrets))
        }
    }
}

/// Returns how loud something must be to be shown.
fn level(args: &RunArgs) -> Level {
    match args {
        RunArgs { quiet: true, .. } => Level::Warn,
        RunArgs { verbose: true, .. } => Level::Debug,
        _ => Level::Info,
    }
}

async fn run_until_interrupted(pipeline: &Pipeline, run_id: Option<String>, events: &Events) -> Result<Outcome> {
    let interrupts = Interrupts::watch()?;
    let options = RunOptions { run_id, cancel: interrupts.cancel.clone() };
    run::run(pipeline, options, events).await.map_err(|error| match (error.kind(), interrupts.signal()) {
        // Which signal it was decides the exit code, and the run only knows that it was cancelled.
        (ErrorKind::Interrupted(_), Some(signal)) => {
            Error::new(ErrorKind::Interrupted(signal), anyhow::Error::msg(error.to_string()))
        }
        _ => error,
    })
}

/// Returns whether the same run can be finished once its trouble has passed.
fn can_go_on(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Interrupted(_) | ErrorKind::Sandbox)
}
