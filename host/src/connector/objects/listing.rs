//! The listing of a source: which objects of a store belong to it.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use bytesize::ByteSize;
use etl_core::model::{
    error::{Error, Result},
    object::{Object, Slice},
    usage::Traffic,
};
use etl_format::{Cuts, Directories};
use etl_store::{Location, Store, Wanted};
use futures::{StreamExt, TryStreamExt, stream};

use crate::connector::{
    Source,
    objects::{
        fetch::{Chunks, fetch},
        names::Names,
    },
};

/// A source: a store, and the rule for which of its objects belong to the source.
#[derive(Debug, Clone)]
pub struct ObjectSource {
    pub(super) store: Store,
    names: Arc<Names>,
    /// Key of the one object that the location names, if it names one.
    only: Option<String>,
    /// Maximum memory of the listing, in bytes.
    memory_bytes: u64,
    /// Directories of objects that are read by position.
    directories: Arc<Directories>,
}

impl ObjectSource {
    /// Opens the source at `location`: a prefix or, if the location does not end with `/`, possibly one object.
    ///
    /// `include` holds glob patterns on names relative to the location, or on the name of the one object: `*` and `?`
    /// stay within a part of the name, `**` does not. Without patterns, every object belongs to the source except
    /// hidden ones, which have a part that starts with `.` or `_`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) for a location, option or pattern that is wrong; otherwise as [`Store::get`].
    pub async fn open(location: &Location, include: &[String], options: &BTreeMap<String, String>) -> Result<Self> {
        let store = Store::open(location, options)?;
        if !location.url.ends_with('/')
            && let Some((parent, key)) = store.parent()
            && parent.exists(&key).await?
        {
            return Ok(Self { only: Some(key), ..Self::new(parent, include)? });
        }
        Self::new(store, include)
    }

    /// Creates a source of all objects in `store` that match `include`, by the rules of [`ObjectSource::open`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) for an invalid pattern.
    pub fn new(store: Store, include: &[String]) -> Result<Self> {
        Ok(Self {
            store,
            names: Arc::new(Names::new(include)?),
            only: None,
            memory_bytes: u64::MAX,
            directories: Arc::default(),
        })
    }

    /// Returns the source with a limit on the memory of its listing, which is half of the memory that a run may take.
    #[must_use]
    pub fn within(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, ..self }
    }

    fn too_many(&self, listed: usize) -> Error {
        let (source, memory) = (self.store.name(), ByteSize::b(self.memory_bytes).display().iec());
        Error::config(format!(
            "the listing of source `{source}` takes more than {memory}, half of `run.memory` ({listed} objects so \
             far): raise `run.memory`, or take fewer objects with `source.include`"
        ))
    }
}

#[async_trait]
impl Source for ObjectSource {
    async fn list(&self) -> Result<Vec<Object>> {
        let mut found = match &self.only {
            Some(key) if self.names.has(key) => stream::iter(self.store.stat(key).await?.map(Ok)).boxed(),
            Some(_) => stream::empty().boxed(),
            None => self.store.list_wanted(Arc::clone(&self.names) as Arc<dyn Wanted>),
        };
        let (mut objects, mut memory_bytes) = (Vec::new(), 0);
        while let Some(found) = found.try_next().await? {
            let object = Object::from(found);
            memory_bytes += object.memory_bytes();
            if memory_bytes > self.memory_bytes {
                return Err(self.too_many(objects.len()));
            }
            objects.push(object);
        }
        if objects.is_empty() && !self.store.prefix_exists().await? {
            return Err(Error::config(format!("source `{}` does not exist", self.store.name())));
        }
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> Result<Bytes> {
        self.store.get_range(&object.name, range, Some(object.version())).await
    }

    fn open(&self, cuts: Cuts, shards: &[(&[Slice], &[Object])]) -> Result<Chunks> {
        fetch(&self.store, &self.directories, cuts, shards.iter().copied())
    }

    fn traffic(&self) -> Traffic {
        self.store.traffic()
    }
}
