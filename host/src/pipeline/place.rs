//! Places: prefixes in stores, compared by where they lead, however they are written.

use std::path::{Path, PathBuf};

use etl_core::model::error::{Error, Result};
use etl_store::Location;
use url::Url;

use super::location::decoded;

/// A prefix in a store, in the one form that all ways to write it have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Scheme and bucket.
    store: (String, String),
    parts: Vec<String>,
}

impl Place {
    /// Returns the place of `below` in a location. On local disk, links are followed, as far as the path exists.
    pub(super) fn of(location: &Location, below: &[&str]) -> Self {
        let url = Url::parse(&location.url).expect("a location is a URL");
        let store = (url.scheme().to_owned(), url.host_str().unwrap_or_default().to_owned());
        let below = below.iter().map(|&part| part.to_owned());
        let parts = match url.to_file_path() {
            Ok(path) if url.scheme() == "file" => {
                let path = followed(&path.join(below.collect::<PathBuf>()));
                path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
            }
            _ => {
                let parts = url.path().split('/').filter(|part| !part.is_empty());
                parts.map(|part| decoded(part).unwrap_or_else(|| part.to_owned())).chain(below).collect()
            }
        };
        Self { store, parts }
    }

    /// Returns whether `inner` is the same place, or lies below it.
    pub(super) fn contains(&self, inner: &Self) -> bool {
        self.store == inner.store && inner.parts.starts_with(&self.parts)
    }

    /// Returns whether the places are the same, or one lies below the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

/// Checks that the result of a run does not lie where the runs of its pipeline are: who deletes one of them would
/// delete the other.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming the run.
pub(super) fn check_apart(run_id: &str, pipeline: &str, run_store: &Location, sink: &Location) -> Result<()> {
    if !Place::of(sink, &[run_id]).overlaps(&Place::of(run_store, &[pipeline])) {
        return Ok(());
    }
    Err(Error::config(format!(
        "the result of run `{run_id}` in `{}` lies where the runs of pipeline `{pipeline}` are, in `{}` (use another \
         run id, or move `sink.url`)",
        sink.written, run_store.written
    )))
}

/// Returns a path without links in the part of it that exists.
fn followed(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|there| Some((there.canonicalize().ok()?, path.strip_prefix(there).ok()?)));
    found.map_or_else(|| path.to_owned(), |(there, rest)| there.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str, below: &[&str]) -> Place {
        Place::of(&Location { written: url.to_owned(), url: url.to_owned() }, below)
    }

    #[test]
    fn a_place_contains_what_lies_below_it() {
        for (outer, inner, expected) in [
            ("file:///a/in/", "file:///a/in/", true),
            ("file:///a/in/", "file:///a/in/result", true),
            ("file:///a/in/", "file:///a/inner/", false),
            ("file:///a/in/", "file:///a/", false),
            ("file:///", "file:///a/", true),
            ("s3://b", "s3://b/x", true),
            ("s3://b/x%23", "s3://b/%78%23/y", true),
            ("s3://b/x", "s3://c/x", false),
            ("s3://b/x", "gs://b/x", false),
        ] {
            assert_eq!(place(outer, &[]).contains(&place(inner, &[])), expected, "{inner} in {outer}");
        }
        assert!(place("s3://b/x", &["y z"]).contains(&place("s3://b/x/y%20z/", &[])));
        assert!(place("file:///a", &["b"]).overlaps(&place("file:///a/b/c", &[])));
    }

    #[test]
    fn links_are_followed_as_far_as_the_path_exists() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("in")).expect("created");
        std::os::unix::fs::symlink("in", directory.path().join("link")).expect("linked");
        let place = |path: &str| place(&format!("file://{}/{path}", directory.path().display()), &[]);
        assert_eq!(place("link/not/there"), place("in/not/there"));
        assert!(place("in").contains(&place("link/out")));
        assert!(!place("in").contains(&place("out")));
    }
}
