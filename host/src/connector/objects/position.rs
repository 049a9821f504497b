//! Fetching the bytes of objects that are read by position.
//!
//! Owns the starts or ends of objects, which are fetched ahead for the slices of a task, and the ranges that a format announces.
//! Which ranges these are, and how many bytes of them are fetched and not read, is the format's.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{Error, Result},
        object::Version,
    },
    runtime::threads,
};
use etl_format::{Directories, First, ReadAt, Section};
use etl_store::Store;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::fetch::{GETS_IN_FLIGHT, Read};

/// Makes the sections of slices.
pub(super) struct Sections {
    store: Store,
    directories: Arc<Directories>,
    /// Which bytes of an object are fetched first.
    first: First,
    /// Requests that may still be made at a time.
    gets: Arc<Semaphore>,
}

impl Sections {
    pub(super) fn new(store: Store, directories: Arc<Directories>, first: First) -> Self {
        Self { store, directories, first, gets: Arc::new(Semaphore::new(GETS_IN_FLIGHT)) }
    }

    /// Returns the section of a slice. In a remote store, the first bytes that are read of its object are there.
    pub(super) async fn section(&self, read: &Read) -> Result<Section> {
        let object = Object {
            store: self.store.clone(),
            name: Arc::clone(&read.object),
            size: read.size,
            e_tag: read.e_tag.clone(),
        };
        let first = self.first.range(read.size);
        let bytes = Arc::new(Positions {
            object: Arc::new(object),
            gets: Arc::clone(&self.gets),
            runtime: threads::runtime(),
            first: Mutex::default(),
            announced: Mutex::default(),
        });
        let section = Section {
            object: Arc::clone(&read.object),
            size: read.size,
            compression: read.compression,
            range: read.offset..read.end,
            bytes: Arc::clone(&bytes) as Arc<dyn ReadAt>,
            version: read.e_tag.as_deref().map(Arc::from),
            directories: Arc::clone(&self.directories),
        };
        if !self.store.is_local() && !section.knows_directory() {
            let fetched = bytes.object.get(first.clone()).await?;
            *bytes.first.lock().unwrap_or_else(PoisonError::into_inner) = Some((first, fetched));
        }
        Ok(section)
    }
}

/// One version of an object.
struct Object {
    store: Store,
    name: Arc<str>,
    size: u64,
    e_tag: Option<String>,
}

impl Object {
    async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        let version = Version { size: self.size, e_tag: self.e_tag.as_deref() };
        self.store.get_range(&self.name, range, Some(version)).await
    }
}

/// The bytes of an object, by position.
struct Positions {
    object: Arc<Object>,
    gets: Arc<Semaphore>,
    runtime: Handle,
    /// The bytes that are fetched first, until they are read.
    first: Mutex<Option<(Range<u64>, Bytes)>>,
    announced: Mutex<HashMap<Range<u64>, AbortOnDropHandle<Result<Bytes>>>>,
}

impl Positions {
    fn start(&self, range: Range<u64>) -> JoinHandle<Result<Bytes>> {
        let (object, gets) = (Arc::clone(&self.object), Arc::clone(&self.gets));
        self.runtime.spawn(async move {
            let _permit = gets.acquire_owned().await;
            object.get(range).await
        })
    }
}

impl ReadAt for Positions {
    fn ahead(&self, ranges: &[Range<u64>]) {
        if self.object.store.is_local() {
            return ranges.iter().for_each(|range| self.object.store.advise(&self.object.name, range.clone()));
        }
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        for range in ranges {
            announced.entry(range.clone()).or_insert_with(|| AbortOnDropHandle::new(self.start(range.clone())));
        }
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, bytes)) = first.filter(|(first, _)| *first == range) {
            return Ok(bytes);
        }
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(&range);
        match announced {
            Some(fetched) => {
                let fetched = threads::wait(fetched);
                fetched.unwrap_or_else(|_| Err(Error::internal("the fetch of a range ended early")))
            }
            None => self.object.store.wait(self.object.get(range)),
        }
    }

    fn is_there(&self, range: &Range<u64>) -> bool {
        let is_first = |first: &Option<(Range<u64>, Bytes)>| first.as_ref().is_some_and(|(first, _)| first == range);
        let is_fetched = || {
            let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            announced.get(range).is_some_and(|fetch| fetch.is_finished())
        };
        self.object.store.is_local()
            || is_first(&self.first.lock().unwrap_or_else(PoisonError::into_inner))
            || is_fetched()
    }
}
