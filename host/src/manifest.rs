//! The manifest: what a complete run made. Written once, last but for `_SUCCESS`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    commit::{Commit, Output, Part},
    context::RunContext,
    event::Counts,
    plan::Plan,
    reject::Rejected,
};

/// `manifest.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id.
    pub run_id: String,
    /// Where the result lies.
    pub result: String,
    /// Source objects.
    pub objects: u64,
    /// Shards mapped.
    pub shards: u64,
    /// Partitions reduced; 0 in a map-only pipeline.
    pub partitions: u32,
    /// What the map tasks did, in all.
    pub mapped: Counts,
    /// What the reduce tasks did, in all.
    pub reduced: Counts,
    /// The records set aside, by who did.
    pub rejected: Rejected,
    /// Where they are, below the run store.
    pub rejects: Vec<String>,
    /// The result's parts, in order: exactly the committed ones.
    pub parts: Vec<ManifestPart>,
}

/// A part of the result and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPart {
    /// Its key, below the sink.
    pub key: String,
    /// What it is.
    #[serde(flatten)]
    pub part: Part,
}

impl Manifest {
    /// Lists what the commits of a run made. `keys` are where the parts were published, in order.
    pub fn new(
        context: &RunContext,
        plan: &Plan,
        mapped: &BTreeMap<u32, Commit>,
        reduced: &BTreeMap<u32, Commit>,
        keys: Vec<String>,
    ) -> Self {
        let mut rejected = Rejected::new();
        for (step, count) in mapped.values().flat_map(|commit| &commit.rejected) {
            *rejected.entry(step.clone()).or_default() += count;
        }
        let part = |(key, (_, part)): (String, (&Commit, &Part))| ManifestPart { key, part: part.clone() };
        Self {
            pipeline: context.pipeline.name.clone(),
            run_id: context.run_id.clone(),
            result: context.sink.locate(context.sink_layout.root()),
            objects: plan.objects,
            shards: plan.shards,
            partitions: context.pipeline.partitions(),
            mapped: total(mapped),
            reduced: total(reduced),
            rejected,
            rejects: mapped.values().filter_map(|commit| commit.rejects.clone()).collect(),
            parts: keys.into_iter().zip(parts(mapped, reduced)).map(part).collect(),
        }
    }
}

/// Returns the sums over commits.
pub fn total(commits: &BTreeMap<u32, Commit>) -> Counts {
    let mut counts = Counts::default();
    commits.values().for_each(|commit| counts.add(&commit.counts));
    counts
}

/// Returns the parts that the commits of a run name, in order. They are of one stage: where there is a reducer, map
/// tasks make run files only.
pub fn parts<'a>(
    mapped: &'a BTreeMap<u32, Commit>,
    reduced: &'a BTreeMap<u32, Commit>,
) -> impl Iterator<Item = (&'a Commit, &'a Part)> {
    mapped.values().chain(reduced.values()).filter_map(|commit| match &commit.output {
        Output::Part(part) => Some((commit, part)),
        Output::RunFile { .. } => None,
    })
}
