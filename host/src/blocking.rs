//! Threads that may wait: attempts run on them.
//!
//! They are outside of the runtime on purpose. On a thread of the runtime, a store on local disk hands each request to
//! yet another thread and is woken when it is done; here it does it at once, which for small files is several times
//! cheaper. Knows nothing of what runs. How many run at a time is the scheduler's business.

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

use crate::error::{Error, ErrorKind, Result, ResultExt};

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// The runtime that the work on this thread belongs to.
    static RUNTIME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The threads of the process, and the work that waits for one. There are as many as were ever needed lately.
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

/// Runs `work` on a thread that may wait, and returns what it does. Goes on there when nobody waits for it any more.
/// Call on the runtime.
///
/// # Errors
/// [`ErrorKind::Internal`] when the work panics, [`ErrorKind::Unavailable`] when the system has no more threads.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, done) = oneshot::channel();
    let runtime = Handle::current();
    let job = move || {
        RUNTIME.set(Some(runtime));
        // The work may have been given up.
        drop(sender.send(work()));
    };
    THREADS.take_on(Box::new(job)).or_kind(ErrorKind::Unavailable, || "cannot start a thread")?;
    done.await.map_err(|_| Error::internal("an attempt panicked"))
}

/// Waits for a future that needs the runtime: one that talks to a server, or starts tasks. Not for threads of the
/// runtime.
pub fn wait_on_runtime<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

/// Returns the runtime that the work on this thread belongs to.
pub fn runtime() -> Handle {
    RUNTIME.with_borrow(Clone::clone).unwrap_or_else(Handle::current)
}

/// Waits for a future that needs no runtime: one that waits for other threads, or for the local disk.
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

/// Wakes a thread that is parked.
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

    /// Does what there is to do, until there has been nothing for a while.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Whoever waits for the work hears of a panic: the answer never comes.
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
        // Nothing panics while it is held.
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
