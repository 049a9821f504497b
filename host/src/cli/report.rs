//! `etl-host report`: writes the report of a run again.

use std::{fs, path::PathBuf};

use clap::Args;
use etl_core::model::error::{Error, Result};

use super::{
    load_places, look, print,
    which_run::{RunWords, WhichRun},
};
use crate::{
    history::{self, Account},
    pipeline::Places,
    report::html,
    task::stores::Stores,
};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    pub words: RunWords,
    /// Write the report to this file [default: the run's `report.html` in the run store]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Writes the report of a run from what the run store now holds about the run, and prints the report's location.
pub(super) fn report(args: &ReportArgs) -> Result<()> {
    let which = args.words.which()?;
    let places = load_places(&which.file, &args.set)?;
    let place = look(&places, write(args, &which, &places))?;
    print(&places.secrets.redact(&format!("{place}\n")))
}

async fn write(args: &ReportArgs, which: &WhichRun, places: &Places) -> Result<String> {
    let (store, redact) = (Stores::of_runs(places)?, places.secrets.redactor());
    let run_id = history::find(&store, &places.name, which.run_id.as_deref()).await?;
    let Some(file) = &args.output else { return html::write(&store, &places.name, &run_id, redact).await };
    let page = html::page(&Account::read(&store, &places.name, &run_id).await?, redact)?;
    let place = file.display().to_string();
    fs::write(file, page).map_err(|error| Error::from_io(error).context(format!("cannot write `{place}`")))?;
    Ok(place)
}
