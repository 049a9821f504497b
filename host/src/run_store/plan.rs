//! The plan: what a run will do, frozen before the run starts, so that the run can be resumed.
//!
//! Owns `plan.json`. The plan is created once; a process that comes later, or loses the race to create the plan, works
//! by the existing one. `run::resume` decides whether it may. The shards are stored in pages of their own, which
//! the plan names.

use std::sync::Arc;

use etl_core::{
    model::{
        error::{Error, Result},
        ids::{AttemptId, ShardId, TaskId},
        object::Object,
    },
    runtime::fail_point,
};
use etl_store::{Created, Store};
use serde::{Deserialize, Serialize};

use crate::run_store::{
    document::{from_json, to_json},
    layout::RunLayout,
    recipe::Recipe,
    shards::{ShardReader, ShardTable, TaskShards},
};

/// The version of `plan.json`'s shape.
const FORMAT: u32 = 1;

/// The content of `plan.json`: what a run will do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this document's shape.
    pub format: u32,
    /// The version of the host that made the plan.
    pub host: String,
    /// When the process that made the plan was started, in milliseconds since the Unix epoch. The wall clock of plugins
    /// stands at this time.
    pub planned_at_ms: u64,
    /// `pipeline.toml`, with `--set` applied and `${NAME}` left in place.
    pub pipeline: serde_json::Value,
    /// The inputs that decide the result, besides the source's objects.
    pub recipe: Recipe,
    /// The digest of the source's listing.
    pub listing: String,
    /// Number of source objects.
    pub objects: u64,
    /// Total size of the source objects in bytes, as stored.
    pub bytes: u64,
    /// The attempt at the plan whose pages hold the shards.
    pub attempt: AttemptId,
    /// The schema of the rows that go into the shuffle, or to the sink when there is no reducer, as text.
    #[serde(default)]
    pub emits: String,
    /// The run that this run completes, if this run is a redrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrives: Option<Redrives>,
    /// How the shards are grouped into tasks and pages.
    #[serde(flatten)]
    pub shards: ShardTable,
}

/// The run that a redrive completes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrives {
    /// The id of the completed run.
    pub run_id: String,
    /// The id of the run that made the shards: the completed run or, if that is a redrive itself, the run with which
    /// the chain of redrives began.
    pub shards_of: String,
}

impl Plan {
    /// Returns whether this is the plan of a redrive that completes the run `run_id`.
    pub fn completes(&self, run_id: &str) -> bool {
        self.redrives.as_ref().is_some_and(|redrives| redrives.run_id == run_id)
    }

    /// Returns the plan of a redrive of the run `run_id`, given that `self` is that run's plan.
    #[must_use]
    pub fn redrive(&self, run_id: &str, pipeline: serde_json::Value, recipe: Recipe) -> Self {
        let shards_of = self.redrives.as_ref().map_or(run_id, |redrives| &redrives.shards_of).to_owned();
        let redrives = Some(Redrives { run_id: run_id.to_owned(), shards_of });
        let host = env!("CARGO_PKG_VERSION").to_owned();
        Self { host, pipeline, recipe, redrives, ..self.clone() }
    }
}

/// A plan and access to its shards. Clones share both.
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
    /// Fails when the store fails, or a page of shards is gone or damaged.
    pub async fn shards_of(&self, task: TaskId) -> Result<TaskShards> {
        self.shards.of_task(task).await
    }

    /// Returns a single shard as if it were a task of its own.
    ///
    /// # Errors
    /// Fails as [`Planned::shards_of`] does.
    pub async fn shard(&self, shard: ShardId) -> Result<TaskShards> {
        self.shards.shard(shard).await
    }

    /// Reads the plan of a run; returns `None` when the run has no plan.
    ///
    /// # Errors
    /// Fails when the store fails, or the plan is damaged or of another format.
    pub async fn load(store: &Store, layout: &RunLayout) -> Result<Option<Self>> {
        let plan = store.get(&layout.plan()).await?;
        plan.map(|plan| Ok(Self::new(store, layout, read(layout, &plan)?))).transpose()
    }

    /// Creates the plan in the run store, after the pages of its shards have been written. Returns the plan that
    /// counts: `plan`, or that of another process that was faster.
    ///
    /// # Errors
    /// Fails when the store fails, or the other process's plan cannot be read.
    pub async fn freeze(store: &Store, layout: &RunLayout, plan: Plan) -> Result<Self> {
        fail_point::reach("plan.freeze");
        let plan = match store.create(&layout.plan(), to_json(&plan)?).await? {
            Created::Won => plan,
            Created::Lost(winner) => read(layout, &winner)?,
        };
        fail_point::reach("plan.frozen");
        Ok(Self::new(store, layout, plan))
    }

    /// Returns the source objects that the shards of a page are slices of. One object may be on several pages.
    ///
    /// # Errors
    /// Fails when the store fails, or the page is gone or damaged.
    pub async fn objects_of(&self, page: usize) -> Result<Vec<Object>> {
        Ok(self.shards.read_page(page).await?.objects)
    }
}

/// Parses and checks the bytes of `plan.json`.
///
/// # Errors
/// Fails when the plan is damaged or of another format.
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

/// The parts of a new [`Plan`] that depend on the pipeline and the source.
pub struct NewPlan {
    /// When the process that makes the plan was started, in milliseconds since the Unix epoch.
    pub planned_at_ms: u64,
    /// `pipeline.toml` as planned.
    pub pipeline: serde_json::Value,
    /// The inputs that decide the result, besides the source's objects.
    pub recipe: Recipe,
    /// The digest of the source's listing.
    pub listing: String,
    /// Number of source objects.
    pub objects: u64,
    /// Total size of the source objects in bytes, as stored.
    pub bytes: u64,
    /// How the shards are grouped into tasks and pages.
    pub shards: ShardTable,
    /// The attempt at the plan that wrote the shards.
    pub attempt: AttemptId,
    /// The schema of the rows that go into the shuffle, or to the sink when there is no reducer, as text.
    pub emits: String,
}

impl From<NewPlan> for Plan {
    fn from(draft: NewPlan) -> Self {
        let NewPlan { planned_at_ms, pipeline, recipe, listing, objects, bytes, shards, attempt, emits } = draft;
        Self {
            format: FORMAT,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            planned_at_ms,
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
