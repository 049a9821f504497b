//! `etl-host replay`: runs an attempt of an earlier run again.

use std::path::PathBuf;

use arrow_array::RecordBatch;
use clap::{ArgGroup, Args};
use etl_core::{
    model::{
        error::{Error, Result},
        event::Stage,
        ids::{PartitionId, ShardId, TaskId},
        position::Position,
    },
    text::{
        nearest::listed,
        numbers::{count, counted, printable},
        rows,
    },
};

use super::{
    compiling, load, outside, print_exact, redacted, runtime,
    sample::{rejected, shown_events},
    say,
    which_run::{RunWords, WhichRun},
};
use crate::{
    history,
    pipeline::Pipeline,
    run_store::{layout::RunLayout, plan::Planned},
    task::stores::Stores,
    workbench::replay::{Only, Replay, Replayed},
};

/// Maximum number of rejects listed.
const REJECTS_SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("task").required(true).args(["shard", "partition"]))]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub words: RunWords,
    /// Map this shard
    #[arg(long, value_name = "N")]
    pub shard: Option<ShardId>,
    /// Reduce this partition
    #[arg(long, value_name = "N")]
    pub partition: Option<PartitionId>,
    /// Map only one record of the shard: the one with this number, from 0
    #[arg(long, value_name = "K", requires = "shard", conflicts_with_all = ["offset", "row"])]
    pub record: Option<u64>,
    /// Map only one record of the shard: the one that starts at this byte, or, with `--row`, whose block does
    #[arg(long, value_name = "BYTES", requires = "shard")]
    pub offset: Option<u64>,
    /// Map only one record of the shard: the one in this row of its object, from 0, in a format that has rows
    #[arg(long, value_name = "K", requires = "shard")]
    pub row: Option<u64>,
    /// The object that `--offset` or `--row` refers to, if the shard has several
    #[arg(long, value_name = "NAME", requires = "shard")]
    pub object: Option<String>,
    /// Use this plugin instead of the one that the run used
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
    /// The step that `--plugin` is for, such as `map 2` [default: `map`, or `reduce` with `--partition`]
    #[arg(long, value_name = "STEP", requires = "plugin")]
    pub step: Option<String>,
    /// The maximum number of rows to print; further rows are only counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Set a key of the pipeline that the run planned, such as `map.0.limits.memory=1GiB`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs an attempt of an earlier run again, prints the rows it emits, and reports its counts and rejects on standard
/// error.
pub(super) fn replay(args: &ReplayArgs) -> Result<()> {
    let which = args.words.which()?;
    let pipeline = load(&which.file, &args.set, false)?;
    let runtime = runtime(&pipeline)?;
    let ended = runtime.block_on(run(args, &which, &pipeline));
    // Do not wait for the runtime's threads: a plugin may never end.
    runtime.shutdown_background();
    let replayed = ended.map_err(|error| redacted(&error, &pipeline.secrets))?;
    for rows in &replayed.rows {
        print_exact(&pipeline.secrets.redact(&rows::json_lines(rows)))?;
    }
    say(&pipeline.secrets.redact(&account(args, &replayed)));
    Ok(())
}

async fn run(args: &ReplayArgs, which: &WhichRun, pipeline: &Pipeline) -> Result<Replayed> {
    let store = Stores::run_store(pipeline)?;
    let run_id = history::find(&store, &pipeline.name, which.run_id.as_deref()).await?;
    let planned = Planned::load(&store, &RunLayout::new(&pipeline.name, &run_id)).await?;
    let planned = planned.ok_or_else(|| Error::config(format!("run `{run_id}` ended before it had a plan")))?;
    let mut as_planned = Pipeline::of_plan(&which.file, &planned.plan.pipeline, &args.set, outside::variable)?;
    if let Some(planned) = &planned.plan.fields {
        as_planned = as_planned.with_fields(&planned.fields, planned.inferred)?;
    }
    let secrets = as_planned.secrets.clone();
    let replaced = replace(args, &mut as_planned)?;
    let events = shown_events(secrets.redactor());
    let replayed = async {
        let replay = Replay::open(as_planned, run_id, planned, replaced.as_deref(), compiling::told(), events).await?;
        match (args.shard, args.partition, only(args)) {
            (Some(shard), _, Some(only)) => replay.record(shard, only, args.limit).await,
            (Some(shard), _, None) => replay.shard(shard, args.limit).await,
            (None, Some(partition), _) => replay.partition(partition, args.limit).await,
            (None, None, _) => Err(Error::config("give `--shard N` or `--partition N`")),
        }
    };
    replayed.await.map_err(|error| redacted(&error, &secrets))
}

/// Puts the plugin of `--plugin` into its step, and returns the step's name; none without `--plugin`.
fn replace(args: &ReplayArgs, pipeline: &mut Pipeline) -> Result<Option<String>> {
    let Some(plugin) = &args.plugin else { return Ok(None) };
    let reduce = pipeline.reduce.as_mut().map(|reduce| &mut reduce.step);
    let mut steps: Vec<_> = match args.shard {
        Some(_) => pipeline.maps.iter_mut().collect(),
        None => reduce.into_iter().collect(),
    };
    if steps.is_empty() {
        let why = "its pipeline has no `[reduce]`; `--shard N` replays a shard";
        return Err(Error::config(format!("the run has no partitions ({why})")));
    }
    let choices = listed(steps.iter().map(|step| &step.plugin.name));
    let wanted = args.step.as_ref();
    let step = steps.iter_mut().find(|step| wanted.is_none_or(|wanted| *wanted == step.plugin.name));
    let step = step.ok_or_else(|| {
        let wanted = wanted.map_or("", String::as_str);
        Error::config(format!("the replayed task has no step `{wanted}` (choices: {choices})"))
    })?;
    step.plugin.path.clone_from(plugin);
    Ok(Some(step.plugin.name.clone()))
}

fn only(args: &ReplayArgs) -> Option<Only> {
    let position = Position::of(args.offset, args.row);
    let at = |position| Only::At { object: args.object.clone(), position };
    args.record.map(Only::Number).or(position.map(at))
}

fn account(args: &ReplayArgs, replayed: &Replayed) -> String {
    let (counts, rejects) = (&replayed.counts, &replayed.rejects);
    let task = match (args.shard, args.partition) {
        (Some(shard), _) => Stage::Map.task(TaskId::of_shard(shard)),
        (_, partition) => Stage::Reduce.task(TaskId::of_partition(partition.unwrap_or(PartitionId(0)))),
    };
    let shown: usize = replayed.rows.iter().map(RecordBatch::num_rows).sum();
    let mut lines = Vec::new();
    if let more @ 1.. = counts.records_out.saturating_sub(shown as u64) {
        lines.push(format!("… and {} (`--limit` sets how many are printed)", counted(more, "more row")));
    }
    let (records, rows) = (counted(counts.records_in, "record"), counted(counts.records_out, "row"));
    let aside = if counts.rejects > 0 { format!(", {} rejected", count(counts.rejects)) } else { String::new() };
    lines.push(format!("{task}: {records} in, {rows} out{aside}"));
    lines.extend(counts.counters.iter().map(|(name, total)| format!("  counter {}: {total}", printable(name))));
    lines.extend(rejects.iter().take(REJECTS_SHOWN_MAX).map(|reject| format!("  {}", rejected(reject))));
    if let more @ 1.. = counts.rejects.saturating_sub(REJECTS_SHOWN_MAX.min(rejects.len()) as u64) {
        lines.push(format!("  … and {}", counted(more, "more reject")));
    }
    lines.join("\n")
}
