//! A store that counts the requests made of it.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use etl_core::model::usage::Traffic;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};

/// Counts of requests and bytes. Shared by all handles on a store.
#[derive(Debug, Default)]
pub(super) struct Meter {
    reads: AtomicU64,
    writes: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    copies: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

impl Meter {
    /// Returns the counts so far.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            reads: self.reads.load(Relaxed),
            writes: self.writes.load(Relaxed),
            lists: self.lists.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            copies: self.copies.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
        }
    }

    /// Counts a listing that was not made through the store.
    pub(super) fn listed(&self) {
        self.lists.fetch_add(1, Relaxed);
    }

    /// Counts a write of so many bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.writes.fetch_add(1, Relaxed);
        self.written_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// A store and its meter. Counts requests when they are made, and read bytes when the store promises them.
#[derive(Debug)]
struct Metered {
    inner: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

/// Returns a store that counts requests on `meter` and passes them to `inner`.
pub(super) fn metered(inner: Arc<dyn ObjectStore>, meter: &Arc<Meter>) -> Arc<dyn ObjectStore> {
    Arc::new(Metered { inner, meter: Arc::clone(meter) })
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

// Methods with a default are passed on, too, because the store's own implementation is better than the default.
#[async_trait::async_trait]
impl ObjectStore for Metered {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.meter.wrote(payload.content_length());
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.meter.wrote(0);
        let inner = self.inner.put_multipart_opts(at, options).await?;
        Ok(Box::new(MeteredUpload { inner, meter: Arc::clone(&self.meter) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.meter.reads.fetch_add(1, Relaxed);
        let head = options.head;
        let found = self.inner.get_opts(at, options).await?;
        if !head {
            self.meter.read_bytes.fetch_add(found.range.end - found.range.start, Relaxed);
        }
        Ok(found)
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.reads.fetch_add(ranges.len() as u64, Relaxed);
        let found = self.inner.get_ranges(at, ranges).await?;
        self.meter.read_bytes.fetch_add(found.iter().map(|bytes| bytes.len() as u64).sum(), Relaxed);
        Ok(found)
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let meter = Arc::clone(&self.meter);
        let counted = at.inspect(move |_| _ = meter.deletes.fetch_add(1, Relaxed));
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.lists.fetch_add(1, Relaxed);
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.lists.fetch_add(1, Relaxed);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.lists.fetch_add(1, Relaxed);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.copies.fetch_add(1, Relaxed);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.copies.fetch_add(1, Relaxed);
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    meter: Arc<Meter>,
}

#[async_trait::async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.meter.wrote(data.content_length());
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.meter.wrote(0);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::{Store, UPLOAD_PART_BYTES};

    #[tokio::test]
    async fn every_request_and_its_bytes_are_counted_on_all_handles() {
        let store = Store::from_object_store(Arc::new(object_store::memory::InMemory::new()), Path::default(), "m");
        let other = store.clone();
        store.put("a", "12345").await.expect("written");
        other.create("b", "123").await.expect("created");
        assert_eq!(store.get("a").await.expect("read").map(|bytes| bytes.len()), Some(5));
        store.get_range("a", 1..3, None).await.expect("read");
        assert!(store.exists("b").await.expect("looked at"));
        store.list("").try_collect::<Vec<_>>().await.expect("listed");
        store.delete("b").await.expect("deleted");
        let expected =
            Traffic { reads: 3, writes: 2, lists: 1, deletes: 1, copies: 0, read_bytes: 7, written_bytes: 8 };
        assert_eq!(other.traffic(), expected);
    }

    #[tokio::test]
    async fn an_upload_in_parts_is_a_request_for_each() {
        let store = Store::from_object_store(Arc::new(object_store::memory::InMemory::new()), Path::default(), "m");
        let mut upload = store.upload("a").expect("opened");
        upload.write_all(&vec![b'x'; 2 * UPLOAD_PART_BYTES + 1]).await.expect("written");
        upload.shutdown().await.expect("written");
        let Traffic { writes, written_bytes, .. } = store.traffic();
        assert_eq!((writes, written_bytes), (5, 2 * UPLOAD_PART_BYTES as u64 + 1), "three parts, begin and end");
    }
}
