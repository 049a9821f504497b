//! Reading objects: whole, by range and version, or only what a listing would say of them.

use std::ops::Range;

use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result},
    object::Version,
};
use object_store::{Error as StoreError, GetOptions, GetRange, GetResult, ObjectStoreExt};

use super::{
    Listed, Store,
    failure::{is_absent, says_not_why},
};

impl Store {
    /// Returns all bytes of an object, or `None` if there is no such object.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for wrong credentials or a missing bucket; [`ErrorKind::Unavailable`] for errors that may
    /// pass.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        match self.read(key, GetOptions::default()).await {
            Ok((size, bytes)) if bytes.len() as u64 == size => Ok(Some(bytes)),
            Ok(_) => Err(self.cut_short(key)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("read", key, &error)),
        }
    }

    /// Returns the bytes of `range`, which must lie within the object and may be empty. If `version` is given, the
    /// bytes are of that version.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] when the object is gone, shorter or another version by now; otherwise as [`Store::get`].
    pub async fn get_range(&self, key: &str, range: Range<u64>, version: Option<Version<'_>>) -> Result<Bytes> {
        if range.is_empty() {
            return self.empty_range(key, range.end, version).await;
        }
        let if_match = version.and_then(|version| version.e_tag).map(str::to_owned);
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), if_match, ..GetOptions::default() };
        let read = self.read(key, options).await;
        let size = match &read {
            Ok((size, _)) => Some(*size),
            // Stores refuse a range beyond the end with all kinds of errors, so the size tells whether that is the
            // cause.
            Err(_) => self.stat(key).await.ok().flatten().map(|found| found.size),
        };
        let is_other = |size| size < range.end || version.is_some_and(|version| version.size != size);
        match read {
            _ if size.is_some_and(is_other) => Err(self.changed(key, "changed")),
            Ok((_, bytes)) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(self.cut_short(key)),
            Err(StoreError::Precondition { .. }) => Err(self.changed(key, "changed")),
            Err(error) if is_absent(&error) => Err(self.changed(key, "was deleted")),
            Err(error) => Err(self.failed("read", key, &error)),
        }
    }

    /// Returns no bytes, if the object has at least `size` of them and is of the version. No store takes a request for
    /// an empty range.
    async fn empty_range(&self, key: &str, size: u64, version: Option<Version<'_>>) -> Result<Bytes> {
        let Some(found) = self.stat(key).await? else { return Err(self.changed(key, "was deleted")) };
        let e_tag = version.and_then(|version| version.e_tag);
        let is_other = version.is_some_and(|version| version.size != found.size)
            || (e_tag.is_some() && found.e_tag.is_some() && e_tag != found.e_tag.as_deref());
        if found.size < size || is_other { Err(self.changed(key, "changed")) } else { Ok(Bytes::new()) }
    }

    fn changed(&self, key: &str, how: &str) -> Error {
        Error::changed(format!("object `{key}` of `{}` {how} since the run was planned", self.name))
    }

    /// Returns an object's size and the requested bytes.
    async fn read(&self, key: &str, options: GetOptions) -> Result<(u64, Bytes), StoreError> {
        let found = self.inner.get_opts(&self.path(key)?, options).await?;
        let size = found.meta.size;
        Ok((size, found.bytes().await?))
    }

    fn cut_short(&self, key: &str) -> Error {
        Error::new(ErrorKind::Unavailable, anyhow::anyhow!("`{key}` of `{}` was cut short in transit", self.name))
    }

    /// Returns the listing entry of an object, or `None` if there is no such object.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn stat(&self, key: &str) -> Result<Option<Listed>> {
        let head = async { self.inner.head(&self.path(key)?).await };
        match head.await {
            Ok(meta) => Ok(Some(Listed { key: key.to_owned(), size: meta.size, e_tag: meta.e_tag })),
            Err(error) if is_absent(&error) => Ok(None),
            // A directory may have a name that no object can have.
            Err(_) if self.is_directory(key).await => Ok(None),
            Err(error) if says_not_why(&error) => self.stat_by_reading(key).await,
            Err(error) => Err(self.failed("read", key, &error)),
        }
    }

    /// Does what [`Store::stat`] does by beginning to read the object. If that fails, the answer says why, and if it does
    /// not fail, the trouble has passed.
    async fn stat_by_reading(&self, key: &str) -> Result<Option<Listed>> {
        let read = async { self.inner.get_opts(&self.path(key)?, GetOptions::default()).await };
        match read.await {
            Ok(GetResult { meta, .. }) => Ok(Some(Listed { key: key.to_owned(), size: meta.size, e_tag: meta.e_tag })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("read", key, &error)),
        }
    }

    /// Returns whether there is an object with this key.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.stat(key).await?.is_some())
    }
}
