//! Commits: the small objects that name the winning attempt of each task.
//!
//! Owns the contents of commits, and the rule that the first commit of a task counts. An attempt writes its files under
//! keys of its own and then commits; a file that no commit names is garbage.

use std::{collections::BTreeMap, time::Instant};

use etl_core::{
    model::{
        error::{Error, Result},
        event::{Counts, Event, Events, Stage},
        ids::{AttemptId, TaskId},
        reject::Rejected,
        times::{Times, Work, micros},
    },
    runtime::fail_point,
};
use etl_shuffle::ShuffleIndex;
use etl_store::{Created, Store};
use futures::{Stream, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::run_store::{
    document::{from_json, to_json},
    layout::RunLayout,
    left_out::LeftOut,
};

/// Number of commits that are read at the same time.
const READS_MAX: usize = 32;

/// The commit of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
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
    // The name that commits of earlier versions use.
    #[serde(alias = "run_file")]
    ShuffleFile {
        /// Key of the file, below the run store.
        key: String,
        /// Index of the places where each partition's batches lie in the file.
        index: ShuffleIndex,
    },
    /// A part of the result.
    Part(Part),
    /// No output: the task failed for good, and its shards are left out of the result.
    #[serde(rename = "failure")]
    LeftOut(LeftOut),
}

impl Output {
    /// Returns the digest of the output; `None` when the task was left out.
    fn digest(&self) -> Option<&str> {
        match self {
            Self::ShuffleFile { index, .. } => Some(&index.digest),
            Self::Part(part) => Some(&part.digest),
            Self::LeftOut(_) => None,
        }
    }
}

/// A part of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of the part, which is the number of its map task or partition.
    pub part: TaskId,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// XXH3-128 digest of the part's bytes, in hexadecimal.
    pub digest: String,
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
        layout: &RunLayout,
        stage: Stage,
        task: TaskId,
        events: &Events,
    ) -> Result<Self> {
        self.counts.times = times;
        let (key, started) = (layout.commit(stage, task), Instant::now());
        fail_point::reach("commit.begin");
        let created = store.create(&key, to_json(&self)?).await?;
        fail_point::reach("commit.end");
        let mut commit = match created {
            Created::Won => self,
            Created::Lost(winner) => {
                let winner = from_json(&key, &winner)?;
                self.compare(&winner, stage, task, events);
                winner
            }
        };
        commit.counts.times.spend(Work::Commit, micros(started.elapsed()));
        Ok(commit)
    }

    /// Warns when this attempt's output differs from that of the attempt that won.
    fn compare(&self, winner: &Self, stage: Stage, task: TaskId, events: &Events) {
        let (Some(ours), Some(theirs)) = (self.output.digest(), winner.output.digest()) else { return };
        if ours != theirs {
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
    /// When the store fails, or the stored commit is damaged.
    pub async fn take_back(
        store: &Store,
        layout: &RunLayout,
        stage: Stage,
        task: TaskId,
        is_it: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let key = layout.commit(stage, task);
        let Some(commit) = store.get(&key).await? else { return Ok(()) };
        if !is_it(&from_json(&key, &commit)?) {
            return Ok(());
        }
        if stage == Stage::Map {
            store.put(&layout.taken_back(task), "").await?;
        }
        store.delete(&key).await
    }

    /// Reads all commits of a stage, with their tasks, in no particular order.
    ///
    /// # Errors
    /// When the store fails, or a commit is damaged; the error is the last item.
    pub fn read_all<'a>(
        store: &'a Store,
        layout: &'a RunLayout,
        stage: Stage,
    ) -> impl Stream<Item = Result<(TaskId, Self)>> + 'a {
        let keys = store.list(&layout.commits(stage)).try_filter_map(move |object| async move {
            Ok(layout.parse_commit(stage, &object.key).map(|task| (task, object.key)))
        });
        let reads = keys.map_ok(move |(task, key)| async move {
            let bytes = store.get(&key).await?.ok_or_else(|| Error::input(format!("`{key}` is gone")))?;
            Ok((task, from_json(&key, &bytes)?))
        });
        reads.try_buffer_unordered(READS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{memory::InMemory, path::Path};

    use super::*;
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

    fn commit(number: u32, digest: &str) -> Commit {
        let part = Part { part: TaskId(3), rows: 1, bytes: 2, digest: digest.to_owned() };
        let (attempt, output) = (AttemptId::new(Try(number), "a"), Output::Part(part));
        Commit { attempt, counts: Counts::default(), output, rejected: Rejected::new(), rejects: None }
    }

    #[tokio::test]
    async fn an_attempt_that_comes_second_yields_and_is_told_apart_if_its_output_is_another() {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let (layout, events) = (RunLayout::new("p", "r"), Events::silent());
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
}
