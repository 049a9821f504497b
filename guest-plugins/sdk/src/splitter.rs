//! Split steps, which make shards from the source's objects.

use serde::de::DeserializeOwned;

use crate::bindings::{map::etl::plugin::types as wire, split::etl::plugin::shards::Shard};
use crate::{
    Batch, Context, Describe, Object, ReadError, Slice, StepError, config, diagnostics, host, wire as boundary,
};

/// Number of bytes of an object that are read at a time. The host returns at most 8 MiB.
const CHUNK_BYTES: u32 = 1024 * 1024;

/// Number of shards of slices that are handed to the host at a time.
const PAGE_SHARDS: usize = 256;

/// A split step: divides the source into shards, the units of map work.
///
/// One value divides the source of one run and is then dropped. Export the step with
/// [`export_splitter!`](crate::export_splitter).
pub trait Splitter: Sized {
    /// The type of the step's `config` table; [`NoConfig`](crate::NoConfig) if the step takes none.
    type Config: DeserializeOwned + Describe;

    /// Creates the step. `context.input` is the schema of the source's records. Also called when a pipeline is only
    /// checked.
    fn open(config: Self::Config, context: &Context) -> Result<Self, StepError>;

    /// Lists and reads the source and adds shards, in order. Called once.
    fn split(&mut self, source: &Source, shards: &mut Shards) -> Result<(), StepError>;
}

/// The source's objects and their bytes.
#[derive(Debug)]
pub struct Source(());

impl Source {
    /// Returns the source's objects, sorted by name. The iterator lists them page by page, when it gets to them.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let mut page = host::list(None).into_iter();
        let mut last = None;
        std::iter::from_fn(move || {
            if page.len() == 0 {
                page = host::list(Some(last.as_deref()?)).into_iter();
            }
            let object = page.next()?;
            last = Some(object.name.clone());
            Some(object)
        })
    }

    /// Reads `length` bytes of an object from `offset`; fewer at the object's end, and at most 8 MiB.
    ///
    /// # Errors
    /// [`StepError::Retryable`] when the store fails, [`StepError::Fatal`] when there are no such bytes.
    pub fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, StepError> {
        host::read(object, offset, length).map_err(|error| match error {
            ReadError::NoSuchObject => StepError::Fatal(format!("the source has no object `{object}`")),
            ReadError::OutOfRange => StepError::Fatal(format!("offset {offset} is past the end of object `{object}`")),
            ReadError::Store(cause) => StepError::Retryable(format!("reading object `{object}` failed: {cause}")),
        })
    }

    /// Reads an object from `offset` to its end, in chunks of 1 MiB. The iterator reads a chunk when it gets to it.
    pub fn chunks(&self, object: &Object, offset: u64) -> impl Iterator<Item = Result<Vec<u8>, StepError>> {
        let mut offset = offset;
        std::iter::from_fn(move || {
            if offset >= object.size {
                return None;
            }
            let chunk = self.read(&object.name, offset, CHUNK_BYTES);
            offset = match &chunk {
                Ok(bytes) if !bytes.is_empty() => offset + bytes.len() as u64,
                _ => object.size,
            };
            Some(chunk)
        })
    }
}

impl Slice {
    /// Returns a slice of the whole object.
    pub fn whole(object: &Object) -> Self {
        Self { object: object.name.clone(), offset: 0, length: object.size }
    }
}

/// Takes the shards that a splitter makes. They go to the host in pages, so there may be any number of them.
#[derive(Debug, Default)]
pub struct Shards {
    page: Vec<Shard>,
}

impl Shards {
    /// Adds a shard of these slices, which are read in this order. There must be at least one.
    pub fn add_slices(&mut self, slices: Vec<Slice>) {
        self.page.push(Shard::Slices(slices));
        if self.page.len() >= PAGE_SHARDS {
            self.flush();
        }
    }

    /// Adds a shard of records made by the splitter, in the source's schema; see [`BatchBuilder`](crate::BatchBuilder).
    pub fn add_records(&mut self, records: Batch) {
        self.page.push(Shard::Records(records.0));
        // A shard of records is large enough to be handed over at once.
        self.flush();
    }

    fn flush(&mut self) {
        if !self.page.is_empty() {
            host::add(&self.page);
            self.page.clear();
        }
    }
}

/// Drives a splitter, for the component's exports and for [`testing`](crate::testing).
#[doc(hidden)]
#[derive(Debug)]
pub struct SplitRunner<S>(S);

impl<S: Splitter> SplitRunner<S> {
    pub fn open(context: wire::Context) -> Result<Self, StepError> {
        let context = boundary::read_context(context)?;
        S::open(config::parse(&context.config)?, &context).map(Self)
    }

    pub fn split(&mut self) -> Result<(), StepError> {
        let mut shards = Shards::default();
        let result = self.0.split(&Source(()), &mut shards);
        shards.flush();
        diagnostics::flush_counters();
        result
    }
}
