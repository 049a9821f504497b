//! `etl-host diff`: compares two versions of a map step.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use etl_core::{
    model::{error::Result, event::add_counters},
    text::{
        command::PIPELINE_FILE,
        numbers::{bytes, count, counted, printable, short},
        rows,
        table::table,
    },
};
use etl_plugin::InstanceUsage;

use super::{block_on, compiling, load, print, sample::shown_events};
use crate::workbench::diff::{self, Comparison, Request, ShardComparison, Side};

/// The shortest time that is compared: shorter times say more about warm caches than about a plugin.
const COMPARED_MIN: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE", default_value = PIPELINE_FILE)]
    pub file: PathBuf,
    /// The component file of the new version
    #[arg(long, value_name = "PLUGIN")]
    pub map: PathBuf,
    /// The configuration of the new version [default: that of the old version]
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// The map step that the new version replaces [default: the first]
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
    /// The number of shards to run both versions on, spread over the source
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub sample: usize,
    /// Exit with code 1 if anything except time and memory differs, for scripts
    #[arg(long)]
    pub exit_code: bool,
    /// Set a key of the pipeline, such as `split.target_size=1MiB`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Exit code when something differs. No run ends with code 1, so it cannot be mistaken for a failure.
const DIFFERENT: u8 = 1;

/// Runs the old and the new version of a map step on some shards, and prints what differs.
pub(super) fn diff(args: &DiffArgs) -> Result<ExitCode> {
    let pipeline = load(&args.file, &args.set, false)?;
    let request =
        Request { plugin: args.map.clone(), config: args.config.clone(), step: args.step.clone(), shards: args.sample };
    let events = shown_events(pipeline.secrets.redactor());
    let compared = block_on(&pipeline, diff::diff(&pipeline, &request, compiling::told(), &events))?;
    print(&pipeline.secrets.redact(&render(&compared)))?;
    let different = args.exit_code && !compared.is_same();
    Ok(if different { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

fn render(compared: &Comparison) -> String {
    let records = compared.shards.iter().map(|shard| shard.records).sum();
    let mut text = format!(
        "{}: {} of {}, {}\n\n",
        compared.step,
        count(compared.shards.len() as u64),
        counted(compared.shards_in_all as u64, "shard"),
        counted(records, "record"),
    );
    text.push_str(&totals(compared));
    for shard in &compared.shards {
        text.push_str(&differences(shard));
    }
    if compared.is_same() {
        text.push_str("\nnothing differs\n");
    }
    text
}

/// Totals of one version over all compared shards. Of a shard it failed on, only the failure is counted.
#[derive(Default)]
struct Total {
    rows: u64,
    rejects: u64,
    failures: u64,
    counters: BTreeMap<String, i64>,
    usage: InstanceUsage,
}

impl Total {
    fn of(compared: &Comparison, version: usize) -> Self {
        let mut total = Self::default();
        for shard in &compared.shards {
            let Ok(Side { trial, .. }) = &shard.sides[version] else {
                total.failures += 1;
                continue;
            };
            total.rows += trial.rows.num_rows() as u64;
            total.rejects += trial.rejects.len() as u64;
            total.usage.time += trial.usage.time;
            total.usage.memory_bytes = total.usage.memory_bytes.max(trial.usage.memory_bytes);
            add_counters(&mut total.counters, &trial.counters);
        }
        total
    }
}

fn totals(compared: &Comparison) -> String {
    let [old, new] = [0, 1].map(|version| Total::of(compared, version));
    let row = |label: &str, old: String, new: String, ratio: String| [label.to_owned(), old, new, ratio];
    let numbers = |label: &str, old: u64, new: u64| row(label, count(old), count(new), String::new());
    let digest = |digest: &String| digest.get(..12).unwrap_or(digest).to_owned();
    let [old_digest, new_digest] = compared.digests.each_ref().map(digest);
    let mut lines = vec![
        row("", "old".to_owned(), "new".to_owned(), String::new()),
        row("sha256", old_digest, new_digest, String::new()),
        numbers("rows", old.rows, new.rows),
        numbers("rejected", old.rejects, new.rejects),
    ];
    if old.failures + new.failures > 0 {
        lines.push(numbers("failed shards", old.failures, new.failures));
    }
    let mut counters: Vec<&String> = old.counters.keys().chain(new.counters.keys()).collect();
    counters.sort();
    counters.dedup();
    for counter in counters {
        let value = |total: &Total| total.counters.get(counter).copied().unwrap_or(0).to_string();
        lines.push(row(&printable(&format!("counter {counter}")), value(&old), value(&new), String::new()));
    }
    let (old, new) = (old.usage, new.usage);
    let times = if old.time.min(new.time) < COMPARED_MIN {
        "too short to compare".to_owned()
    } else {
        ratio(old.time.as_secs_f64(), new.time.as_secs_f64())
    };
    lines.push(row("time", short(old.time), short(new.time), times));
    let memory = |usage: &InstanceUsage| bytes(usage.memory_bytes);
    lines.push(row("memory", memory(&old), memory(&new), ratio(old.memory_bytes as f64, new.memory_bytes as f64)));
    table(&lines, 0, &[1, 2, 3])
}

fn ratio(old: f64, new: f64) -> String {
    if old > 0.0 { format!("x {:.2}", new / old) } else { String::new() }
}

/// Returns the text about what differs on a shard; empty if nothing differs.
fn differences(shard: &ShardComparison) -> String {
    let [old, new] = match &shard.sides {
        [Ok(old), Ok(new)] => [old, new],
        sides => return failures(shard.number, sides),
    };
    let mut text = String::new();
    if old.trial.schema != new.trial.schema {
        _ = writeln!(text, "\nshard {}: other columns\n-  {}\n+  {}", shard.number, old.trial.schema, new.trial.schema);
    }
    if old.only_here + new.only_here > 0 {
        let (before, after) = (old.only_here as u64, new.only_here as u64);
        _ = writeln!(text, "\nshard {}: {} less, {} more", shard.number, counted(before, "row"), counted(after, "row"));
        text.push_str(&pairs(old, new));
    }
    if !old.rejects.is_empty() || !new.rejects.is_empty() {
        _ = writeln!(text, "\nshard {}: other rejects", shard.number);
        for (mark, side) in [("-", old), ("+", new)] {
            side.rejects.iter().for_each(|reject| _ = writeln!(text, "{mark}  {}", printable(reject)));
        }
    }
    text
}

/// Returns the first rows that only one version emits: the old version's rows, then the new version's, as one table if
/// the versions have the same columns.
fn pairs(old: &Side, new: &Side) -> String {
    let marks = |mark, side: &Side| vec![mark; side.rows.num_rows()];
    match arrow_select::concat::concat_batches(old.rows.schema_ref(), [&old.rows, &new.rows]) {
        Ok(both) if old.trial.schema == new.trial.schema => {
            rows::table(&both, Some(&[marks("-", old), marks("+", new)].concat()))
        }
        _ => [("-", old), ("+", new)].map(|(mark, side)| rows::table(&side.rows, Some(&marks(mark, side)))).concat(),
    }
}

fn failures(shard: usize, sides: &[Result<Side>; 2]) -> String {
    let mut text = String::new();
    for (version, side) in ["old", "new"].iter().zip(sides) {
        let what = match side {
            Ok(side) => format!("{} out", counted(side.trial.rows.num_rows() as u64, "row")),
            Err(error) => format!("failed: {}", printable(&error.to_string())),
        };
        _ = writeln!(text, "\nshard {shard}, {version}: {what}");
    }
    text
}
