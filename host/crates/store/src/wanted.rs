//! Listing only what someone wants of a store.

use std::{fmt::Debug, path::Path, sync::Arc};

use etl_core::model::error::{Error, ErrorKind, Result};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::runtime::Handle;

use super::{Listed, Store, walk::walk};

/// Number of files that a walk through a local directory finds before others may use its thread.
const FILES_AT_ONCE: usize = 1024;

/// The names that someone wants of a store, relative to its prefix. A name of a local file may be any bytes.
pub trait Wanted: Debug + Send + Sync {
    /// Returns whether the object is wanted.
    fn object(&self, name: &Path) -> bool;

    /// Returns whether an object below this directory may be wanted.
    fn below(&self, directory: &Path) -> bool;
}

impl Store {
    /// Lists the wanted objects of the store, in no particular order. What is not wanted does no harm: odd names, links
    /// to nothing, directories that cannot be read.
    ///
    /// # Errors
    /// As [`Store::get`]; [`ErrorKind::Config`] for a wanted object that cannot be listed or read, by its name. The
    /// error is an item of the stream.
    pub fn list_wanted(&self, wanted: Arc<dyn Wanted>) -> BoxStream<'static, Result<Listed>> {
        let Some(directory) = &self.directory else {
            return self.list_those("", move |key| wanted.object(Path::new(key)));
        };
        self.meter.listed();
        in_turns(walk(directory.to_path_buf(), Arc::clone(&self.name), wanted))
    }
}

/// Returns the items of an iterator that blocks. On the runtime, a thread that may block takes many at a time.
fn in_turns<T: Send + 'static>(
    items: impl Iterator<Item = Result<T>> + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    if Handle::try_current().is_err() {
        return stream::iter(items).boxed();
    }
    let turns = stream::unfold(Some(items), |items| async move {
        let mut items = items?;
        let turn = tokio::task::spawn_blocking(move || {
            let found: Vec<Result<T>> = items.by_ref().take(FILES_AT_ONCE).collect();
            (found, items)
        });
        match turn.await {
            Ok((found, _)) if found.is_empty() => None,
            Ok((found, items)) => Some((found, Some(items))),
            Err(error) => Some((vec![Err(Error::new(ErrorKind::Unavailable, error))], None)),
        }
    });
    turns.flat_map(stream::iter).boxed()
}
