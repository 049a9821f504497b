//! Commits: the small objects that name the winning attempt of each task.
//!
//! Owns the contents of commits, and the rule that the first commit of a task counts. An attempt writes its files under
//! keys of its own and then commits; a file that no commit names is garbage.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use bytes::Bytes;
use etl_core::{
    model::{
        error::Result,
        event::{Counts, Event, Events, Stage},
        ids::{AttemptId, PlanId, TaskId},
        part::PartName,
        reject::Rejected,
        times::{Times, Work, micros},
    },
    runtime::fail_point,
};
use etl_shuffle::ShuffleIndex;
use etl_store::{Created, Pending, Store};
use futures::{Stream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::run_store::{
    document::{seal, unseal},
    layout::PlanLayout,
    left_out::LeftOut,
};

/// Number of commits that are read at the same time.
const READS_MAX: usize = 32;

/// The commit of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The plan that the commit belongs to.
    pub plan: PlanId,
    /// The winning attempt.
    pub attempt: AttemptId,
    /// Counts and times of the winning attempt.
    pub counts: Counts,
    /// Output of the winning attempt.
    pub output: Output,
    /// Number of records that were set aside, by who set them aside: `source`, or a step's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: Rejected,
    /// Key of the records that were set aside, below the run store; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
}

/// The output of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A shuffle file.
    ShuffleFile {
        /// Key of the file, below the run store.
        key: String,
        /// Index of the places where each partition's batches lie in the file.
        index: ShuffleIndex,
    },
    /// Parts of the result, in the order of their names: exactly one, unless the pipeline says how a result is divided.
    Parts(Vec<Part>),
    /// No output: the task failed for good, and its shards are left out of the result.
    #[serde(rename = "failure")]
    LeftOut(LeftOut),
}

impl Output {
    /// Returns whether two attempts made the same bytes, as far as can be told: a task that was left out has none.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ShuffleFile { index, .. }, Self::ShuffleFile { index: other, .. }) => index.digest == other.digest,
            (Self::Parts(parts), Self::Parts(others)) => {
                let made = |part: &Part| (part.name.clone(), part.digest.clone());
                parts.iter().map(made).eq(others.iter().map(made))
            }
            _ => true,
        }
    }
}

/// A part of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the part.
    #[serde(flatten)]
    pub name: PartName,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// XXH3-128 digest of the part's bytes, in hexadecimal.
    pub digest: String,
    /// How the part waits in the sink until it is published.
    pub pending: Pending,
}

/// A commit as it lies in the run store, which may be damaged.
#[derive(Debug)]
pub enum Stored {
    /// A commit.
    Whole(Box<Commit>),
    /// Bytes that are no commit of this plan, or not any more.
    Damaged(Bytes),
}

impl Commit {
    /// Commits a task whose attempt took `times`, and returns the commit that counts: this one, or the earlier one of
    /// another attempt. The time that committing took is in the returned commit, but not in the stored one. When both
    /// attempts made an output and the outputs differ, a warning goes to `events`, because the same plan ought to give
    /// the same bytes.
    ///
    /// # Errors
    /// When the store fails. The commit may have landed nevertheless; trying again finds out.
    pub async fn write(
        mut self,
        times: Times,
        store: &Store,
        layout: &PlanLayout,
        stage: Stage,
        task: TaskId,
        events: &Events,
    ) -> Result<Self> {
        self.counts.times = times;
        let started = Instant::now();
        fail_point::reach("commit.begin");
        let winner = self.create(store, layout, stage, task).await?;
        fail_point::reach("commit.end");
        let mut commit = match winner {
            None => self,
            Some(winner) => {
                self.compare(&winner, stage, task, events);
                winner
            }
        };
        commit.counts.times.spend(Work::Commit, micros(started.elapsed()));
        Ok(commit)
    }

    /// Creates the commit. Returns the commit of another attempt, if that one was first. A damaged commit in its place
    /// is replaced.
    async fn create(&self, store: &Store, layout: &PlanLayout, stage: Stage, task: TaskId) -> Result<Option<Self>> {
        let (key, bytes) = (layout.commit(stage, task), seal(self)?);
        let Created::Lost(first) = store.create(&key, bytes.clone()).await? else { return Ok(None) };
        match Self::read(layout, &key, first) {
            Stored::Whole(winner) => Ok(Some(*winner)),
            Stored::Damaged(damaged) => {
                Self::take_back_damaged(store, layout, stage, task, &damaged).await?;
                match store.create(&key, bytes).await? {
                    Created::Won => Ok(None),
                    Created::Lost(winner) => Ok(Some(unseal(&key, &winner)?)),
                }
            }
        }
    }

    fn read(layout: &PlanLayout, key: &str, bytes: Bytes) -> Stored {
        match unseal::<Self>(key, &bytes) {
            Ok(commit) if commit.plan == *layout.plan() => Stored::Whole(Box::new(commit)),
            Ok(_) | Err(_) => Stored::Damaged(bytes),
        }
    }

    /// Warns when this attempt's output differs from that of the attempt that won.
    fn compare(&self, winner: &Self, stage: Stage, task: TaskId, events: &Events) {
        if !self.output.is_like(&winner.output) {
            let message = format!(
                "{}: attempt {} made a different output from attempt {}, which counts: a plugin is not deterministic, \
                 so the result depends on which attempt commits first",
                stage.task(task),
                self.attempt,
                winner.attempt
            );
            events.emit(Event::Warning { message });
        }
    }

    /// Takes back the commit of a task whose output is damaged or gone, so that the task is run again. Does nothing
    /// unless `is_it` accepts the stored commit: another attempt may have committed the task meanwhile, and its output
    /// is intact. For a map task, a note of this is left in the run store, because a map task that was once committed
    /// cannot be left out any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_back(
        store: &Store,
        layout: &PlanLayout,
        stage: Stage,
        task: TaskId,
        is_it: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let key = layout.commit(stage, task);
        let Some(commit) = store.get(&key).await? else { return Ok(()) };
        match Self::read(layout, &key, commit) {
            Stored::Whole(commit) if !is_it(&commit) => Ok(()),
            _ => Self::delete(store, layout, stage, task).await,
        }
    }

    /// Takes back a commit that was read as damaged, so that its task is run again. Does nothing if the commit is
    /// another by now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_back_damaged(
        store: &Store,
        layout: &PlanLayout,
        stage: Stage,
        task: TaskId,
        damaged: &Bytes,
    ) -> Result<()> {
        match store.get(&layout.commit(stage, task)).await? {
            Some(found) if found == *damaged => Self::delete(store, layout, stage, task).await,
            _ => Ok(()),
        }
    }

    async fn delete(store: &Store, layout: &PlanLayout, stage: Stage, task: TaskId) -> Result<()> {
        if stage == Stage::Map {
            store.put(&layout.taken_back(task), "").await?;
        }
        store.delete(&layout.commit(stage, task)).await
    }

    /// Reads all commits of a stage, with their tasks, in no particular order. A commit that is taken back meanwhile is
    /// left out.
    ///
    /// # Errors
    /// When the store fails; the error is the last item.
    pub fn read_all<'a>(
        store: &'a Store,
        layout: &'a PlanLayout,
        stage: Stage,
    ) -> impl Stream<Item = Result<(TaskId, Stored)>> + 'a {
        let tasks = store
            .list(&layout.commits(stage))
            .try_filter_map(move |object| async move { Ok(layout.parse_commit(stage, &object.key)) });
        Self::read_these(store, layout, stage, tasks)
    }

    /// Reads the commits of those of these tasks that are committed, in no particular order. If there are many tasks,
    /// lists which of them are, instead of asking for each.
    ///
    /// # Errors
    /// As [`Commit::read_all`].
    pub async fn read_some(
        store: &Store,
        layout: &PlanLayout,
        stage: Stage,
        mut tasks: Vec<TaskId>,
    ) -> Result<Vec<(TaskId, Stored)>> {
        if tasks.len() > READS_MAX {
            let keys = store.list_keys(&layout.commits(stage)).await?;
            let committed: BTreeSet<TaskId> = keys.iter().filter_map(|key| layout.parse_commit(stage, key)).collect();
            tasks.retain(|task| committed.contains(task));
        }
        Self::read_these(store, layout, stage, futures::stream::iter(tasks).map(Ok)).try_collect().await
    }

    fn read_these<'a>(
        store: &'a Store,
        layout: &'a PlanLayout,
        stage: Stage,
        tasks: impl Stream<Item = Result<TaskId>> + 'a,
    ) -> impl Stream<Item = Result<(TaskId, Stored)>> + 'a {
        let reads = tasks.map_ok(move |task| async move {
            let key = layout.commit(stage, task);
            let bytes = store.get(&key).await?;
            Ok(bytes.map(|bytes| (task, Self::read(layout, &key, bytes))))
        });
        reads.try_buffer_unordered(READS_MAX).try_filter_map(|read| std::future::ready(Ok(read)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{memory::InMemory, path::Path};

    use super::*;
    use crate::run_store::layout::RunLayout;
    use etl_core::model::{
        event::{Listener, Stamped},
        ids::Try,
        shared::Shared,
    };

    #[derive(Default)]
    struct Warnings(Vec<String>);

    impl Listener for Warnings {
        fn on_event(&mut self, event: &Stamped) {
            if let Event::Warning { message } = &event.event {
                self.0.push(message.clone());
            }
        }
    }

    fn layout() -> PlanLayout {
        RunLayout::new("p", "r").of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "planner")))
    }

    fn commit(number: u32, digest: &str) -> Commit {
        let pending = Pending::Upload { id: number.to_string(), parts: Vec::new() };
        let part = Part { name: PartName::only(TaskId(3)), rows: 1, bytes: 2, digest: digest.to_owned(), pending };
        let (attempt, output) = (AttemptId::new(Try(number), "a"), Output::Parts(vec![part]));
        Commit {
            plan: layout().plan().clone(),
            attempt,
            counts: Counts::default(),
            output,
            rejected: Rejected::new(),
            rejects: None,
        }
    }

    #[tokio::test]
    async fn an_attempt_that_comes_second_yields_and_is_told_apart_if_its_output_is_another() {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let (layout, events) = (layout(), Events::silent());
        let warnings = Shared::new(Warnings::default());
        events.listen(warnings.clone());
        for (number, digest, warned) in [(1, "one", 0), (2, "one", 0), (3, "other", 1)] {
            let written =
                commit(number, digest).write(Times::default(), &store, &layout, Stage::Map, TaskId(3), &events).await;
            assert_eq!(written.expect("writes").attempt, AttemptId::new(Try::FIRST, "a"));
            assert_eq!(warnings.lock().0.len(), warned, "attempt {number}");
        }
        let expected = "map of shard 3: attempt 3-a made a different output from attempt 1-a, which counts: ";
        assert!(warnings.lock().0[0].starts_with(expected), "{:?}", warnings.lock().0);
    }

    #[tokio::test]
    async fn a_commit_that_is_damaged_or_of_another_plan_gives_way_to_the_next() {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let (layout, events) = (layout(), Events::silent());
        let key = layout.commit(Stage::Map, TaskId(3));
        let foreign = Commit { plan: PlanId::of(AttemptId::new(Try::FIRST, "other")), ..commit(1, "one") };
        for in_the_way in [Bytes::from("{"), Bytes::new(), seal(&foreign).expect("is JSON").into()] {
            store.put(&key, in_the_way).await.expect("writes");
            let found: Vec<_> = Commit::read_all(&store, &layout, Stage::Map).try_collect().await.expect("reads");
            assert!(matches!(found[..], [(TaskId(3), Stored::Damaged(_))]), "{found:?}");
            let ours = commit(2, "one");
            let written = ours.clone().write(Times::default(), &store, &layout, Stage::Map, TaskId(3), &events).await;
            assert_eq!(written.expect("writes").attempt, ours.attempt);
            assert!(store.exists(&layout.taken_back(TaskId(3))).await.expect("looks"));
        }
    }

    #[tokio::test]
    async fn a_damaged_commit_is_not_taken_back_once_it_is_another() {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let (layout, task) = (layout(), TaskId(3));
        commit(1, "one")
            .write(Times::default(), &store, &layout, Stage::Map, task, &Events::silent())
            .await
            .expect("writes");
        Commit::take_back_damaged(&store, &layout, Stage::Map, task, &"{".into()).await.expect("looks");
        assert!(store.exists(&layout.commit(Stage::Map, task)).await.expect("looks"));
    }
}
