//! `etl-host clean`: deletes data of runs that is no longer needed.

use std::time::Duration;

use clap::Args;
use etl_core::{
    model::{
        error::{Error, Result},
        times::{millis, unix_ms},
    },
    text::{
        numbers::{bytes, count, counted},
        table::table,
    },
};

use super::{
    load_places, look, outside, print, print_exact,
    which_run::{RunWords, WhichRun},
};
use crate::{
    history::{
        self, Overview, RunState,
        clean::{Amount, Cleaned, Cleaner},
        redrives,
    },
    pipeline::Places,
    run_store::document::to_json_pretty,
    task::stores::Stores,
};

const USAGE: &str =
    "etl-host clean [OPTIONS] [PIPELINE] <RUN>\n       etl-host clean [OPTIONS] [PIPELINE] --older-than <AGE>";

const RUN_HELP: &str = "The run to clean up after; without PIPELINE, a run of pipeline.toml. An incomplete run cannot \
                        be finished afterwards";

#[derive(Debug, Args)]
#[command(override_usage = USAGE)]
#[command(mut_arg("run_id", |run_id| run_id.help(RUN_HELP)))]
pub(super) struct CleanArgs {
    #[command(flatten)]
    pub words: RunWords,
    /// Clean up after all complete runs that ended longer ago than this, such as `7d` or `12h`
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Also delete results, and with them all data about their runs in the run store; never the newest result
    #[arg(long)]
    pub results: bool,
    /// Delete nothing, only show what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a number and a unit, such as `7d` or `12h`".to_owned())
}

/// Deletes data of runs that is no longer needed, and prints what was deleted.
pub(super) fn clean(args: &CleanArgs) -> Result<()> {
    let which = args.words.which()?;
    check_which(&which, args.older_than)?;
    let places = load_places(&which.file, &args.set)?;
    let (cleaned, kept) = look(&places, clean_runs(args, which.run_id.as_deref(), &places))?;
    let text = if args.json { to_json_pretty(&cleaned)? } else { render(args, &cleaned, &kept) };
    let text = places.secrets.redact(&text);
    if args.json { print_exact(&text) } else { print(&text) }
}

/// Checks that either a run or an age is given, and not both. This also protects a word that is misread: if a run's id
/// is taken for a pipeline file, no run is named, and the command is refused here.
fn check_which(which: &WhichRun, older_than: Option<Duration>) -> Result<()> {
    match (&which.run_id, older_than) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) => Err(Error::config(format!(
            "say which runs of `{}` to clean up after: name one after the pipeline file, or how old they must be, such \
             as `--older-than 7d` (`etl-host runs` lists them)",
            which.file.display()
        ))),
        (Some(run_id), Some(_)) => Err(Error::config(format!(
            "`{run_id}` is taken for a run, since it is no file, and `--older-than` is for all runs: give one of them"
        ))),
    }
}

/// Numbers of runs that were kept, by the reason why.
#[derive(Debug, Default)]
struct Kept {
    incomplete: u64,
    newest: u64,
    /// Runs that an incomplete redrive still reads.
    read: u64,
    /// Runs that left out shards and that no redrive has completed.
    redrivable: u64,
}

async fn clean_runs(args: &CleanArgs, run_id: Option<&str>, places: &Places) -> Result<(Vec<Cleaned>, Kept)> {
    let (run_store, sink) = (Stores::of_runs(places)?, Stores::of_results(places)?);
    let (pipeline, results, dry_run) = (places.name.as_str(), args.results, args.dry_run);
    let cleaner = Cleaner { pipeline, run_store: &run_store, sink: &sink, results, dry_run };
    let mut runs = history::run_ids(&run_store, pipeline).await?;
    if let Some(run_id) = run_id {
        let run_id = history::find(&run_store, pipeline, Some(run_id)).await?;
        runs.retain(|run| run.id == run_id);
    }
    let read = redrives::still_read(&run_store, pipeline).await?;
    let redriven = redrives::redriven(&run_store, pipeline).await?;
    let newest = if args.results { cleaner.newest_result().await? } else { None };
    let (mut cleaned, mut kept) = (Vec::new(), Kept::default());
    for run in history::overviews(&run_store, pipeline, &runs).await? {
        let named = run_id.is_some();
        if !named && !is_older(&run, args.older_than.unwrap_or_default()) {
            continue;
        }
        if let Some(redrive) = read.get(&run.run_id) {
            if named {
                return Err(Error::config(format!(
                    "run `{}` cannot be deleted, because run `{redrive}` completes it and is not complete itself: \
                     finish that one, or delete it first",
                    run.run_id
                )));
            }
            kept.read += 1;
        } else if !named && !run.state.is_complete() {
            kept.incomplete += 1;
        } else if !named && run.state == RunState::CompleteWithFailures && !redriven.contains(&run.run_id) {
            kept.redrivable += 1;
        } else if !named && newest.as_ref() == Some(&run.run_id) {
            kept.newest += 1;
        } else {
            places.check_apart(&run.run_id)?;
            cleaned.push(cleaner.clean(&run).await?);
        }
    }
    Ok((cleaned, kept))
}

/// Returns whether a run ended longer ago than `age`. A run of unknown end counts from its start; false if that is
/// unknown too.
fn is_older(run: &Overview, age: Duration) -> bool {
    let ended_at_ms = run.ended_at_ms.or(run.started_at_ms);
    ended_at_ms.is_some_and(|ended_at_ms| ended_at_ms < unix_ms(outside::now()).saturating_sub(millis(age)))
}

fn render(args: &CleanArgs, cleaned: &[Cleaned], kept: &Kept) -> String {
    let header = ["run", "state", "run store", "", "sink", ""].map(str::to_owned);
    let cells = |amount: Amount| [counted(amount.objects, "object"), bytes(amount.bytes)];
    let row = |run_id: String, state: &str, amounts: [Amount; 2]| {
        let [[objects, size], [in_sink, sink_size]] = amounts.map(cells);
        [run_id, state.to_owned(), objects, size, in_sink, sink_size]
    };
    let mut total = [Amount::default(); 2];
    let mut rows = vec![header];
    for Cleaned { run_id, state, intermediates, results } in cleaned {
        total[0].add(*intermediates);
        total[1].add(*results);
        rows.push(row(run_id.clone(), state.name(), [*intermediates, *results]));
    }
    let mut text = if cleaned.is_empty() { String::new() } else { format!("{}\n", table(&rows, 0, &[2, 3, 4, 5])) };
    let done = if args.dry_run { "would delete" } else { "deleted" };
    let (objects, size) = (total[0].objects + total[1].objects, total[0].bytes + total[1].bytes);
    text.push_str(&format!("{done} {} ({})\n", counted(objects, "object"), bytes(size)));
    if kept.incomplete > 0 {
        let runs = if kept.incomplete == 1 { "run that is" } else { "runs that are" };
        text.push_str(&format!("kept {} {runs} not complete: name one to delete it\n", count(kept.incomplete)));
    }
    if kept.read > 0 {
        text.push_str(&format!("kept {} that incomplete redrives still read\n", counted(kept.read, "run")));
    }
    if kept.redrivable > 0 {
        let runs = counted(kept.redrivable, "run");
        text.push_str(&format!(
            "kept {runs} that left out shards, which `--redrive` can complete: name it to delete\n"
        ));
    }
    if kept.newest > 0 {
        text.push_str("kept the newest result, which `latest.json` points to\n");
    }
    text
}
