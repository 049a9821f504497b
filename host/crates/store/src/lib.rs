//! Object stores: one handle over local disk, memory, S3, Google Cloud Storage and Azure.
//!
//! Owns how a store is opened, what each operation promises, and the classing of a store's errors: wrong credentials
//! are for the operator to fix, a store that does not answer is tried again. Does not know what a key means; `layout`
//! does. Plan, commit, shuffle, source and sink do all their I/O through [`Store`].

use std::{
    collections::BTreeMap,
    io,
    num::NonZeroU64,
    ops::Range,
    path::Path as LocalPath,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, buffered::BufWriter, path::Path,
};

use etl_core::{
    model::{
        error::{Error, ErrorContext, ErrorKind, Result},
        object::{Compression, Object, Version},
        usage::Traffic,
    },
    runtime::threads,
};

mod failure;
mod location;
mod metered;
mod open;
mod probe;
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod upload;

use self::metered::{Meter, metered};
pub use failure::classify_io;
pub use location::Location;
pub use probe::Creates;

/// Size in bytes of the parts of a multipart upload. A smaller object is one put. S3 takes at most 10,000 parts, which
/// make an object of about 80 GiB.
pub const UPLOAD_PART_BYTES: usize = 8 << 20;

/// Number of parts of one upload that may be under way.
const UPLOAD_PARTS_IN_FLIGHT: usize = 2;

/// Memory in bytes that an upload holds: the parts under way and the part being filled.
pub const UPLOAD_BYTES: usize = (UPLOAD_PARTS_IN_FLIGHT + 1) * UPLOAD_PART_BYTES;

/// Number of tries of [`Store::create`] when the store says both that the object exists and that it does not.
const CREATE_TRIES: u32 = 3;

/// An object store and the prefix in it that keys are relative to. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    name: Arc<str>,
    /// Directory of the prefix, in a local store.
    directory: Option<Arc<LocalPath>>,
    /// Whether the store refuses to create an object that exists. Assumed until [`Store::probe_creates`] finds out.
    creates_once: Arc<AtomicBool>,
    /// Counts the requests to the store.
    meter: Arc<Meter>,
}

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

/// Outcome of creating an object that only one of several callers may create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// This caller created the object, which holds its bytes.
    Won,
    /// Another caller created the object, which holds these bytes.
    Lost(Bytes),
}

impl Store {
    /// Opens the store at `location`. Does no I/O and creates nothing.
    ///
    /// Schemes: `file`, `memory`, `s3`, `s3a`, `gs`, `az`, `azure`, `adl`, `abfs`, `abfss`, and `https` for the hosts
    /// of S3, R2 and Azure. `options` are the configuration keys of the `object_store` crate, in upper or lower case.
    /// Keys that belong to another kind of store are ignored, because one set of options serves all stores of a
    /// pipeline. Settings that `options` leaves out are taken from the environment, as `AWS_…`, `GOOGLE_…` and
    /// `AZURE_…`. `memory://NAME/` is the same store everywhere in this process.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unknown scheme or option, or a value that an option does not take.
    pub fn open(location: &Location, options: &BTreeMap<String, String>) -> Result<Self> {
        let opened =
            open::open(&location.url, options).context(|| format!("cannot open the store `{}`", location.written))?;
        let store = Self::from_object_store(opened.store, opened.prefix, &location.written);
        Ok(Self { directory: opened.directory.map(Into::into), ..store })
    }

    /// Creates a store on top of any implementation. Messages call it `name`.
    pub fn from_object_store(inner: Arc<dyn ObjectStore>, prefix: Path, name: &str) -> Self {
        let (creates_once, meter) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let inner = metered(inner, &meter);
        Self { inner, prefix, name: name.into(), directory: None, creates_once, meter }
    }

    /// Returns a handle on the store that syncs its writes on local disk: an object that was written survives a power
    /// cut, and so does everything written before it. Stores on a network do that anyway.
    #[must_use]
    pub fn synced(&self) -> Self {
        // Sync every write, even one that is not worth the wait, because it may be the one that creates a directory.
        match self.directory {
            Some(_) => Self { inner: metered(open::local(true), &self.meter), ..self.clone() },
            None => self.clone(),
        }
    }

    /// Returns the traffic on this store through all of its handles.
    pub fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }

    /// Returns the store's URL as the operator wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where a key lies, for messages: the store's name and the key.
    pub fn locate(&self, key: &str) -> String {
        format!("{}/{key}", self.name.trim_end_matches('/'))
    }

    /// Waits for an operation of this store. Must be called only on threads that may block. In a local store, the
    /// calling thread does the operation itself.
    pub fn wait<F: Future>(&self, work: F) -> F::Output {
        if self.is_local() { threads::wait(work) } else { threads::wait_on_runtime(work) }
    }

    /// Advises the disk of a local store that some bytes of an object will be read soon, so that the read does not wait
    /// for the disk. Does nothing in other stores, or if the disk takes no advice.
    pub fn advise(&self, key: &str, range: Range<u64>) {
        if let Some(directory) = &self.directory
            && let Some(length) = range.end.checked_sub(range.start).and_then(NonZeroU64::new)
        {
            // Best effort by contract.
            drop(advise(&directory.join(key), range.start, length));
        }
    }

    /// Returns the store one level up, and the last part of the prefix, which is a key there. Returns `None` at the
    /// root.
    #[must_use]
    pub fn parent(&self) -> Option<(Self, String)> {
        let key = self.prefix.filename()?.to_owned();
        let directory = self.directory.as_deref().and_then(LocalPath::parent).map(Into::into);
        let prefix = self.prefix.parent()?;
        Some((Self { prefix, directory, ..self.clone() }, key))
    }

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

    /// Returns the bytes of `range`, which must lie within the object. If `version` is given, the bytes are of that
    /// version.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the object is gone, shorter or another version by now; otherwise as [`Store::get`].
    pub async fn get_range(&self, key: &str, range: Range<u64>, version: Option<Version<'_>>) -> Result<Bytes> {
        let changed = |how| Error::input(format!("object `{key}` of `{}` {how} since the run was planned", self.name));
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
            _ if size.is_some_and(is_other) => Err(changed("changed")),
            Ok((_, bytes)) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(self.cut_short(key)),
            Err(StoreError::Precondition { .. }) => Err(changed("changed")),
            Err(error) if is_absent(&error) => Err(changed("was deleted")),
            Err(error) => Err(self.failed("read", key, &error)),
        }
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

    /// Returns whether the store is a local directory.
    pub fn is_local(&self) -> bool {
        self.directory.is_some()
    }

    /// Returns whether the prefix exists. Only a local directory can be missing: in other stores a prefix is part of a
    /// name, and a missing bucket is an error of [`Store::list`].
    ///
    /// # Errors
    /// When the directory cannot be examined.
    pub async fn prefix_exists(&self) -> Result<bool> {
        let Some(directory) = self.directory.clone() else { return Ok(true) };
        match tokio::fs::metadata(&directory).await {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(classify_io(error).context(format!("cannot look at `{}`", self.name))),
        }
    }

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
            if failure::is_unsupported(&error) {
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
    /// [`classify_io`] converts the writer's errors to the library's.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `key` is not a valid key.
    pub fn upload(&self, key: &str) -> Result<BufWriter> {
        let path = self.path(key).map_err(|error| self.failed("write", key, &error))?;
        let writer = BufWriter::with_capacity(Arc::clone(&self.inner), path, UPLOAD_PART_BYTES);
        Ok(writer.with_max_concurrency(UPLOAD_PARTS_IN_FLIGHT))
    }

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

    /// Copies an object, replacing one that may exist. On local disk, both keys then name the same file. Readers see
    /// `to` whole or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when there is no object `from`; otherwise as [`Store::put`].
    pub async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let copy = async { self.inner.copy(&self.path(from)?, &self.path(to)?).await };
        match copy.await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Err(Error::input(format!("`{from}` is gone from `{}`", self.name))),
            Err(error) => Err(self.failed("copy", from, &error)),
        }
    }

    /// Gives an object another key, replacing one that may exist: by a rename on local disk, elsewhere by a copy in the
    /// store and a delete. Idempotent: if `from` is gone and `to` exists, the rename was done before. Readers see `to`
    /// whole or not at all.
    ///
    /// # Errors
    /// As [`Store::put`]; [`ErrorKind::Unavailable`] when neither object exists.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let rename = async { self.inner.rename(&self.path(from)?, &self.path(to)?).await };
        match rename.await {
            Ok(()) => Ok(()),
            Err(StoreError::NotFound { .. }) if self.exists(to).await? => Ok(()),
            Err(error) => Err(self.failed("rename", from, &error)),
        }
    }

    /// Removes the directory that a local store keeps when the last object below `prefix` is gone. Other stores keep
    /// none. A directory that is not empty, or cannot be removed, stays.
    pub async fn remove_empty_directory(&self, prefix: &str) {
        if let Some(directory) = &self.directory {
            // Best effort by contract: an empty directory does no harm.
            drop(tokio::fs::remove_dir(directory.join(prefix)).await);
        }
    }

    /// Deletes the files that killed processes left of incomplete objects at or below `key`, if they were last written
    /// before `then`, or all of them without `then`. Only a local disk has such files: stores on a network expire
    /// unfinished uploads. A file that cannot be deleted stays.
    pub async fn sweep(&self, key: &str, then: Option<SystemTime>) {
        if let Some(directory) = &self.directory {
            let path = directory.join(key);
            // Best effort by contract: such files only take space.
            drop(tokio::task::spawn_blocking(move || sweep::sweep(&path, then)).await);
        }
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        Ok(Path::parse(format!("{}/{key}", self.prefix))?)
    }

    /// Returns the key of an object, or `None` for the prefix itself, an object that some tools write to mark a
    /// directory.
    fn relative(&self, path: &Path) -> Option<String> {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref())?;
        let key = below.strip_prefix('/').unwrap_or(below);
        (!key.is_empty()).then(|| key.to_owned())
    }

    fn failed(&self, operation: &str, key: &str, error: &StoreError) -> Error {
        let what = if key.is_empty() {
            format!("cannot {operation} `{}`", self.name)
        } else {
            format!("cannot {operation} `{key}` in `{}`", self.name)
        };
        failure::classify(error).context(what)
    }
}

#[cfg(target_os = "linux")]
fn advise(file: &LocalPath, start: u64, length: NonZeroU64) -> io::Result<()> {
    let file = std::fs::File::open(file)?;
    Ok(rustix::fs::fadvise(file, start, Some(length), rustix::fs::Advice::WillNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &LocalPath, _: u64, _: NonZeroU64) -> io::Result<()> {
    Ok(())
}

/// Returns whether an error says that the object does not exist, although its bucket does.
fn is_absent(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. }) && !failure::bucket_is_missing(error)
}
