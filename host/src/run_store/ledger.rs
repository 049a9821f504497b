//! The ledger of a stage: its commits, added up.
//!
//! Owns what a run remembers of its commits: sums, the parts of the result, and where the shuffle files are. Its memory
//! is bounded, because a stage has a bounded number of tasks, and what grows with the data goes to scratch. Kept by the
//! run, read by reduce tasks and the manifest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    event::{Counts, Stage},
    ids::{AttemptId, TaskId},
    reject::Rejected,
};
use etl_plugin::COUNTERS_MAX;
use etl_shuffle::index::ShuffleFiles;
use etl_store::Store;
use futures::{TryStreamExt, future};

use crate::run_store::{
    commit::{Commit, Output, Part, Stored},
    layout::PlanLayout,
    left_out::LeftOut,
};

/// The commits of one stage, added up.
pub struct Ledger {
    /// The names of the steps that run in the stage.
    steps: Vec<String>,
    /// The tasks that are committed.
    done: BTreeSet<TaskId>,
    /// The sums of what the tasks did.
    pub counts: Counts,
    /// Number of records that were set aside, by who set them aside: `source`, or a step's name.
    pub rejected: Rejected,
    /// Keys of the records that were set aside, below the run store, by task.
    pub rejects: BTreeMap<TaskId, String>,
    /// The parts of the result and the attempts that wrote them, by task.
    pub parts: BTreeMap<TaskId, (AttemptId, Vec<Part>)>,
    /// The shuffle files of the map tasks.
    pub shuffle_files: ShuffleFiles,
    /// The tasks that failed for good and are left out, by number.
    pub failed: BTreeMap<TaskId, LeftOut>,
    /// The damaged commits that were read, by task. Their tasks are not committed.
    pub damaged: BTreeMap<TaskId, Bytes>,
}

impl Ledger {
    /// Creates an empty ledger of a stage in which the named steps run.
    pub fn new(steps: Vec<String>, shuffle_files: ShuffleFiles) -> Self {
        Self {
            steps,
            done: BTreeSet::new(),
            counts: Counts::default(),
            rejected: Rejected::new(),
            rejects: BTreeMap::new(),
            parts: BTreeMap::new(),
            shuffle_files,
            failed: BTreeMap::new(),
            damaged: BTreeMap::new(),
        }
    }

    /// Adds all commits of a stage. Lists them once, and reads each of them once.
    ///
    /// # Errors
    /// When the store fails, and as [`Ledger::add`] does.
    pub async fn read(&mut self, store: &Store, layout: &PlanLayout, stage: Stage) -> Result<()> {
        let commits = Commit::read_all(store, layout, stage);
        let add = |(task, stored)| {
            future::ready(match stored {
                Stored::Whole(commit) => self.add(task, *commit),
                Stored::Damaged(bytes) => {
                    self.damaged.insert(task, bytes);
                    Ok(())
                }
            })
        };
        commits.try_for_each(add).await
    }

    /// Adds the commit of a task.
    ///
    /// # Errors
    /// [`ErrorKind::Plugin`] when the steps have used too many counters in all tasks; when scratch is not available.
    pub fn add(&mut self, task: TaskId, commit: Commit) -> Result<()> {
        let Commit { attempt, counts, output, rejected, rejects, plan: _ } = commit;
        self.done.insert(task);
        self.counts.add(&counts);
        self.check_counters()?;
        for (step, count) in rejected {
            *self.rejected.entry(step).or_default() += count;
        }
        self.rejects.extend(rejects.map(|key| (task, key)));
        match output {
            Output::ShuffleFile { key, index } => self.shuffle_files.add(task, key, &index)?,
            Output::Parts(parts) => drop(self.parts.insert(task, (attempt, parts))),
            Output::LeftOut(left_out) => drop(self.failed.insert(task, left_out)),
        }
        Ok(())
    }

    /// Checks the number of counters. Each process keeps its instances to the limit; several processes, or a run that is
    /// resumed, may exceed it together.
    fn check_counters(&self) -> Result<()> {
        let max = COUNTERS_MAX * self.steps.len();
        if self.counts.counters.len() <= max {
            return Ok(());
        }
        let what = format!(
            "`{}` used more than {max} counters in all tasks together ({COUNTERS_MAX} for each step: counters are for few \
             names)",
            self.steps.join("`, `")
        );
        Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)))
    }

    /// Returns whether a task is committed.
    pub fn contains(&self, task: TaskId) -> bool {
        self.done.contains(&task)
    }

    /// Returns the number of shards that are left out because their tasks failed.
    pub fn failed_shards(&self) -> u64 {
        self.failed.values().map(|left_out| u64::from(left_out.shards)).sum()
    }

    /// Returns the number of parts that the committed tasks have made.
    pub fn parts_made(&self) -> usize {
        self.parts.values().map(|(_, parts)| parts.len()).sum()
    }

    /// Returns the number of committed tasks.
    pub fn committed(&self) -> u64 {
        self.done.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use etl_core::{
        model::{
            event::Events,
            ids::{PlanId, Try},
            part::PartName,
            times::Times,
        },
        testing::scratch,
    };
    use etl_store::{Pending, testing::counting::counting};

    use crate::run_store::layout::RunLayout;

    fn layout() -> PlanLayout {
        RunLayout::new("p", "r").of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "planner")))
    }

    fn commit(task: TaskId) -> Commit {
        let counts = Counts { records_in: 1, bytes_in: task.0.into(), ..Counts::default() };
        let pending = Pending::Upload { id: String::new(), parts: Vec::new() };
        let part = Part { name: PartName::only(task), rows: 1, bytes: 2, digest: String::new(), pending };
        Commit {
            plan: layout().plan().clone(),
            attempt: AttemptId::new(Try::FIRST, "a"),
            counts,
            output: Output::Parts(vec![part]),
            rejected: [("map".to_owned(), 2)].into(),
            rejects: (task == TaskId(7)).then(|| "rejects/7".to_owned()),
        }
    }

    #[tokio::test]
    async fn commits_are_listed_once_and_each_is_read_once() {
        let (store, requests) = counting();
        let layout = layout();
        for task in (0..1000).rev().map(TaskId) {
            commit(task)
                .write(Times::default(), &store, &layout, Stage::Map, task, &Events::silent())
                .await
                .expect("commits");
            store
                .put(&layout.shuffle_file(task, &AttemptId::new(Try::FIRST, "a")), "not a commit")
                .await
                .expect("writes");
        }
        let mut ledger = Ledger::new(vec!["map".to_owned()], ShuffleFiles::new(0, &scratch(u64::MAX)));
        ledger.read(&store, &layout, Stage::Map).await.expect("reads");
        assert_eq!((requests.lists.load(SeqCst), requests.gets.load(SeqCst)), (1, 1000));
        assert_eq!(
            (ledger.committed(), ledger.contains(TaskId(999)), ledger.contains(TaskId(1000))),
            (1000, true, false)
        );
        assert_eq!((ledger.counts.records_in, ledger.counts.bytes_in), (1000, 499_500));
        assert_eq!((ledger.rejected["map"], &ledger.rejects), (2000, &[(TaskId(7), "rejects/7".to_owned())].into()));
        assert!(ledger.parts.keys().copied().eq((0..1000).map(TaskId)), "parts are in the order of tasks");
    }

    #[test]
    fn counters_of_all_tasks_together_are_few() {
        let mut ledger =
            Ledger::new(vec!["map".to_owned(), "map 2".to_owned()], ShuffleFiles::new(0, &scratch(u64::MAX)));
        let mut add = |task: u32, names: std::ops::Range<u32>| {
            let mut commit = commit(TaskId(task));
            commit.counts.counters = names.map(|name| (name.to_string(), 1)).collect();
            ledger.add(TaskId(task), commit).map_err(|error| (error.kind(), error.to_string()))
        };
        add(0, 0..256).expect("few");
        add(1, 0..512).expect("256 for each step");
        let (kind, text) = add(2, 512..513).expect_err("one more");
        assert_eq!(kind, ErrorKind::Plugin);
        assert!(text.starts_with("`map`, `map 2` used more than 512 counters in all tasks together"), "{text}");
    }
}
