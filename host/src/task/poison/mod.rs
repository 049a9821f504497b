//! Poison records: records that make a mapper fail each time it is given them.
//!
//! Owns the poison records that this process has found so far, and keeps them away from the chain of mappers.
//! `Search` finds them; an [`Allowance`] limits how long.

mod allowance;
mod search;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::allowance::Allowance;
pub(super) use self::search::Search;
use etl_core::model::{error::Result, ids::ShardId};
use etl_plugin::Failure;

use crate::task::{chain::Chain, records::Records};

/// The poison records of a shard: how a step fails on each, by the record's number.
pub(super) type PoisonRecords = BTreeMap<u64, Failure>;

/// The poison records that this process has found in a run, by shard.
#[derive(Default)]
pub struct Poison {
    shards: Mutex<BTreeMap<ShardId, Arc<PoisonRecords>>>,
}

impl Poison {
    /// Returns the poison records found in a shard so far.
    pub fn of_shard(&self, shard: ShardId) -> Arc<PoisonRecords> {
        self.lock().get(&shard).map(Arc::clone).unwrap_or_default()
    }

    /// Adds poison records of a shard, and returns those that were not known before. Another attempt may have added
    /// the rest.
    pub fn add(&self, shard: ShardId, mut found: PoisonRecords) -> PoisonRecords {
        let mut shards = self.lock();
        let known = Arc::make_mut(shards.entry(shard).or_default());
        found.retain(|number, _| !known.contains_key(number));
        known.extend(found.clone());
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, Arc<PoisonRecords>>> {
        // No code panics while it holds this lock, so the map is intact even if the lock says otherwise.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the given rows of a batch to a chain, except for the known poison records among them, which are set aside.
///
/// # Errors
/// Fails as [`Chain::process`] does.
pub(super) fn process(chain: &mut Chain, records: &Records, rows: Range<usize>, poison: &PoisonRecords) -> Result<()> {
    let mut next = rows.start;
    for (number, failure) in poison.range(records.number(rows.start)..records.number(rows.end)) {
        let row = records.row(*number);
        chain.process(records, next..row)?;
        chain.set_aside(&[records.reject(row, &failure.step, &failure.what)])?;
        next = row + 1;
    }
    chain.process(records, next..rows.end)
}
