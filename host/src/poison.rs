//! Poison records: records that make a mapper fail whenever it is given them.
//!
//! Owns what a process has found so far, and that a chain is not given it. How it is found is [`Search`]'s.

mod search;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::search::Search;
use crate::{chain::Chain, error::Result, plugin::Failure, records::Records};

/// The poison records of a shard, by number: how a step fails on each.
pub type Found = BTreeMap<u64, Failure>;

/// The poison records that a process has found in a run.
#[derive(Default)]
pub struct Poison {
    shards: Mutex<BTreeMap<u32, Arc<Found>>>,
}

impl Poison {
    /// Returns what was found in a shard so far.
    pub fn of_shard(&self, shard: u32) -> Arc<Found> {
        self.lock().get(&shard).map(Arc::clone).unwrap_or_default()
    }

    /// Adds what was found in a shard, and returns what another attempt has not found before.
    pub fn add(&self, shard: u32, mut found: Found) -> Found {
        let mut shards = self.lock();
        let known = Arc::make_mut(shards.entry(shard).or_default());
        found.retain(|number, _| !known.contains_key(number));
        known.extend(found.clone());
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Found>>> {
        // Nothing panics while it is held.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands rows of a batch to a chain, but for the poison records among them: those are set aside.
///
/// # Errors
/// As [`Chain::process`].
pub fn process(chain: &mut Chain, records: &Records, rows: Range<usize>, poison: &Found) -> Result<()> {
    let mut next = rows.start;
    for (number, failure) in poison.range(records.number(rows.start)..records.number(rows.end)) {
        let row = records.row(*number);
        chain.process(records, next..row)?;
        chain.set_aside(&[records.reject(row, &failure.step, &failure.what)?])?;
        next = row + 1;
    }
    chain.process(records, next..rows.end)
}
