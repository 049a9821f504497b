//! The manifest: the list of what a complete run made. Written once, as the last object before `_SUCCESS`.

use std::collections::BTreeMap;

use etl_core::model::{
    error::Result,
    event::Counts,
    ids::{AttemptId, PlanId},
    part::PartName,
    reject::Rejected,
};
use etl_store::{Created, Store};
use serde::{Deserialize, Serialize};

use crate::run_store::{
    commit::Part,
    document::{seal, unseal},
    layout::RunLayout,
    ledger::Ledger,
    left_out::LeftOut,
    plan::Plan,
};

/// The document `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Id of the run.
    pub run_id: String,
    /// Id of the run that this one completes, if this one is a redrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrives: Option<String>,
    /// The run's plan.
    pub plan: PlanId,
    /// Location of the result.
    pub result: String,
    /// Number of source objects.
    pub objects: u64,
    /// Number of shards, including those that failed.
    pub shards: u64,
    /// Number of partitions; 0 in a map-only pipeline.
    pub partitions: u32,
    /// The sums of what the map tasks did.
    pub mapped: Counts,
    /// The sums of what the reduce tasks did.
    pub reduced: Counts,
    /// Number of records that were set aside, by who set them aside: `source`, or a step's name.
    pub rejected: Rejected,
    /// Keys of the records that were set aside, below the run store.
    pub rejects: Vec<String>,
    /// The parts of the result, in order: exactly the committed ones.
    pub parts: Vec<ManifestPart>,
    /// The failed shards that are left out of the result, as `run.tolerated_failures` allowed.
    #[serde(default)]
    pub failed: Vec<LeftOut>,
}

/// A part of the result and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPart {
    /// Key of the part, below the sink.
    pub key: String,
    /// Name of the part: the directory of its partition, if there is one; the number of its map task or partition; its
    /// number among those of the task, if a task may make several.
    #[serde(flatten)]
    pub name: PartName,
    /// Values of the columns that the result is partitioned by, by name; null is null or empty text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Option<String>>,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// XXH3-128 digest of the part's bytes, in hexadecimal.
    pub digest: String,
    /// ETag of the part when it was published; absent if the sink has no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
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
    /// Reads the manifest of a run, if the run is complete: its `_SUCCESS` and its manifest name the same plan.
    ///
    /// # Errors
    /// When the store fails, or the manifest is damaged.
    pub async fn read(store: &Store, layout: &RunLayout) -> Result<Option<Self>> {
        let Some(complete_by) = store.get(&layout.success()).await? else { return Ok(None) };
        let Some(manifest) = store.get(&layout.manifest()).await? else { return Ok(None) };
        let manifest: Self = unseal(&layout.manifest(), &manifest)?;
        Ok((complete_by == manifest.plan.to_string()).then_some(manifest))
    }

    /// Writes the manifest of a run. That of another plan is replaced only if `replace` is set. Returns whether the run
    /// has this plan's manifest then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, store: &Store, layout: &RunLayout, replace: bool) -> Result<bool> {
        let (key, bytes) = (layout.manifest(), seal(self)?);
        let Created::Lost(found) = store.create(&key, bytes.clone()).await? else { return Ok(true) };
        let is_others = unseal::<Self>(&key, &found).is_ok_and(|found| found.plan != self.plan);
        if is_others && !replace {
            return Ok(false);
        }
        store.put(&key, bytes).await.map(|()| true)
    }

    /// Marks a run as complete by the manifest's plan. A mark of another plan is replaced only if `replace` is set.
    /// Returns whether the run is complete by this plan then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn complete(&self, store: &Store, layout: &RunLayout, replace: bool) -> Result<bool> {
        let (key, bytes) = (layout.success(), self.plan.to_string());
        match store.create(&key, bytes.clone()).await? {
            Created::Lost(by) if by != bytes && !replace => Ok(false),
            Created::Lost(by) if by != bytes => store.put(&key, bytes).await.map(|()| true),
            Created::Won | Created::Lost(_) => Ok(true),
        }
    }

    /// Creates the manifest of a run. `parts` are the parts of its result, in order.
    pub fn new(run: Identity, plan: &Plan, mapped: &Ledger, reduced: &Ledger, parts: Vec<ManifestPart>) -> Self {
        let Identity { pipeline, run_id, result, partitions } = run;
        Self {
            pipeline,
            run_id,
            plan: plan.id.clone(),
            redrives: plan.redrives.as_ref().map(|redrives| redrives.run_id.clone()),
            result,
            objects: plan.objects,
            shards: plan.shards.shards().into(),
            partitions,
            mapped: mapped.counts.clone(),
            reduced: reduced.counts.clone(),
            rejected: mapped.rejected.clone(),
            rejects: mapped.rejects.values().cloned().collect(),
            parts,
            failed: mapped.failed.values().cloned().collect(),
        }
    }

    /// Returns the number of shards that are left out of the result.
    pub fn failed_shards(&self) -> u64 {
        self.failed.iter().map(|failure| u64::from(failure.shards)).sum()
    }
}

/// Returns the parts that the commits of a run name, in the order of their names, with the attempts that wrote them. All
/// parts are of one stage: in a pipeline with a reducer, map tasks make only shuffle files.
pub fn parts<'a>(mapped: &'a Ledger, reduced: &'a Ledger) -> Vec<(&'a AttemptId, &'a Part)> {
    let of_task = |(attempt, parts): &'a (AttemptId, Vec<Part>)| parts.iter().map(move |part| (attempt, part));
    let mut parts: Vec<_> = mapped.parts.values().chain(reduced.parts.values()).flat_map(of_task).collect();
    parts.sort_by_key(|(_, part)| &part.name);
    parts
}
