//! Laws: promises about the output of a step, such as that batch sizes do not change it, checked on a sample.
//!
//! Owns which laws there are, how each is checked, and how the smallest sample that breaks a law is found.
//! [`crate::workbench::trial`] runs the steps. Called by `etl-host laws`.

mod outcome;
mod shrink;
mod split;

use std::{path::PathBuf, sync::Arc};

use arrow_array::RecordBatch;

use self::shrink::shrink;
pub use self::{outcome::Outcome, split::check_splitter};
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::Events,
        ids::TaskId,
        schema::Schema,
    },
    text::{nearest::listed, numbers::counted},
};
use etl_plugin::{Attempt, Interface, Plugin};
use etl_shuffle::{NewCombiner, SortedGroups};

use crate::{
    task::combine::PluginCombiner,
    workbench::trial::{self, Sample},
};

/// The most shards that a sample is cut into. Each shard takes an instance.
const SHARDS_MAX: usize = 16;

/// A law that steps of a kind should obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// The same input gives the same output.
    Deterministic,
    /// How rows are cut into batches makes no difference.
    Batches,
    /// How records are cut into shards makes no difference to what comes out in all.
    Shards,
    /// The order of the rows of a key makes no difference.
    Order,
    /// Combining rows first, once or twice, makes no difference to the output of the reducer.
    Combine,
    /// Every byte of the source is in a shard.
    Complete,
}

impl Law {
    /// Returns the name of the law.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::Batches => "batches",
            Self::Shards => "shards",
            Self::Order => "order",
            Self::Combine => "combine",
            Self::Complete => "complete",
        }
    }

    /// Returns what the law says, as a clause.
    pub fn says(self) -> &'static str {
        match self {
            Self::Deterministic => "the same input gives the same output",
            Self::Batches => "how rows are cut into batches makes no difference",
            Self::Shards => "how records are cut into shards makes no difference",
            Self::Order => "the order of the rows of a key makes no difference",
            Self::Combine => "combining first, once or twice, makes no difference",
            Self::Complete => "every byte of the source is in a shard",
        }
    }

    /// Returns the laws that apply to a kind of step.
    pub fn of(interface: Interface) -> &'static [Self] {
        match interface {
            Interface::Mapper => &[Self::Deterministic, Self::Batches, Self::Shards],
            Interface::Reducer => &[Self::Deterministic, Self::Batches, Self::Order, Self::Combine],
            Interface::Splitter => &[Self::Deterministic, Self::Complete],
        }
    }
}

/// A step whose laws are checked.
pub struct Subject {
    /// The step's plugin.
    pub plugin: Arc<Plugin>,
    /// The kind of step that the plugin implements.
    pub interface: Interface,
    /// The reducer that takes what a mapper emits, if outcomes are to be compared after it.
    pub reducer: Option<Plugin>,
    /// Directory for rows that do not fit into memory.
    pub scratch: PathBuf,
}

/// The result of checking a law.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Every way of running the step gave the same outcome.
    Holds,
    /// The rows that the mapper emits differ, but the reducer's output does not.
    HoldsReduced,
    /// The law does not apply to the step, for this reason.
    NotApplicable(String),
    /// Two ways of running the step gave different outcomes.
    Broken(Box<Counterexample>),
    /// The law is broken in this way, which no sample of records shows.
    BrokenBy(String),
}

/// The smallest sample found that breaks a law.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// The records of the sample.
    pub sample: Sample,
    /// The two ways of running the step that differ on it.
    pub difference: Difference,
}

/// Two ways to run a step on one sample that give different outcomes.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The two ways, in words: ``as one shard``, ``as 2 shards``.
    pub ways: [String; 2],
    /// The outcome of each way.
    pub outcomes: [Outcome; 2],
}

/// Checks a law on a sample. If the law is broken, looks for the smallest sample that breaks it.
///
/// # Errors
/// Returns the error of the step when it fails on the sample as it is.
pub fn check(subject: &Subject, law: Law, sample: &Sample) -> Result<Verdict> {
    if let Some(why) = not_applicable(subject, law, sample)? {
        return Ok(Verdict::NotApplicable(why));
    }
    let Some(mut difference) = try_out(subject, law, sample, false)? else { return Ok(Verdict::Holds) };
    let reduced = subject.reducer.is_some();
    if reduced {
        match try_out(subject, law, sample, true)? {
            Some(after) => difference = after,
            None => return Ok(Verdict::HoldsReduced),
        }
    }
    // A smaller sample may make the step fail although the whole does not; that is no difference, so ignore it.
    let differs = |sample: &Sample| try_out(subject, law, sample, reduced).ok().flatten();
    let smallest = shrink(sample, |sample| differs(sample).is_some())?;
    let difference = differs(&smallest).unwrap_or(difference);
    Ok(Verdict::Broken(Box::new(Counterexample { sample: smallest, difference })))
}

fn not_applicable(subject: &Subject, law: Law, sample: &Sample) -> Result<Option<String>> {
    if law != Law::Combine {
        return Ok(None);
    }
    let emitted = trial::reduce(&subject.plugin, &task(TaskId(0)), &sample.schema, &[])?.schema;
    Ok((emitted != sample.schema)
        .then(|| format!("the reducer is not a combiner: it is given `{}` and emits `{emitted}`", sample.schema)))
}

/// Runs the step in a first way and then in every other way that must make no difference under the law. Returns the
/// first difference. With `reduced`, the reducer's outputs are compared.
fn try_out(subject: &Subject, law: Law, sample: &Sample, reduced: bool) -> Result<Option<Difference>> {
    let (first, ways) = match subject.interface {
        Interface::Mapper => map_ways(subject, law, sample, reduced),
        _ => reduce_ways(subject, law, sample)?,
    };
    let expected = first.run()?;
    for way in ways {
        let outcome = way.run().unwrap_or_else(|error| Outcome::failed(&error));
        if !expected.equals(&outcome, law == Law::Deterministic) {
            return Ok(Some(Difference { ways: [first.name, way.name], outcomes: [expected, outcome] }));
        }
    }
    Ok(None)
}

/// A way to run the step on the sample.
struct Way<'a> {
    name: String,
    run: Box<dyn Fn() -> Result<Outcome> + 'a>,
}

impl<'a> Way<'a> {
    fn new(name: impl Into<String>, run: impl Fn() -> Result<Outcome> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    fn run(&self) -> Result<Outcome> {
        (self.run)()
    }
}

fn map_ways<'a>(subject: &'a Subject, law: Law, sample: &'a Sample, reduced: bool) -> (Way<'a>, Vec<Way<'a>>) {
    let map = move |shards: Vec<Sample>| map_shards(subject, &shards, reduced);
    match law {
        Law::Batches => {
            let cut = |rows: usize| Way::new(in_batches(rows), move || map(vec![sample.cut(rows)]));
            (Way::new("in one batch", move || map(vec![sample.slice(0..sample.len())])), vec![cut(1), cut(2), cut(7)])
        }
        Law::Shards => {
            let cut = |count: usize| {
                Way::new(format!("as {}", counted(count as u64, "shard")), move || map(shards(sample, count)))
            };
            let counts = [2, 3, SHARDS_MAX].into_iter().filter(|count| *count <= sample.len().max(2));
            (Way::new("as one shard", move || map(vec![sample.clone()])), counts.map(cut).collect())
        }
        _ => twice(move || map(vec![sample.clone()])),
    }
}

fn reduce_ways<'a>(subject: &'a Subject, law: Law, sample: &'a Sample) -> Result<(Way<'a>, Vec<Way<'a>>)> {
    let (plugin, schema) = (&subject.plugin, &sample.schema);
    let reduce = move |groups: &[SortedGroups]| {
        trial::reduce(plugin, &task(TaskId(0)), schema, groups).map(|trial| Outcome::of(&[trial]))
    };
    let groups = trial::group(schema, std::slice::from_ref(&sample.rows), &subject.scratch, || None)?;
    let whole = groups.clone();
    let as_is = move |name: &str| Way::new(name, move || reduce(&whole));
    Ok(match law {
        Law::Batches => {
            let cut = |rows: usize| {
                let groups = trial::recut(&groups, rows);
                Way::new(in_batches(rows), move || reduce(&groups))
            };
            let cuts = [1, 2, 7].map(cut);
            (as_is("in large batches"), cuts.into())
        }
        Law::Order => {
            let ordered = |name: &str, rows: Vec<usize>| -> Result<Way<'a>> {
                let groups = trial::group(schema, &[sample.take(&rows)?.rows], &subject.scratch, || None)?;
                Ok(Way::new(name, move || reduce(&groups)))
            };
            let count = sample.len();
            let odd_first = (0..count).filter(|row| row % 2 == 1).chain((0..count).step_by(2)).collect();
            let ways = vec![
                ordered("with the rows of each key in reverse", (0..count).rev().collect())?,
                ordered("with every second row first", odd_first)?,
            ];
            (as_is("with rows in their order"), ways)
        }
        Law::Combine => {
            let combined = |count: usize, twice: bool| {
                let times = if twice { "twice" } else { "once" };
                Way::new(format!("combined {times}, from {}", counted(count as u64, "shard")), move || {
                    reduce(&combine(subject, schema, &shards(sample, count), twice)?)
                })
            };
            let ways = [(1, false), (2, false), (3, false), (2, true), (SHARDS_MAX, true)];
            (as_is("not combined"), ways.map(|(count, twice)| combined(count, twice)).into())
        }
        _ => {
            let whole = groups.clone();
            twice(move || reduce(&whole))
        }
    })
}

fn twice<'a>(run: impl Fn() -> Result<Outcome> + Clone + 'a) -> (Way<'a>, Vec<Way<'a>>) {
    (Way::new("the first time", run.clone()), vec![Way::new("the second time", run)])
}

fn in_batches(rows: usize) -> String {
    if rows == 1 { "row by row".to_owned() } else { format!("in batches of {rows} rows") }
}

/// Cuts a sample into `count` parts of neighbouring records, or into fewer if it has fewer records.
fn shards(sample: &Sample, count: usize) -> Vec<Sample> {
    let (rows, count) = (sample.len(), count.clamp(1, sample.len().max(1)));
    (0..count).map(|shard| sample.slice(rows * shard / count..rows * (shard + 1) / count)).collect()
}

/// Maps each shard in an instance of its own. With `reduced`, the emitted rows go through the subject's reducer, if it
/// has one.
fn map_shards(subject: &Subject, shards: &[Sample], reduced: bool) -> Result<Outcome> {
    let map = |(number, shard)| trial::map(&subject.plugin, &task(TaskId(number)), shard);
    let mapped: Vec<trial::Trial> = (0..).zip(shards).map(map).collect::<Result<_>>()?;
    let (true, Some(reducer), Some(schema)) = (reduced, &subject.reducer, mapped.first().map(|trial| &trial.schema))
    else {
        return Ok(Outcome::of(&mapped));
    };
    let rows: Vec<RecordBatch> = mapped.iter().map(|trial| trial.rows.clone()).collect();
    let reduced =
        trial::reduce(reducer, &task(TaskId(0)), schema, &trial::group(schema, &rows, &subject.scratch, || None)?)?;
    Ok(Outcome { rejects: Outcome::of(&mapped).rejects, ..Outcome::of(&[reduced]) })
}

/// Groups the rows of shards by key. The rows of each shard first go through the subject, a reducer, as a combiner;
/// with `twice`, the combined rows of all shards go through it once more.
fn combine(subject: &Subject, schema: &Schema, shards: &[Sample], twice: bool) -> Result<Vec<SortedGroups>> {
    let combiner = || {
        let (plugin, schema) = (Arc::clone(&subject.plugin), schema.clone());
        let open: NewCombiner =
            Box::new(move || Ok(Box::new(PluginCombiner::open(&plugin, &schema, &task(TaskId(0)))?)));
        Some(open)
    };
    let rows: Vec<RecordBatch> = shards.iter().map(|shard| shard.rows.clone()).collect();
    let groups = trial::group(schema, &rows, &subject.scratch, combiner)?;
    if !twice {
        return Ok(groups);
    }
    let batches: Vec<RecordBatch> = groups.into_iter().map(|groups| groups.batch).collect();
    let again = Sample::of_rows(schema.clone(), &batches)?;
    trial::group(schema, &[again.rows], &subject.scratch, combiner)
}

/// Returns a task whose events are dropped, because the messages of a step that runs many times are of no use.
fn task(number: TaskId) -> Attempt {
    trial::task(number, &Events::silent())
}

/// Checks that none of the `tried` laws is broken.
///
/// # Errors
/// [`ErrorKind::Plugin`], naming the broken laws, when there are some.
pub fn sum_up(broken: &[Law], tried: usize) -> Result<()> {
    if broken.is_empty() {
        return Ok(());
    }
    let names = listed(broken.iter().map(|law| law.name()));
    let what = anyhow::anyhow!("{} of {tried} laws are broken: {names}", broken.len());
    Err(Error::new(ErrorKind::Plugin, what))
}
