//! What a store can do, found out at the start of a run by trying.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStore, PutMode};

use super::{Store, failure};
use crate::{
    error::{ErrorContext, Result},
    event::unix_ms,
};

/// What a store does when an object is to be created that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creates {
    /// Refuses, as it should: of several processes one creates the object.
    Once,
    /// Writes over it.
    Again,
    /// Does not offer to create at all.
    NotOffered,
}

impl Store {
    /// Finds out at the start whether results can be written at the end: writes and deletes a small object below
    /// `prefix`, whose name starts with `.probe-`. `role` is what messages call the store: `sink`.
    ///
    /// # Errors
    /// ``{role} `{name}` is not writable``: [`ErrorKind::Config`](crate::error::ErrorKind::Config) for wrong
    /// credentials, a missing permission or bucket, [`ErrorKind::Unavailable`](crate::error::ErrorKind::Unavailable)
    /// when the store cannot be reached.
    pub async fn probe_writable(&self, role: &str, prefix: &str) -> Result<()> {
        let (key, store) = (probe_key(prefix), self);
        let probe = async {
            store.put(&key, PROBE).await?;
            store.delete(&key).await
        };
        probe.await.context(|| self.not_writable(role))
    }

    /// Finds out whether commits of several processes can be told apart: creates the same small object twice, below
    /// `prefix`, and deletes it. When they cannot, [`Store::create`] makes do from then on, as it says there.
    ///
    /// # Errors
    /// As [`Store::probe_writable`].
    pub async fn probe_creates(&self, role: &str, prefix: &str) -> Result<Creates> {
        let (key, store) = (probe_key(prefix), self);
        let probe = async {
            let creates = match store.try_create(&key).await? {
                // A first answer that was lost makes the client's own repetition the second attempt.
                Creates::Once | Creates::Again => store.try_create(&key).await?,
                Creates::NotOffered => {
                    store.put(&key, PROBE).await?;
                    Creates::NotOffered
                }
            };
            store.delete(&key).await?;
            Ok(creates)
        };
        let creates = probe.await.context(|| self.not_writable(role))?;
        self.creates_once.store(creates == Creates::Once, Ordering::Relaxed);
        Ok(creates)
    }

    /// Creates the object once; `Again` when that is not refused.
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

/// Returns a key below `prefix` that nobody else has.
fn probe_key(prefix: &str) -> String {
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!(".probe-{}-{}-{number}", std::process::id(), unix_ms());
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}
