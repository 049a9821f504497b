//! `etl-host show`: shows what happened in a run.

use std::fmt::Write;

use clap::Args;
use etl_core::{
    model::{
        error::Result,
        event::{Invocation, Level, Stage},
        ids::{ShardId, TaskId},
    },
    text::{
        command,
        entries::{COUNTERS_MAX, entry, first, left_out, shards_name, signed, stage_row, stage_table, step_name},
        numbers::{count, counted, duration, printable, time},
    },
};
use serde_json::json;

use super::{load_places, look, print, print_exact, which_run::RunWords};
use crate::{
    history::{self, Account, AttemptEnd, Ending, Message, PastAttempt, Then},
    pipeline::Places,
    run_store::{document::to_json_pretty, left_out::LeftOut},
    task::stores::Stores,
};

/// Maximum number of failures, rejects and messages shown; the report has more.
const SHOWN_MAX: usize = 10;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub words: RunWords,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print a JSON object, with times in milliseconds
    #[arg(long)]
    pub json: bool,
}

/// Prints what happened in a run, as text or JSON.
pub(super) fn show(args: &ShowArgs) -> Result<()> {
    let which = args.words.which()?;
    let places = load_places(&which.file, &args.set)?;
    let mut account = look(&places, account(&places, which.run_id.as_deref()))?;
    // Replay commands must name the pipeline as this command line does, because they are run from the same directory.
    account.invocation = Invocation { file: Some(which.file.display().to_string()), set: args.set.clone() };
    let text = if args.json { to_json_pretty(&as_json(&account))? } else { render(&account) };
    let text = places.secrets.redact(&text);
    if args.json { print_exact(&text) } else { print(&text) }
}

/// Reads the account of a run, or of the newest run if `run_id` is absent.
async fn account(places: &Places, run_id: Option<&str>) -> Result<Account> {
    let store = Stores::of_runs(places)?;
    let run_id = history::find(&store, &places.name, run_id).await?;
    Account::read(&store, &places.name, &run_id).await
}

fn render(account: &Account) -> String {
    let mut text = String::new();
    let run = &account.overview;
    let mut say = |label: &str, lines: &[String]| _ = entry(&mut text, label, lines);
    say("run", &[format!("{}, {}", run.run_id, run.state.name())]);
    say("pipeline", std::slice::from_ref(&account.pipeline));
    say("started", &run.started_at_ms.map(time).into_iter().collect::<Vec<_>>());
    say("processes", &account.processes.iter().map(process_line).collect::<Vec<_>>());
    if let Some(error) = account.error() {
        // The place in the plugin's source is shown below, with the failed attempt.
        let error = if account.failures().next().is_some() { error.lines().next().unwrap_or_default() } else { error };
        say("error", &[printable(error)]);
    }
    let left_out = account.left_out().iter().map(|of| left_out_line(account, of));
    say("left out", &some(left_out));
    say("failed", &some(account.failures().map(|attempt| failure(account, attempt))));
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

fn left_out_line(account: &Account, of: &LeftOut) -> String {
    let command = replay_command(account, Stage::Map, TaskId::of_shard(of.shard), of.failed_shard);
    let command = command.map(|command| format!("\n  {command}")).unwrap_or_default();
    format!("{}{command}", left_out(of.shard, of.shards, &of.error))
}

fn failure(account: &Account, attempt: &PastAttempt) -> String {
    let AttemptEnd::Failed { error, then, shard, .. } = &attempt.end else { return String::new() };
    let (task, number) = (task_of(account, attempt), attempt.number);
    let after = match then {
        Then::Retry => ", tried again",
        Then::Other => ", another attempt continued",
        Then::Nothing => "",
    };
    let replay = replay_command(account, attempt.stage, attempt.task, *shard);
    let replay = replay.map(|command| format!("\n  {command}"));
    format!("{task}, attempt {number}{after}: {}{}", printable(error), replay.unwrap_or_default())
}

/// Returns the name of an attempt's task. A map task is named by all its shards, because any of them may have failed.
fn task_of(account: &Account, attempt: &PastAttempt) -> String {
    match &account.plan {
        Some(plan) if attempt.stage == Stage::Map => {
            let shards = plan.shards.of_task(attempt.task);
            format!("map of {}", shards_name(attempt.task.shard(), shards.end.saturating_sub(shards.start)))
        }
        _ => attempt.stage.task(attempt.task),
    }
}

/// Returns the command that replays a task, quoted for a shell; none for a stage without replay.
fn replay_command(account: &Account, stage: Stage, task: TaskId, shard: Option<ShardId>) -> Option<String> {
    command::replay("etl-host", &account.invocation, &account.overview.run_id, stage, task, shard)
}

fn committed(stage: Stage, account: &Account) -> String {
    let of = &account.stages[&stage];
    format!("{} of {} of {}", count(of.committed), counted(of.tasks, "task"), stage.name())
}

fn message_line(message: &Message) -> String {
    let from = message.from.as_ref().map(|(step, number)| format!("{}: ", step_name(step, *number)));
    let from = from.unwrap_or_default();
    format!("{from}{}: {}", message.level.name(), printable(&message.text))
}

/// Returns the first lines, then a line with the number of lines left out.
fn some(lines: impl Iterator<Item = String>) -> Vec<String> {
    first(lines.collect(), SHOWN_MAX)
}

fn as_json(account: &Account) -> serde_json::Value {
    let failure = |attempt: &PastAttempt| {
        let AttemptEnd::Failed { kind, error, then, shard } = &attempt.end else { return serde_json::Value::Null };
        json!({
            "stage": attempt.stage, "task": attempt.task, "attempt": attempt.number, "kind": kind, "error": error,
            "retried": *then == Then::Retry, "then": then,
            "replay": replay_command(account, attempt.stage, attempt.task, *shard),
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
