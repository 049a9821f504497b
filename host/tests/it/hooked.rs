//! A store in memory with a hook around each of its writes.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use etl_store::Store;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};

/// A write of the object with this key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    Put(String),
    /// The begin of an upload.
    Begin(String),
    /// A part of an upload.
    Part(String),
    /// The end of an upload.
    Complete(String),
    /// A copy to the object.
    Copy(String),
    Delete(String),
}

impl Write {
    /// Returns the object's key.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Put(key)
            | Self::Begin(key)
            | Self::Part(key)
            | Self::Complete(key)
            | Self::Copy(key)
            | Self::Delete(key) => key,
        }
    }
}

/// Functions that are called around each write.
#[async_trait::async_trait]
pub(crate) trait Hook: Debug + Send + Sync + 'static {
    /// Called before a write. If this function fails, the write does not happen.
    async fn before(&self, _write: &Write) -> Result<()> {
        Ok(())
    }

    /// Called after a write, whether it has worked or not. If this function fails, the store's answer is lost.
    async fn after(&self, _write: &Write, _worked: bool) -> Result<()> {
        Ok(())
    }
}

/// A store in memory, with its hook.
#[derive(Debug)]
pub(crate) struct Hooked<H> {
    pub(crate) inner: InMemory,
    pub(crate) hook: Arc<H>,
}

impl<H: Hook> Hooked<H> {
    pub(crate) fn new(hook: H) -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), hook: Arc::new(hook) })
    }

    /// Returns a store of the host for the objects below `prefix`.
    pub(crate) fn below(self: &Arc<Self>, prefix: &str) -> Store {
        let store = Store::from_object_store(Arc::clone(self) as Arc<dyn ObjectStore>, Path::from(prefix), prefix);
        store.with_multipart(Arc::clone(self) as Arc<dyn MultipartStore>)
    }

    /// Reads an object, which must exist.
    pub(crate) async fn read(&self, key: &str) -> Vec<u8> {
        let found = self.inner.get_opts(&Path::from(key), GetOptions::default()).await.expect(key);
        found.bytes().await.expect("it is in memory").to_vec()
    }
}

async fn around<T>(hook: &impl Hook, write: Write, work: impl Future<Output = Result<T>>) -> Result<T> {
    hook.before(&write).await?;
    let done = work.await;
    hook.after(&write, done.is_ok()).await?;
    done
}

impl<H> fmt::Display for Hooked<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hooked")
    }
}

#[async_trait::async_trait]
impl<H: Hook> ObjectStore for Hooked<H> {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        around(&*self.hook, Write::Put(at.to_string()), self.inner.put_opts(at, payload, options)).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(at, options).await?;
        Ok(Box::new(HookedUpload { inner, key: at.to_string(), hook: Arc::clone(&self.hook) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let hook = Arc::clone(&self.hook);
        let hooked = at.and_then(move |path| {
            let hook = Arc::clone(&hook);
            async move { hook.before(&Write::Delete(path.to_string())).await.map(|()| path) }
        });
        self.inner.delete_stream(hooked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        around(&*self.hook, Write::Copy(to.to_string()), self.inner.copy_opts(from, to, options)).await
    }
}

#[async_trait::async_trait]
impl<H: Hook> MultipartStore for Hooked<H> {
    async fn create_multipart(&self, at: &Path) -> Result<MultipartId> {
        around(&*self.hook, Write::Begin(at.to_string()), self.inner.create_multipart(at)).await
    }

    async fn put_part(&self, at: &Path, id: &MultipartId, number: usize, part: PutPayload) -> Result<PartId> {
        around(&*self.hook, Write::Part(at.to_string()), self.inner.put_part(at, id, number, part)).await
    }

    async fn complete_multipart(&self, at: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = self.inner.complete_multipart(at, id, parts);
        around(&*self.hook, Write::Complete(at.to_string()), complete).await
    }

    async fn abort_multipart(&self, at: &Path, id: &MultipartId) -> Result<()> {
        self.inner.abort_multipart(at, id).await
    }
}

#[derive(Debug)]
struct HookedUpload<H> {
    inner: Box<dyn MultipartUpload>,
    key: String,
    hook: Arc<H>,
}

#[async_trait::async_trait]
impl<H: Hook> MultipartUpload for HookedUpload<H> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, hook, write) = (self.inner.put_part(data), Arc::clone(&self.hook), Write::Part(self.key.clone()));
        Box::pin(async move { around(&*hook, write, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        around(&*self.hook, Write::Complete(self.key.clone()), self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
