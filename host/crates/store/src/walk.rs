//! The walk through the directory of a local store that finds the files someone wants.
//!
//! The client library lists a directory, too, but it leaves out in silence what it cannot read, and stops at names that
//! nobody asked for. This walk looks only where wanted files may be, and names each wanted one that cannot be read.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use etl_core::model::error::{Error, Result, io_kind};
use walkdir::{DirEntry, WalkDir};

use super::{
    Listed, Wanted,
    directory::is_unfinished,
    misfits::{flaw, is_misfit},
};

/// Walks through a directory and below, following links. Returns the wanted files in no particular order, and for what
/// cannot be listed or read an error. Messages call the directory `name`. A missing directory holds nothing.
pub(super) fn walk(
    directory: PathBuf,
    name: Arc<str>,
    wanted: Arc<dyn Wanted>,
) -> impl Iterator<Item = Result<Listed>> {
    let walk = Walk { directory, name, wanted };
    let below = walk.clone();
    let entries = WalkDir::new(&walk.directory).min_depth(1).follow_links(true).into_iter();
    let entries = entries.filter_entry(move |entry| below.wants(entry));
    entries.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => walk.file(&entry).transpose(),
        Err(error) => walk.failed(&error).map(Err),
    })
}

#[derive(Clone)]
struct Walk {
    directory: PathBuf,
    name: Arc<str>,
    wanted: Arc<dyn Wanted>,
}

impl Walk {
    fn wants(&self, entry: &DirEntry) -> bool {
        let name = self.relative(entry.path());
        if entry.file_type().is_dir() { self.wanted.below(name) } else { self.wanted.object(name) }
    }

    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.directory).unwrap_or(path)
    }

    /// Returns the entry of a wanted file, or `None` if it is gone by now.
    fn file(&self, entry: &DirEntry) -> Result<Option<Listed>> {
        let path = entry.path();
        let key = self.key(path)?;
        if !entry.file_type().is_file() {
            return Err(self.unreadable(path, "it is neither a file nor a directory: remove it"));
        }
        match entry.metadata() {
            Ok(found) => Ok(Some(Listed { key, size: found.len(), e_tag: Some(e_tag(&found)) })),
            Err(error) => self.failed(&error).map_or(Ok(None), Err),
        }
    }

    /// Returns the key of a wanted file, if it has one.
    fn key(&self, path: &Path) -> Result<String> {
        let Some(name) = self.relative(path).to_str() else {
            return Err(self.unreadable(path, "its name is not UTF-8: rename it"));
        };
        let key = name.replace(std::path::MAIN_SEPARATOR, "/");
        if is_misfit(&key) {
            return Err(self.unreadable(path, &format!("its name {}: rename it", flaw(&key))));
        }
        match key.rsplit('/').next() {
            Some(last) if is_unfinished(last) => Err(self
                .unreadable(path, "a name that ends with `#` and digits is that of a file being written: rename it")),
            _ => Ok(key),
        }
    }

    /// Returns the error for what could not be looked at, unless it is gone by now or nobody wants it.
    fn failed(&self, error: &walkdir::Error) -> Option<Error> {
        const BACK: &str = "it is a link that leads back to itself: remove it";
        let path = error.path().unwrap_or(&self.directory);
        let name = self.relative(path);
        let is_root = error.depth() == 0;
        let (object, below) = (self.wanted.object(name), is_root || self.wanted.below(name));
        let (wanted, error) = match error.io_error() {
            None => (below, self.unreadable(path, BACK)),
            Some(io) if is_loop(io) => (object, self.unreadable(path, BACK)),
            // Nothing is there, which is known without a walk.
            Some(io) if is_root && matches!(io.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return None;
            }
            Some(io) if io.kind() == io::ErrorKind::NotFound => {
                let dangles = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
                (dangles && object, self.unreadable(path, "it is a link to nothing: mend or remove it"))
            }
            Some(io) if io.kind() == io::ErrorKind::PermissionDenied => {
                (object || below, self.unreadable(path, "this user may not read it: give the permission"))
            }
            Some(io) => (object || below, Error::new(io_kind(io), anyhow::anyhow!("{}: {io}", self.cannot_read(path)))),
        };
        wanted.then_some(error)
    }

    fn unreadable(&self, path: &Path, why: &str) -> Error {
        Error::config(format!("{}, because {why}, or leave it out with `include`", self.cannot_read(path)))
    }

    fn cannot_read(&self, path: &Path) -> String {
        // Quoted as code, so that odd characters are seen.
        let name = format!("{:?}", self.relative(path));
        match name.trim_matches('"') {
            "" => format!("cannot read `{}`", self.name),
            name => format!("cannot read `{name}` in `{}`", self.name),
        }
    }
}

fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Returns the ETag of a file. It is the one that the library compares when the file is read.
fn e_tag(found: &Metadata) -> String {
    let written = found.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    format!("\"{:x}-{:x}-{:x}\"", inode(found), written.unwrap_or_default().as_micros(), found.len())
}

#[cfg(unix)]
fn inode(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink, net::UnixListener},
    };

    use etl_core::model::error::ErrorKind;

    use super::*;

    /// Wants files by the start of their names, and looks into the directories whose names do not start with `.`.
    #[derive(Debug)]
    struct Starts(&'static str);

    impl Wanted for Starts {
        fn object(&self, name: &Path) -> bool {
            name.file_name().is_some_and(|name| name.as_bytes().starts_with(self.0.as_bytes())) && self.below(name)
        }

        fn below(&self, directory: &Path) -> bool {
            !directory.components().any(|part| part.as_os_str().as_bytes().starts_with(b"."))
        }
    }

    fn walked(directory: &Path, start: &'static str) -> Vec<Result<Listed>> {
        walk(directory.to_owned(), "input/".into(), Arc::new(Starts(start))).collect()
    }

    /// Returns the keys of the files whose names start with `start`, sorted.
    fn keys(directory: &Path, start: &'static str) -> Vec<String> {
        let found: Result<Vec<Listed>> = walked(directory, start).into_iter().collect();
        let mut keys: Vec<String> = found.expect("all can be read").into_iter().map(|found| found.key).collect();
        keys.sort_unstable();
        keys
    }

    /// Returns the message about the wanted files that cannot be read.
    fn message(directory: &Path, start: &'static str) -> String {
        let found: Vec<Error> = walked(directory, start).into_iter().filter_map(Result::err).collect();
        let [error] = &found[..] else { panic!("{found:?}") };
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        text.strip_suffix(", or leave it out with `include`").unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    #[test]
    fn links_are_followed_and_hidden_directories_are_not_entered() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in ["a", "sub/a#1.txt", "sub/a#", ".cache/a", "elsewhere/b"] {
            fs::create_dir_all(at(name).parent().expect("below")).expect("made");
            fs::write(at(name), name).expect("written");
        }
        symlink(at("elsewhere/b"), at("a-link")).expect("linked");
        symlink(at("sub"), at("other")).expect("linked");
        symlink("..", at(".cache/up")).expect("linked");
        fs::set_permissions(at(".cache"), fs::Permissions::from_mode(0o000)).expect("set");
        assert_eq!(keys(directory.path(), "a"), ["a", "a-link", "other/a#", "other/a#1.txt", "sub/a#", "sub/a#1.txt"]);
        assert_eq!(keys(&at("nowhere"), "a"), [""; 0]);
        assert_eq!(keys(&at("a"), "a"), [""; 0]);
        fs::set_permissions(at(".cache"), fs::Permissions::from_mode(0o700)).expect("set");
    }

    #[test]
    fn what_is_wanted_and_cannot_be_read_is_named_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("sub")).expect("made");
        for name in ["ok", "ticket#123", "t\tab", "sub/d.log#7"] {
            fs::write(at(name), "x").expect("written");
        }
        fs::write(directory.path().join(OsStr::from_bytes(b"bytes\xff")), "x").expect("written");
        symlink("nothing", at("link")).expect("linked");
        symlink("round", at("round")).expect("linked");
        let _socket = UnixListener::bind(at("socket")).expect("bound");
        assert_eq!(keys(directory.path(), "o"), ["ok"]);
        let rename = "is that of a file being written: rename it";
        for (start, expected) in [
            (
                "ti",
                format!("cannot read `ticket#123` in `input/`, because a name that ends with `#` and digits {rename}"),
            ),
            (
                "d",
                format!("cannot read `sub/d.log#7` in `input/`, because a name that ends with `#` and digits {rename}"),
            ),
            (
                "t\t",
                "cannot read `t\\tab` in `input/`, because its name holds the control character '\\t': rename it"
                    .into(),
            ),
            ("b", "cannot read `bytes\\xFF` in `input/`, because its name is not UTF-8: rename it".into()),
            ("l", "cannot read `link` in `input/`, because it is a link to nothing: mend or remove it".into()),
            ("r", "cannot read `round` in `input/`, because it is a link that leads back to itself: remove it".into()),
            ("s", "cannot read `socket` in `input/`, because it is neither a file nor a directory: remove it".into()),
        ] {
            assert_eq!(message(directory.path(), start), expected);
        }
        symlink("..", at("sub/up")).expect("linked");
        assert!(
            message(directory.path(), "x").starts_with("cannot read `sub/up` in `input/`, because it is a link that")
        );
    }

    #[test]
    fn a_wanted_directory_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let closed = directory.path().join("lost+found");
        fs::create_dir(&closed).expect("made");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("set");
        // Nothing is closed to root.
        if fs::read_dir(&closed).is_err() {
            let expected =
                "cannot read `lost+found` in `input/`, because this user may not read it: give the permission";
            assert_eq!(message(directory.path(), "x"), expected);
        }
    }

    #[tokio::test]
    async fn a_walk_tells_the_size_and_the_version_that_a_read_compares() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a"), "abc").expect("written");
        let url = format!("file://{}/", directory.path().display());
        let location = crate::Location { written: url.clone(), url };
        let store = crate::Store::open(&location, &std::collections::BTreeMap::new()).expect("opens");
        let found: Vec<Result<Listed>> = futures::StreamExt::collect(store.list_wanted(Arc::new(Starts("a")))).await;
        let found = found.into_iter().collect::<Result<Vec<Listed>>>().expect("lists");
        assert_eq!(found, [store.stat("a").await.expect("looks").expect("is there")]);
        assert_eq!(store.traffic().lists, 1);
    }
}
