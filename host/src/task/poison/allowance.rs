//! The time that an attempt may still take after a mapper failed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use etl_core::{
    model::error::{Error, ErrorKind},
    text::numbers::duration,
};
use etl_plugin::Failure;

use crate::pipeline::Step;

/// The time that the mappers of an attempt may compute after one of them failed, in searches for poison records and
/// when the shards are mapped again: each mapper as long, in all, as it may before a failure.
pub struct Allowance {
    full: Vec<Duration>,
    after: Mutex<Option<AfterFailure>>,
}

struct AfterFailure {
    /// The time left to each mapper, in the order of the chain.
    left: Vec<Duration>,
    /// The last failure that was searched for.
    failure: Failure,
}

impl Allowance {
    /// Creates the allowance of an attempt that maps `shards` shards, in which no mapper has failed yet.
    pub fn new(maps: &[Step], shards: usize) -> Self {
        let shards = u32::try_from(shards).unwrap_or(u32::MAX);
        let full = maps.iter().map(|step| step.plugin.limits.timeout.saturating_mul(shards)).collect();
        Self { full, after: Mutex::new(None) }
    }

    /// Begins the search for the cause of a failure. The first one begins to limit the time.
    pub fn begin(&self, failure: &Failure) {
        let mut after = self.lock();
        let left = after.take().map_or_else(|| self.full.clone(), |after| after.left);
        *after = Some(AfterFailure { left, failure: failure.clone() });
    }

    /// Returns the time left to each mapper, in the order of the chain; empty while no mapper has failed.
    pub fn left(&self) -> Vec<Duration> {
        self.lock().as_ref().map(|after| after.left.clone()).unwrap_or_default()
    }

    /// Charges the time that each mapper of a chain has computed. Does nothing while no mapper has failed.
    pub fn charge(&self, computed: &[Duration]) {
        let mut after = self.lock();
        for (left, computed) in after.iter_mut().flat_map(|after| &mut after.left).zip(computed) {
            *left = left.saturating_sub(*computed);
        }
    }

    /// Returns the error of the attempt, if a mapper has used up its time.
    pub fn used_up(&self) -> Option<Error> {
        self.lock().as_ref().filter(|after| after.left.iter().any(Duration::is_zero)).map(|after| self.error(after))
    }

    /// Returns the error of the attempt instead of that of an instance that used up the time it was allowed. Returns
    /// other errors as they are.
    pub fn explain(&self, error: Error) -> Error {
        match (error.cause::<Failure>(), self.lock().as_ref()) {
            (Some(failure), Some(after)) if failure.is_of_attempt() => self.error(after),
            _ => error,
        }
    }

    /// Returns the failure that was searched for last, with the remark that the time is used up.
    fn error(&self, after: &AfterFailure) -> Error {
        let of_step = after.left.iter().zip(&self.full).min_by_key(|(left, _)| **left);
        let full = of_step.map_or(0, |(_, full)| u64::try_from(full.as_millis()).unwrap_or(u64::MAX));
        Error::new(ErrorKind::Sandbox, after.failure.clone()).context(format!(
            "the search for the records that make a mapper fail ran out of time (it may take as long again as \
             `limits.timeout` allows: {})",
            duration(full)
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Option<AfterFailure>> {
        // No code panics while it holds this lock, so the account is intact even if the lock says otherwise.
        self.after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
