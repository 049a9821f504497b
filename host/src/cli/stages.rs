//! The commands with which several processes work on one run: `plan`, `map`, `reduce`, `finalize` and `worker`.
//!
//! Owns their arguments, and which part of a stage the variables of a batch system name. Each does a part of what `run`
//! does, by the same functions, and may be repeated.

use std::{ffi::OsStr, path::PathBuf, process::ExitCode};

use clap::Args;
use etl_core::model::error::{Error, Result};

use super::{
    FailedCommand, look, outside, print_exact,
    run::{EventFormat, Job, Show, work},
};
use crate::{
    history::Progress,
    run::{Part, Place, Ranges, Start, Which},
    run_store::document::to_json_pretty,
    task::stores::Stores,
};

#[derive(Debug, Args)]
pub(super) struct StageArgs {
    /// The pipeline file; relative paths in it are relative to its directory
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,
    /// The run's id
    #[arg(long, value_name = "ID")]
    pub run_id: String,
    /// Set a key of the pipeline, such as `run.concurrency=8`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write events to standard output, one per line
    #[arg(long, value_name = "FORMAT")]
    pub events: Option<EventFormat>,
    /// Print what this process did as a JSON object, and after an error, too
    #[arg(long, conflicts_with = "events")]
    pub summary_json: bool,
    /// Keep metrics in this file, in Prometheus text format
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Show only warnings and errors: no progress, no summary
    #[arg(long, short)]
    pub quiet: bool,
    /// Also show how plugins were loaded, and their debug messages
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// The part of a stage that a process of an array of processes does.
#[derive(Debug, Args)]
pub(super) struct PartArgs {
    /// The number of this process among `--of` processes, from 0 [default: that of a job array, if this is one of
    /// Kubernetes, Slurm or AWS Batch]
    #[arg(long, value_name = "NUMBER")]
    pub index: Option<u32>,
    /// The number of processes [default: that of a job array, if it is known]
    #[arg(long, value_name = "NUMBER")]
    pub of: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Print the numbers of objects, bytes, shards, map tasks and partitions as a JSON object
    #[arg(long, conflicts_with_all = ["summary_json", "events"])]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct MapArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// The map tasks, by their numbers from 0: `0-99`, `7` or `0-9,20-29` [default: all]
    #[arg(long, value_name = "RANGES", value_parser = ranges, conflicts_with_all = ["index", "of"])]
    pub tasks: Option<Ranges>,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReduceArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// The partitions, by their numbers from 0: `0-3`, `7` or `0-1,6-7` [default: all]
    #[arg(long, value_name = "RANGES", value_parser = ranges, conflicts_with_all = ["index", "of"])]
    pub partitions: Option<Ranges>,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Debug, Args)]
pub(super) struct FinalizeArgs {
    #[command(flatten)]
    pub stage: StageArgs,
}

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    #[command(flatten)]
    pub part: PartArgs,
}

fn ranges(text: &str) -> Result<Ranges, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

/// Plans a run. With `--json`, prints what it has to do.
pub(super) fn plan(program: &OsStr, args: &PlanArgs) -> Result<ExitCode, FailedCommand> {
    let mut job = job("plan", &args.stage, Part::Plan);
    job.show.quiet |= args.json;
    job.options = args.json.then(|| "--json".to_owned()).into_iter().collect();
    let ended = work(program, &job)?;
    if args.json {
        let places = super::load_places(&args.stage.file, &args.stage.set)?;
        let read = async { Progress::read(&Stores::of_runs(&places)?, &places.name, &args.stage.run_id).await };
        let planned = look(&places, read)?.planned;
        print_exact(&places.secrets.redact(&to_json_pretty(&planned)?))?;
    }
    Ok(ended)
}

/// Runs map tasks.
pub(super) fn map(program: &OsStr, args: &MapArgs) -> Result<ExitCode, FailedCommand> {
    let which = which(args.tasks.as_ref(), &args.part)?;
    let mut job = job("map", &args.stage, Part::Map(which));
    job.options = options("--tasks", args.tasks.as_ref(), &args.part);
    work(program, &job)
}

/// Reduces partitions.
pub(super) fn reduce(program: &OsStr, args: &ReduceArgs) -> Result<ExitCode, FailedCommand> {
    let which = which(args.partitions.as_ref(), &args.part)?;
    let mut job = job("reduce", &args.stage, Part::Reduce(which));
    job.options = options("--partitions", args.partitions.as_ref(), &args.part);
    work(program, &job)
}

/// Publishes the result.
pub(super) fn finalize(program: &OsStr, args: &FinalizeArgs) -> Result<ExitCode, FailedCommand> {
    work(program, &job("finalize", &args.stage, Part::Finalize))
}

/// Does whatever is left of a run.
pub(super) fn worker(program: &OsStr, args: &WorkerArgs) -> Result<ExitCode, FailedCommand> {
    let mut job = job("worker", &args.stage, Part::Whole);
    job.place = match part(&args.part, outside::variable) {
        Ok(Some((index, of))) => Place::Part { index, of },
        Err(error) if args.part.index.is_some() || args.part.of.is_some() => return Err(error.into()),
        // A worker does whatever is left, so where it begins matters little.
        Ok(None) | Err(_) => Place::ByName,
    };
    job.options = options("", None, &args.part);
    work(program, &job)
}

fn job<'a>(command: &'static str, args: &'a StageArgs, part: Part) -> Job<'a> {
    let StageArgs { file, run_id, set, events, summary_json, metrics, quiet, verbose } = args;
    let metrics = metrics.as_deref();
    Job {
        command,
        file,
        set,
        build: false,
        start: Start::Id(run_id.clone()),
        part,
        place: Place::First,
        shared: true,
        repair: false,
        show: Show { events: *events, summary_json: *summary_json, metrics, quiet: *quiet, verbose: *verbose },
        options: Vec::new(),
    }
}

fn which(ranges: Option<&Ranges>, args: &PartArgs) -> Result<Which> {
    if let Some(ranges) = ranges {
        return Ok(Which::Ranges(ranges.clone()));
    }
    Ok(part(args, outside::variable)?.map_or(Which::All, |(index, of)| Which::Part { index, of }))
}

/// Returns the options that select a part, as they were given.
fn options(name: &str, ranges: Option<&Ranges>, args: &PartArgs) -> Vec<String> {
    let ranges = ranges.map(|ranges| [name.to_owned(), ranges.to_string()]);
    let index = args.index.map(|index| ["--index".to_owned(), index.to_string()]);
    let of = args.of.map(|of| ["--of".to_owned(), of.to_string()]);
    [ranges, index, of].into_iter().flatten().flatten().collect()
}

/// A job array of a batch system: the variables that number its processes.
struct Array {
    index: &'static str,
    /// The number of the first process; 0 if there is no such variable.
    first: Option<&'static str>,
    /// The difference of two neighbouring numbers; 1 if there is no such variable.
    step: Option<&'static str>,
    of: Option<&'static str>,
}

const ARRAYS: [Array; 3] = [
    Array { index: "JOB_COMPLETION_INDEX", first: None, step: None, of: None },
    Array {
        index: "SLURM_ARRAY_TASK_ID",
        first: Some("SLURM_ARRAY_TASK_MIN"),
        step: Some("SLURM_ARRAY_TASK_STEP"),
        of: Some("SLURM_ARRAY_TASK_COUNT"),
    },
    Array { index: "AWS_BATCH_JOB_ARRAY_INDEX", first: None, step: None, of: Some("AWS_BATCH_JOB_ARRAY_SIZE") },
];

/// Returns the number of this process and the number of processes; `None` when neither the arguments nor the variables
/// of a batch system number it.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when only one of the two is known, or they do not
/// fit.
fn part(args: &PartArgs, variable: impl Fn(&str) -> Option<String>) -> Result<Option<(u32, u32)>> {
    let number = |name: &str| {
        let read = |value: String| {
            value.parse::<u32>().map_err(|_| Error::config(format!("`{name}` is `{value}`, which is no number")))
        };
        variable(name).filter(|value| !value.is_empty()).map(read).transpose()
    };
    let array =
        ARRAYS.iter().find(|array| args.index.is_none() && number(array.index).is_ok_and(|index| index.is_some()));
    let (index, of, name) = match (args.index, array) {
        (Some(index), _) => (index, args.of, "--index"),
        (None, Some(array)) => {
            let known = |name: Option<&str>| name.map_or(Ok(None), number);
            let (first, step) = (known(array.first)?.unwrap_or(0), known(array.step)?.unwrap_or(1).max(1));
            let index = number(array.index)?.unwrap_or_default().saturating_sub(first) / step;
            (index, args.of.map_or_else(|| known(array.of), |of| Ok(Some(of)))?, array.index)
        }
        (None, None) if args.of.is_some() => {
            let names = ARRAYS.map(|array| format!("`{}`", array.index)).join(", ");
            return Err(Error::config(format!("`--of` needs `--index`, or one of the variables {names}")));
        }
        (None, None) => return Ok(None),
    };
    let Some(of) = of else {
        return Err(Error::config(format!("`{name}` is {index}, but of how many is not known: add `--of`")));
    };
    if index >= of {
        return Err(Error::config(format!(
            "this process is number {index} of {of} (by `{name}`), but they are numbered from 0 to {}",
            i64::from(of) - 1
        )));
    }
    Ok(Some((index, of)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part_of(index: Option<u32>, of: Option<u32>, variables: &[(&str, &str)]) -> Result<Option<(u32, u32)>, String> {
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        part(&PartArgs { index, of }, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn a_process_of_a_job_array_knows_its_number_and_how_many_there_are() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
        ];
        let aws = [("AWS_BATCH_JOB_ARRAY_INDEX", "2"), ("AWS_BATCH_JOB_ARRAY_SIZE", "5")];
        let kubernetes = [("JOB_COMPLETION_INDEX", "2")];
        assert_eq!(part_of(None, None, &[]), Ok(None));
        assert_eq!(part_of(None, None, &slurm), Ok(Some((3, 4))));
        assert_eq!(part_of(None, None, &aws), Ok(Some((2, 5))));
        assert_eq!(part_of(None, Some(8), &aws), Ok(Some((2, 8))));
        assert_eq!(part_of(None, Some(8), &kubernetes), Ok(Some((2, 8))));
        assert_eq!(part_of(Some(0), Some(2), &slurm), Ok(Some((0, 2))), "arguments count");
    }

    #[test]
    fn a_number_without_how_many_or_beyond_them_is_refused_by_its_name() {
        let refused = |index, of, variables: &[_], text: &str| {
            let error = part_of(index, of, variables).expect_err("refused");
            assert!(error.contains(text), "{error}");
        };
        let kubernetes = [("JOB_COMPLETION_INDEX", "2")];
        refused(None, None, &kubernetes, "`JOB_COMPLETION_INDEX` is 2, but of how many is not known: add `--of`");
        refused(Some(3), None, &[], "`--index` is 3, but of how many is not known: add `--of`");
        refused(None, Some(3), &[], "`--of` needs `--index`, or one of the variables `JOB_COMPLETION_INDEX`, ");
        refused(Some(3), Some(3), &[], "number 3 of 3 (by `--index`), but they are numbered from 0 to 2");
        refused(None, Some(2), &kubernetes, "number 2 of 2 (by `JOB_COMPLETION_INDEX`)");
        refused(Some(0), Some(0), &[], "number 0 of 0");
        let odd = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_COUNT", "two")];
        refused(None, None, &odd, "`SLURM_ARRAY_TASK_COUNT` is `two`, which is no number");
    }
}
