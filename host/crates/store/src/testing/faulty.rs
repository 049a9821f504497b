//! For tests: a store in memory that fails as the test chooses.

use std::sync::Arc;

use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

use crate::Store;

/// Effect on a put.
#[derive(Debug, Clone, Copy)]
pub enum Puts {
    /// The put fails, and listings fail too.
    Fail(fn() -> StoreError),
    /// The put does its work, then seems to fail.
    Lost(fn() -> StoreError),
    /// The put ignores that the object must be new.
    WithoutCondition,
    /// The put fails if the object must be new.
    NoCreate(fn() -> StoreError),
}

/// Creates an empty store called `faulty`.
pub fn faulty(puts: Puts) -> Store {
    Store::from_object_store(Arc::new(Faulty { inner: InMemory::new(), puts }), Path::default(), "faulty")
}

/// Returns the error of a server that says `text`.
pub fn server(text: &str) -> StoreError {
    StoreError::Generic { store: "S3", source: text.into() }
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    puts: Puts,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.puts {
            Puts::Fail(error) => Err(error()),
            Puts::Lost(error) => {
                self.inner.put_opts(at, payload, options).await?;
                Err(error())
            }
            Puts::WithoutCondition => self.inner.put_opts(at, payload, PutMode::Overwrite.into()).await,
            Puts::NoCreate(error) if options.mode == PutMode::Create => Err(error()),
            Puts::NoCreate(_) => self.inner.put_opts(at, payload, options).await,
        }
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.inner.get_opts(at, options).await;
        // Let other callers go on while the answer is on its way.
        tokio::task::yield_now().await;
        got
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.puts {
            Puts::Fail(error) => futures::stream::iter([Err(error())]).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
