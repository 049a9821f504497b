//! Claims: small objects that say which process takes a task on, so that others take another.
//!
//! A claim is a hint. What counts is a task's commit, so a claim that is lost, or of a process that is gone, costs a
//! second attempt and no more. The first claim of a task has number 0; a process that takes a task over from another one
//! makes the claim of the next number, so that of all who try, one does.

use std::{collections::BTreeMap, sync::Arc};

use etl_core::model::{error::Result, event::Stage, ids::TaskId};
use etl_store::{Created, Store};
use futures::TryStreamExt;

use crate::run_store::layout::PlanLayout;

/// The claims of the tasks of one stage, made by one process.
#[derive(Debug, Clone)]
pub struct Claims {
    store: Store,
    layout: Arc<PlanLayout>,
    stage: Stage,
    process: String,
}

impl Claims {
    /// Returns the claims that `process` makes in a stage.
    pub fn new(store: &Store, layout: &Arc<PlanLayout>, stage: Stage, process: &str) -> Self {
        // A claim that a power cut takes is made again, so none is worth a wait for the disk.
        Self { store: store.unsynced(), layout: Arc::clone(layout), stage, process: process.to_owned() }
    }

    /// Returns the stage.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Returns the process that makes these claims.
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Claims a task, by the claim of this number. Returns whether no other process was first. Takes one request, and
    /// another one if there is such a claim.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub async fn claim(&self, task: TaskId, number: u32) -> Result<bool> {
        let key = self.layout.claim(self.stage, task, number);
        Ok(self.store.create(&key, self.process.clone()).await? == Created::Won)
    }

    /// Takes a claim back, so that another process may take the task on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn release(&self, task: TaskId, number: u32) -> Result<()> {
        self.store.delete(&self.layout.claim(self.stage, task, number)).await
    }

    /// Returns the number of the last claim of each task that is claimed. Lists them once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn last(&self) -> Result<BTreeMap<TaskId, u32>> {
        let mut last = BTreeMap::new();
        let mut listed = self.store.list(&self.layout.all_claims());
        while let Some(found) = listed.try_next().await? {
            if let Some((task, number)) = self.layout.parse_claim(self.stage, &found.key) {
                let known: &mut u32 = last.entry(task).or_default();
                *known = number.max(*known);
            }
        }
        Ok(last)
    }

    /// Returns the process that made a claim; `None` if there is no such claim.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holder(&self, task: TaskId, number: u32) -> Result<Option<String>> {
        let claim = self.store.get(&self.layout.claim(self.stage, task, number)).await?;
        Ok(claim.map(|claim| String::from_utf8_lossy(&claim).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use etl_core::model::ids::{AttemptId, PlanId, Try};
    use etl_store::testing::counting::counting;

    use crate::run_store::layout::RunLayout;

    #[tokio::test]
    async fn a_task_is_claimed_once_and_taken_over_once() {
        let (store, requests) = counting();
        let layout = Arc::new(RunLayout::new("p", "r").of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "a"))));
        let [one, two] = ["one", "two"].map(|process| Claims::new(&store, &layout, Stage::Map, process));
        let of_reduce = Claims::new(&store, &layout, Stage::Reduce, "one");
        assert!(one.claim(TaskId(7), 0).await.expect("claims"));
        assert_eq!((requests.puts.load(SeqCst), requests.gets.load(SeqCst)), (1, 0));
        assert!(!two.claim(TaskId(7), 0).await.expect("asks"));
        assert_eq!((requests.puts.load(SeqCst), requests.gets.load(SeqCst)), (2, 1));
        assert!(two.claim(TaskId(7), 1).await.expect("takes over"));
        assert!(!one.claim(TaskId(7), 1).await.expect("asks"));
        assert_eq!(one.last().await.expect("lists"), [(TaskId(7), 1)].into());
        assert_eq!(of_reduce.last().await.expect("lists"), BTreeMap::new());
        assert_eq!(one.holder(TaskId(7), 1).await.expect("reads").as_deref(), Some("two"));
        assert_eq!(one.holder(TaskId(7), 2).await.expect("reads"), None);
    }
}
