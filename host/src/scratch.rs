//! Local scratch space: files without a name, which end with the process, however it ends.
//!
//! Owns where scratch lies. The shuffle spills to it and stages what it uploads.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use tempfile::SpooledTempFile;

use crate::error::{ErrorKind, Result, ResultExt};

/// A directory to make scratch files in.
#[derive(Debug, Clone)]
pub struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// Uses `directory`, or the system's temporary directory.
    pub fn new(directory: Option<&Path>) -> Self {
        Self { directory: directory.map_or_else(std::env::temp_dir, Path::to_owned) }
    }

    /// Returns an empty file open for reading and writing that no other process can find, and that is gone when the
    /// process is, even if it is killed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the directory is missing, not writable or full.
    pub fn file(&self) -> Result<File> {
        tempfile::tempfile_in(&self.directory).or_kind(ErrorKind::Unavailable, || {
            format!(
                "cannot make a scratch file in `{}` (`[run] scratch` names another place)",
                self.directory.display()
            )
        })
    }

    /// Returns an empty file as [`Scratch::file`] does, but in memory until it is larger than `memory_bytes`.
    pub fn spooled(&self, memory_bytes: usize) -> SpooledTempFile {
        tempfile::spooled_tempfile_in(memory_bytes, &self.directory)
    }
}
