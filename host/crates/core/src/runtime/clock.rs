//! Times: how long attempts spend on each kind of work.
//!
//! Owns the clock of the thread on which an attempt runs. [`measure`] measures an attempt as a whole; code that does a
//! kind of work wraps it in [`spend`]. Nested work counts for the inner kind only, so the times of an attempt add up to
//! its duration, and no clock has to be passed around.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use crate::model::times::{Times, Work, micros};

/// The clock of an attempt.
struct Clock {
    work: Work,
    since: Instant,
    /// The part of a microsecond that was not counted yet; it is added to the next time span.
    rest: Duration,
    times: Times,
}

impl Clock {
    fn start() -> Self {
        Self { work: Work::Other, since: Instant::now(), rest: Duration::ZERO, times: Times::default() }
    }

    /// Switches to another kind of work, and returns the kind before.
    fn switch(&mut self, work: Work) -> Work {
        let now = Instant::now();
        let spent = self.rest + now.duration_since(self.since);
        let spent_us = micros(spent);
        self.rest = spent - Duration::from_micros(spent_us);
        self.times.spend(self.work, spent_us);
        self.since = now;
        std::mem::replace(&mut self.work, work)
    }
}

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Runs an attempt on this thread, and returns its result and how long it spent on each kind of work.
pub fn measure<T>(attempt: impl FnOnce() -> T) -> (T, Times) {
    CLOCK.set(Some(Clock::start()));
    let result = attempt();
    let clock = CLOCK.take();
    let times = clock.map(|mut clock| {
        clock.switch(Work::Other);
        clock.times
    });
    (result, times.unwrap_or_default())
}

/// Does work and counts its time for `kind`. Nested work of another kind counts for that kind instead. On a thread that
/// is not being measured, only does the work.
pub fn spend<T>(kind: Work, work: impl FnOnce() -> T) -> T {
    let before = switch(kind);
    let result = work();
    if let Some(before) = before {
        switch(before);
    }
    result
}

/// Switches this thread to another kind of work, for callers that cannot wrap the work in [`spend`]. Returns the kind
/// before, to which the caller must switch back. Returns `None` on a thread that is not being measured.
pub fn switch(kind: Work) -> Option<Work> {
    CLOCK.with_borrow_mut(|clock| clock.as_mut().map(|clock| clock.switch(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause() {
        std::thread::sleep(Duration::from_millis(5));
    }

    #[test]
    fn nested_work_counts_once() {
        let ((), times) = measure(|| {
            spend(Work::Sort, || {
                pause();
                spend(Work::Guest, pause);
                pause();
            });
        });
        assert!(times.of(Work::Sort) >= 10_000 && times.of(Work::Guest) >= 5_000, "{times:?}");
        let here = [Work::Sort, Work::Guest, Work::Other];
        assert!(Work::ALL.into_iter().all(|work| here.contains(&work) || times.of(work) == 0), "{times:?}");
    }

    #[test]
    fn a_thread_that_is_not_measured_just_works() {
        assert_eq!(spend(Work::Merge, || 7), 7);
        let (result, times) = measure(|| 8);
        assert_eq!((result, times.of(Work::Merge)), (8, 0));
    }
}
