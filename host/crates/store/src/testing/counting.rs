//! For tests: a store in memory that counts the requests made of it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

use crate::Store;

/// Counts of the requests.
#[derive(Debug, Default)]
pub struct Requests {
    /// Number of listings.
    pub lists: AtomicUsize,
    /// Number of requests for an object or a range of one.
    pub gets: AtomicUsize,
    /// Number of objects written.
    pub puts: AtomicUsize,
    gets_under_way: AtomicUsize,
    /// Maximum number of gets that were under way at the same time.
    pub gets_at_once: AtomicUsize,
}

impl Requests {
    fn get_starts(&self) {
        self.gets.fetch_add(1, SeqCst);
        self.gets_at_once.fetch_max(self.gets_under_way.fetch_add(1, SeqCst) + 1, SeqCst);
    }
}

/// Creates an empty store, and returns it with the counts of its requests.
pub fn counting() -> (Store, Arc<Requests>) {
    let requests = Arc::new(Requests::default());
    let counting = Counting { inner: InMemory::new(), requests: Arc::clone(&requests) };
    (Store::from_object_store(Arc::new(counting), Path::default(), "counting"), requests)
}

#[derive(Debug)]
struct Counting {
    inner: InMemory,
    requests: Arc<Requests>,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.requests.puts.fetch_add(1, SeqCst);
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.requests.get_starts();
        // Take long enough for a caller that wants more gets at the same time to start them.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let got = self.inner.get_opts(at, options).await;
        self.requests.gets_under_way.fetch_sub(1, SeqCst);
        got
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.requests.lists.fetch_add(1, SeqCst);
        self.inner.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
