//! The ways to run a step on a sample that must make no difference under a law.

use std::sync::Arc;

use arrow_array::RecordBatch;
use etl_core::{
    model::{error::Result, event::Events, ids::TaskId, schema::Schema},
    text::numbers::counted,
};
use etl_plugin::Attempt;
use etl_shuffle::{NewCombiner, SortedGroups};

use super::{Law, StepOutcome, Subject};
use crate::{
    task::combine::PluginCombiner,
    workbench::trial::{self, Sample},
};

/// The most shards that a sample is cut into. Each shard takes an instance.
const SHARDS_MAX: usize = 16;

/// A way to run the step on the sample.
pub(super) struct Way<'a> {
    /// The way, in words.
    pub(super) name: String,
    run: Box<dyn Fn() -> Result<StepOutcome> + 'a>,
}

impl<'a> Way<'a> {
    fn new(name: impl Into<String>, run: impl Fn() -> Result<StepOutcome> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// Runs the step in this way.
    pub(super) fn run(&self) -> Result<StepOutcome> {
        (self.run)()
    }
}

/// Returns a first way to run a mapper, and the other ways that must make no difference under the law. With `reduced`,
/// the emitted rows go through the subject's reducer.
pub(super) fn map_ways<'a>(
    subject: &'a Subject,
    law: Law,
    sample: &'a Sample,
    reduced: bool,
) -> (Way<'a>, Vec<Way<'a>>) {
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

/// Returns a first way to run a reducer, and the other ways that must make no difference under the law.
pub(super) fn reduce_ways<'a>(subject: &'a Subject, law: Law, sample: &'a Sample) -> Result<(Way<'a>, Vec<Way<'a>>)> {
    let (plugin, schema) = (&subject.plugin, &sample.schema);
    let reduce = move |groups: &[SortedGroups]| {
        trial::reduce(plugin, &task(TaskId(0)), schema, groups).map(|trial| StepOutcome::of(&[trial]))
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

fn twice<'a>(run: impl Fn() -> Result<StepOutcome> + Clone + 'a) -> (Way<'a>, Vec<Way<'a>>) {
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
fn map_shards(subject: &Subject, shards: &[Sample], reduced: bool) -> Result<StepOutcome> {
    let map = |(number, shard)| trial::map(&subject.plugin, &task(TaskId(number)), shard);
    let mapped: Vec<trial::Trial> = (0..).zip(shards).map(map).collect::<Result<_>>()?;
    let (true, Some(reducer), Some(schema)) = (reduced, &subject.reducer, mapped.first().map(|trial| &trial.schema))
    else {
        return Ok(StepOutcome::of(&mapped));
    };
    let rows: Vec<RecordBatch> = mapped.iter().map(|trial| trial.rows.clone()).collect();
    let reduced =
        trial::reduce(reducer, &task(TaskId(0)), schema, &trial::group(schema, &rows, &subject.scratch, || None)?)?;
    Ok(StepOutcome { rejects: StepOutcome::of(&mapped).rejects, ..StepOutcome::of(&[reduced]) })
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
pub(super) fn task(number: TaskId) -> Attempt {
    trial::task(number, &Events::silent())
}
