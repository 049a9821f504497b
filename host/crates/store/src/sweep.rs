//! Sweeping the files of incomplete objects, which killed processes leave on local disk.
//!
//! A local store writes an object under another name beside its own, `NAME#1`, and renames the file when it is
//! complete. Such a file is not an object: it is never listed, and no attempt continues it.

use std::{fs, path::Path, time::SystemTime};

/// Deletes the files of incomplete objects, at `path` or in that directory and below, if they were last written before
/// `then`, or all of them without `then`. Also deletes directories that are empty without them. Best effort: such files
/// only take space.
pub(super) fn sweep(path: &Path, then: Option<SystemTime>) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    sweep_in(directory, then, &|other| other == name);
    if path.is_dir() {
        sweep_below(path, then);
    }
}

fn sweep_below(directory: &Path, then: Option<SystemTime>) {
    let swept = sweep_in(directory, then, &|_| true);
    for entry in entries(directory).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        sweep_below(&entry.path(), then);
    }
    if swept {
        _ = fs::remove_dir(directory);
    }
}

/// Deletes old files of incomplete objects in `directory` if `of` accepts the object's name. Returns whether there were
/// any.
fn sweep_in(directory: &Path, then: Option<SystemTime>, of: &dyn Fn(&str) -> bool) -> bool {
    let is_old = |entry: &fs::DirEntry| match then {
        Some(then) => entry.metadata().and_then(|found| found.modified()).is_ok_and(|written| written < then),
        None => true,
    };
    let is_left = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let object = name.to_str().and_then(object_of);
        object.is_some_and(of) && is_old(entry)
    };
    let left: Vec<fs::DirEntry> = entries(directory).filter(is_left).collect();
    left.iter().for_each(|entry| _ = fs::remove_file(entry.path()));
    !left.is_empty()
}

/// Returns the name of the object, if `file` is the name of an incomplete object's file.
fn object_of(file: &str) -> Option<&str> {
    let (object, number) = file.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(object)
}

fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn only_old_files_that_are_no_objects_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let then = UNIX_EPOCH + Duration::from_secs(1_795_365_000);
        for (name, old) in [
            ("run/part.json#1", true),
            ("run/part.json#2", false),
            ("run/part.json", true),
            ("run/part#1.json", true),
            ("run/deep/er/part.json#12", true),
            ("run#1", true),
            ("other/part.json#1", true),
        ] {
            fs::create_dir_all(at(name).parent().expect("below")).expect("made");
            let file = fs::File::create(at(name)).expect("written");
            let written = if old { then - Duration::from_secs(1) } else { then };
            file.set_modified(written).expect("a time");
        }
        sweep(&at("run"), Some(then));
        let stays = ["run/part.json#2", "run/part.json", "run/part#1.json", "other/part.json#1"];
        assert!(stays.iter().all(|name| at(name).exists()), "{stays:?}");
        let goes = ["run/part.json#1", "run/deep/er", "run#1"];
        assert!(goes.iter().all(|name| !at(name).exists()), "{goes:?}");
        sweep(&at("run"), None);
        assert!(!at("run/part.json#2").exists() && at("run/part.json").exists());
        sweep(&at("nowhere"), None);
    }
}
