//! Pending objects: written as a whole and not yet visible under their names.
//!
//! Owns how an object waits for its commit, and how it becomes visible without a copy. In a store with multipart
//! uploads, all parts are sent under the final name, and completing the upload makes the object visible. On local disk,
//! the object lies under another name and is renamed.

use std::io::{self, Write};

use bytes::Bytes;
use etl_core::{
    model::error::{Error, Result},
    runtime::fail_point,
};
use object_store::{Error as StoreError, ObjectStoreExt, multipart::PartId, path::Path};
use serde::{Deserialize, Serialize};

use crate::{
    Listed, Store,
    failure::{self, is_absent},
    open_uploads::OpenUpload,
    parts::{Begun, Note, Parts},
    upload::Upload,
    writing::UPLOAD_PARTS_IN_FLIGHT,
};

/// An object that is written and not yet visible under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// An upload under the object's name that is not completed.
    Upload {
        /// The upload's id.
        id: String,
        /// The ids of its parts, in order.
        parts: Vec<String>,
    },
    /// An object under another name.
    Staged {
        /// That name.
        key: String,
        /// The ETag that it had when it was written. A rename on local disk does not change it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        e_tag: Option<String>,
    },
}

/// Writes a pending object. An object that is dropped before [`PendingWriter::finish`] leaves nothing.
pub struct PendingWriter {
    store: Store,
    key: String,
    staged: String,
    note: Option<Note>,
    in_flight_max: usize,
    /// Begun with the first byte, so that an attempt that fails before it makes no request.
    target: Option<Target>,
    bytes: u64,
}

enum Target {
    Upload(Box<Parts>),
    Staged(Box<Upload>),
}

impl PendingWriter {
    /// Begins to write the object `key`. In a store without multipart uploads it waits under the name `staged`, which
    /// no other writer uses. Blocks, so it must not be used on a thread of the async runtime.
    pub fn new(store: &Store, key: &str, staged: &str, note: Note) -> Self {
        fail_point::reach("upload.begin");
        let (store, key, staged) = (store.clone(), key.to_owned(), staged.to_owned());
        let in_flight_max = UPLOAD_PARTS_IN_FLIGHT;
        Self { store, key, staged, note: Some(note), in_flight_max, target: None, bytes: 0 }
    }

    /// Makes it wait for each part of an upload before the next one is filled, so that it holds at most
    /// [`crate::UPLOAD_PART_BYTES`] instead of [`crate::UPLOAD_BYTES`]: for one who has many such writers.
    #[must_use]
    pub fn one_at_a_time(self) -> Self {
        Self { in_flight_max: 0, ..self }
    }

    /// Ends the writing. Returns the size in bytes, and how the object waits.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn finish(mut self) -> Result<(u64, Pending)> {
        fail_point::reach("upload.finish");
        self.target()?;
        let pending = match self.target.take() {
            Some(Target::Upload(parts)) => {
                let Begun { id, parts } = parts.finish()?;
                Pending::Upload { id, parts }
            }
            Some(Target::Staged(upload)) => {
                upload.finish()?;
                let found = self.store.wait(self.store.stat(&self.staged))?;
                Pending::Staged { e_tag: found.and_then(|found| found.e_tag), key: self.staged }
            }
            None => return Err(Error::internal("a pending object was never begun")),
        };
        fail_point::reach("upload.finished");
        Ok((self.bytes, pending))
    }

    fn target(&mut self) -> Result<&mut Target> {
        if self.target.is_none() {
            let begun = match self.note.take() {
                Some(note) => Parts::begin(&self.store, &self.key, note, self.in_flight_max)?,
                None => None,
            };
            self.target = Some(match begun {
                Some(parts) => Target::Upload(Box::new(parts)),
                None => {
                    Target::Staged(Box::new(Upload::new(&self.store, &self.staged).with_in_flight(self.in_flight_max)))
                }
            });
        }
        self.target.as_mut().ok_or_else(|| Error::internal("a pending object was never begun"))
    }
}

impl Write for PendingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.target().map_err(Error::into_io)? {
            Target::Upload(parts) => parts.push(bytes).map_err(Error::into_io)?,
            Target::Staged(upload) => upload.write_all(bytes)?,
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store {
    /// Makes a pending object of this size visible under its name. Idempotent: if the object is there already, that is
    /// what is returned. Returns `None` if the object is lost: neither pending nor there in this size.
    ///
    /// Only one who finalises may call this, under a name that nothing else is written under: completing replaces what
    /// has the name.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn complete(&self, key: &str, pending: &Pending, bytes: u64) -> Result<Option<Listed>> {
        let done = match pending {
            Pending::Upload { parts, .. } if parts.is_empty() => self.put(key, Bytes::new()).await.map(|()| true),
            Pending::Upload { id, parts } => self.complete_upload(key, id, parts).await,
            Pending::Staged { key: staged, .. } => self.publish_staged(staged, key, bytes).await,
        };
        let found = self.stat(key).await?.filter(|found| found.size == bytes);
        match (found, done) {
            (Some(found), _) => Ok(Some(found)),
            (None, Ok(_)) => Ok(None),
            (None, Err(error)) => Err(error),
        }
    }

    /// Returns whether the upload was completed; false if there is no such upload, which may have been completed
    /// before.
    async fn complete_upload(&self, key: &str, id: &str, parts: &[String]) -> Result<bool> {
        let Some(multipart) = &self.multipart else {
            return Err(Error::config(format!("`{}` has no uploads that could be completed", self.name())));
        };
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        self.meter.wrote(0);
        let complete = async { multipart.complete_multipart(&self.path(key)?, &id.to_owned(), parts).await };
        match complete.await {
            Ok(_) => Ok(true),
            Err(error) if failure::is_gone_upload(&error) => Ok(false),
            Err(error) => Err(self.failed("complete", key, &error)),
        }
    }

    /// Renames an object of this size. Returns whether there was one.
    async fn publish_staged(&self, staged: &str, key: &str, bytes: u64) -> Result<bool> {
        match self.stat(staged).await? {
            Some(found) if found.size == bytes => {}
            _ => return Ok(false),
        }
        if self.is_local() {
            let rename = async { self.inner.rename(&self.path(staged)?, &self.path(key)?).await };
            return match rename.await {
                Ok(()) => Ok(true),
                Err(StoreError::NotFound { .. }) => Ok(false),
                Err(error) => Err(self.failed("rename", staged, &error)),
            };
        }
        let copy = async { self.inner.copy(&self.path(staged)?, &self.path(key)?).await };
        copy.await.map_err(|error| self.failed("copy", staged, &error))?;
        // The answer to a copy may be wrong, so look before the original is deleted.
        let copied = self.stat(key).await?.is_some_and(|found| found.size == bytes);
        if copied {
            self.delete(staged).await?;
        }
        Ok(copied)
    }

    /// Drops a pending object that will not be completed. An object that is gone is not an error.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn discard(&self, key: &str, pending: &Pending) -> Result<()> {
        match pending {
            Pending::Upload { id, .. } => self.abort_upload(key, id).await,
            Pending::Staged { key, .. } => self.delete(key).await,
        }
    }

    /// Aborts all open uploads of objects below `prefix`, as far as the store lists them: S3 and Google Cloud Storage do.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn abort_uploads(&self, prefix: &str) -> Result<()> {
        let (Some(uploads), Some(multipart)) = (&self.uploads, &self.multipart) else { return Ok(()) };
        let abort = async {
            let below = format!("{}/", self.path(prefix)?);
            for OpenUpload { key, id } in uploads.list(&below).await? {
                match multipart.abort_multipart(&Path::parse(key)?, &id).await {
                    Err(error) if !failure::is_gone_upload(&error) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        abort.await.map_err(|error| self.failed("abort the uploads below", prefix, &error))
    }

    /// Aborts the upload of an object. An upload that is gone is not an error.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        let Some(multipart) = &self.multipart else { return Ok(()) };
        let abort = async { multipart.abort_multipart(&self.path(key)?, &id.to_owned()).await };
        match abort.await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) || failure::is_gone_upload(&error) => Ok(()),
            Err(error) => Err(self.failed("abort the upload of", key, &error)),
        }
    }
}
