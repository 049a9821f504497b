//! Exact cuts: slices that start where records do.
//!
//! Owns the reading of objects for the sake of their cuts. Of CSV, nobody can tell where a record starts without reading
//! everything in front of it, so this is done once, when a run is planned, up to the last cut of each object. Objects
//! that stay whole are not read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    object::{Object, Slice, find},
};
use etl_format::{Cuts, RecordStarts};
use futures::{TryStreamExt, stream::FuturesOrdered};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::connector::Source;

/// Number of objects that are read at once.
const OBJECTS_AT_ONCE: usize = 4;

/// Number of bytes that one request asks for, and number of requests under way for an object.
const GET_BYTES: u64 = 4 << 20;
const GETS_AT_ONCE: usize = 2;

/// Where the cuts of a source's objects have moved to.
#[derive(Debug, Default)]
pub struct MovedCuts {
    /// The start of a record for each cut, by object.
    starts: HashMap<String, BTreeMap<u64, u64>>,
}

impl MovedCuts {
    /// Finds where the borders of these slices move to. Reads nothing if slices may start anywhere. Must be called on
    /// the runtime.
    ///
    /// # Errors
    /// When an object cannot be read, or has changed.
    pub async fn find<'a>(
        source: &Arc<dyn Source>,
        cuts: Cuts,
        objects: &[Object],
        slices: impl IntoIterator<Item = &'a Slice>,
    ) -> Result<Self> {
        let mut moved = Self::default();
        if !cuts.are_exact() {
            return Ok(moved);
        }
        for Slice { object, offset, length } in slices {
            let Some(Object { size, .. }) = find(objects, object) else { continue };
            let inner = [*offset, offset + length].into_iter().filter(|cut| (1..*size).contains(cut));
            let inner: Vec<_> = inner.map(|cut| (cut, cut)).collect();
            if !inner.is_empty() {
                moved.starts.entry(object.clone()).or_default().extend(inner);
            }
        }
        let turns = Arc::new(Semaphore::new(OBJECTS_AT_ONCE));
        let mut searches = JoinSet::new();
        for (name, at) in &moved.starts {
            let at: Vec<u64> = at.keys().copied().collect();
            let (Some(object), Some(search)) = (find(objects, name), cuts.record_starts(&at)) else { continue };
            let (turns, object, source) = (Arc::clone(&turns), object.clone(), Arc::clone(source));
            searches.spawn(async move {
                let _turn = turns.acquire().await;
                let starts = starts(search, &object, &*source).await?;
                Result::Ok((object.name, at.into_iter().zip(starts).collect()))
            });
        }
        while let Some(found) = searches.join_next().await {
            let (name, starts) = found.or_kind(ErrorKind::Internal, || "the search for records ended early")??;
            moved.starts.insert(name, starts);
        }
        Ok(moved)
    }

    /// Returns a slice whose borders have moved. It may be empty then.
    #[must_use]
    pub fn of(&self, slice: Slice) -> Slice {
        let Some(starts) = self.starts.get(&slice.object) else { return slice };
        let moved = |cut: u64| starts.get(&cut).copied().unwrap_or(cut);
        let (offset, end) = (moved(slice.offset), moved(slice.offset + slice.length));
        Slice { offset, length: end - offset, ..slice }
    }
}

/// Reads an object up to its last cut, and returns where its cuts move to.
async fn starts(mut search: RecordStarts, object: &Object, source: &dyn Source) -> Result<Vec<u64>> {
    let mut at = 0;
    let mut ahead = FuturesOrdered::new();
    while !search.is_done() {
        while at < object.size && ahead.len() < GETS_AT_ONCE {
            let range = at..object.size.min(at + GET_BYTES);
            at = range.end;
            ahead.push_back(source.read(object, range));
        }
        let Some(piece) = ahead.try_next().await? else { break };
        search.push(&piece);
    }
    Ok(search.finish())
}
