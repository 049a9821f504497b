//! Paths and URLs of `pipeline.toml`. Relative paths start from the directory of the file.

use std::path::{Component, Path, PathBuf};

use url::Url;

use etl_store::{Location, SCHEMES};

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

/// Characters that have a meaning in other URLs, and how they are written as parts of names.
const ESCAPES: [(char, &str); 3] = [('#', "%23"), ('?', "%3F"), ('\\', "%5C")];

/// Returns the URL that `written` names. `written` is a URL, or the path of a local directory or of an existing file. A
/// URL has a scheme, a bucket and a path, and nothing else; a path is taken as it is.
///
/// # Errors
/// Says what is wrong, as the end of a sentence that starts with the key.
pub(super) fn resolve(directory: &Path, written: &str) -> Result<Url, String> {
    let Some((scheme, rest)) = written.split_once("://") else { return local(directory, written) };
    check_scheme(scheme)?;
    check_characters(rest)?;
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    match scheme {
        _ if bucket.contains('@') => {
            return Err(
                "names a user or a password, which are not used (credentials go into `store_options`)".to_owned()
            );
        }
        "file" if !bucket.is_empty() => {
            return Err(format!("is `{written}`, a file on another host (write `file:///path/`, or a relative path)"));
        }
        _ if bucket.contains(':') => {
            return Err(format!(
                "is `{written}`, which names a port, which is not used (the address of a server goes into \
                 `store_options.endpoint`)"
            ));
        }
        "s3" | "gs" | "az" if bucket.is_empty() => {
            return Err(format!("is `{written}`, which names no bucket (write `{scheme}://bucket/prefix/`)"));
        }
        _ if bucket.contains('%') => {
            return Err(format!("is `{written}`, which has a `%` in the name of a bucket (write the name as it is)"));
        }
        _ => {}
    }
    path.strip_suffix('/').unwrap_or(path).split('/').filter(|_| !path.is_empty()).try_for_each(check_part)?;
    Url::parse(written).map_err(|error| format!("is `{written}`, which is not a URL: {error}"))
}

/// Returns the location of a local directory, which need not exist; none if its path is not absolute.
pub(super) fn of_directory(path: &Path) -> Option<Location> {
    let url = Url::from_directory_path(path).ok()?;
    Some(Location { written: path.display().to_string(), url: url.into() })
}

fn local(directory: &Path, written: &str) -> Result<Url, String> {
    if written.is_empty() {
        return Err("is empty".to_owned());
    }
    let known = |scheme: &str| SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(scheme));
    if let Some(scheme) = written.split_once(":/").and_then(|(scheme, _)| known(scheme)) {
        return Err(format!("is `{written}`, which is neither a path nor a URL (a URL starts with `{scheme}://`)"));
    }
    if written.contains(|c: char| c.is_ascii_control()) {
        return Err("has a control character, which the name of an object cannot have".to_owned());
    }
    let path = absolute(directory, written);
    // A path counts as a file only if the file exists now: the directory of a sink or run store may not exist yet.
    let url = if path.is_file() { Url::from_file_path(path) } else { Url::from_directory_path(path) };
    url.map_err(|()| format!("is `{written}`, which is not a path"))
}

fn check_scheme(scheme: &str) -> Result<(), String> {
    match SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(scheme)) {
        Some(known) if known == scheme => Ok(()),
        Some(known) => Err(format!("has the scheme `{scheme}://` (write `{known}://`)")),
        None => Err(format!(
            "has the unknown scheme `{scheme}://` (write the path of a local directory, or use one of: {}://)",
            SCHEMES.join("://, ")
        )),
    }
}

/// Refuses what a parser of URLs would drop, or take for something other than a name.
fn check_characters(rest: &str) -> Result<(), String> {
    if let Some((character, escape)) = ESCAPES.into_iter().find(|(character, _)| rest.contains(*character)) {
        return Err(format!(
            "has a `{character}`, which the URL of a store does not use (in a name, write `{escape}`; in a local path \
             without `file://`, write it as it is)"
        ));
    }
    if rest.contains(|c: char| c.is_ascii_control()) {
        return Err("has a control character, which the name of an object cannot have".to_owned());
    }
    if rest.ends_with(' ') {
        return Err("ends with a space (in a name, write `%20`)".to_owned());
    }
    Ok(())
}

/// Checks a part of a URL's path, which lies between slashes.
fn check_part(part: &str) -> Result<(), String> {
    let name = decoded(part).ok_or("has a `%` without two hexadecimal digits of UTF-8 (for a `%`, write `%25`)")?;
    match name.as_str() {
        "" => Err("has an empty part (`//`), which the name of an object cannot have (write one `/`)".to_owned()),
        "." | ".." => {
            Err(format!("has a part `{part}`, which the name of an object cannot have (write the path without it)"))
        }
        name if name.contains('/') => {
            Err(format!("has a part `{part}` with a slash in it (write `/`: a store does not tell them apart)"))
        }
        name if name.contains(|c: char| c.is_ascii_control()) => {
            Err(format!("has a part `{part}` with a control character, which the name of an object cannot have"))
        }
        _ => Ok(()),
    }
}

/// Returns a text with `%XX` replaced by what it stands for; none if that is not text, or not well-formed.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = if *first == b'%' { Some(hexadecimal(behind)?) } else { None };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).ok()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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
            ("100% done? #1", "file:///data/my%20pipelines/100%25%20done%3F%20%231/"),
            ("a//b/", "file:///data/my%20pipelines/a/b/"),
            ("a%23b", "file:///data/my%20pipelines/a%2523b/"),
            ("s3://bucket/logs%232024/", "s3://bucket/logs%232024/"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket/"),
            ("memory:///", "memory:///"),
            ("file:///x y/", "file:///x%20y/"),
            ("s3://bucket/a b", "s3://bucket/a%20b"),
            ("memory:///x", "memory:///x"),
        ] {
            assert_eq!(resolve(directory, written).map(String::from), Ok(url.to_owned()), "{written}");
        }
    }

    #[test]
    fn what_a_store_does_not_use_of_a_url_is_refused_by_name() {
        for (written, what) in [
            ("s3://bucket/logs#2024/", "has a `#`, which the URL of a store does not use (in a name, write `%23`"),
            ("s3://bucket/logs?x=1", "has a `?`, which the URL of a store does not use (in a name, write `%3F`"),
            ("file:///a#b", "has a `#`"),
            ("file:///a\\b", "has a `\\`, which the URL of a store does not use (in a name, write `%5C`"),
            ("s3://bucket/a\nb", "has a control character"),
            ("s3://bucket/a ", "ends with a space (in a name, write `%20`)"),
            ("S3://bucket/a", "has the scheme `S3://` (write `s3://`)"),
            ("S3:/bucket/a", "is `S3:/bucket/a`, which is neither a path nor a URL (a URL starts with `s3://`)"),
            ("s3://key:secret@bucket/a", "names a user or a password, which are not used (credentials go into"),
            ("file://key@/a", "names a user or a password"),
            ("s3://bucket:9000/a", "is `s3://bucket:9000/a`, which names a port, which is not used"),
            ("memory://x:1/a", "is `memory://x:1/a`, which names a port"),
            ("file://localhost/a", "is `file://localhost/a`, a file on another host"),
            ("s3:///a", "is `s3:///a`, which names no bucket (write `s3://bucket/prefix/`)"),
            ("az://", "is `az://`, which names no bucket (write `az://bucket/prefix/`)"),
            ("s3://buck%65t/a", "is `s3://buck%65t/a`, which has a `%` in the name of a bucket"),
            ("s3://bucket//a", "has an empty part (`//`), which the name of an object cannot have (write one `/`)"),
            ("s3://bucket/a//", "has an empty part (`//`)"),
            ("s3://bucket//", "has an empty part (`//`)"),
            ("file:////a", "has an empty part (`//`)"),
            ("s3://bucket/a/../b", "has a part `..`, which the name of an object cannot have"),
            ("s3://bucket/a/%2E%2e/b", "has a part `%2E%2e`, which the name of an object cannot have"),
            ("s3://bucket/./b", "has a part `.`"),
            ("s3://bucket/100%/", "has a `%` without two hexadecimal digits of UTF-8 (for a `%`, write `%25`)"),
            ("s3://bucket/%+1", "has a `%` without two hexadecimal digits"),
            ("s3://bucket/%FF", "has a `%` without two hexadecimal digits"),
            ("s3://bucket/a%2Fb", "has a part `a%2Fb` with a slash in it"),
            ("s3://bucket/a%00b", "has a part `a%00b` with a control character"),
            ("a\0b", "has a control character"),
        ] {
            let refused = resolve(Path::new("/"), written).expect_err(written);
            assert!(refused.starts_with(what) && !refused.contains("secret"), "{written:?}: {refused}");
        }
    }
}
