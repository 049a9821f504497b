//! The diff of two versions of a map step, made by running both on some shards of the pipeline's source.
//!
//! Owns the choice of the shards, and what counts as a difference. Reads the source; writes nothing to a store. Called
//! by `etl-host diff`.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::take::take_record_batch;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        event::Events,
        ids::TaskId,
        object::{Object, Slice},
        reject::Reject,
        schema::Schema,
    },
    runtime::threads,
    text::{nearest::listed, rows::values},
};
use etl_plugin::{Compiler, DraftShard, Engine, Interface, Plugin};

use crate::{
    connector::{
        Source,
        objects::{MovedCuts, split::split_by_size},
    },
    pipeline::{Pipeline, Split, Step},
    run::{
        check::{list_source, look_at_cut_objects},
        fields,
    },
    task::stores::Stores,
    workbench::trial::{self, Sample, Trial},
};

/// The most rows, and the most rejects, that are kept per shard of those that only one version made.
const KEPT_MAX: usize = 10;

/// A request to compare two versions of a map step.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Path of the new version's component.
    pub plugin: PathBuf,
    /// Configuration of the new version; absent when it is that of the old one.
    pub config: Option<String>,
    /// Name of the map step; absent for the first.
    pub step: Option<String>,
    /// Number of shards to compare, spread over the source.
    pub shards: usize,
}

/// The differences between two versions of a step.
pub(crate) struct Comparison {
    /// Name of the step.
    pub step: String,
    /// Digests of the old and the new version.
    pub digests: [String; 2],
    /// Number of shards of the whole source.
    pub shards_in_all: usize,
    /// The shards compared, in order.
    pub shards: Vec<ShardComparison>,
}

/// The differences on one shard.
pub(crate) struct ShardComparison {
    /// Number of the shard.
    pub number: usize,
    /// Number of records that the step was given.
    pub records: u64,
    /// What the old and the new version did, or the error each failed with.
    pub sides: [Result<Side>; 2],
}

/// What one version did with a shard.
pub(crate) struct Side {
    /// Everything that the version did.
    pub trial: Trial,
    /// Number of rows that the other version did not make.
    pub only_here: usize,
    /// The first of these rows.
    pub rows: RecordBatch,
    /// The first rejects that the other version did not make, each as its place and reason.
    pub rejects: Vec<String>,
}

impl Comparison {
    /// Returns whether nothing differs but time and memory.
    pub(crate) fn is_same(&self) -> bool {
        self.shards.iter().all(|shard| match &shard.sides {
            [Ok(old), Ok(new)] => {
                old.trial.schema == new.trial.schema
                    && old.only_here + new.only_here + old.rejects.len() + new.rejects.len() == 0
                    && old.trial.counters == new.trial.counters
            }
            [Err(old), Err(new)] => old.to_string() == new.to_string(),
            _ => false,
        })
    }
}

/// Runs both versions of a step on some shards and compares their outputs. Compiled plugins are kept in `cache`. Call
/// this on the runtime.
///
/// # Errors
/// An error of the pipeline, the new plugin or the source, or the failure of an earlier step. If one of the two
/// versions fails, that is part of the comparison and not an error.
pub(crate) async fn diff(
    pipeline: &Pipeline,
    request: &Request,
    compiler: Compiler,
    events: &Events,
) -> Result<Comparison> {
    let engine = Engine::new(8, compiler)?;
    let source = Stores::source(pipeline).await?;
    let mut objects = list_source(&pipeline.source, &*source).await?;
    let inferred = match pipeline.source.format.lacks_fields() {
        true => Some(fields::infer(pipeline, &source, &objects).await?.0),
        false => None,
    };
    let pipeline = inferred.as_ref().unwrap_or(pipeline);
    let versions = Arc::new(Versions::load(pipeline, request, &engine)?);
    look_at_cut_objects(pipeline, &*source, &mut objects).await?;
    let (all, shards) = sampled_shards(pipeline, &engine, &source, &objects, request.shards).await?;
    let mut compared = Vec::new();
    for (number, shard) in shards {
        let sample = read(pipeline, &source, &objects, &shard).await?;
        let (versions, events) = (Arc::clone(&versions), events.clone());
        compared.push(threads::run(move || versions.compare(number, sample?, &events)).await??);
    }
    let digests = [&versions.old, &versions.new].map(|plugin| plugin.digest().to_owned());
    Ok(Comparison { step: versions.old.step().to_owned(), digests, shards_in_all: all, shards: compared })
}

/// Returns `count` of the numbers below `all`, spread evenly, or all of them if there are not more than `count`.
fn spread(all: usize, count: usize) -> Vec<usize> {
    let count = count.min(all);
    (0..count).map(|i| i * all / count).collect()
}

/// Divides the source as a run would. Returns the number of shards, and `count` of them with their numbers.
async fn sampled_shards(
    pipeline: &Pipeline,
    engine: &Engine,
    source: &Arc<dyn Source>,
    objects: &[Object],
    count: usize,
) -> Result<(usize, Vec<(usize, DraftShard)>)> {
    match &pipeline.split {
        Split::BuiltIn { target_size } => {
            let pick = |wanted: &[usize]| {
                let (mut number, mut shards) = (0, Vec::new());
                split_by_size(objects, pipeline.source.format.cuts(), *target_size, |slices, _| {
                    if wanted.binary_search(&number).is_ok() {
                        shards.push((number, DraftShard::Slices(slices)));
                    }
                    number += 1;
                    Ok(())
                })?;
                Ok::<_, Error>((number, shards))
            };
            let (all, _) = pick(&[])?;
            pick(&spread(all, count))
        }
        Split::Plugin(step) => {
            let plugin = trial::load_step(engine, step.plugin.clone(), Interface::Splitter)?;
            let (task, format) = (trial::task(TaskId(0), &Events::silent()), pipeline.source.format.clone());
            let mut shards = trial::split(Arc::new(plugin), task, format, Arc::clone(source)).await?.shards;
            let (all, wanted) = (shards.len(), spread(shards.len(), count));
            let taken = wanted.into_iter().rev().map(|number| (number, shards.swap_remove(number)));
            let mut taken: Vec<_> = taken.collect();
            taken.reverse();
            Ok((all, taken))
        }
    }
}

/// Reads a shard. The inner result holds its records, or the reason why they cannot be read.
async fn read(
    pipeline: &Pipeline,
    source: &Arc<dyn Source>,
    objects: &[Object],
    shard: &DraftShard,
) -> Result<Result<Sample>> {
    let format = pipeline.source.format.clone();
    match shard {
        DraftShard::Records(batch) => Ok(Sample::of_rows(format.schema().clone(), std::slice::from_ref(batch))),
        DraftShard::Slices(slices) => {
            let moved = MovedCuts::find(source, format.cuts(), objects, slices).await?;
            let slices: Vec<Slice> = slices.iter().map(|slice| moved.of(slice.clone())).collect();
            let shard: (&[Slice], &[Object]) = (&slices, objects);
            let mut chunks = source.open(format.cuts(), &[shard])?;
            chunks.ready().await;
            threads::run(move || Sample::decode(chunks, &format, usize::MAX)).await
        }
    }
}

/// The two versions of a step, and the steps before it.
struct Versions {
    before: Vec<Plugin>,
    old: Plugin,
    new: Plugin,
}

impl Versions {
    fn load(pipeline: &Pipeline, request: &Request, engine: &Engine) -> Result<Self> {
        let name = request.step.as_deref().unwrap_or("map");
        let Some(index) = pipeline.maps.iter().position(|step| step.plugin.name == name) else {
            let known = listed(pipeline.maps.iter().map(|step| &step.plugin.name));
            return Err(Error::config(format!("the pipeline has no map step `{name}` (it has {known})")));
        };
        let mut new = pipeline.maps[index].clone();
        new.plugin.path.clone_from(&request.plugin);
        if let Some(config) = &request.config {
            new.plugin.config.clone_from(config);
        }
        let map = |step: &Step| trial::load_step(engine, step.plugin.clone(), Interface::Mapper);
        let before = pipeline.maps[..index].iter().map(map).collect::<Result<_>>()?;
        Ok(Self { before, old: map(&pipeline.maps[index])?, new: map(&new)? })
    }

    /// Runs both versions on the records of a shard.
    fn compare(&self, number: usize, mut sample: Sample, events: &Events) -> Result<ShardComparison> {
        let task = trial::task(TaskId(u32::try_from(number).unwrap_or(u32::MAX)), events);
        for plugin in &self.before {
            let mapped = trial::map(plugin, &task, &sample)?;
            sample = Sample::of_rows(mapped.schema, &[mapped.rows])?;
        }
        let sides = [&self.old, &self.new].map(|plugin| trial::map(plugin, &task, &sample));
        let records = sample.len() as u64;
        Ok(ShardComparison { number, records, sides: compared(sides)? })
    }
}

fn compared(sides: [Result<Trial>; 2]) -> Result<[Result<Side>; 2]> {
    match sides {
        [Ok(old), Ok(new)] => {
            let of_old = Side::new(old.clone(), Some(&new))?;
            Ok([Ok(of_old), Ok(Side::new(new, Some(&old))?)])
        }
        [old, new] => {
            let alone = |side: Result<Trial>| side.map(|trial| Side::new(trial, None)).and_then(|side| side);
            Ok([alone(old), alone(new)])
        }
    }
}

impl Side {
    /// Finds the rows and rejects that the other version did not make. Without an `other`, nothing counts as different.
    fn new(trial: Trial, other: Option<&Trial>) -> Result<Self> {
        let only = match other {
            Some(other) if other.rows != trial.rows || other.schema != trial.schema => only_in(&trial, other),
            _ => Vec::new(),
        };
        let first: UInt64Array = only.iter().take(KEPT_MAX).copied().collect::<Vec<u64>>().into();
        let rows = take_record_batch(&trial.rows, &first).or_kind(ErrorKind::Internal, || "cannot take rows")?;
        let text = |trial: &Trial| -> Vec<String> { trial.rejects.iter().map(Reject::to_string).collect() };
        let others: HashSet<String> = text(other.unwrap_or(&trial)).into_iter().collect();
        let rejects = text(&trial).into_iter().filter(|reject| !others.contains(reject)).take(KEPT_MAX).collect();
        Ok(Self { only_here: only.len(), rows, rejects, trial })
    }
}

/// Returns the numbers of the rows that the other version made fewer of, in order. Rows of different schemas are
/// different.
fn only_in(trial: &Trial, other: &Trial) -> Vec<u64> {
    let text = |schema: &Schema, rows: &RecordBatch, row: usize| format!("{schema}\0{:?}", values(rows, row));
    let mut left: HashMap<String, usize> = HashMap::new();
    for row in 0..other.rows.num_rows() {
        *left.entry(text(&other.schema, &other.rows, row)).or_default() += 1;
    }
    let is_only_here = |row: &usize| match left.get_mut(&text(&trial.schema, &trial.rows, *row)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    (0..trial.rows.num_rows()).filter(is_only_here).map(|row| row as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_spread_over_the_source() {
        assert_eq!(spread(100, 4), [0, 25, 50, 75]);
        assert_eq!(spread(3, 4), [0, 1, 2]);
        assert_eq!(spread(0, 4), Vec::<usize>::new());
    }
}
