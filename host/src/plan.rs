//! The plan: what a run will do, frozen before it starts, so that it can be taken up again.
//!
//! Owns `plan.json`. The plan is created once; a process that comes later, or loses the race to create it, works by
//! the plan that is there. Whether it may is [`crate::resume`]'s. The shards are in pages of their own, which the plan
//! names.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    event::unix_ms,
    fail_point,
    json::{from_json, to_json},
    layout::{AttemptId, RunLayout},
    shards::{ShardReader, ShardTable, TaskShards},
    source::Object,
    store::{Created, Store},
};

/// The version of `plan.json`'s shape.
const FORMAT: u32 = 1;

/// What a run will do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this document's shape.
    pub format: u32,
    /// The version of the host that made it.
    pub host: String,
    /// When it was made, in milliseconds since the Unix epoch: what plugins take for the time.
    pub planned_at_ms: u64,
    /// `pipeline.toml`, with `--set` applied and `${NAME}` left in place.
    pub pipeline: serde_json::Value,
    /// What decides the result, besides the source's objects.
    pub recipe: Recipe,
    /// The digest of the source's listing.
    pub listing: String,
    /// Source objects.
    pub objects: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
    /// The attempt at the plan whose pages hold the shards.
    pub attempt: AttemptId,
    /// What goes into the shuffle, or to the sink when there is no reducer.
    #[serde(default)]
    pub emits: String,
    /// What the run completes, if it is a redrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrives: Option<Redrives>,
    /// The shards, as tasks and pages.
    #[serde(flatten)]
    pub shards: ShardTable,
}

/// Which run a redrive completes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrives {
    /// The run's id.
    pub run_id: String,
    /// The run that made the shards: that one, or, if it is a redrive itself, the first of them.
    pub shards_of: String,
}

impl Plan {
    /// Returns whether this is the plan of a redrive that completes the run of this id.
    pub fn completes(&self, run_id: &str) -> bool {
        self.redrives.as_ref().is_some_and(|redrives| redrives.run_id == run_id)
    }

    /// Returns the plan of a redrive that completes the run `run_id`, whose plan this is.
    #[must_use]
    pub fn redrive(&self, run_id: &str, pipeline: serde_json::Value, recipe: Recipe) -> Self {
        let shards_of = self.redrives.as_ref().map_or(run_id, |redrives| &redrives.shards_of).to_owned();
        let redrives = Some(Redrives { run_id: run_id.to_owned(), shards_of });
        let host = env!("CARGO_PKG_VERSION").to_owned();
        Self { host, pipeline, recipe, redrives, ..self.clone() }
    }
}

/// What decides the bytes of a result, besides the source's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The keys of `pipeline.toml` that do, by name: [`crate::pipeline::Pipeline::deciding`].
    pub keys: BTreeMap<String, serde_json::Value>,
    /// What tells the values of the environment variables in them from others, by name; no value can be found by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The steps and their plugins, in order.
    pub steps: Vec<PlannedStep>,
    /// What the source's records look like.
    pub records: String,
}

/// A step as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What messages call it: `map 2`.
    pub step: String,
    /// Its plugin's SHA-256 digest.
    pub digest: String,
}

/// A plan and its shards. Clones share them.
#[derive(Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Arc<Plan>,
    shards: Arc<ShardReader>,
}

impl Planned {
    fn new(store: &Store, layout: &RunLayout, plan: Plan) -> Self {
        let pages_of = plan.redrives.as_ref().map_or_else(|| layout.clone(), |of| layout.of_run(&of.shards_of));
        let shards = ShardReader::new(store, &pages_of, plan.attempt.clone(), plan.shards.clone());
        Self { plan: Arc::new(plan), shards: Arc::new(shards) }
    }

    /// Returns the shards of a map task.
    ///
    /// # Errors
    /// When the store fails, or a page of shards is gone or damaged.
    pub async fn shards_of(&self, task: u32) -> Result<TaskShards> {
        self.shards.of_task(task).await
    }

    /// Returns a shard alone, as if it were a task.
    ///
    /// # Errors
    /// As [`Planned::shards_of`].
    pub async fn shard(&self, shard: u32) -> Result<TaskShards> {
        self.shards.shard(shard).await
    }

    /// Reads the plan of a run, if it has one.
    ///
    /// # Errors
    /// When the store fails, or the plan is damaged or of a later version.
    pub async fn load(store: &Store, layout: &RunLayout) -> Result<Option<Self>> {
        let plan = store.get(&layout.plan()).await?;
        plan.map(|plan| Ok(Self::new(store, layout, read(layout, &plan)?))).transpose()
    }

    /// Creates the plan; the pages of its shards are written already. Returns the plan that counts: this one, or that
    /// of another process.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn freeze(store: &Store, layout: &RunLayout, plan: Plan) -> Result<Self> {
        fail_point::reach("plan.freeze");
        let plan = match store.create(&layout.plan(), to_json(&plan)?).await? {
            Created::Won => plan,
            Created::Lost(winner) => read(layout, &winner)?,
        };
        fail_point::reach("plan.frozen");
        Ok(Self::new(store, layout, plan))
    }

    /// Returns the objects that the shards of a page are slices of. One may be on several pages.
    ///
    /// # Errors
    /// When the store fails, or the page is gone or damaged.
    pub async fn objects_of(&self, page: usize) -> Result<Vec<Object>> {
        Ok(self.shards.read_page(page).await?.objects)
    }
}

/// Reads `plan.json`.
///
/// # Errors
/// When it is damaged or of another format.
pub(crate) fn read(layout: &RunLayout, plan: &[u8]) -> Result<Plan> {
    let plan: Plan = from_json(&layout.plan(), plan)?;
    if plan.format != FORMAT {
        let (found, host) = (plan.format, &plan.host);
        return Err(Error::config(format!(
            "the run was planned by etl-host {host} in format {found}, but this version reads format {FORMAT}: \
             resume it with that version, or start another run"
        )));
    }
    if !plan.shards.is_sound() {
        return Err(Error::input(format!("`{}` in the run store is damaged: its shards do not add up", layout.plan())));
    }
    Ok(plan)
}

/// What a plan is made of.
pub struct Draft {
    /// `pipeline.toml` as planned.
    pub pipeline: serde_json::Value,
    /// What decides the result, besides the source's objects.
    pub recipe: Recipe,
    /// The digest of the source's listing.
    pub listing: String,
    /// How many objects the source has.
    pub objects: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
    /// The shards.
    pub shards: ShardTable,
    /// The attempt at the plan that wrote the shards.
    pub attempt: AttemptId,
    /// What goes into the shuffle, or to the sink.
    pub emits: String,
}

impl From<Draft> for Plan {
    fn from(draft: Draft) -> Self {
        let Draft { pipeline, recipe, listing, objects, bytes, shards, attempt, emits } = draft;
        Self {
            format: FORMAT,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            planned_at_ms: unix_ms(),
            pipeline,
            recipe,
            listing,
            objects,
            bytes,
            attempt,
            emits,
            redrives: None,
            shards,
        }
    }
}
