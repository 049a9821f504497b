//! Split steps: the source's objects in, shards out.

use serde::de::DeserializeOwned;

use crate::{Batch, Context, Describe, Object, ReadError, Shard, Slice, StepError, config, diagnostics, host};

/// How much of an object is read at a time. The host gives at most 8 MiB.
const CHUNK_BYTES: u32 = 1024 * 1024;

/// How many shards of slices are handed over at a time.
const PAGE_SHARDS: usize = 256;

/// A split step: divides the source into shards, the units of map work.
///
/// One value divides one run's source and is dropped; export it with [`export_splitter!`](crate::export_splitter).
pub trait Splitter: Sized {
    /// The step's `config` table; [`NoConfig`](crate::NoConfig) if there is none.
    type Config: DeserializeOwned + Describe;

    /// Makes the step. `context.input` is the schema of the source's records. Also called when a pipeline is only
    /// checked.
    fn open(config: Self::Config, context: &Context) -> Result<Self, StepError>;

    /// Lists and reads the source and adds shards, in order. Called once.
    fn split(&mut self, source: &Source, shards: &mut Shards) -> Result<(), StepError>;
}

/// The source's objects and their bytes.
#[derive(Debug)]
pub struct Source(());

impl Source {
    /// Returns the source's objects by name, listing them page by page as they are asked for.
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

    /// Reads bytes of an object; fewer than `length` at its end, and at most 8 MiB.
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

    /// Reads an object from `offset` to its end, in chunks of 1 MiB as they are asked for.
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
    /// Returns the slice that is the whole object.
    pub fn whole(object: &Object) -> Self {
        Self { object: object.name.clone(), offset: 0, length: object.size }
    }
}

/// Where a splitter puts its shards. They go to the host in pages, so there may be any number of them.
#[derive(Debug, Default)]
pub struct Shards {
    page: Vec<Shard>,
}

impl Shards {
    /// Adds a shard made of these slices, at least one, read in this order.
    pub fn add_slices(&mut self, slices: Vec<Slice>) {
        self.page.push(Shard::Slices(slices));
        if self.page.len() >= PAGE_SHARDS {
            self.flush();
        }
    }

    /// Adds a shard of records made here, in the source's schema; see [`BatchBuilder`](crate::BatchBuilder).
    pub fn add_records(&mut self, records: Batch) {
        self.page.push(Shard::Records(records));
        // Records are large enough to be a page.
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
    pub fn open(context: &Context) -> Result<Self, StepError> {
        S::open(config::parse(&context.config)?, context).map(Self)
    }

    pub fn split(&mut self) -> Result<(), StepError> {
        let mut shards = Shards::default();
        let result = self.0.split(&Source(()), &mut shards);
        shards.flush();
        diagnostics::flush_counters();
        result
    }
}
