//! Object stores: one handle over local disk, memory, S3, Google Cloud Storage and Azure.
//!
//! Owns how a store is opened, what each operation promises, and the classing of a store's errors: wrong credentials
//! are for the operator to fix, a store that does not answer is tried again. Does not know what a key means; `layout`
//! does. Plan, commit, shuffle, source and sink do all their I/O through [`Store`].

use std::{
    collections::BTreeMap,
    fmt,
    path::Path as LocalPath,
    sync::{Arc, atomic::AtomicBool},
};

use etl_core::{
    model::{
        error::{Error, ErrorContext, Result},
        usage::Traffic,
    },
    runtime::threads,
};
use object_store::{Error as StoreError, ObjectStore, multipart::MultipartStore, path::Path};

mod answers;
mod directory;
mod failure;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod listing;
mod location;
mod metered;
mod misfits;
mod open;
mod open_uploads;
mod parts;
pub mod pending;
mod probe;
mod reading;
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod upload;
mod walk;
mod wanted;
mod writing;
mod xml;

use self::{
    metered::{Meter, metered},
    open::Client,
    open_uploads::OpenUploads,
};
pub use failure::classify_io;
pub use listing::Listed;
pub use location::Location;
pub use parts::Note;
pub use pending::Pending;
pub use probe::Creates;
pub use wanted::Wanted;
pub use writing::{Created, UPLOAD_BYTES, UPLOAD_PART_BYTES};

/// The schemes of the URLs that are written in a pipeline.
pub const SCHEMES: [&str; 5] = ["file", "s3", "gs", "az", "memory"];

/// An object store and the prefix in it that keys are relative to. Clones share the connection.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// The same store, if it has multipart uploads that one process begins and another completes.
    multipart: Option<Arc<dyn MultipartStore>>,
    /// Lists the uploads that are open, if the store may be asked for that.
    uploads: Option<Arc<OpenUploads>>,
    prefix: Path,
    name: Arc<str>,
    /// The URL of the place that the store is.
    place: Arc<str>,
    /// Directory of the prefix, in a local store.
    directory: Option<Arc<LocalPath>>,
    /// Whether the store refuses to create an object that exists. Assumed until [`Store::probe_creates`] finds out.
    creates_once: Arc<AtomicBool>,
    /// Counts the requests to the store.
    meter: Arc<Meter>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("inner", &self.inner).field("prefix", &self.prefix).finish_non_exhaustive()
    }
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
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) for an unknown scheme or option, or a value
    /// that an option does not take.
    pub fn open(location: &Location, options: &BTreeMap<String, String>) -> Result<Self> {
        let opened =
            open::open(&location.url, options).context(|| format!("cannot open the store `{}`", location.written))?;
        let Client { store, multipart, uploads } = opened.client;
        let store = Self::from_object_store(store, opened.prefix, &location.written);
        Ok(Self {
            directory: opened.directory.map(Into::into),
            multipart,
            uploads,
            place: location.url.as_str().into(),
            ..store
        })
    }

    /// Opens the store at `location` to write to it. With `fsync`, its writes are synced as [`Store::synced`] says.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_to_write(location: &Location, options: &BTreeMap<String, String>, fsync: bool) -> Result<Self> {
        let store = Self::open(location, options)?;
        Ok(if fsync { store.synced() } else { store })
    }

    /// Creates a store on top of any implementation. Messages call it `name`.
    pub fn from_object_store(inner: Arc<dyn ObjectStore>, prefix: Path, name: &str) -> Self {
        let (creates_once, meter) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let inner = metered(inner, &meter);
        let place = format!("{name}/{prefix}").into();
        Self {
            inner,
            multipart: None,
            uploads: None,
            prefix,
            name: name.into(),
            place,
            directory: None,
            creates_once,
            meter,
        }
    }

    /// Returns the store with the multipart uploads of the implementation that it stands on.
    #[must_use]
    pub fn with_multipart(self, multipart: Arc<dyn MultipartStore>) -> Self {
        Self { multipart: Some(multipart), ..self }
    }

    /// Returns the traffic on this store through all of its handles.
    pub fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }

    /// Returns the store's URL as the operator wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL of the place that the store is. It may hold secrets, so it is for comparing only.
    pub fn place(&self) -> &str {
        &self.place
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

    /// Returns the store one level up, and the last part of the prefix, which is a key there. Returns `None` at the
    /// root.
    #[must_use]
    pub fn parent(&self) -> Option<(Self, String)> {
        let key = self.prefix.filename()?.to_owned();
        let directory = self.directory.as_deref().and_then(LocalPath::parent).map(Into::into);
        let prefix = self.prefix.parent()?;
        Some((Self { prefix, directory, ..self.clone() }, key))
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let path = Path::parse(format!("{}/{key}", self.prefix))?;
        if self.is_local() { directory::complete(path) } else { Ok(path) }
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
