//! An object uploaded in parts, whose upload can be completed later, by another process too.
//!
//! Owns the multipart requests of stores that have them. The object becomes visible when the upload is completed, and
//! not before.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use etl_core::{
    model::error::{Error, Result},
    runtime::threads,
};
use object_store::{Error as StoreError, multipart::MultipartStore, path::Path};
use tokio::task::JoinHandle;

use crate::{Store, UPLOAD_PART_BYTES};

/// Is told the id of an upload after the upload has begun and before its first part is sent. If it fails, the upload
/// does not go on.
pub type Note = Box<dyn FnOnce(&str) -> Result<()> + Send>;

/// An upload that has begun: its id, and the ids of its parts in order.
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) parts: Vec<String>,
}

/// Sends an object in parts. Blocks, so it must not be used on a thread of the async runtime.
pub(crate) struct Parts {
    store: Store,
    multipart: Arc<dyn MultipartStore>,
    key: String,
    path: Path,
    id: String,
    buffer: Vec<u8>,
    begun: usize,
    /// Number of parts that may be on their way while the next is filled.
    in_flight_max: usize,
    in_flight: VecDeque<JoinHandle<Result<String, StoreError>>>,
    parts: Vec<String>,
    /// Whether the upload is to be aborted when this is dropped.
    open: bool,
}

impl Parts {
    /// Begins an upload, and tells `note` its id. Returns `None` if the store has no such uploads.
    pub(crate) fn begin(store: &Store, key: &str, note: Note, in_flight_max: usize) -> Result<Option<Self>> {
        let Some(multipart) = store.multipart.clone() else { return Ok(None) };
        let path = store.path(key).map_err(|error| store.failed("write", key, &error))?;
        store.meter.wrote(0);
        let begin = threads::wait_on_runtime(multipart.create_multipart(&path));
        let id = begin.map_err(|error| store.failed("write", key, &error))?;
        let parts = Self {
            store: store.clone(),
            multipart,
            key: key.to_owned(),
            path,
            id,
            buffer: Vec::new(),
            begun: 0,
            in_flight_max,
            in_flight: VecDeque::new(),
            parts: Vec::new(),
            open: true,
        };
        note(&parts.id)?;
        Ok(Some(parts))
    }

    /// Adds bytes to the object. Holds at most one part, and those on their way.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.buffer.len() + bytes.len() > UPLOAD_PART_BYTES {
            let (now, later) = bytes.split_at(UPLOAD_PART_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(now);
            self.send()?;
            bytes = later;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is left, waits until all parts have arrived, and leaves the upload open.
    pub(crate) fn finish(mut self) -> Result<Begun> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while !self.in_flight.is_empty() {
            self.arrived()?;
        }
        self.open = false;
        Ok(Begun { id: self.id.clone(), parts: std::mem::take(&mut self.parts) })
    }

    fn send(&mut self) -> Result<()> {
        while self.in_flight.len() >= self.in_flight_max.max(1) {
            self.arrived()?;
        }
        let part = Bytes::from(std::mem::take(&mut self.buffer));
        self.store.meter.wrote(part.len());
        let (multipart, path, id) = (Arc::clone(&self.multipart), self.path.clone(), self.id.clone());
        let number = self.begun;
        self.begun += 1;
        let send = async move { Ok(multipart.put_part(&path, &id, number, part.into()).await?.content_id) };
        self.in_flight.push_back(threads::runtime().spawn(send));
        if self.in_flight_max == 0 { self.arrived() } else { Ok(()) }
    }

    /// Waits for the part that was sent first.
    fn arrived(&mut self) -> Result<()> {
        let Some(sent) = self.in_flight.pop_front() else { return Ok(()) };
        let part = threads::wait_on_runtime(sent).map_err(|_| Error::internal("the upload of a part panicked"))?;
        self.parts.push(part.map_err(|error| self.store.failed("write", &self.key, &error))?);
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if self.open {
            self.in_flight.drain(..).for_each(|part| part.abort());
            // Best effort: the upload is noted, so whoever sweeps aborts it.
            drop(threads::wait_on_runtime(self.multipart.abort_multipart(&self.path, &self.id)));
        }
    }
}
