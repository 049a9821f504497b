//! `etl-host try`: runs one step on sample records.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use clap::{Args, ValueEnum};
use etl_core::{
    model::{
        error::{Error, Result},
        ids::TaskId,
        schema::Schema,
    },
    runtime::scratch::temporary_directory,
    text::{
        numbers::{bytes, count, counted, printable, short},
        rows,
    },
};
use etl_plugin::{Attempt, DraftShard, InstanceUsage, Interface, Plugin};

use super::{
    outside, print_exact,
    sample::{InputArgs, ReducerArgs, SandboxArgs, engine, rejected, shown_events},
    say,
};
use crate::workbench::trial::{self, Trial};

/// Maximum number of rows shown in a table.
const ROWS_SHOWN_MAX: usize = 200;
/// Maximum number of rejects listed.
const REJECTS_SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// The component file
    #[arg(value_name = "PLUGIN")]
    pub plugin: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    #[command(flatten)]
    pub reducer: ReducerArgs,
    /// Print each row that a mapper emits with the record it was made of, and where that is
    #[arg(long)]
    pub trace: bool,
    /// The format to print rows in [default: `table` on a terminal, else `json`]
    #[arg(long, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Aligned columns
    Table,
    /// One JSON object per line
    Json,
}

/// Runs a step on sample records, prints the rows it emits, and reports its counts, costs and rejects on standard
/// error.
pub(super) fn try_step(args: &TryArgs) -> Result<()> {
    let engine = engine()?;
    let (interface, plugin) = args.sandbox.load(&engine, &args.plugin, &args.input.config)?;
    let reducer = args.reducer.load(&engine, &args.sandbox, interface)?;
    if interface == Interface::Splitter {
        return try_splitter(args, plugin);
    }
    if args.trace && (interface != Interface::Mapper || reducer.is_some()) {
        return Err(Error::config(
            "`--trace` goes with a map plugin alone: rows of a reducer are made of many records",
        ));
    }
    let sample = args.input.sample(interface, &args.sandbox.source()?)?;
    let task = trial::task(TaskId(0), &shown_events(str::to_owned));
    let first = match interface {
        Interface::Reducer => reduce(&plugin, &task, &sample.schema, &sample.rows)?,
        _ => trial::map(&plugin, &task, &sample)?,
    };
    if args.trace {
        print_exact(&shown(&trial::traced(&first, &sample)?, args.output))?;
        say(&account(&plugin, &first));
        return Ok(());
    }
    let mut tried = vec![(&plugin, first)];
    if let Some(reducer) = &reducer {
        let Trial { schema, rows, .. } = &tried[0].1;
        if schema.key_fields == 0 {
            return Err(Error::config(format!("the mapper emits `{schema}` without a key, which a reducer needs")));
        }
        let reduced = reduce(reducer, &task, schema, rows)?;
        tried.push((reducer, reduced));
    }
    tried.last().map_or(Ok(()), |(_, trial)| print_exact(&shown(&trial.rows, args.output)))?;
    tried.iter().for_each(|(plugin, trial)| say(&account(plugin, trial)));
    Ok(())
}

fn reduce(reducer: &Plugin, task: &Attempt, schema: &Schema, rows: &RecordBatch) -> Result<Trial> {
    let scratch = temporary_directory(outside::variable);
    let groups = trial::group(schema, std::slice::from_ref(rows), &scratch, || None)?;
    trial::reduce(reducer, task, schema, &groups)
}

fn try_splitter(args: &TryArgs, plugin: Plugin) -> Result<()> {
    let (task, name) = (trial::task(TaskId(0), &shown_events(str::to_owned)), plugin.name());
    let split = super::small_runtime()?.block_on(async {
        let source = args.input.source().await?;
        let format = args.input.format_of(&source, &args.sandbox.source()?).await?;
        trial::split(Arc::new(plugin), task, format, source).await
    })?;
    print_exact(&shown(&shards(&split.shards), args.output))?;
    say(&format!(
        "{name}: {} of {}{}",
        counted(split.shards.len() as u64, "shard"),
        counted(split.objects.len() as u64, "object"),
        used(&split.usage, 0),
    ));
    split.left_out.iter().for_each(|left_out| say(&format!("warning: {left_out}")));
    Ok(())
}

/// Returns shards as rows: one row for each slice, and one for each shard of inline records.
fn shards(shards: &[DraftShard]) -> RecordBatch {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut lines = Vec::new();
    for (number, shard) in (0..).zip(shards) {
        match shard {
            DraftShard::Slices(slices) => lines.extend(slices.iter().map(|slice| {
                (number, Some(slice.object.as_str()), Some(signed(slice.offset)), Some(signed(slice.length)), None)
            })),
            DraftShard::Records(batch) => lines.push((number, None, None, None, Some(signed(batch.num_rows() as u64)))),
        }
    }
    let columns: [(&str, ArrayRef); 5] = [
        ("shard", Arc::new(Int64Array::from_iter_values(lines.iter().map(|line| line.0)))),
        ("object", Arc::new(StringArray::from_iter(lines.iter().map(|line| line.1)))),
        ("offset", Arc::new(Int64Array::from_iter(lines.iter().map(|line| line.2)))),
        ("length", Arc::new(Int64Array::from_iter(lines.iter().map(|line| line.3)))),
        ("records", Arc::new(Int64Array::from_iter(lines.iter().map(|line| line.4)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

/// Returns rows as text in a format, by default as a table on a terminal and as JSON elsewhere. A table shows at most
/// 200 rows.
fn shown(batch: &RecordBatch, format: Option<OutputFormat>) -> String {
    let default = || if io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Json };
    match format.unwrap_or_else(default) {
        OutputFormat::Json => rows::json_lines(batch),
        OutputFormat::Table => {
            let mut text = rows::table(&batch.slice(0, batch.num_rows().min(ROWS_SHOWN_MAX)), None);
            if let more @ 1.. = batch.num_rows().saturating_sub(ROWS_SHOWN_MAX) {
                _ = writeln!(text, "… and {} (`--output json` prints all)", counted(more as u64, "more row"));
            }
            text
        }
    }
}

/// Returns the report on a step's trial: records and rows, time, memory, counters and rejects.
fn account(plugin: &Plugin, trial: &Trial) -> String {
    let mut text = format!(
        "{}: {} in, {} out",
        plugin.name(),
        counted(trial.records_in, "record"),
        counted(trial.rows.num_rows() as u64, "row"),
    );
    if !trial.rejects.is_empty() {
        _ = write!(text, ", {} rejected", count(trial.rejects.len() as u64));
    }
    text.push_str(&used(&trial.usage, trial.records_in));
    for (counter, total) in &trial.counters {
        _ = write!(text, "\n  counter {}: {total}", printable(counter));
    }
    for reject in trial.rejects.iter().take(REJECTS_SHOWN_MAX) {
        _ = write!(text, "\n  {}", rejected(reject));
    }
    if let more @ 1.. = trial.rejects.len().saturating_sub(REJECTS_SHOWN_MAX) {
        _ = write!(text, "\n  … and {}", counted(more as u64, "more reject"));
    }
    text
}

fn used(usage: &InstanceUsage, records: u64) -> String {
    let time = match u32::try_from(records) {
        Ok(records @ 1..) => format!("{} a record", short(usage.time / records)),
        _ => short(usage.time),
    };
    format!(", {time}, {} of memory", bytes(usage.memory_bytes))
}
