//! Writing objects: in one piece or in parts, only if there is none; and deleting them.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use etl_core::model::error::{ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion, buffered::BufWriter};

use super::{
    Store,
    failure::{is_absent, is_unsupported},
};

/// Size in bytes of the parts of a multipart upload. A smaller object is one put. S3 takes at most 10,000 parts, which
/// make an object of about 80 GiB.
pub const UPLOAD_PART_BYTES: usize = 8 << 20;

/// Number of parts of one upload that may be under way.
pub(crate) const UPLOAD_PARTS_IN_FLIGHT: usize = 2;

/// Number of objects that are deleted at the same time.
const DELETES_IN_FLIGHT: usize = 16;

/// Memory in bytes that an upload holds: the parts under way and the part being filled.
pub const UPLOAD_BYTES: usize = (UPLOAD_PARTS_IN_FLIGHT + 1) * UPLOAD_PART_BYTES;

/// Number of tries of [`Store::create`] when the store says both that the object exists and that it does not.
const CREATE_TRIES: u32 = 3;

/// Outcome of creating an object that only one of several callers may create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// This caller created the object, which holds its bytes.
    Won,
    /// Another caller created the object, which holds these bytes.
    Lost(Bytes),
}

impl Store {
    /// Writes an object in one piece, replacing one that may exist. Readers see the old object or the new one, whole.
    /// When the answer is lost, the object is read back: if it holds these bytes, it was written.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for wrong credentials or a missing bucket; [`ErrorKind::Unavailable`] for errors that may
    /// pass.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        let put = async { self.inner.put(&self.path(key)?, bytes.clone().into()).await };
        let Err(error) = put.await else { return Ok(()) };
        let failed = self.failed("write", key, &error);
        match failed.kind() {
            ErrorKind::Unavailable if self.get(key).await.is_ok_and(|found| found == Some(bytes)) => Ok(()),
            _ => Err(failed),
        }
    }

    /// Writes an object if it is still what it was when it was read: `seen` is its ETag then, or `None` if there was no
    /// such object. Returns whether it was written. A store that cannot compare, such as local disk, writes it in any
    /// case, so callers read just before.
    ///
    /// # Errors
    /// As [`Store::put`]. It is unknown then whether the object was written.
    pub async fn put_if_unchanged(&self, key: &str, bytes: impl Into<Bytes>, seen: Option<&str>) -> Result<bool> {
        let bytes = bytes.into();
        let mode = match seen {
            None => PutMode::Create,
            Some(e_tag) => PutMode::Update(UpdateVersion { e_tag: Some(e_tag.to_owned()), version: None }),
        };
        let put = async { self.inner.put_opts(&self.path(key)?, bytes.clone().into(), mode.into()).await };
        match put.await {
            Ok(_) => Ok(true),
            Err(
                StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotModified { .. },
            ) => Ok(false),
            Err(error) if is_unsupported(&error) => self.put(key, bytes).await.map(|()| true),
            Err(error) => Err(self.failed("write", key, &error)),
        }
    }

    /// Creates an object unless there is one of this key: of all who try, in any process, exactly one wins.
    ///
    /// `bytes` must differ between those who try (an attempt's id in them is enough): when the answer to a put is lost,
    /// the object is read back, and the caller that finds its own bytes has won.
    ///
    /// In a store that [`Store::probe_creates`] found unable to create, this looks first and then writes. Of callers
    /// that try one after another, one wins; of callers that try at the same time, several may believe that they won.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the store does not offer to create and was not probed; otherwise as [`Store::put`].
    /// After such an error it is unknown whether the object was created, so call again.
    pub async fn create(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Created> {
        let bytes = bytes.into();
        if !self.creates_once.load(Ordering::Relaxed) {
            return self.look_and_put(key, bytes).await;
        }
        let mut tries = 1;
        loop {
            let put =
                async { self.inner.put_opts(&self.path(key)?, bytes.clone().into(), PutMode::Create.into()).await };
            let Err(error) = put.await else { return Ok(Created::Won) };
            let failed = self.failed("create", key, &error);
            if is_unsupported(&error) {
                return Err(failed.context("commits need a store that can create an object only if there is none"));
            }
            if failed.kind() != ErrorKind::Unavailable {
                return Err(failed);
            }
            match self.get(key).await {
                Ok(Some(found)) if found == bytes => return Ok(Created::Won),
                Ok(Some(found)) => return Ok(Created::Lost(found)),
                // Another caller's conditional put was under way, and then failed.
                Ok(None) if tries < CREATE_TRIES => tries += 1,
                Ok(None) | Err(_) => return Err(failed),
            }
        }
    }

    async fn look_and_put(&self, key: &str, bytes: Bytes) -> Result<Created> {
        match self.get(key).await? {
            Some(found) if found != bytes => Ok(Created::Lost(found)),
            Some(_) => Ok(Created::Won),
            None => self.put(key, bytes).await.map(|()| Created::Won),
        }
    }

    /// Returns a writer for an object of any size. The object appears, whole, when the writer is shut down. A writer
    /// that is dropped before leaves nothing but, on some stores, an unfinished upload. Holds at most [`UPLOAD_BYTES`].
    /// [`classify_io`](crate::classify_io) converts the writer's errors to the library's.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `key` is not a valid key.
    pub fn upload(&self, key: &str) -> Result<BufWriter> {
        let path = self.path(key).map_err(|error| self.failed("write", key, &error))?;
        let writer = BufWriter::with_capacity(Arc::clone(&self.inner), path, UPLOAD_PART_BYTES);
        Ok(writer.with_max_concurrency(UPLOAD_PARTS_IN_FLIGHT))
    }

    /// Deletes objects, several at the same time, as [`Store::delete`] does.
    ///
    /// # Errors
    /// As [`Store::put`]. Some of the objects may be deleted then.
    pub async fn delete_all(&self, keys: Vec<String>) -> Result<()> {
        let deletes = futures::stream::iter(keys).map(|key| async move { self.delete(&key).await });
        deletes.buffer_unordered(DELETES_IN_FLIGHT).try_collect().await
    }

    /// Deletes an object. A missing object is not an error.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let delete = async { self.inner.delete(&self.path(key)?).await };
        match delete.await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(self.failed("delete", key, &error)),
        }
    }
}
