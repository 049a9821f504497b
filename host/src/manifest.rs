//! The manifest: what a complete run made. Written once, last but for `_SUCCESS`.

use serde::{Deserialize, Serialize};

use crate::{
    commit::Part,
    error::Result,
    event::Counts,
    json::from_json,
    layout::{AttemptId, RunLayout},
    ledger::Ledger,
    left_out::LeftOut,
    plan::Plan,
    reject::Rejected,
    store::Store,
};

/// `manifest.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id.
    pub run_id: String,
    /// The run that this one completes, if it is a redrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrives: Option<String>,
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
    /// The shards that failed and are left out of the result, which `run.tolerated_failures` allowed.
    #[serde(default)]
    pub failed: Vec<LeftOut>,
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

/// The run that a manifest is of.
pub struct Identity {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id.
    pub run_id: String,
    /// Where the result lies.
    pub result: String,
    /// Number of partitions; 0 in a map-only pipeline.
    pub partitions: u32,
}

impl Manifest {
    /// Reads the manifest of a run, if the run is complete.
    ///
    /// # Errors
    /// When the store fails, or the manifest is damaged.
    pub async fn read(store: &Store, layout: &RunLayout) -> Result<Option<Self>> {
        if !store.exists(&layout.success()).await? {
            return Ok(None);
        }
        let manifest = store.get(&layout.manifest()).await?;
        manifest.map(|manifest| from_json(&layout.manifest(), &manifest)).transpose()
    }

    /// Makes the manifest of a run, whose result lies at `result` and has its parts at `keys`, in order.
    pub fn new(run: Identity, plan: &Plan, mapped: &Ledger, reduced: &Ledger, keys: Vec<String>) -> Self {
        let Identity { pipeline, run_id, result, partitions } = run;
        let part = |(key, (_, part)): (String, (_, &Part))| ManifestPart { key, part: part.clone() };
        Self {
            pipeline,
            run_id,
            redrives: plan.redrives.as_ref().map(|redrives| redrives.run_id.clone()),
            result,
            objects: plan.objects,
            shards: plan.shards.shards().into(),
            partitions,
            mapped: mapped.counts.clone(),
            reduced: reduced.counts.clone(),
            rejected: mapped.rejected.clone(),
            rejects: mapped.rejects.values().cloned().collect(),
            parts: keys.into_iter().zip(parts(mapped, reduced)).map(part).collect(),
            failed: mapped.failed.values().cloned().collect(),
        }
    }

    /// Returns how many shards are left out of the result.
    pub fn failed_shards(&self) -> u64 {
        self.failed.iter().map(|failure| u64::from(failure.shards)).sum()
    }
}

/// Returns the parts that the commits of a run name, in order, and whose they are. They are of one stage: where there
/// is a reducer, map tasks make run files only.
pub fn parts<'a>(mapped: &'a Ledger, reduced: &'a Ledger) -> impl Iterator<Item = (&'a AttemptId, &'a Part)> {
    mapped.parts.values().chain(reduced.parts.values()).map(|(attempt, part)| (attempt, part))
}
