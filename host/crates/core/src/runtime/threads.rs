//! Threads that may block: attempts run on them.
//!
//! The threads are outside the runtime on purpose. On a thread of the runtime, a store on local disk hands each request
//! to another thread and is woken when the request is done. On a thread of this module, the store serves the request at
//! once, which is several times cheaper for small files. This module knows nothing of the work it runs; the scheduler
//! decides how much of it runs at a time.

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot};

use crate::model::error::{Error, ErrorKind, Result, ResultExt};

/// Time that a thread without work stays alive.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// The runtime that the work on this thread belongs to.
    static RUNTIME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The threads of the process, and the jobs that wait for one. A job that no idle thread can take starts a new thread;
/// a thread ends after [`IDLE`] without work.
static THREADS: Threads = Threads {
    state: Mutex::new(State { jobs: VecDeque::new(), idle: 0 }),
    more: Condvar::new(),
    stack_bytes: AtomicUsize::new(2 << 20),
};

struct Threads {
    state: Mutex<State>,
    more: Condvar,
    stack_bytes: AtomicUsize,
}

struct State {
    jobs: VecDeque<Job>,
    idle: usize,
}

/// Gives every thread that is started from now on a stack of at least this size.
pub fn need_stack(bytes: usize) {
    THREADS.stack_bytes.fetch_max(bytes, Ordering::Relaxed);
}

/// Runs `work` on a thread that may block, and returns its result. Work that has started continues even when the
/// returned future is dropped. Call this on the runtime.
///
/// # Errors
/// [`ErrorKind::Internal`] when the work panics, [`ErrorKind::Unavailable`] when the system has no more threads.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, done) = oneshot::channel();
    let runtime = Handle::current();
    let job = move || {
        RUNTIME.set(Some(runtime));
        // The receiver is gone if the caller has dropped the future; the result is then of no interest.
        drop(sender.send(work()));
    };
    THREADS.take_on(Box::new(job)).or_kind(ErrorKind::Unavailable, || "cannot start a thread")?;
    done.await.map_err(|_| Error::internal("an attempt panicked"))
}

/// Waits for a future that needs the runtime, such as one that talks to a server or starts tasks. Do not call this on a
/// thread of the runtime.
pub fn wait_on_runtime<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

/// Returns the runtime that the work on this thread belongs to.
pub fn runtime() -> Handle {
    RUNTIME.with_borrow(Clone::clone).unwrap_or_else(Handle::current)
}

/// Waits for a future that needs no runtime, such as one that waits for other threads or for the local disk.
pub fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A waker that unparks a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Threads {
    fn take_on(&'static self, job: Job) -> std::io::Result<()> {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            self.more.notify_one();
            return Ok(());
        }
        drop(state);
        let stack_bytes = self.stack_bytes.load(Ordering::Relaxed);
        let thread = thread::Builder::new().name("attempt".to_owned()).stack_size(stack_bytes);
        thread.spawn(|| self.work()).map(drop)
    }

    /// Runs jobs until there has been none for [`IDLE`].
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A panic drops the sender of the job's result, so the caller of `run` gets an error.
                drop(catch_unwind(AssertUnwindSafe(job)));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, waited) = self.more.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while this lock is held, so its state is sound even if it is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn work_runs_beside_other_work_and_outside_of_the_runtime() {
        let all_there = Arc::new(Barrier::new(20));
        let work = (0..20).map(|number| {
            let all_there = Arc::clone(&all_there);
            run(move || {
                all_there.wait();
                assert!(Handle::try_current().is_err());
                let from_runtime = wait_on_runtime(async { tokio::spawn(async { 1 }).await.expect("no panic") });
                number + from_runtime
            })
        });
        let done: Result<Vec<i32>> = futures::future::join_all(work).await.into_iter().collect();
        assert_eq!(done.expect("no panic"), (1..21).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        for _ in 0..3 {
            let error = run(|| -> () { panic!("on purpose") }).await.expect_err("it panicked");
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert_eq!(run(|| 7).await.expect("works"), 7);
        }
    }

    #[tokio::test]
    async fn a_thread_waits_for_another() {
        let (sender, answer) = oneshot::channel();
        let waiting = run(move || wait(answer));
        let both = tokio::join!(waiting, async { run(move || sender.send(5)).await });
        assert_eq!(both.0.expect("no panic"), Ok(5));
    }
}
