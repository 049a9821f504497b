//! `etl-host report`

use std::{fs, path::PathBuf};

use clap::Args;

use super::{block_on, load, print, show};
use crate::{error::Result, layout::RunLayout, pipeline::Pipeline, report::html, store::classify_io, stores::Stores};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,
    /// The run's id [default: the newest run]
    #[arg(value_name = "RUN")]
    pub run_id: Option<String>,
    /// Write the report to this file [default: `report.html` of the run, in the run store]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Makes the report of a run from what the run store says of it by now, and prints where it lies.
pub(super) fn report(args: &ReportArgs) -> Result<()> {
    let pipeline = load(&args.file, &args.set, false)?;
    let place = block_on(&pipeline, write(args, &pipeline))?;
    print(&pipeline.secrets.redact(&format!("{place}\n")));
    Ok(())
}

async fn write(args: &ReportArgs, pipeline: &Pipeline) -> Result<String> {
    let account = show::account(pipeline, args.run_id.as_deref()).await?;
    let page = html::page(&account, pipeline.secrets.redactor())?;
    if let Some(file) = &args.output {
        let place = file.display().to_string();
        fs::write(file, page).map_err(|error| classify_io(error).context(format!("cannot write `{place}`")))?;
        return Ok(place);
    }
    let store = Stores::run_store(pipeline)?;
    let key = RunLayout::new(&pipeline.name, &account.overview.run_id).report();
    store.put(&key, page).await?;
    Ok(store.locate(&key))
}
