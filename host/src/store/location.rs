//! Where a store is.

use std::path::Path;

use url::Url;

use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Where a store or a prefix in one is: a URL, local paths already made absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// As written, `${NAME}` left in place, and a local path as it can be opened: for messages.
    pub written: String,
    /// The URL, with a scheme: `file:///data/input/`, `s3://bucket/prefix`, `memory:///x`.
    pub url: String,
}

impl Location {
    /// Returns where a file or a directory on local disk is.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there is none.
    pub fn local(path: &Path) -> Result<Self> {
        let found = path.canonicalize().or_kind(ErrorKind::Config, || format!("cannot open `{}`", path.display()))?;
        let url = if found.is_dir() { Url::from_directory_path(&found) } else { Url::from_file_path(&found) };
        let url = url.map_err(|()| Error::internal("a canonical path is absolute"))?;
        Ok(Self { written: path.display().to_string(), url: url.into() })
    }
}
