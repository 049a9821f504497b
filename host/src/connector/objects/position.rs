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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use etl_core::model::{
        error::ErrorKind,
        object::{Object, Slice},
        schema::Schema,
    };
    use etl_format::{ParquetSink, PartWriter, SinkFormat, SourceFormat};
    use etl_store::testing::counting::counting;

    use super::*;
    use crate::connector::{Source, objects::ObjectSource};

    const ROWS: i64 = 10_000;

    /// Returns Parquet with a row group for each thousand rows.
    fn parquet() -> Vec<u8> {
        let columns = ["a", "b", "c"].map(|name| (name, Arc::new(Int64Array::from_iter(0..ROWS)) as ArrayRef, true));
        let rows = RecordBatch::try_from_iter_with_nullable(columns).expect("rows");
        let sink = ParquetSink { row_group_rows: 1000, ..ParquetSink::default() };
        let format = SinkFormat::new("parquet").and_then(|format| format.with_parquet(sink)).expect("a format");
        let schema = Schema { fields: rows.schema(), key_fields: 0 };
        let mut part = PartWriter::new(format, &schema, Vec::new()).expect("begins");
        part.write(&rows).expect("writes");
        part.finish().expect("finishes")
    }

    fn slices(object: &Object, count: u64) -> Vec<Slice> {
        let cut = |number: u64| object.size * number / count;
        let slice =
            |number| Slice { object: object.name.clone(), offset: cut(number), length: cut(number + 1) - cut(number) };
        (0..count).map(slice).collect()
    }

    /// Reads slices as the shards of a task. Returns the number of rows.
    async fn read(source: &ObjectSource, slices: &[Slice], objects: &[Object]) -> Result<usize> {
        let schema = Schema::parse(&["c=int64".to_owned(), "a=int64".to_owned()], 0).expect("a schema");
        let format = SourceFormat::new("parquet", Some(schema.into())).expect("a format");
        let shards: Vec<_> = slices.iter().map(|slice| (std::slice::from_ref(slice), objects)).collect();
        let mut chunks = source.open(format.cuts(), &shards)?;
        let count = shards.len();
        let read = move || {
            let mut rows = 0;
            for _ in 0..count {
                let mut decoder = format.decoder(Box::new(chunks.by_ref()))?;
                while let Some(batch) = decoder.next_batch()? {
                    rows += batch.batch.num_rows();
                }
                drop(decoder);
                chunks.next_shard();
            }
            Ok(rows)
        };
        tokio::task::spawn_blocking(read).await.expect("no panic")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn row_groups_are_read_once_each_with_few_requests_and_one_directory() {
        let (store, requests) = counting();
        let bytes = parquet();
        let size = bytes.len() as u64;
        store.put("a.parquet", bytes).await.expect("writes");
        let source = ObjectSource::new(store.clone(), &[]).expect("a source");
        let objects = source.list().await.expect("lists");
        for count in [1, 3, 10, 100] {
            let slices = slices(&objects[0], count);
            assert_eq!(read(&source, &slices, &objects).await.expect("reads"), ROWS as usize, "{count} slices");
        }
        let gets = requests.gets.load(SeqCst);
        // One for each row group, whose columns are near each other, in each of the four reads; and the object's end
        // for the slices that are opened before the directory is known.
        assert!((40..=48).contains(&gets), "{gets} requests");
        assert!(store.traffic().read_bytes < 5 * size + 8 * size.min(64 << 10));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_object_that_changed_since_it_was_listed_is_an_error() {
        let (store, _) = counting();
        store.put("a.parquet", parquet()).await.expect("writes");
        let source = ObjectSource::new(store.clone(), &[]).expect("a source");
        let objects = source.list().await.expect("lists");
        store.put("a.parquet", b"something else".to_vec()).await.expect("writes");
        let error = read(&source, &slices(&objects[0], 1), &objects).await.expect_err("changed");
        assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_local_object_is_read_by_the_thread_that_needs_it() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("a.parquet"), parquet()).expect("writes");
        let location = etl_store::Location::local(directory.path()).expect("a location");
        let source = ObjectSource::open(&location, &[], &Default::default()).await.expect("opens");
        let objects = source.list().await.expect("lists");
        for count in [1, 7] {
            let slices = slices(&objects[0], count);
            assert_eq!(read(&source, &slices, &objects).await.expect("reads"), ROWS as usize);
        }
    }
}
