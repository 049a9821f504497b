//! Listing objects below a prefix.

use etl_core::model::{
    error::{Error, Result},
    object::{Compression, Object},
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, path::Path};

use super::{
    Store,
    misfits::{self, flaw, is_misfit},
};

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key of the object, relative to the store's prefix.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// ETag, which changes when the object does. `None` if the store has no such thing.
    pub e_tag: Option<String>,
}

impl From<Listed> for Object {
    fn from(found: Listed) -> Self {
        let compression = Compression::of(&found.key);
        Self { name: found.key, size: found.size, e_tag: found.e_tag, compression }
    }
}

impl Store {
    /// Lists all objects below `prefix` (empty for the whole store), in no particular order.
    ///
    /// A local file whose name ends with `#` and digits is not listed, because the store names files this way while
    /// they are being written; [`Store::list_wanted`] is for files of others.
    ///
    /// # Errors
    /// As [`Store::get`]; [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) for an object whose key is no
    /// path. The error is an item of the stream.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed>> {
        self.list_those(prefix, |_| true)
    }

    /// Lists the wanted objects below `prefix`. A wanted object that cannot be read is an error.
    pub(super) fn list_those(
        &self,
        prefix: &str,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> BoxStream<'static, Result<Listed>> {
        let path = match Path::parse(format!("{}/{prefix}", self.prefix)) {
            Ok(path) => path,
            Err(error) => return stream::iter([Err(self.failed("list", prefix, &error.into()))]).boxed(),
        };
        let (store, prefix) = (self.clone(), prefix.to_owned());
        let listing = self.inner.list(Some(&path)).map(move |found| match found {
            Ok(meta) => store.listed(meta, &wanted).transpose(),
            Err(error) => Some(Err(store.failed("list", &prefix, &error))),
        });
        listing.filter_map(std::future::ready).boxed()
    }

    /// Returns the entry of an object, or `None` for one that is not wanted, and for the empty objects that some tools
    /// write to mark a directory.
    fn listed(&self, meta: ObjectMeta, wanted: &impl Fn(&str) -> bool) -> Result<Option<Listed>> {
        let whole = misfits::key_of(&meta.location);
        let Some(key) = self.relative(&whole).filter(|key| wanted(key)) else { return Ok(None) };
        match is_misfit(&whole) {
            true if whole.ends_with('/') && meta.size == 0 => Ok(None),
            true => Err(Error::config(format!(
                "cannot read `{}`, because its key {}: give the object another key",
                self.locate(&key),
                flaw(&whole)
            ))),
            // Another mark of a directory, which is the prefix itself.
            false if key.is_empty() => Ok(None),
            false => Ok(Some(Listed { key, size: meta.size, e_tag: meta.e_tag })),
        }
    }

    /// Returns the keys of all objects below `prefix`, sorted.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn list_keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = self.list(prefix).map_ok(|listed| listed.key).try_collect().await?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// Returns the next part of each longer key below `prefix`: the names of what would be its subdirectories. Sorted.
    /// Local disk also names directories that are empty.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        let path = Path::parse(format!("{}/{prefix}", self.prefix)).map_err(StoreError::from);
        let list = async { self.inner.list_with_delimiter(Some(&path?)).await };
        let found = list.await.map_err(|error| self.failed("list", prefix, &error))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = found.common_prefixes.iter().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Returns a key relative to the store's prefix. Returns `None` for a key that is not below the prefix.
    fn relative(&self, key: &str) -> Option<String> {
        let below = key.strip_prefix(self.prefix.as_ref())?;
        Some(below.strip_prefix('/').unwrap_or(below).to_owned())
    }
}
