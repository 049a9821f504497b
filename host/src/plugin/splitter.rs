//! The instance of a splitter, its view of the source, and the shards it hands back.

use arrow_array::RecordBatch;

use super::{
    batch,
    bindings::etl::plugin::{
        shards::{self, Shard},
        source::{self, Object, ReadError as WitReadError},
    },
    engine::Plugin,
    instance::{Instance, Task, Usage},
    state::{Phase, State},
};
use crate::{
    error::{Error, Result},
    schema::Schema,
    source::Slice,
};

/// Largest number of objects in one page of the listing.
const PAGE_OBJECTS_MAX: usize = 1000;
/// Largest number of bytes that one read returns.
const READ_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// A splitter's view of the source. Its methods are called on a worker thread and may block.
pub trait SourceView: Send {
    /// Returns up to `max` objects after the one named `after`, sorted by name. Each comes with its name, its size in
    /// bytes, and whether it is splittable.
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)>;

    /// Returns `length` bytes of an object from `offset`, and fewer only at the object's end.
    ///
    /// # Errors
    /// The reason why the read failed, which the plugin receives.
    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError>;

    /// Adds the next shard.
    ///
    /// # Errors
    /// Fails when the shard is not valid for this source. The error ends the split.
    fn add(&mut self, shard: DraftShard) -> Result<()>;
}

/// Reason why a splitter's read failed.
#[derive(Debug)]
pub enum ReadError {
    /// The source has no such object.
    NoSuchObject,
    /// The offset is past the object's end.
    OutOfRange,
    /// The store failed.
    Store(Error),
}

/// A shard as the splitter handed it over. The objects and ranges that it names are not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub enum DraftShard {
    /// Slices of objects.
    Slices(Vec<Slice>),
    /// Records the splitter made, in the source's schema.
    Records(RecordBatch),
}

/// The part of an instance's state that only splitters have.
pub(super) struct Splitting {
    pub(super) view: Box<dyn SourceView>,
    pub(super) records: Schema,
}

/// An opened splitter.
pub struct Splitter {
    instance: Instance,
    guest: super::bindings::exports::etl::plugin::splitter::Guest,
}

impl Plugin {
    /// Creates an instance of a splitter and opens it. `records` is the schema of the source's records.
    ///
    /// # Errors
    /// The error that the plugin's `open` returned, or a description of how the call failed.
    pub fn split(&self, task: &Task, records: &Schema, view: Box<dyn SourceView>) -> Result<Splitter> {
        let splitting = Splitting { view, records: records.clone() };
        let (mut instance, guest) = Instance::new(self, task, None, Some(splitting), |exports, store, instance| {
            exports.splitter()?.load(store, instance)
        })?;
        instance.with_context(task, records, |instance, context| {
            instance.call("open", Phase::Open, |store| guest.call_open(store, context))
        })?;
        Ok(Splitter { instance, guest })
    }
}

impl Splitter {
    /// Lets the splitter divide the source, and returns the resources it used. The shards go to its [`SourceView`].
    ///
    /// # Errors
    /// The error that the plugin returned, a description of how the call failed, or the view's error about a shard.
    pub fn run(mut self) -> Result<Usage> {
        self.instance.call("split", Phase::Split, |store| self.guest.call_split(store))?;
        Ok(self.instance.usage())
    }
}

impl State {
    fn splitting(&mut self) -> wasmtime::Result<&mut Splitting> {
        if self.phase != Phase::Split || self.splitting.is_none() {
            return self.refuse("used the source outside `split`");
        }
        Ok(self.splitting.as_mut().expect("checked just above"))
    }
}

impl source::Host for State {
    fn list(&mut self, after: Option<String>) -> wasmtime::Result<Vec<Object>> {
        let objects = self.splitting()?.view.list(after.as_deref(), PAGE_OBJECTS_MAX);
        Ok(objects.into_iter().map(|(name, size, splittable)| Object { name, size, splittable }).collect())
    }

    fn read(
        &mut self,
        object: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<std::result::Result<Vec<u8>, WitReadError>> {
        self.splitting()?;
        self.on_host(|state| {
            let view = &state.splitting()?.view;
            Ok(view.read(&object, offset, length.min(READ_BYTES_MAX)).map_err(|error| match error {
                ReadError::NoSuchObject => WitReadError::NoSuchObject,
                ReadError::OutOfRange => WitReadError::OutOfRange,
                ReadError::Store(error) => WitReadError::Store(error.to_string()),
            }))
        })
    }
}

impl shards::Host for State {
    fn add(&mut self, shards: Vec<Shard>) -> wasmtime::Result<()> {
        self.splitting()?;
        let added = self.on_host(|state| {
            let Some(splitting) = &mut state.splitting else { return Ok(()) };
            shards.into_iter().try_for_each(|shard| {
                let draft = draft(shard, &splitting.records)?;
                state.output.spend(draft.bytes())?;
                splitting.view.add(draft)
            })
        });
        added.or_else(|error| self.stop(error))
    }
}

impl DraftShard {
    /// Returns the least memory that the shard takes, in bytes.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Slices(slices) => slices.iter().map(|slice| size_of::<Slice>() + slice.object.len()).sum(),
            Self::Records(batch) => batch.get_array_memory_size(),
        };
        (size_of::<Self>() + bytes) as u64
    }
}

fn draft(shard: Shard, records: &Schema) -> Result<DraftShard> {
    match shard {
        Shard::Slices(slices) => {
            let slice = |s: shards::Slice| Slice { object: s.object, offset: s.offset, length: s.length };
            Ok(DraftShard::Slices(slices.into_iter().map(slice).collect()))
        }
        Shard::Records(batch) => {
            let batch = batch::lift(batch, records).map_err(|what| {
                Error::new(crate::error::ErrorKind::Plugin, anyhow::anyhow!("added a shard of records {what}"))
            })?;
            Ok(DraftShard::Records(batch))
        }
    }
}
