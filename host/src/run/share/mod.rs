//! A stage that several processes share: which of its tasks this process takes, and which it leaves to others.
//!
//! A process claims a task just before it begins it, by a small object that only one process can create. A task that
//! another process has claimed is left to it; the claims of all are listed then, so that the tasks that others have are
//! known before they are tried. When no task is open any more, the process waits for those of others, and takes over the
//! ones whose process is gone or, if attempts are speculative, far slower than is usual. Claims are hints: whatever
//! becomes of them, the first commit of a task counts.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use etl_core::model::{error::Result, ids::TaskId, shared::Shared};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::{colleagues::Colleagues, order::Order};
use crate::{run_store::claims::Claims, scheduler::Admission};

/// Number of claims on one page of a listing.
const PAGE: usize = 1000;

/// Number of claims that are read at the same time.
const READS_MAX: usize = 16;

/// The tasks of a stage, shared with other processes.
pub(super) struct Share {
    claims: Claims,
    colleagues: Arc<Colleagues>,
    state: Shared<State>,
}

struct State {
    order: Order,
    /// The number of the claim with which this process takes a task, where that is not 0.
    numbers: BTreeMap<TaskId, u32>,
    /// The tasks that other processes have.
    elsewhere: BTreeMap<TaskId, Elsewhere>,
    /// The tasks that have failed here.
    released: BTreeSet<TaskId>,
    /// Number of claims that others were faster to make since they were listed last.
    lost: usize,
}

/// The last claim of a task that another process has, as far as it is known.
struct Elsewhere {
    number: u32,
    /// When this process learned of the claim.
    since: Instant,
    /// The process that made the claim, and how often its heartbeat had changed then.
    holder: Option<(String, u32)>,
}

impl Elsewhere {
    fn new(number: u32) -> Self {
        Self { number, since: Instant::now(), holder: None }
    }
}

impl Share {
    /// Opens the share of a process in the tasks of `order`, without those that are committed. Lists the claims once.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn open(
        claims: Claims,
        colleagues: &Arc<Colleagues>,
        mut order: Order,
        is_committed: impl Fn(TaskId) -> bool,
    ) -> Result<Arc<Self>> {
        order.retain(|task| !is_committed(task));
        let last = claims.last().await?;
        let (numbers, elsewhere, released) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let state = State { order, numbers, elsewhere, released, lost: 0 };
        let share = Self { claims, colleagues: Arc::clone(colleagues), state: Shared::new(state) };
        share.state.lock().leave(&last);
        Ok(Arc::new(share))
    }

    /// Returns the tasks that this process may try to claim, in its order, each as it is asked for.
    pub(super) fn tasks(self: &Arc<Self>) -> impl Iterator<Item = TaskId> + use<> {
        let share = Arc::clone(self);
        std::iter::from_fn(move || share.state.lock().order.next())
    }

    /// Returns what claims a task before its first attempt.
    pub(super) fn admission(self: &Arc<Self>) -> Admission {
        let share = Arc::clone(self);
        Arc::new(move |task| {
            let share = Arc::clone(&share);
            Box::pin(async move { share.claim(task).await })
        })
    }

    /// Claims a task. Returns whether this process has it now. A store that is in trouble is no reason to leave it.
    pub(super) async fn claim(&self, task: TaskId) -> bool {
        let number = self.state.lock().number(task);
        if self.claims.claim(task, number).await.unwrap_or(true) {
            return true;
        }
        let list = {
            let mut state = self.state.lock();
            state.elsewhere.insert(task, Elsewhere::new(number));
            state.lost += 1;
            // A claim that is lost costs about as much as a page of claims, so that many pages must have been lost.
            let list = state.lost > state.order.len() / PAGE;
            state.lost = if list { 0 } else { state.lost };
            list
        };
        if list && let Ok(last) = self.claims.last().await {
            let mut state = self.state.lock();
            state.leave(&last);
            state.order.jump();
        }
        false
    }

    /// Takes the claims of tasks back that have failed here: they may succeed elsewhere. Best effort.
    pub(super) async fn release(&self, failed: Vec<TaskId>) {
        for task in failed {
            let number = {
                let mut state = self.state.lock();
                state.released.insert(task).then(|| state.number(task))
            };
            if let Some(number) = number {
                drop(self.claims.release(task, number).await);
            }
        }
    }

    /// Returns the tasks that other processes have.
    pub(super) fn elsewhere(&self) -> Vec<TaskId> {
        self.state.lock().elsewhere.keys().copied().collect()
    }

    /// Says that another process has committed a task.
    pub(super) fn committed(&self, task: TaskId) {
        self.state.lock().elsewhere.remove(&task);
    }

    /// Opens the tasks of other processes that are gone, or have been at a task for longer than `patience`, and returns
    /// whether there are any. Lists claims and heartbeats once.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn take_over(&self, patience: Option<Duration>) -> Result<bool> {
        let last = self.claims.last().await?;
        let (missing, unknown) = self.state.lock().follow(&last);
        let read = |(task, number)| async move { Ok((task, number, self.claims.holder(task, number).await?)) };
        let read: Vec<(TaskId, u32, Option<String>)> =
            futures::stream::iter(unknown).map(read).buffer_unordered(READS_MAX).try_collect().await?;
        self.state.lock().name(read, &self.colleagues);
        let holders = self.state.lock().holders();
        self.colleagues.look(&holders).await?;
        let (stage, this) = (self.claims.stage(), self.claims.process());
        let is_left = |task: TaskId, at: &Elsewhere| {
            let works = |(process, before): &(String, u32)| {
                process != this && self.colleagues.is_at(process, (stage, task), *before)
            };
            !at.holder.as_ref().is_some_and(works) || patience.is_some_and(|patience| at.since.elapsed() > patience)
        };
        let mut state = self.state.lock();
        let left: Vec<(TaskId, u32)> = state
            .elsewhere
            .iter()
            .filter(|(task, at)| is_left(**task, at))
            .map(|(task, at)| (*task, at.number + 1))
            .collect();
        let opened = missing.into_iter().map(|task| (task, 0)).chain(left);
        Ok(opened.map(|(task, number)| state.take(task, number)).count() > 0)
    }
}

impl State {
    /// Returns the number of the claim with which this process takes a task.
    fn number(&self, task: TaskId) -> u32 {
        self.numbers.get(&task).copied().unwrap_or_default()
    }

    /// Leaves all tasks that are claimed to the processes that have claimed them.
    fn leave(&mut self, claims: &BTreeMap<TaskId, u32>) {
        for (task, number) in claims {
            let takes_over = self.numbers.get(task).is_some_and(|ours| ours > number);
            if self.order.is_open(*task) && !takes_over {
                self.order.set(*task, false);
                self.elsewhere.insert(*task, Elsewhere::new(*number));
            }
        }
    }

    /// Follows the claims that other processes have made since. Returns the tasks that are not claimed any more, and the
    /// claims whose processes are not known.
    fn follow(&mut self, claims: &BTreeMap<TaskId, u32>) -> (Vec<TaskId>, Vec<(TaskId, u32)>) {
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        for (task, at) in &mut self.elsewhere {
            match claims.get(task) {
                None => missing.push(*task),
                Some(number) => {
                    if *number != at.number {
                        *at = Elsewhere::new(*number);
                    }
                    unknown.extend(at.holder.is_none().then_some((*task, *number)));
                }
            }
        }
        (missing, unknown)
    }

    fn name(&mut self, read: Vec<(TaskId, u32, Option<String>)>, colleagues: &Colleagues) {
        for (task, number, holder) in read {
            if let Some(at) = self.elsewhere.get_mut(&task).filter(|at| at.number == number) {
                at.holder = holder.map(|process| (process.clone(), colleagues.changes(&process)));
            }
        }
    }

    fn holders(&self) -> BTreeSet<String> {
        self.elsewhere.values().filter_map(|at| Some(at.holder.as_ref()?.0.clone())).collect()
    }

    /// Opens a task that another process had, for a claim of this number.
    fn take(&mut self, task: TaskId, number: u32) {
        self.elsewhere.remove(&task);
        self.numbers.insert(task, number);
        self.order.set(task, true);
    }
}
