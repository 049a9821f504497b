//! A place in a store where one promise is tested: what a store does, done patiently.

use std::{io::Write, ops::Range};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        object::Version,
    },
    runtime::threads,
};
use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use crate::{Created, Listed, Pending, Store, classify_io, pending::PendingWriter, upload::Upload};

/// Size in bytes of the pieces that an upload is written in. No part is a multiple of it.
const PIECE_BYTES: usize = 1_000_003;

/// A store for one promise alone, and the patience with its failures. The methods are those of [`Store`].
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The store, for what does not fail and for what must not be done again.
    pub(super) store: Store,
    tries: u32,
}

impl Place {
    /// Returns the part of `store` below the promise's name.
    pub(super) fn new(store: &Store, promise: &str, tries: u32) -> Self {
        let directory = store.directory.as_deref().map(|directory| directory.join(promise).into());
        let store = Store { prefix: store.prefix.clone().join(promise), directory, ..store.clone() };
        Self { store, tries }
    }

    /// Returns the place one level up, and the key that this place has there.
    pub(super) fn parent(&self) -> (Self, String) {
        let (store, key) = self.store.parent().expect("a place is below its store");
        (Self { store, tries: self.tries }, key)
    }

    /// Does an operation, and does it again if it fails in passing and patience is left.
    pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(&self, operation: impl Fn() -> F) -> Result<T> {
        let mut tries = 1;
        loop {
            match operation().await {
                Err(error) if error.kind() == ErrorKind::Unavailable && tries < self.tries => tries += 1,
                settled => return settled,
            }
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.patiently(|| self.store.get(key)).await
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>, of: Option<Version<'_>>) -> Result<Bytes> {
        self.patiently(|| self.store.get_range(key, range.clone(), of)).await
    }

    pub(super) async fn stat(&self, key: &str) -> Result<Option<Listed>> {
        self.patiently(|| self.store.stat(key)).await
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool> {
        self.patiently(|| self.store.exists(key)).await
    }

    pub(super) async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        self.patiently(|| self.store.put(key, bytes.clone())).await
    }

    pub(super) async fn create(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Created> {
        let bytes = bytes.into();
        self.patiently(|| self.store.create(key, bytes.clone())).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        self.patiently(|| self.store.delete(key)).await
    }

    pub(super) async fn complete(&self, key: &str, pending: &Pending, bytes: u64) -> Result<Option<Listed>> {
        self.patiently(|| self.store.complete(key, pending, bytes)).await
    }

    pub(super) async fn discard(&self, key: &str, pending: &Pending) -> Result<()> {
        self.patiently(|| self.store.discard(key, pending)).await
    }

    /// Writes a pending object, on a thread that may block, as a worker does.
    pub(super) async fn write_pending(&self, key: &str, staged: &str, bytes: &Bytes) -> Result<Pending> {
        let write = async || {
            let (store, key, staged, bytes) = (self.store.clone(), key.to_owned(), staged.to_owned(), bytes.clone());
            let size = bytes.len() as u64;
            let written = threads::run(move || begin_pending(&store, &key, &staged, &bytes)?.finish()).await??;
            assert_eq!(written.0, size);
            Ok(written.1)
        };
        self.patiently(write).await
    }

    /// Writes a pending object through a writer that is dropped before its end.
    pub(super) async fn drop_pending(&self, key: &str, staged: &str, bytes: &Bytes) -> Result<()> {
        let write = async || {
            let (store, key, staged, bytes) = (self.store.clone(), key.to_owned(), staged.to_owned(), bytes.clone());
            threads::run(move || begin_pending(&store, &key, &staged, &bytes).map(drop)).await?
        };
        self.patiently(write).await
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        self.patiently(|| self.store.list(prefix).try_collect()).await
    }

    pub(super) async fn list_keys(&self, prefix: &str) -> Result<Vec<String>> {
        self.patiently(|| self.store.list_keys(prefix)).await
    }

    pub(super) async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        self.patiently(|| self.store.list_prefixes(prefix)).await
    }

    /// Writes an object through the writer of [`Store::upload`].
    pub(super) async fn upload(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let write = async || {
            let mut writer = self.store.upload(key)?;
            for piece in bytes.chunks(PIECE_BYTES) {
                writer.write_all(piece).await.map_err(classify_io)?;
            }
            writer.shutdown().await.map_err(classify_io)
        };
        self.patiently(write).await
    }

    /// Writes an object through an [`Upload`], on a thread that may block, as a worker does.
    pub(super) async fn upload_on_thread(&self, key: &str, bytes: &Bytes) -> Result<u64> {
        let write = async || {
            let (store, key, bytes) = (self.store.clone(), key.to_owned(), bytes.clone());
            threads::run(move || begin(&store, &key, &bytes)?.finish()).await?
        };
        self.patiently(write).await
    }

    /// Writes an object through an [`Upload`] that is dropped before its end.
    pub(super) async fn drop_upload(&self, key: &str, bytes: &Bytes) -> Result<()> {
        let write = async || {
            let (store, key, bytes) = (self.store.clone(), key.to_owned(), bytes.clone());
            threads::run(move || begin(&store, &key, &bytes).map(drop)).await?
        };
        self.patiently(write).await
    }
}

/// Returns the writer of a pending object that holds `bytes` and is not finished.
fn begin_pending(store: &Store, key: &str, staged: &str, bytes: &[u8]) -> Result<PendingWriter> {
    let mut writer = PendingWriter::new(store, key, staged, Box::new(|_| Ok(())));
    for piece in bytes.chunks(PIECE_BYTES) {
        writer.write_all(piece).map_err(Error::from_io)?;
    }
    Ok(writer)
}

/// Returns an upload that holds `bytes` and is not finished.
fn begin(store: &Store, key: &str, bytes: &[u8]) -> Result<Upload> {
    let mut upload = Upload::new(store, key);
    for piece in bytes.chunks(PIECE_BYTES) {
        upload.write_all(piece).map_err(Error::from_io)?;
    }
    Ok(upload)
}
