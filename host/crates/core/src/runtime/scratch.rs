//! Local scratch space: files without a name, which vanish when the process ends, even if it is killed.
//!
//! Owns where scratch lies and how much of it may be used. The shuffle spills to scratch.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::SpooledTempFile;

use crate::model::error::{ErrorKind, Result, ResultExt};

/// Returns the directory for temporary files, as the environment names it: `$TMPDIR`, else `/tmp`. `env` returns the
/// value of an environment variable.
pub fn temporary_directory(env: impl Fn(&str) -> Option<String>) -> PathBuf {
    let named = env("TMPDIR").filter(|directory| !directory.is_empty());
    named.as_deref().unwrap_or("/tmp").into()
}

/// A directory in which scratch files are created. Clones share one limit on the space.
#[derive(Debug, Clone)]
pub struct Scratch {
    directory: PathBuf,
    space: Arc<Space>,
}

impl Scratch {
    /// Creates scratch in `directory`, for files of up to `space_bytes` in all.
    pub fn new(directory: &Path, space_bytes: u64) -> Self {
        let directory = directory.to_owned();
        let space = Space { directory: directory.clone(), bytes_max: space_bytes, bytes: AtomicU64::new(0) };
        Self { directory, space: Arc::new(space) }
    }

    /// Creates an empty file for reading and writing. No other process can find it, and it is gone when this process
    /// ends, even if it is killed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the directory is missing, not writable or full.
    pub fn file(&self) -> Result<ScratchFile> {
        let file = tempfile::tempfile_in(&self.directory).or_kind(ErrorKind::Unavailable, || {
            format!(
                "cannot make a scratch file in `{}` (`[run] scratch` names another place)",
                self.directory.display()
            )
        })?;
        Ok(ScratchFile { file, bytes: 0, space: Arc::clone(&self.space) })
    }

    /// Returns an empty file that is held in memory until it is larger than `memory_bytes`, and is then a nameless file
    /// as those of [`Scratch::file`]. Its bytes do not count against the limit on the space.
    pub fn spooled(&self, memory_bytes: usize) -> SpooledTempFile {
        tempfile::spooled_tempfile_in(memory_bytes, &self.directory)
    }
}

/// The limit on scratch space, and how much of it is in use.
#[derive(Debug)]
struct Space {
    /// Where scratch lies, for messages.
    directory: PathBuf,
    bytes_max: u64,
    bytes: AtomicU64,
}

impl Space {
    fn take(&self, bytes: u64) -> io::Result<()> {
        let taken = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if taken <= self.bytes_max {
            return Ok(());
        }
        self.give_back(bytes);
        let limit = self.bytes_max;
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("scratch is used up (limit {limit} bytes by `run.scratch_space`)"),
        ))
    }

    /// Returns the error with the directory of scratch in its message, since code that writes to a file of it does not
    /// know the directory. Keeps the error's kind.
    fn name(&self, error: &io::Error) -> io::Error {
        let directory = self.directory.display();
        io::Error::new(error.kind(), format!("scratch in `{directory}` (`[run] scratch` names another place): {error}"))
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A scratch file. Bytes are only ever added at its end; dropping it gives its space back.
#[derive(Debug)]
pub struct ScratchFile {
    file: File,
    bytes: u64,
    space: Arc<Space>,
}

impl Write for ScratchFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.space.take(bytes.len() as u64)?;
        let written = self.file.write(bytes);
        let added = *written.as_ref().unwrap_or(&0) as u64;
        self.space.give_back(bytes.len() as u64 - added);
        self.bytes += added;
        written.map_err(|error| self.space.name(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for ScratchFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for ScratchFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        self.space.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_limited_over_all_files_and_free_again_after_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::new(directory.path(), 10);
        let (mut one, mut two) = (scratch.file().expect("a file"), scratch.clone().file().expect("a file"));
        one.write_all(b"123456").expect("there is space");
        let error = two.write_all(b"12345").expect_err("there are 4 bytes left").to_string();
        assert_eq!(error, "scratch is used up (limit 10 bytes by `run.scratch_space`)");
        two.write_all(b"1234").expect("there is space");
        drop(one);
        two.write_all(b"567890").expect("there is space again");
    }

    #[test]
    fn the_environment_says_where_temporary_files_lie() {
        let directory = |value: Option<&str>| {
            temporary_directory(|name| value.filter(|_| name == "TMPDIR").map(str::to_owned)).display().to_string()
        };
        assert_eq!([Some("/var/tmp"), Some(""), None].map(directory), ["/var/tmp", "/tmp", "/tmp"]);
    }
}
