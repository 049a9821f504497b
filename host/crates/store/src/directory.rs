//! The directory of a local store: the operations that other stores have no need of, and where they do nothing.

use std::{fmt, io, num::NonZeroU64, ops::Range, path::Path, time::SystemTime};

use etl_core::model::error::Result;
use object_store::{Error as StoreError, path::Path as StorePath};

use super::{Store, classify_io, metered::metered, open, sweep};

/// The error for a name that local disk gives to files while they are written, such as `NAME#1`. The library does not
/// list, read or write such a file as an object.
#[derive(Debug)]
pub(super) struct UnfinishedName;

impl std::error::Error for UnfinishedName {}

impl fmt::Display for UnfinishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on local disk, a name that ends with `#` and digits is that of a file being written: rename it")
    }
}

/// Returns a path, if it is not that of a file being written.
pub(super) fn complete(path: StorePath) -> Result<StorePath, StoreError> {
    match path.filename() {
        Some(name) if is_unfinished(name) => {
            Err(StoreError::Generic { store: "LocalFileSystem", source: Box::new(UnfinishedName) })
        }
        _ => Ok(path),
    }
}

/// Returns whether the library takes a file of this name for one that is being written.
pub(super) fn is_unfinished(name: &str) -> bool {
    let digits = name.split_once('#').map_or("", |(_, digits)| digits);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl Store {
    /// Returns whether the store is a local directory.
    pub fn is_local(&self) -> bool {
        self.directory.is_some()
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

    /// Returns a handle on the store that does not sync its writes on local disk, for objects that a power cut may take.
    #[must_use]
    pub fn unsynced(&self) -> Self {
        match self.directory {
            Some(_) => Self { inner: metered(open::local(false), &self.meter), ..self.clone() },
            None => self.clone(),
        }
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

    /// Returns whether a key names a directory of a local store.
    pub(super) async fn is_directory(&self, key: &str) -> bool {
        let Some(directory) = &self.directory else { return false };
        tokio::fs::metadata(directory.join(key)).await.is_ok_and(|found| found.is_dir())
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
}

#[cfg(target_os = "linux")]
fn advise(file: &Path, start: u64, length: NonZeroU64) -> io::Result<()> {
    let file = std::fs::File::open(file)?;
    Ok(rustix::fs::fadvise(file, start, Some(length), rustix::fs::Advice::WillNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &Path, _: u64, _: NonZeroU64) -> io::Result<()> {
    Ok(())
}
