//! Workers: permits that limit how many threads compute at the same time.
//!
//! A task takes a worker when it has something to compute, and gives the worker back while it waits for a store, so
//! that more tasks than processors can be in flight and no processor idles. Used by map, reduce and split tasks.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    model::times::Work,
    runtime::{clock::spend, threads},
};

/// The workers of a run.
#[derive(Clone)]
pub struct Workers {
    free: Arc<Semaphore>,
}

impl Workers {
    /// Creates `count` workers, all of them free.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)) }
    }

    /// Takes a worker, and waits until one is free. Blocks, so it must not run on a thread of the async runtime.
    pub fn take(&self) -> Worker {
        let mut worker = Worker { workers: self.clone(), permit: None };
        worker.resume();
        worker
    }
}

/// A worker in use. Dropping it gives it back.
pub struct Worker {
    workers: Workers,
    permit: Option<OwnedSemaphorePermit>,
}

impl Worker {
    /// Runs `wait`, which waits for something, and gives the worker back meanwhile. Takes a worker again before it
    /// returns.
    pub fn wait<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        self.permit = None;
        let result = spend(Work::Read, wait);
        self.resume();
        result
    }

    fn resume(&mut self) {
        let free = Arc::clone(&self.workers.free);
        let permit = spend(Work::Wait, || threads::wait(free.acquire_owned()));
        self.permit = Some(permit.expect("the semaphore is never closed"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_waiting_task_lends_its_worker() {
        let workers = Workers::new(1);
        let (inside, outside) = tokio::sync::oneshot::channel();
        let waiting = workers.clone();
        let first = tokio::task::spawn_blocking(move || waiting.take().wait(|| outside.blocking_recv()));
        // There is only one worker, so this task runs only because the first one has given it back.
        let second = tokio::task::spawn_blocking(move || {
            let _worker = workers.take();
            inside.send(()).expect("the first task listens");
        });
        let both = async { (first.await, second.await) };
        let (first, second) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("no deadlock");
        assert!(first.expect("no panic").is_ok() && second.is_ok());
    }
}
