//! Listing objects below a prefix.

use etl_core::model::{
    error::Result,
    object::{Compression, Object},
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, path::Path};

use super::Store;

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
    /// they are being written.
    ///
    /// # Errors
    /// As [`Store::get`]. The error is an item of the stream, which then ends.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed>> {
        let path = match self.path(prefix) {
            Ok(path) => path,
            Err(error) => return futures::stream::iter([Err(self.failed("list", prefix, &error))]).boxed(),
        };
        let (store, prefix) = (self.clone(), prefix.to_owned());
        let listing = self.inner.list(Some(&path)).map(move |found| match found {
            Ok(meta) => {
                let key = store.relative(&meta.location);
                Ok(key.map(|key| Listed { key, size: meta.size, e_tag: meta.e_tag }))
            }
            Err(error) => Err(store.failed("list", &prefix, &error)),
        });
        listing.try_filter_map(|listed| std::future::ready(Ok(listed))).boxed()
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
        let list = async { self.inner.list_with_delimiter(Some(&self.path(prefix)?)).await };
        let found = list.await.map_err(|error| self.failed("list", prefix, &error))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = found.common_prefixes.iter().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the key of an object, or `None` for the prefix itself, an object that some tools write to mark a
    /// directory.
    fn relative(&self, path: &Path) -> Option<String> {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref())?;
        let key = below.strip_prefix('/').unwrap_or(below);
        (!key.is_empty()).then(|| key.to_owned())
    }
}
