//! Writing an object from a worker thread, without holding it in memory.

use std::io::{self, Write};

use object_store::buffered::BufWriter;
use tokio::{io::AsyncWriteExt, runtime::Handle};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    error::{ErrorKind, Result, ResultExt},
    store::Store,
};

/// An object being written. Nobody sees it before [`Upload::finish`]; dropped unfinished, it never was.
pub struct Upload {
    key: String,
    writer: Option<BufWriter>,
    bytes: u64,
    digest: Xxh3,
}

/// What was uploaded.
pub struct Uploaded {
    /// The object's size.
    pub bytes: u64,
    /// The XXH3-128 digest of its bytes, in hexadecimal.
    pub digest: String,
}

impl Upload {
    /// Begins to write the object `key`. Only for blocking threads of the runtime.
    ///
    /// # Errors
    /// When the key cannot be one.
    pub fn new(store: &Store, key: &str) -> Result<Self> {
        Ok(Self { key: store.locate(key), writer: Some(store.upload(key)?), bytes: 0, digest: Xxh3::new() })
    }

    /// Completes the object.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails; there is no object then.
    pub fn finish(mut self) -> Result<Uploaded> {
        if let Some(mut writer) = self.writer.take() {
            let done = Handle::current().block_on(writer.shutdown());
            done.or_kind(ErrorKind::Unavailable, || format!("cannot write `{}`", self.key))?;
        }
        Ok(Uploaded { bytes: self.bytes, digest: format!("{:032x}", self.digest.digest128()) })
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(writer) = &mut self.writer else { return Err(io::ErrorKind::BrokenPipe.into()) };
        Handle::current().block_on(writer.write_all(bytes))?;
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            // Best effort: what a failed upload leaves behind has no name, and stores expire it.
            let _ = Handle::current().block_on(writer.abort());
        }
    }
}
