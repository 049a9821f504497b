//! The replacement for the host in tests: holds the source, and records what a step hands over.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::cells::rows_of;
use crate::bindings::{map::etl::plugin::types as wire, split::etl::plugin::shards as boundary};
use crate::{Level, Object, OwnedCell, ReadError, Schema, Slice};

/// The output of a mapper or reducer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The emitted rows, in order; compare them with [`rows`](super::rows).
    pub rows: Vec<Vec<OwnedCell>>,
    /// For each emitted row, the input row, counted from 0, that it was made of; `None` if the step did not say.
    pub origins: Vec<Option<usize>>,
    /// The rejected input rows, counted from 0, each with its reason.
    pub rejects: Vec<(usize, String)>,
    /// The logged messages, in order.
    pub logs: Vec<(Level, String)>,
    /// The sum of each counter, by name.
    pub counters: BTreeMap<String, i64>,
}

/// A shard that a splitter made.
#[derive(Clone, Debug, PartialEq)]
pub enum Shard {
    /// Slices of objects.
    Slices(Vec<Slice>),
    /// Records, as rows.
    Records(Vec<Vec<OwnedCell>>),
}

/// The output of a splitter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// The shards, in order.
    pub shards: Vec<Shard>,
    /// The logged messages, in order.
    pub logs: Vec<(Level, String)>,
    /// The sum of each counter, by name.
    pub counters: BTreeMap<String, i64>,
}

impl Split {
    /// Returns the rows of each shard of inline records.
    pub fn records(&self) -> Vec<Vec<Vec<OwnedCell>>> {
        let records = |shard: &Shard| match shard {
            Shard::Records(records) => Some(records.clone()),
            Shard::Slices(_) => None,
        };
        self.shards.iter().filter_map(records).collect()
    }

    /// Returns the slices of each shard as (object, offset, length).
    pub fn slices(&self) -> Vec<Vec<(&str, u64, u64)>> {
        self.shards.iter().filter_map(slices_of).collect()
    }
}

fn slices_of(shard: &Shard) -> Option<Vec<(&str, u64, u64)>> {
    match shard {
        Shard::Slices(slices) => Some(slices.iter().map(|s| (s.object.as_str(), s.offset, s.length)).collect()),
        Shard::Records(_) => None,
    }
}

/// An object of the source that a splitter is tested with.
#[derive(Clone, Debug)]
pub struct InMemoryObject {
    pub(super) object: Object,
    pub(super) bytes: Vec<u8>,
}

impl InMemoryObject {
    /// Creates an object that may be cut anywhere.
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { object: Object { name: name.to_owned(), size: bytes.len() as u64, splittable: true }, bytes }
    }

    /// Creates an object that cannot be cut into slices, such as a compressed one.
    pub fn compressed(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let mut object = Self::new(name, bytes);
        object.object.splittable = false;
        object
    }
}

#[derive(Default)]
struct Host {
    outcome: Outcome,
    /// The schema of the rows that the step hands over.
    schema: Schema,
    first_row: usize,
    objects: Vec<InMemoryObject>,
    shards: Vec<Shard>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Forgets everything recorded so far, and makes these objects the source.
pub(super) fn start(objects: Vec<InMemoryObject>) {
    HOST.set(Host { objects, ..Host::default() });
}

/// Sets the schema of the rows that the step hands over.
pub(super) fn set_schema(schema: Schema) {
    HOST.with_borrow_mut(|host| host.schema = schema);
}

/// Sets the number of input rows before the batch being processed.
pub(super) fn set_first_row(row: usize) {
    HOST.with_borrow_mut(|host| host.first_row = row);
}

pub(super) fn outcome() -> Outcome {
    HOST.take().outcome
}

pub(super) fn split() -> Split {
    let Host { outcome, shards, .. } = HOST.take();
    Split { shards, logs: outcome.logs, counters: outcome.counters }
}

pub(crate) fn emit(batch: &wire::Batch, origins: Option<&[u8]>) {
    HOST.with_borrow_mut(|host| {
        let Host { outcome, schema, first_row, .. } = host;
        outcome.rows.extend(rows_of(batch, schema));
        let origin = |bytes: &[u8; 4]| Some(*first_row + u32::from_le_bytes(*bytes) as usize);
        match origins {
            Some(origins) => outcome.origins.extend(origins.as_chunks().0.iter().map(origin)),
            None => outcome.origins.resize(outcome.rows.len(), None),
        }
    });
}

pub(crate) fn reject(row: u32, reason: &str) {
    HOST.with_borrow_mut(|host| host.outcome.rejects.push((host.first_row + row as usize, reason.to_owned())));
}

pub(crate) fn log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.outcome.logs.push((level, message.to_owned())));
}

pub(crate) fn count(counter: &str, delta: i64) {
    HOST.with_borrow_mut(|host| *host.outcome.counters.entry(counter.to_owned()).or_default() += delta);
}

/// Lists the objects in pages of two, so that even short tests read several pages.
pub(crate) fn list(after: Option<&str>) -> Vec<Object> {
    HOST.with_borrow(|host| {
        let mut objects: Vec<_> = host.objects.iter().map(|object| object.object.clone()).collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        objects.into_iter().filter(|object| Some(object.name.as_str()) > after).take(2).collect()
    })
}

pub(crate) fn read(object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
    HOST.with_borrow(|host| {
        let bytes = &host.objects.iter().find(|o| o.object.name == object).ok_or(ReadError::NoSuchObject)?.bytes;
        let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)).ok_or(ReadError::OutOfRange)?;
        Ok(rest[..rest.len().min(length as usize)].to_vec())
    })
}

pub(crate) fn add(shards: &[boundary::Shard]) {
    HOST.with_borrow_mut(|host| {
        let Host { schema, shards: added, .. } = host;
        added.extend(shards.iter().map(|shard| match shard {
            boundary::Shard::Slices(slices) => Shard::Slices(slices.clone()),
            boundary::Shard::Records(batch) => Shard::Records(rows_of(batch, schema)),
        }));
    });
}
