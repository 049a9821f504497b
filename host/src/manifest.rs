//! The manifest: what a complete run made. Written once, last but for `_SUCCESS`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    commit::{Commit, Output, Part},
    event::Counts,
    reject_log::Rejected,
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

/// Returns the sums over commits.
pub fn total(commits: &BTreeMap<u32, Commit>) -> Counts {
    let mut counts = Counts::default();
    commits.values().for_each(|commit| counts.add(&commit.counts));
    counts
}

/// Returns the parts that commits name, in order.
pub fn parts(commits: &BTreeMap<u32, Commit>) -> impl Iterator<Item = (&Commit, &Part)> {
    commits.values().filter_map(|commit| match &commit.output {
        Output::Part(part) => Some((commit, part)),
        Output::RunFile { .. } => None,
    })
}
