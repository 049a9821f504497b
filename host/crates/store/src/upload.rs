//! Uploads: writing an object from a worker thread, without holding the whole object in memory.

use std::io::{self, Write};

use bytes::Bytes;
use etl_core::{
    model::error::{Error, ErrorKind, Result},
    runtime::{fail_point, threads::wait_on_runtime},
};
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;
use xxhash_rust::xxh3::Xxh3;

use crate::{Store, UPLOAD_PART_BYTES, classify_io};

/// An object that is being written. The object becomes visible with [`Upload::finish`]; an upload that is dropped
/// before leaves no object.
pub struct Upload {
    store: Store,
    key: String,
    /// The bytes written so far, as long as they fit into one put.
    buffer: Vec<u8>,
    /// The writer that is used once the bytes do not fit into one put.
    writer: Option<BufWriter>,
    bytes: u64,
    digest: Xxh3,
}

/// Size and digest of an uploaded object.
pub struct Uploaded {
    /// The object's size, in bytes.
    pub bytes: u64,
    /// The XXH3-128 digest of its bytes, in hexadecimal.
    pub digest: String,
}

impl Upload {
    /// Begins to write the object `key`. An upload blocks, so it must not be used on a thread of the async runtime.
    pub fn new(store: &Store, key: &str) -> Self {
        fail_point::reach("upload.begin");
        let (store, key) = (store.clone(), key.to_owned());
        Self { store, key, buffer: Vec::new(), writer: None, bytes: 0, digest: Xxh3::new() }
    }

    /// Completes the object. If the store's answer to that is lost, checks whether the object exists. A small object is
    /// compared as [`Store::put`] does; a multipart one by its size, because no other upload uses its key.
    ///
    /// # Errors
    /// Fails as [`Store::put`] does. The object may exist nevertheless.
    pub fn finish(mut self) -> Result<Uploaded> {
        fail_point::reach("upload.finish");
        match self.writer.take() {
            None => {
                let bytes = Bytes::from(std::mem::take(&mut self.buffer));
                self.store.wait(self.store.put(&self.key, bytes))?;
            }
            Some(writer) => self.shut_down(writer)?,
        }
        fail_point::reach("upload.finished");
        Ok(Uploaded { bytes: self.bytes, digest: format!("{:032x}", self.digest.digest128()) })
    }

    fn shut_down(&self, mut writer: BufWriter) -> Result<()> {
        let Err(error) = wait_on_runtime(writer.shutdown()) else { return Ok(()) };
        let error = classify_io(error).context(format!("cannot write `{}`", self.store.locate(&self.key)));
        if error.kind() == ErrorKind::Unavailable && self.is_there() { Ok(()) } else { Err(error) }
    }

    fn is_there(&self) -> bool {
        let found = self.store.wait(self.store.stat(&self.key));
        found.is_ok_and(|found| found.is_some_and(|found| found.size == self.bytes))
    }

    /// Returns the writer of an object that is too large for one put.
    fn writer(&mut self) -> io::Result<&mut BufWriter> {
        if self.writer.is_none() {
            let mut writer = self.store.upload(&self.key).map_err(Error::into_io)?;
            wait_on_runtime(writer.write_all(&std::mem::take(&mut self.buffer))).map_err(classed)?;
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.writer.is_none() && self.buffer.len() + bytes.len() <= UPLOAD_PART_BYTES {
            self.buffer.extend_from_slice(bytes);
        } else {
            wait_on_runtime(self.writer()?.write_all(bytes)).map_err(classed)?;
        }
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
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
        if let Some(mut writer) = self.writer.take() {
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
    async fn upload(puts: Puts) -> (Store, Result<Uploaded>) {
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
        assert_eq!(uploaded.expect("it is there").bytes, 3);
        assert_eq!(store.get("part").await.expect("reads").as_deref(), Some(&b"abc"[..]));
    }

    #[tokio::test]
    async fn a_failed_upload_is_classed_by_what_the_operator_can_do() {
        let denied = || StoreError::PermissionDenied { path: "part".into(), source: "AccessDenied".into() };
        let busy = || server("Server returned non-2xx status code: 503 Slow Down");
        for (error, kind) in [(denied as fn() -> StoreError, ErrorKind::Config), (busy, ErrorKind::Unavailable)] {
            let (_, uploaded) = upload(Puts::Fail(error)).await;
            let error = uploaded.err().expect("it failed");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().starts_with("cannot write `part` in `faulty`: "), "{error}");
        }
    }
}
