//! Uploads: writing an object from a worker thread, without holding the whole object in memory.

use std::io::{self, Write};

use bytes::Bytes;
use etl_core::{
    model::error::{Error, ErrorKind, Result},
    runtime::{fail_point, threads::wait_on_runtime},
};
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;

use crate::{
    Store, UPLOAD_PART_BYTES, classify_io,
    parts::{Note, Parts},
    pending::Pending,
    writing::UPLOAD_PARTS_IN_FLIGHT,
};

/// An object that is being written. The object becomes visible with [`Upload::finish`]; an upload that is dropped
/// before leaves no object.
pub struct Upload {
    store: Store,
    key: String,
    /// The bytes written so far, as long as they fit into one put.
    buffer: Vec<u8>,
    /// The writer that is used once the bytes do not fit into one put.
    writer: Option<Writer>,
    note: Option<Note>,
    in_flight_max: usize,
    bytes: u64,
}

impl Upload {
    /// Begins to write the object `key`. An upload blocks, so it must not be used on a thread of the async runtime.
    pub fn new(store: &Store, key: &str) -> Self {
        Self::of(store, key, None)
    }

    /// Begins to write the object `key` as [`Upload::new`] does. If the object is uploaded in parts, `note` is told of
    /// that before the first part, so that an upload that a killed process left can be found and aborted.
    pub fn noted(store: &Store, key: &str, note: Note) -> Self {
        Self::of(store, key, Some(note))
    }

    fn of(store: &Store, key: &str, note: Option<Note>) -> Self {
        fail_point::reach("upload.begin");
        let (store, key) = (store.clone(), key.to_owned());
        let in_flight_max = UPLOAD_PARTS_IN_FLIGHT;
        Self { store, key, buffer: Vec::new(), writer: None, note, in_flight_max, bytes: 0 }
    }

    /// Sets the number of parts that may be on their way while the next one is filled.
    pub(crate) fn with_in_flight(mut self, in_flight_max: usize) -> Self {
        self.in_flight_max = in_flight_max;
        self
    }

    /// Completes the object, and returns its size in bytes. If the store's answer to that is lost, checks whether the
    /// object exists. A small object is compared as [`Store::put`] does; a multipart one by its size, because no other
    /// upload uses its key.
    ///
    /// # Errors
    /// Fails as [`Store::put`] does. The object may exist nevertheless.
    pub fn finish(mut self) -> Result<u64> {
        fail_point::reach("upload.finish");
        match self.writer.take() {
            None => {
                let bytes = Bytes::from(std::mem::take(&mut self.buffer));
                self.store.wait(self.store.put(&self.key, bytes))?;
            }
            Some(writer) => self.shut_down(writer)?,
        }
        fail_point::reach("upload.finished");
        Ok(self.bytes)
    }

    fn shut_down(&self, writer: Writer) -> Result<()> {
        let mut writer = match writer {
            Writer::Alone(writer) => *writer,
            Writer::Noted(parts) => return self.complete(*parts),
        };
        let Err(error) = wait_on_runtime(writer.shutdown()) else { return Ok(()) };
        let error = classify_io(error).context(format!("cannot write `{}`", self.store.locate(&self.key)));
        if error.kind() == ErrorKind::Unavailable && self.is_there() { Ok(()) } else { Err(error) }
    }

    fn complete(&self, parts: Parts) -> Result<()> {
        let begun = parts.finish()?;
        let pending = Pending::Upload { id: begun.id, parts: begun.parts };
        let completed = wait_on_runtime(self.store.complete(&self.key, &pending, self.bytes))?;
        let lost =
            || Error::new(ErrorKind::Unavailable, anyhow::anyhow!("`{}` was lost", self.store.locate(&self.key)));
        completed.map(drop).ok_or_else(lost)
    }

    fn is_there(&self) -> bool {
        let found = self.store.wait(self.store.stat(&self.key));
        found.is_ok_and(|found| found.is_some_and(|found| found.size == self.bytes))
    }

    /// Returns the writer of an object that is too large for one put.
    fn writer(&mut self) -> io::Result<&mut Writer> {
        if self.writer.is_none() {
            let mut writer = self.open().map_err(Error::into_io)?;
            writer.push(&std::mem::take(&mut self.buffer))?;
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn open(&mut self) -> Result<Writer> {
        if let Some(note) = self.note.take()
            && let Some(parts) = Parts::begin(&self.store, &self.key, note, self.in_flight_max)?
        {
            return Ok(Writer::Noted(Box::new(parts)));
        }
        Ok(Writer::Alone(Box::new(self.store.upload(&self.key)?.with_max_concurrency(self.in_flight_max))))
    }
}

/// The writer of an object that is too large for one put.
enum Writer {
    /// A writer that only this process knows of.
    Alone(Box<BufWriter>),
    /// An upload that was noted.
    Noted(Box<Parts>),
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Alone(writer) => wait_on_runtime(writer.write_all(bytes)).map_err(classed),
            Self::Noted(parts) => parts.push(bytes).map_err(Error::into_io),
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.writer.is_none() && self.buffer.len() + bytes.len() <= UPLOAD_PART_BYTES {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.writer()?.push(bytes)?;
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a writer's error as one that holds the library's, for whom the writer is handed to as [`Write`].
fn classed(error: io::Error) -> io::Error {
    classify_io(error).into_io()
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(Writer::Alone(mut writer)) = self.writer.take() {
            // Best effort: the parts that a failed upload leaves behind are no object, and stores expire them.
            let _ = wait_on_runtime(writer.abort());
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::Error as StoreError;

    use super::*;
    use etl_core::runtime::threads;

    use crate::testing::faulty::{Puts, faulty, server};

    /// Uploads three bytes on a thread that may block, as a worker does.
    async fn upload(puts: Puts) -> (Store, Result<u64>) {
        let store = faulty(puts);
        let target = store.clone();
        let work = move || {
            let mut upload = Upload::new(&target, "part");
            upload.write_all(b"abc").map_err(Error::from_io)?;
            upload.finish()
        };
        (store, threads::run(work).await.expect("no panic"))
    }

    #[tokio::test]
    async fn an_upload_whose_answer_was_lost_is_done() {
        let (store, uploaded) = upload(Puts::Lost(|| server("the connection timed out"))).await;
        assert_eq!(uploaded.expect("it is there"), 3);
        assert_eq!(store.get("part").await.expect("reads").as_deref(), Some(&b"abc"[..]));
    }

    #[tokio::test]
    async fn a_failed_upload_is_classed_by_what_the_operator_can_do() {
        let denied = || StoreError::PermissionDenied { path: "part".into(), source: "AccessDenied".into() };
        let busy = || server("Server returned non-2xx status code: 503 Slow Down");
        for (error, kind) in [(denied as fn() -> StoreError, ErrorKind::Config), (busy, ErrorKind::Unavailable)] {
            let (_, uploaded) = upload(Puts::Fail(error)).await;
            let error = uploaded.expect_err("it failed");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().starts_with("cannot write `part` in `faulty`: "), "{error}");
        }
    }
}
