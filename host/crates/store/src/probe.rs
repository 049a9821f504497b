//! Probes that find out, at the start of a run, what a store can do.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use etl_core::model::error::{ErrorContext, ErrorKind, Result};
use object_store::{Error as StoreError, ObjectStore, PutMode};

use super::{Store, failure};

/// Behaviour of a store that is asked to create an object that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creates {
    /// Refuses, as it should: of several processes, one creates the object.
    Once,
    /// Overwrites the object.
    Again,
    /// Does not offer to create objects at all.
    NotOffered,
}

impl Store {
    /// Finds out at the start whether results can be written at the end. Writes and deletes a small object below
    /// `prefix`, `.probe-<process>`; no other process may have the name `process`. Messages call the store by its
    /// `role`, such as `sink`.
    ///
    /// # Errors
    /// ``{role} `{name}` is not writable``: [`ErrorKind::Config`] for wrong credentials, a missing permission or
    /// bucket, [`ErrorKind::Unavailable`] when the store cannot be reached.
    pub async fn probe_writable(&self, role: &str, prefix: &str, process: &str) -> Result<()> {
        let (key, store) = (probe_key(prefix, process), self);
        let probe = async {
            store.put(&key, PROBE).await?;
            store.delete(&key).await
        };
        probe.await.context(|| self.not_writable(role))
    }

    /// Finds out whether commits of several processes can be told apart. Writes the object of
    /// [`Store::probe_writable`], tries to create it though it is there, and deletes it. If the commits cannot be told apart, [`Store::create`] looks
    /// and then writes from then on.
    ///
    /// # Errors
    /// As [`Store::probe_writable`].
    pub async fn probe_creates(&self, role: &str, prefix: &str, process: &str) -> Result<Creates> {
        let (key, store) = (probe_key(prefix, process), self);
        let probe = async {
            store.put(&key, PROBE).await?;
            let creates = match store.try_create(&key).await {
                // The answer was lost. The next one is the same, because the object is there either way.
                Err(error) if error.kind() == ErrorKind::Unavailable => store.try_create(&key).await?,
                answered => answered?,
            };
            store.delete(&key).await?;
            Ok(creates)
        };
        let creates = probe.await.context(|| self.not_writable(role))?;
        self.creates_once.store(creates == Creates::Once, Ordering::Relaxed);
        Ok(creates)
    }

    /// Tries to create an object that is there.
    async fn try_create(&self, key: &str) -> Result<Creates> {
        let payload = Bytes::from_static(PROBE.as_bytes()).into();
        let put = async { self.inner.put_opts(&self.path(key)?, payload, PutMode::Create.into()).await };
        match put.await {
            Ok(_) => Ok(Creates::Again),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Creates::Once),
            Err(error) if failure::is_unsupported(&error) => Ok(Creates::NotOffered),
            Err(error) => Err(self.failed("create", key, &error)),
        }
    }

    fn not_writable(&self, role: &str) -> String {
        format!("{role} `{}` is not writable", self.name)
    }
}

const PROBE: &str = "may be deleted";

/// Returns a key below `prefix` that no probe of another process uses.
fn probe_key(prefix: &str, process: &str) -> String {
    let name = format!(".probe-{process}");
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}
