//! `etl-host runs`: lists the runs of a pipeline.

use std::path::PathBuf;

use clap::Args;
use etl_core::{
    model::error::Result,
    text::{
        command::PIPELINE_FILE,
        numbers::{count, counted, duration, printable, time},
        table::table,
    },
};

use super::{load_places, look, print, print_exact};
use crate::{
    history::{self, Overview},
    pipeline::Places,
    run_store::document::to_json_pretty,
    task::stores::Stores,
};

/// Number of runs shown without `--all`.
const RUNS_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE", default_value = PIPELINE_FILE)]
    pub file: PathBuf,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Show all runs, not only the newest 20
    #[arg(long)]
    pub all: bool,
    /// Print a JSON array, with times in milliseconds
    #[arg(long)]
    pub json: bool,
}

/// Prints the runs of a pipeline, newest first.
pub(super) fn runs(args: &RunsArgs) -> Result<()> {
    let places = load_places(&args.file, &args.set)?;
    let (overviews, more) = look(&places, newest(&places, if args.all { usize::MAX } else { RUNS_SHOWN }))?;
    let text = if args.json { to_json_pretty(&overviews)? } else { render(&places.name, &overviews, more) };
    let text = places.secrets.redact(&text);
    if args.json { print_exact(&text) } else { print(&text) }
}

/// Returns at most `max` runs, newest first, and the number of runs left out.
async fn newest(places: &Places, max: usize) -> Result<(Vec<Overview>, usize)> {
    let store = Stores::of_runs(places)?;
    let mut runs = history::run_ids(&store, &places.name).await?;
    let more = runs.len().saturating_sub(max);
    runs.truncate(max);
    Ok((history::overviews(&store, &places.name, &runs).await?, more))
}

fn render(pipeline: &str, runs: &[Overview], more: usize) -> String {
    if runs.is_empty() {
        return format!("there are no runs of {pipeline}\n");
    }
    let header = ["run", "state", "started", "duration", "shards", "rejects", "result"].map(str::to_owned);
    let unknown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |run: &Overview| {
        [
            run.run_id.clone(),
            run.state.name().to_owned(),
            unknown(run.started_at_ms.map(time)),
            unknown(run.duration_ms.map(duration)),
            unknown(run.shards.map(count)),
            unknown(run.rejects.map(count)),
            unknown(run.result.as_deref().map(printable)),
        ]
    };
    let rows: Vec<[String; 7]> = [header].into_iter().chain(runs.iter().map(row)).collect();
    let more = match more {
        0 => String::new(),
        more => format!("\nand {} before these (`--all` shows them)\n", counted(more as u64, "run")),
    };
    format!("{}{more}", table(&rows, 0, &[3, 4, 5]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RunState;

    #[test]
    fn runs_are_a_table() {
        let complete = Overview {
            run_id: "20261122T163000Z-5f3a90c2".to_owned(),
            state: RunState::Complete,
            started_at_ms: Some(1_795_365_000_000),
            ended_at_ms: Some(1_795_365_065_000),
            duration_ms: Some(65_000),
            shards: Some(100_000),
            failed_shards: Some(0),
            rejects: Some(0),
            result: Some("s3://b/result/r".to_owned()),
        };
        let failed = Overview {
            run_id: "nightly".to_owned(),
            state: RunState::Failed,
            started_at_ms: None,
            ended_at_ms: None,
            duration_ms: None,
            shards: None,
            failed_shards: None,
            rejects: None,
            result: None,
        };
        let expected = "\
run                        state     started               duration   shards  rejects  result
20261122T163000Z-5f3a90c2  complete  2026-11-22T16:30:00Z    1m 05s  100,000        0  s3://b/result/r
nightly                    failed    -                            -        -        -  -

and 1 run before these (`--all` shows them)
";
        assert_eq!(render("p", &[complete, failed], 1), expected);
        assert_eq!(render("p", &[], 0), "there are no runs of p\n");
    }
}
