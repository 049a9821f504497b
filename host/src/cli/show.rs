//! `etl-host show`

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{block_on, load, print, replay};
use crate::{
    error::Result,
    event::{Level, Stage},
    failure::Failure,
    history::{self, Account, Attempt, AttemptEnd, Ending, Message},
    json::to_json_pretty,
    pipeline::Pipeline,
    report::{
        summary::{COUNTERS_MAX, entry, first, left_out, shards_name, signed, stage_row, stage_table},
        text::{count, counted, duration, printable, time},
    },
    stores::Stores,
};

/// How many failures, rejects and messages are shown; the report has more.
const SHOWN_MAX: usize = 10;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,
    /// The run's id [default: the newest run]
    #[arg(value_name = "RUN")]
    pub run_id: Option<String>,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print a JSON object, with times in milliseconds
    #[arg(long)]
    pub json: bool,
}

/// Shows what happened in a run.
pub(super) fn show(args: &ShowArgs) -> Result<()> {
    let pipeline = load(&args.file, &args.set, false)?;
    let account = block_on(&pipeline, account(&pipeline, args.run_id.as_deref()))?;
    let text = if args.json { to_json_pretty(&as_json(args, &account))? } else { text(args, &account) };
    print(&pipeline.secrets.redact(&text));
    Ok(())
}

/// Reads the account of a run, or of the newest one.
async fn account(pipeline: &Pipeline, run_id: Option<&str>) -> Result<Account> {
    let store = Stores::run_store(pipeline)?;
    let run_id = history::find(&store, &pipeline.name, run_id).await?;
    Account::read(&store, &pipeline.name, &run_id).await
}

fn text(args: &ShowArgs, account: &Account) -> String {
    let mut text = String::new();
    let run = &account.overview;
    let mut say = |label: &str, lines: &[String]| _ = entry(&mut text, label, lines);
    say("run", &[format!("{}, {}", run.run_id, run.state.name())]);
    say("pipeline", std::slice::from_ref(&account.pipeline));
    say("started", &run.started_at_ms.map(time).into_iter().collect::<Vec<_>>());
    say("processes", &account.processes.iter().map(process_line).collect::<Vec<_>>());
    if let Some(error) = account.error() {
        say("error", &[printable(error)]);
    }
    let left_out = account.left_out().iter().map(|of| left_out_line(args, account, of));
    say("left out", &some(left_out));
    say("failed", &some(account.failures().map(|attempt| failure(args, account, attempt))));
    let rows = account.stages.iter().map(|(stage, of)| stage_row(*stage, of.tasks, &of.counts, of.duration_ms));
    if !account.stages.is_empty() {
        _ = writeln!(text, "\n{}", stage_table(rows));
    }
    let mut say = |label: &str, lines: &[String]| _ = entry(&mut text, label, lines);
    let (totals, under_way) =
        (account.totals(), |stage: &&Stage| account.stages[*stage].committed < account.stages[*stage].tasks);
    let open = account.stages.keys().filter(|stage| matches!(stage, Stage::Map | Stage::Reduce)).filter(under_way);
    say("committed", &open.map(|stage| committed(*stage, account)).collect::<Vec<_>>());
    let counters = totals.counters.iter().map(|(name, total)| format!("{} {}", printable(name), signed(*total)));
    say("counters", &first(counters.collect(), COUNTERS_MAX));
    let retries = account.stages.iter().filter(|(_, of)| of.retries > 0);
    say("retries", &retries.map(|(stage, of)| format!("{} {}", stage.name(), of.retries)).collect::<Vec<_>>());
    if totals.rejects > 0 {
        let by = account.rejected.iter().map(|(step, number)| format!("{step} {}", count(*number)));
        let by = by.collect::<Vec<_>>().join(", ");
        say("rejects", &[if by.is_empty() { count(totals.rejects) } else { by }]);
        say("", &some(account.reject_samples.iter().map(|reject| printable(&format!("{}: {reject}", reject.step)))));
    }
    let loud = account.messages.iter().filter(|message| matches!(message.level, Level::Warn | Level::Error));
    say("messages", &some(loud.map(message_line)));
    say("result", &run.result.iter().map(|result| printable(result)).collect::<Vec<_>>());
    say("run store", &[printable(&account.run_store)]);
    text
}

fn process_line(process: &history::Process) -> String {
    let ending = match &process.ending {
        Some(Ending::Finished) => "finished the run",
        Some(Ending::Interrupted) => "was interrupted",
        Some(Ending::Failed { .. }) => "failed",
        None => "is at work, or was killed",
    };
    let took = duration(process.last_at_ms.saturating_sub(process.started_at_ms));
    format!("{}, from {}, {took}, {ending}", process.name, time(process.started_at_ms))
}

fn left_out_line(args: &ShowArgs, account: &Account, of: &Failure) -> String {
    let command = replay_command(args, account, Stage::Map, of.shard);
    let command = command.map(|command| format!("\n             {command}")).unwrap_or_default();
    format!("{}{command}", left_out(of.shard, of.shards, &of.error))
}

fn failure(args: &ShowArgs, account: &Account, attempt: &Attempt) -> String {
    let AttemptEnd::Failed { error, retried, .. } = &attempt.end else { return String::new() };
    let (task, number) = (task_of(account, attempt), attempt.number);
    let after = if *retried { ", tried again" } else { "" };
    let replay =
        replay_command(args, account, attempt.stage, attempt.task).map(|command| format!("\n             {command}"));
    format!("{task}, attempt {number}{after}: {}{}", printable(error), replay.unwrap_or_default())
}

/// Returns what messages call the task of an attempt: by all its shards, of which any may be the one that failed.
fn task_of(account: &Account, attempt: &Attempt) -> String {
    match &account.plan {
        Some(plan) if attempt.stage == Stage::Map => {
            let shards = plan.shards.of_task(attempt.task);
            format!("map of {}", shards_name(attempt.task, shards.end.saturating_sub(shards.start)))
        }
        _ => attempt.stage.task(attempt.task),
    }
}

/// Returns the command that runs an attempt at a task again, as a shell takes it.
fn replay_command(args: &ShowArgs, account: &Account, stage: Stage, task: u32) -> Option<String> {
    replay::command("etl-host", &args.file, &args.set, &account.overview.run_id, stage, task)
}

fn committed(stage: Stage, account: &Account) -> String {
    let of = &account.stages[&stage];
    format!("{} of {} of {}", count(of.committed), counted(of.tasks, "task"), stage.name())
}

fn message_line(message: &Message) -> String {
    let from = message.from.as_ref().map(|(step, task)| format!("{step} {task}: ")).unwrap_or_default();
    format!("{from}{}: {}", message.level.name(), printable(&message.text))
}

/// Returns the first lines, and how many more there are.
fn some(lines: impl Iterator<Item = String>) -> Vec<String> {
    first(lines.collect(), SHOWN_MAX)
}

fn as_json(args: &ShowArgs, account: &Account) -> serde_json::Value {
    let failure = |attempt: &Attempt| {
        let AttemptEnd::Failed { kind, error, retried } = &attempt.end else { return serde_json::Value::Null };
        json!({
            "stage": attempt.stage, "task": attempt.task, "attempt": attempt.number, "kind": kind, "error": error,
            "retried": retried, "replay": replay_command(args, account, attempt.stage, attempt.task),
        })
    };
    let stages = account.stages.iter().map(|(stage, of)| {
        let stage_account = json!({
            "tasks": of.tasks, "committed": of.committed, "duration_ms": of.duration_ms, "retries": of.retries,
            "counts": of.counts,
        });
        (stage.name().to_owned(), stage_account)
    });
    json!({
        "pipeline": account.pipeline,
        "run": account.overview,
        "run_store": account.run_store,
        "error": account.error(),
        "processes": account.processes,
        "left_out": account.left_out(),
        "failures": account.failures().map(failure).collect::<Vec<_>>(),
        "stages": stages.collect::<serde_json::Map<_, _>>(),
        "rejected": account.rejected,
        "reject_samples": account.reject_samples,
        "messages": account.messages,
    })
}
