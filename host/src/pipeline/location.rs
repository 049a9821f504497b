//! Paths and URLs of `pipeline.toml`. Relative paths start from the directory of the file.

use std::path::{Component, Path, PathBuf};

use url::Url;

use etl_store::SCHEMES;

/// Returns `path` below `directory`, without `.` and `..`.
pub(super) fn absolute(directory: &Path, path: &str) -> PathBuf {
    let mut absolute = PathBuf::new();
    for component in directory.join(path).components() {
        match component {
            Component::CurDir => {}
            // `pop` does nothing at the root: `/..` is `/`, as in the file system.
            Component::ParentDir => _ = absolute.pop(),
            other => absolute.push(other),
        }
    }
    absolute
}

/// Returns the URL that `written` names. `written` is a URL, or the path of a local directory or of an existing file.
///
/// # Errors
/// Says what is wrong, as the end of a sentence that starts with the key.
pub(super) fn resolve(directory: &Path, written: &str) -> Result<Url, String> {
    let Some((scheme, _)) = written.split_once("://") else {
        if written.is_empty() {
            return Err("is empty".to_owned());
        }
        let scheme = written.split_once(":/").map(|(scheme, _)| scheme).filter(|scheme| SCHEMES.contains(scheme));
        if let Some(scheme) = scheme {
            return Err(format!("is `{written}`, which is neither a path nor a URL (a URL starts with `{scheme}://`)"));
        }
        let path = absolute(directory, written);
        // A path counts as a file only if the file exists now: the directory of a sink or run store may not exist yet.
        let url = if path.is_file() { Url::from_file_path(path) } else { Url::from_directory_path(path) };
        return url.map_err(|()| format!("is `{written}`, which is not a path"));
    };
    if !SCHEMES.contains(&scheme) {
        return Err(format!(
            "has the unknown scheme `{scheme}://` (write the path of a local directory, or use one of: {}://)",
            SCHEMES.join("://, ")
        ));
    }
    let url = Url::parse(written).map_err(|error| format!("is `{written}`, which is not a URL: {error}"))?;
    match (scheme, url.host_str()) {
        ("file", Some(_)) => {
            Err(format!("is `{written}`, a file on another host (write `file:///path/`, or a relative path)"))
        }
        ("s3" | "gs" | "az", None | Some("")) => {
            Err(format!("is `{written}`, which names no bucket (write `{scheme}://bucket/prefix/`)"))
        }
        _ => Ok(url),
    }
}

/// Returns whether `inner` is the same prefix as `outer`, or lies below it.
pub(super) fn contains(outer: &Url, inner: &Url) -> bool {
    let same_store = outer.scheme() == inner.scheme() && outer.host_str() == inner.host_str();
    let (mut outer, mut inner) = (parts(outer), parts(inner));
    same_store && outer.all(|part| inner.next() == Some(part))
}

fn parts(url: &Url) -> impl Iterator<Item = &str> {
    url.path().split('/').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_become_file_urls() {
        let directory = Path::new("/data/my pipelines");
        for (written, url) in [
            ("input/", "file:///data/my%20pipelines/input/"),
            ("input", "file:///data/my%20pipelines/input/"),
            ("./a/../b", "file:///data/my%20pipelines/b/"),
            ("../shared", "file:///data/shared/"),
            ("/abs/ü #?%/", "file:///abs/%C3%BC%20%23%3F%25/"),
            ("../../../..", "file:///"),
            ("file:///x y/", "file:///x%20y/"),
            ("s3://bucket/a b", "s3://bucket/a%20b"),
            ("memory:///x", "memory:///x"),
        ] {
            assert_eq!(resolve(directory, written).map(String::from), Ok(url.to_owned()), "{written}");
        }
    }

    #[test]
    fn a_prefix_contains_what_lies_below_it() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        for (outer, inner, expected) in [
            ("file:///a/in/", "file:///a/in/", true),
            ("file:///a/in/", "file:///a/in/result", true),
            ("file:///a/in/", "file:///a/inner/", false),
            ("file:///a/in/", "file:///a/", false),
            ("s3://b", "s3://b/x", true),
            ("s3://b/x", "s3://c/x", false),
            ("s3://b/x", "gs://b/x", false),
        ] {
            assert_eq!(contains(&url(outer), &url(inner)), expected, "{inner} in {outer}");
        }
    }
}
