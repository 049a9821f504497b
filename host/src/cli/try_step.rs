//! `etl-host try`

use std::{
    fmt::Write,
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use clap::{Args, ValueEnum};

use super::{print, say};
use crate::{
    error::{Error, ErrorKind, Result, ResultExt},
    event::{Events, Level},
    pipeline::{Location, SourceFormat},
    plugin::{Cache, DraftShard, Engine, Interface, Plugin, Usage},
    reject::Reject,
    report::{
        Plain,
        text::{bytes, count, counted, printable},
    },
    rows,
    schema::Schema,
    source::SourceStore,
    trial::{self, Sample, Trial},
};

/// How many rows a table shows, and how many rejects are listed.
const ROWS_SHOWN_MAX: usize = 200;
const REJECTS_SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// The component file
    #[arg(value_name = "PLUGIN")]
    pub plugin: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    /// A reducer for what the mapper emits
    #[arg(long, value_name = "PLUGIN")]
    pub reduce: Option<PathBuf>,
    /// The reducer's configuration
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "reduce")]
    pub reduce_config: String,
    /// How rows are printed [default: `table` on a terminal, else `json`]
    #[arg(long, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// Sample records, and how they are read.
#[derive(Debug, Args)]
pub(super) struct InputArgs {
    /// Where sample records come from: a file, or `-` for standard input; for a splitter, a file or a directory
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The plugin's configuration
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub config: String,
    /// How records are read
    #[arg(long, value_name = "FORMAT", default_value = "lines")]
    pub format: InputFormat,
    /// The fields to read of JSON records, such as `city=text,pieces=int64`
    #[arg(long, value_name = "NAME=TYPE,…", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// How many of the first fields are the key, for a reducer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub key_fields: usize,
    /// How many records are read
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InputFormat {
    /// A record a line
    Lines,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Aligned columns
    Table,
    /// A JSON object a line
    Json,
}

impl InputArgs {
    /// Returns how records are read.
    pub(super) fn source_format(&self) -> Result<SourceFormat> {
        match self.format {
            InputFormat::Lines if self.fields.is_empty() => Ok(SourceFormat::Lines),
            InputFormat::Lines => Err(Error::config("--fields goes with `--format json`")),
            InputFormat::Json if self.fields.is_empty() => Err(Error::config(
                "`--format json` needs the fields to read, such as `--fields city=text,pieces=int64`",
            )),
            InputFormat::Json => Schema::parse(&self.fields, 0).map(SourceFormat::Json),
        }
    }

    /// Reads the sample a plugin is to be given.
    pub(super) fn sample(&self, interface: Interface) -> Result<Sample> {
        if interface == Interface::Reducer && self.key_fields == 0 {
            return Err(Error::config(
                "a reducer takes rows with a key: give `--format json`, `--fields` and `--key-fields`, or a mapper \
                 with `--reduce`",
            ));
        }
        let format = self.source_format()?;
        let name = self.input.file_name().unwrap_or(self.input.as_os_str()).to_string_lossy();
        let sample = match self.input.to_str() {
            Some("-") => Sample::read("stdin", io::stdin(), &format, self.limit),
            _ => Sample::read(&name, open(&self.input)?, &format, self.limit),
        };
        let mut sample = sample?;
        if self.key_fields > 0 {
            sample = sample.keyed(self.key_fields)?;
        }
        if sample.more {
            say(&format!(
                "only the first {} were read (`--limit` sets how many)",
                counted(sample.len() as u64, "record")
            ));
        }
        for reject in &sample.rejects {
            say(&rejected(reject));
        }
        Ok(sample)
    }
}

fn open(path: &Path) -> Result<impl Read> {
    File::open(path).or_kind(ErrorKind::Config, || format!("cannot open `{}`", path.display()))
}

/// Starts an engine for the few instances of a trial.
pub(super) fn engine() -> Result<Engine> {
    Engine::new(8, Cache::of_user())
}

/// Returns events whose messages are shown, without what `redact` takes out.
pub(super) fn shown_events(redact: impl Fn(&str) -> String + Send + 'static) -> Events {
    let events = Events::default();
    events.listen(Plain::new(io::stderr(), Level::Debug, Box::new(redact)));
    events
}

/// Runs a step on sample records, prints what it emits, and says what else it did.
pub(super) fn try_step(args: &TryArgs) -> Result<()> {
    let engine = engine()?;
    let (interface, plugin) = trial::load(&engine, &args.plugin, &args.input.config)?;
    if interface != Interface::Mapper && args.reduce.is_some() {
        return Err(Error::config(format!(
            "--reduce goes with a map plugin, and this is a {} plugin",
            interface.step()
        )));
    }
    let task = trial::task(0, &shown_events(str::to_owned));
    match interface {
        Interface::Splitter => return try_splitter(args, plugin),
        Interface::Mapper => {
            let sample = args.input.sample(interface)?;
            let mapped = trial::map(&plugin, &task, &sample)?;
            match &args.reduce {
                None => print(&shown(&mapped.rows, args.output)),
                Some(reduce) => {
                    let (reducer, reduced) = try_reducer(&engine, reduce, &args.reduce_config, &mapped)?;
                    print(&shown(&reduced.rows, args.output));
                    say(&account(&plugin, &mapped));
                    say(&account(&reducer, &reduced));
                    return Ok(());
                }
            }
            say(&account(&plugin, &mapped));
        }
        Interface::Reducer => {
            let sample = args.input.sample(interface)?;
            let groups = trial::group(&sample.schema, &[sample.rows], || None)?;
            let reduced = trial::reduce(&plugin, &task, &sample.schema, &groups)?;
            print(&shown(&reduced.rows, args.output));
            say(&account(&plugin, &reduced));
        }
    }
    Ok(())
}

/// Runs a reducer on what a mapper emitted.
fn try_reducer(engine: &Engine, path: &Path, config: &str, mapped: &Trial) -> Result<(Plugin, Trial)> {
    let (interface, reducer) = trial::load(engine, path, config)?;
    if interface != Interface::Reducer {
        return Err(Error::config(format!("--reduce `{}` is a {} plugin", path.display(), interface.step())));
    }
    if mapped.schema.key_fields == 0 {
        return Err(Error::config(format!(
            "the mapper emits `{}` without a key, which a reducer needs",
            mapped.schema
        )));
    }
    let groups = trial::group(&mapped.schema, std::slice::from_ref(&mapped.rows), || None)?;
    let reduced = trial::reduce(&reducer, &trial::task(0, &shown_events(str::to_owned)), &mapped.schema, &groups)?;
    Ok((reducer, reduced))
}

fn try_splitter(args: &TryArgs, plugin: Plugin) -> Result<()> {
    let (format, location) = (args.input.source_format()?, Location::local(&args.input.input)?);
    let (task, name) = (trial::task(0, &shown_events(str::to_owned)), plugin.name());
    let split = super::small_runtime()?.block_on(async {
        let source = SourceStore::open(&location, &[], &Default::default()).await?;
        trial::split(plugin, task, format.schema(), source).await
    })?;
    print(&shown(&shards(&split.shards), args.output));
    say(&format!(
        "{name}: {} of {}{}",
        counted(split.shards.len() as u64, "shard"),
        counted(split.objects.len() as u64, "object"),
        used(&split.usage, 0),
    ));
    split.left_out.iter().for_each(|left_out| say(&format!("warning: {left_out}")));
    Ok(())
}

/// Returns shards as rows: one for each slice, or for the records of a shard.
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

/// Returns rows as they are printed.
pub(super) fn shown(batch: &RecordBatch, format: Option<OutputFormat>) -> String {
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

/// Says what a step did besides what it emitted.
pub(super) fn account(plugin: &Plugin, trial: &Trial) -> String {
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

fn used(usage: &Usage, records: u64) -> String {
    let time = match u32::try_from(records) {
        Ok(records @ 1..) => format!("{} a record", short(usage.time / records)),
        _ => short(usage.time),
    };
    format!(", {time}, {} of memory", bytes(usage.memory_bytes))
}

/// Returns a time of few digits: `850ns`, `1.2µs`, `34.0ms`.
pub(super) fn short(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    match time.as_nanos() {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{:.1}µs", nanoseconds / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", nanoseconds / 1e6),
        _ => format!("{:.1}s", nanoseconds / 1e9),
    }
}

/// Returns a reject in one line.
pub(super) fn rejected(reject: &Reject) -> String {
    let place = match (&reject.object, reject.offset) {
        (Some(object), Some(offset)) => format!("{object}:{offset}: "),
        _ => String::new(),
    };
    let record = reject.record.as_ref().or(reject.record_hex.as_ref());
    let record = record.map(|record| format!(": {}", record.chars().take(200).collect::<String>())).unwrap_or_default();
    printable(&format!("rejected {place}{}{record}", reject.reason).replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_few_digits() {
        let times = [0, 850, 1_234, 34_000_000, 2_500_000_000].map(Duration::from_nanos);
        assert_eq!(times.map(short), ["0ns", "850ns", "1.2µs", "34.0ms", "2.5s"]);
    }

    #[test]
    fn a_reject_is_one_line() {
        let reject = Reject::new("map", "no\nkey").at("a.csv", 59).with_record(b"x\x1b");
        assert_eq!(rejected(&reject), "rejected a.csv:59: no\\nkey: x\\u{1b}");
    }
}
