//! The progress of a run that is under way: how many of its tasks are committed, and what its processes do.

use std::collections::{BTreeMap, BTreeSet};

use etl_core::model::{error::Result, event::Stage, ids::TaskId};
use etl_store::Store;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::{READS_IN_FLIGHT, read_plan};
use crate::run_store::{
    beats::{self, Beat},
    layout::{PlanLayout, RunLayout},
    manifest::Manifest,
    plan::Plan,
};

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Id of the run.
    pub run_id: String,
    /// Whether the result is complete.
    pub complete: bool,
    /// What the run has to do; absent before it is planned.
    pub planned: Option<PlannedWork>,
    /// The stages that have tasks, in order.
    pub stages: BTreeMap<Stage, StageProgress>,
    /// What each process does that works on the run, in the order of their starts.
    pub processes: Vec<Beat>,
}

/// What a run has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedWork {
    /// Id of the run.
    pub run_id: String,
    /// Id of the plan.
    pub plan: String,
    /// Number of source objects.
    pub objects: u64,
    /// Total size of the source objects in bytes, as stored.
    pub bytes: u64,
    /// Number of shards.
    pub shards: u32,
    /// Number of map tasks.
    pub tasks: usize,
    /// Number of partitions; 0 if there is no reducer.
    pub partitions: u32,
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageProgress {
    /// Number of tasks.
    pub tasks: u64,
    /// Number of tasks that are committed.
    pub committed: u64,
    /// Number of tasks that some process works at.
    pub under_way: u64,
}

impl Progress {
    /// Reads the progress of a run. Lists its commits once, and reads what each process does.
    ///
    /// # Errors
    /// When the store fails, or the manifest is damaged.
    pub async fn read(store: &Store, pipeline: &str, run_id: &str) -> Result<Self> {
        let layout = RunLayout::new(pipeline, run_id);
        let complete = Manifest::read(store, &layout).await?.is_some();
        let plan = read_plan(store, &layout).await?;
        let processes = processes(store, &layout).await?;
        let mut stages = BTreeMap::new();
        if let Some(plan) = &plan {
            let of_plan = layout.of_plan(&plan.id);
            for (stage, tasks) in [(Stage::Map, plan.shards.tasks() as u64), (Stage::Reduce, plan.partitions().into())]
            {
                if tasks > 0 {
                    let committed = if complete { None } else { Some(committed(store, &of_plan, stage).await?) };
                    stages.insert(stage, StageProgress::of(stage, tasks, committed.as_ref(), &processes));
                }
            }
        }
        let planned = plan.map(|plan| PlannedWork::of(run_id, &plan));
        Ok(Self { pipeline: pipeline.to_owned(), run_id: run_id.to_owned(), complete, planned, stages, processes })
    }
}

impl PlannedWork {
    fn of(run_id: &str, plan: &Plan) -> Self {
        Self {
            run_id: run_id.to_owned(),
            plan: plan.id.to_string(),
            objects: plan.objects,
            bytes: plan.bytes,
            shards: plan.shards.shards(),
            tasks: plan.shards.tasks(),
            partitions: plan.partitions(),
        }
    }
}

impl StageProgress {
    /// Returns the progress of a stage. Without `committed`, all tasks are.
    fn of(stage: Stage, tasks: u64, committed: Option<&BTreeSet<TaskId>>, processes: &[Beat]) -> Self {
        let Some(done) = committed else { return Self { tasks, committed: tasks, under_way: 0 } };
        let at = processes.iter().flat_map(|beat| &beat.under_way);
        let under_way: BTreeSet<&TaskId> =
            at.filter(|(of, task)| *of == stage && !done.contains(task)).map(|(_, task)| task).collect();
        Self { tasks, committed: done.len() as u64, under_way: under_way.len() as u64 }
    }
}

/// Returns the committed tasks of a stage.
async fn committed(store: &Store, layout: &PlanLayout, stage: Stage) -> Result<BTreeSet<TaskId>> {
    let keys = store.list_keys(&layout.commits(stage)).await?;
    Ok(keys.iter().filter_map(|key| layout.parse_commit(stage, key)).collect())
}

async fn processes(store: &Store, layout: &RunLayout) -> Result<Vec<Beat>> {
    let listed = beats::list(store, layout).await?;
    let reads = futures::stream::iter(listed).map(|found| async move { beats::read(store, &found.key).await });
    let read: Vec<Option<Beat>> = reads.buffered(READS_IN_FLIGHT).try_collect().await?;
    let mut processes: Vec<Beat> = read.into_iter().flatten().collect();
    processes.sort_by(|a, b| (a.started_at_ms, &a.process).cmp(&(b.started_at_ms, &b.process)));
    Ok(processes)
}
