//! A value with several owners, of which one at a time uses it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::error::{Error, Result};

/// A value that all clones of this share, behind a lock. If one owner panics while it holds the lock, the others can
/// still use the value.
#[derive(Debug)]
pub struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    /// Creates a shared value with one owner.
    pub fn new(inner: T) -> Self {
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Locks the value. Other owners that lock it wait until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the value out. This must be its only owner.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::model::error::ErrorKind::Internal) when the value has another owner.
    pub fn take(self) -> Result<T> {
        let inner = Arc::into_inner(self.0).ok_or_else(|| Error::internal("an attempt's output is still in use"))?;
        Ok(inner.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
