//! The plan: what a run will do, frozen before the run starts, so that the run can be resumed.
//!
//! Owns `plan.json`. The plan is created once; a process that comes later, or loses the race to create the plan, works
//! by the existing one. `run::resume` decides whether it may. The shards are stored in pages of their own, which
//! the plan names.

use std::sync::Arc;

use etl_core::{
    model::{
        error::{Error, Result},
        ids::{PlanId, ShardId, TaskId},
        object::Object,
    },
    runtime::fail_point,
};
use etl_store::{Created, Store};
use serde::{Deserialize, Serialize};

use crate::run_store::{
    document::{seal, unseal},
    layout::{PlanLayout, RunLayout},
    recipe::Recipe,
    shards::{ShardReader, ShardTable, TaskShards},
};

/// The version of `plan.json`'s shape.
const FORMAT: u32 = 4;

/// The content of `plan.json`: what a run will do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this document's shape.
    pub format: u32,
    /// The plan's id, which everything that is committed names.
    pub id: PlanId,
    /// The version of the host that made the plan.
    pub host: String,
    /// When the plan was made, in milliseconds since the Unix epoch. Of two results, the one of the later plan is the
    /// newer one.
    pub made_at_ms: u64,
    /// When the process that made the plan was started, in milliseconds since the Unix epoch. The wall clock of plugins
    /// stands at this time.
    pub planned_at_ms: u64,
    /// `pipeline.toml`, with `--set` applied and `${NAME}` left in place.
    pub pipeline: serde_json::Value,
    /// The fields of the source's records; absent if its format takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<PlannedFields>,
    /// The inputs that decide the result, besides the source's objects.
    pub recipe: Recipe,
    /// The digest of the source's listing.
    pub listing: String,
    /// Number of source objects.
    pub objects: u64,
    /// Total size of the source objects in bytes, as stored.
    pub bytes: u64,
    /// Where the result goes. A run has one result, so it cannot be finished with another sink.
    pub sink: SinkMark,
    /// The schema of the rows that go into the shuffle, or to the sink when there is no reducer, as text.
    pub emits: String,
    /// The run that this run completes, if this run is a redrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrives: Option<Redrives>,
    /// How the shards are grouped into tasks and pages.
    #[serde(flatten)]
    pub shards: ShardTable,
}

/// The fields of a source's records, as a plan keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFields {
    /// Name of each field, and what `source.fields` has or would have for it, in the order of the columns.
    pub fields: Vec<(String, serde_json::Value)>,
    /// Whether they were inferred.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
}

/// The sink that a run was planned with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkMark {
    /// The sink as it is named in messages.
    pub name: String,
    /// A mark of the place that the sink is, whatever it is called. It tells two places apart and does not give away
    /// what is secret in a URL.
    pub mark: String,
}

/// The run that a redrive completes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrives {
    /// The id of the completed run.
    pub run_id: String,
    /// The id of the completed run's plan.
    pub plan: PlanId,
    /// The id of the run that made the shards: the completed run or, if that is a redrive itself, the run with which
    /// the chain of redrives began.
    pub shards_of: String,
    /// The id of the plan that has these shards.
    pub shards_plan: PlanId,
}

impl Plan {
    /// Returns the number of partitions; 0 when nothing is reduced.
    pub fn partitions(&self) -> u32 {
        let partitions = self.recipe.keys.get("reduce.partitions").and_then(serde_json::Value::as_u64);
        partitions.and_then(|partitions| partitions.try_into().ok()).unwrap_or_default()
    }

    /// Returns whether this is the plan of a redrive that completes the run `run_id`.
    pub fn completes(&self, run_id: &str) -> bool {
        self.redrives.as_ref().is_some_and(|redrives| redrives.run_id == run_id)
    }

    /// Returns the plan of a redrive of the run `run_id`, given that `self` is that run's plan.
    #[must_use]
    pub fn redrive(&self, run_id: &str, new: NewRedrive) -> Self {
        let NewRedrive { id, made_at_ms, pipeline, recipe, sink } = new;
        let (shards_of, shards_plan) = match &self.redrives {
            Some(Redrives { shards_of, shards_plan, .. }) => (shards_of.clone(), shards_plan.clone()),
            None => (run_id.to_owned(), self.id.clone()),
        };
        let redrives = Some(Redrives { run_id: run_id.to_owned(), plan: self.id.clone(), shards_of, shards_plan });
        let host = env!("CARGO_PKG_VERSION").to_owned();
        Self { id, host, made_at_ms, pipeline, recipe, sink, redrives, ..self.clone() }
    }
}

/// A plan and access to its shards. Clones share both.
#[derive(Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The keys of what belongs to the plan.
    pub layout: Arc<PlanLayout>,
    shards: Arc<ShardReader>,
}

impl Planned {
    fn new(store: &Store, layout: &RunLayout, plan: Plan) -> Self {
        let own = layout.of_plan(&plan.id);
        let pages_of = match &plan.redrives {
            Some(Redrives { shards_of, shards_plan, .. }) => layout.of_run(shards_of).of_plan(shards_plan),
            None => own.clone(),
        };
        let shards = ShardReader::new(store, pages_of, plan.shards.clone());
        Self { plan: Arc::new(plan), layout: Arc::new(own), shards: Arc::new(shards) }
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
        let plan = match store.create(&layout.plan(), seal(&plan)?).await? {
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

/// Reads the id of a run's plan; returns `None` when the run has no plan.
///
/// # Errors
/// Fails as [`Planned::load`] does.
pub async fn read_id(store: &Store, layout: &RunLayout) -> Result<Option<PlanId>> {
    let plan = store.get(&layout.plan()).await?;
    plan.map(|plan| Ok(read(layout, &plan)?.id)).transpose()
}

/// Parses and checks the bytes of `plan.json`.
///
/// # Errors
/// Fails when the plan is damaged or of another format.
fn read(layout: &RunLayout, plan: &[u8]) -> Result<Plan> {
    /// What plans of all formats have.
    #[derive(Deserialize)]
    struct Any {
        format: u32,
        host: String,
    }
    let of_other_format = |Any { format, host }: Any| {
        Error::config(format!(
            "the run was planned by etl-host {host} in format {format}, but this version reads format {FORMAT}: \
             resume it with that version, or start another run"
        ))
    };
    match serde_json::from_slice::<Any>(plan) {
        Ok(any) if any.format != FORMAT => Err(of_other_format(any)),
        _ => check(layout, unseal(&layout.plan(), plan)?),
    }
}

/// Returns a plan whose shards add up.
///
/// # Errors
/// [`ErrorKind::Changed`](etl_core::model::error::ErrorKind::Changed) when they do not.
pub(crate) fn check(layout: &RunLayout, plan: Plan) -> Result<Plan> {
    if !plan.shards.is_sound() {
        return Err(Error::changed(format!(
            "`{}` in the run store is damaged: its shards do not add up",
            layout.plan()
        )));
    }
    Ok(plan)
}

/// The parts of a new [`Plan`] that depend on the pipeline and the source.
pub struct NewPlan {
    /// The plan's id, below which its shards have been written.
    pub id: PlanId,
    /// When the process that makes the plan was started, in milliseconds since the Unix epoch.
    pub planned_at_ms: u64,
    /// `pipeline.toml` as planned.
    pub pipeline: serde_json::Value,
    /// The fields of the source's records; absent if its format takes none.
    pub fields: Option<PlannedFields>,
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
    /// Where the result goes.
    pub sink: SinkMark,
    /// The schema of the rows that go into the shuffle, or to the sink when there is no reducer, as text.
    pub emits: String,
}

/// The parts of the plan of a redrive that differ from the plan of the run that it completes.
pub struct NewRedrive {
    /// The plan's id.
    pub id: PlanId,
    /// When the process that makes the plan was started, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
    /// `pipeline.toml` as planned.
    pub pipeline: serde_json::Value,
    /// The inputs that decide the result, besides the source's objects.
    pub recipe: Recipe,
    /// Where the result goes.
    pub sink: SinkMark,
}

impl From<NewPlan> for Plan {
    fn from(draft: NewPlan) -> Self {
        let NewPlan { id, planned_at_ms, pipeline, fields, recipe, listing, objects, bytes, shards, sink, emits } =
            draft;
        Self {
            format: FORMAT,
            id,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            made_at_ms: planned_at_ms,
            planned_at_ms,
            pipeline,
            fields,
            recipe,
            listing,
            objects,
            bytes,
            sink,
            emits,
            redrives: None,
            shards,
        }
    }
}
