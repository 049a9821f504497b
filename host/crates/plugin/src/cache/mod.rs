//! The cache of compiled components, on local disk from one run to the next.
//!
//! Owns where entries are stored and when one is trusted. Forged machine code would run outside the sandbox, so an
//! entry is used only if no other user can have written it, if it is complete, and if an engine of the same version,
//! target and settings made it from the same component. Otherwise the component is compiled again. Called by the
//! compiler. A cache that fails costs time and nothing else.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, DirBuilder, File, Metadata},
    hash::Hash,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use wasmtime::component::Component;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::component::Facts;

/// First bytes of an entry. The number changes with the format.
const MAGIC: &str = "etl-host compiled component 2";
/// Suffix of the file names of entries.
const ENTRY: &str = ".cwasm";
/// Prefix of the file names of entries that are being written.
const UNFINISHED: &str = ".etl-host-";
/// Number of entries that are kept. Beyond it, the entries used longest ago are removed.
const ENTRIES_MAX: usize = 200;
/// Total size of the entries that are kept, in bytes.
const BYTES_MAX: u64 = 1 << 30;

/// The cache directory of compiled components, or no cache at all.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: Option<PathBuf>,
}

/// Reason why a component was compiled instead of being read from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// The cache is turned off, or there is no home directory to put it in.
    Off,
    /// The cache directory cannot be created, or other users can write to it.
    Directory,
    /// There is no entry for the component and engine.
    New,
    /// The entry is not a readable regular file that only this user can write to.
    Foreign,
    /// The content of the entry differs from what was written for this component and engine.
    Damaged,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "the cache is off",
            Self::Directory => "the cache needs a directory that only this user can write to",
            Self::New => "it is not in the cache",
            Self::Foreign => "its entry in the cache is not a file that only this user can write to",
            Self::Damaged => "its entry in the cache is damaged",
        })
    }
}

impl Cache {
    /// Returns the user's cache, as the environment names it: the directory `$ETL_HOST_CACHE` (`off` means no cache),
    /// else `$XDG_CACHE_HOME/etl-host/components`, else `~/.cache/etl-host/components`. `env` returns the value of an
    /// environment variable.
    pub fn of_environment(env: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| env(name).filter(|value| !value.is_empty());
        let directory = match set("ETL_HOST_CACHE") {
            Some(directory) if directory == "off" => None,
            Some(directory) => Some(directory.into()),
            None => {
                let xdg = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
                let caches = xdg.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
                caches.map(|caches| caches.join("etl-host/components"))
            }
        };
        Self { directory }
    }

    /// Returns the component with this SHA-256 digest and its facts. The [`Miss`] says why it must be compiled.
    pub(super) fn read(&self, engine: &wasmtime::Engine, digest: &str) -> Result<(Facts, Component), Miss> {
        let key = key(engine, digest);
        let directory = self.directory.as_deref().ok_or(Miss::Off)?;
        make_private(directory).map_err(|_| Miss::Directory)?;
        let bytes = read_private(&path(directory, &key))?;
        let content = bytes.get(header(&key, &[]).len()..).ok_or(Miss::Damaged)?;
        if !bytes.starts_with(header(&key, content).as_bytes()) {
            return Err(Miss::Damaged);
        }
        let mut facts = serde_json::Deserializer::from_slice(content).into_iter();
        let found = facts.next().and_then(Result::ok).ok_or(Miss::Damaged)?;
        let component = load(engine, &content[facts.byte_offset()..]).map_err(|_| Miss::Damaged)?;
        Ok((found, component))
    }

    /// Adds a component that was compiled because of `miss`, if the cache can be written.
    pub(super) fn keep(&self, engine: &wasmtime::Engine, digest: &str, miss: Miss, facts: &Facts, code: &[u8]) {
        if !matches!(miss, Miss::Off | Miss::Directory) {
            // A failed write is ignored: its only cost is that the next run compiles the component again.
            _ = self.write(&key(engine, digest), facts, code);
        }
    }

    /// Writes an entry under a temporary name and renames it, so that no process ever reads an incomplete entry.
    fn write(&self, key: &str, facts: &Facts, code: &[u8]) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let content = [&serde_json::to_vec(facts)?, code].concat();
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory)?;
        file.write_all(header(key, &content).as_bytes())?;
        file.write_all(&content)?;
        file.persist(path(directory, key))?;
        prune(directory, ENTRIES_MAX, BYTES_MAX)
    }
}

/// Makes a component of code that is in the cache, or that the [compiler](super::compiler) has just made.
///
/// # Errors
/// When the code was made by an engine of another version or with other settings.
pub(super) fn load(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "compiled code is useful only if it is run")]
    // SAFETY: wasmtime requires bytes that `Engine::precompile_component` made. The compiler is this program, and hands
    // on nothing else. The header of an entry states it for all of its bytes and for this engine; only this user can
    // write to the directory and the file, and this user could also change this program.
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// Returns the key of an entry: the component's digest, and a hash of the engine's version, target and settings.
fn key(engine: &wasmtime::Engine, digest: &str) -> String {
    let mut hasher = Xxh3::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:032x}", hasher.digest128())
}

fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}{ENTRY}"))
}

/// Returns the header that precedes the content of an entry: the facts of a component as JSON, and its code. The headers
/// of one key have the same length for any content.
fn header(key: &str, content: &[u8]) -> String {
    format!("{MAGIC}\n{key}\n{:020}\n{:032x}\n", content.len(), xxh3_128(content))
}

/// Creates a directory that only this user can write to, or checks that an existing one is.
fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = fs::symlink_metadata(directory)?;
    if found.is_dir() && is_private(&found) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Reads a file that only this user can have written, and sets its modification time, which records the use.
fn read_private(path: &Path) -> Result<Vec<u8>, Miss> {
    // Check the type before opening the file, because opening a pipe would wait for a writer.
    let found = fs::symlink_metadata(path).map_err(|_| Miss::New)?;
    if !found.is_file() {
        return Err(Miss::Foreign);
    }
    let foreign = |_| Miss::Foreign;
    let mut file = File::open(path).map_err(foreign)?;
    let opened = file.metadata().map_err(foreign)?;
    if !opened.is_file() || !is_private(&opened) {
        return Err(Miss::Foreign);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(opened.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(foreign)?;
    let time = |what| Timespec { tv_sec: 0, tv_nsec: what };
    let used_now = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
    // The time only decides which entries `prune` removes, so a failure to set it is ignored.
    _ = futimens(&file, &used_now);
    Ok(bytes)
}

fn is_private(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0
}

/// Removes the entries used longest ago, until the rest is within the limits. Unfinished files, which killed processes
/// leave behind, count as entries.
fn prune(directory: &Path, entries_max: usize, bytes_max: u64) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Files with other names were not written by this cache and are never removed.
        if name.ends_with(ENTRY) || name.starts_with(UNFINISHED) {
            let found = entry.metadata()?;
            entries.push((found.modified()?, found.len(), entry.path()));
        }
    }
    entries.sort();
    let mut bytes = 0;
    for (index, (_, size, path)) in entries.iter().rev().enumerate() {
        bytes += size;
        if index >= entries_max || bytes > bytes_max {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
