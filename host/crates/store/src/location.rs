//! The location of a store.

use std::path::Path;

use etl_core::model::error::{Error, ErrorKind, Result, ResultExt};
use url::Url;

/// Location of a store or of a prefix in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The location for messages: as written, with secrets left out, and with a local path made relative to the working
    /// directory.
    pub written: String,
    /// The URL, with a scheme and an absolute path: `file:///data/input/`, `s3://bucket/prefix`, `memory:///x`.
    pub url: String,
}

impl Location {
    /// Returns the location of a file or a directory on local disk.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it does not exist.
    pub fn local(path: &Path) -> Result<Self> {
        let found = path.canonicalize().or_kind(ErrorKind::Config, || format!("cannot open `{}`", path.display()))?;
        let url = if found.is_dir() { Url::from_directory_path(&found) } else { Url::from_file_path(&found) };
        let url = url.map_err(|()| Error::internal("a canonical path is absolute"))?;
        Ok(Self { written: path.display().to_string(), url: url.into() })
    }
}
