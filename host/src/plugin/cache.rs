//! Compiled components, kept on local disk from one run to the next.
//!
//! Owns where they lie and when one is trusted. Compiled code runs outside the sandbox, so an entry counts only if
//! nobody but this user can have written it, if it is whole, and if this very engine made it from this very component.
//! Everything else is compiled anew. Called when a plugin is loaded; a cache that fails costs time and nothing else.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, DirBuilder, File, Metadata},
    hash::Hash,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use wasmtime::component::Component;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The first bytes of an entry. A change of the format changes the number.
const MAGIC: &str = "etl-host compiled component 1";
/// How the names of entries end, and how those begin that are being written.
const ENTRY: &str = ".cwasm";
const UNFINISHED: &str = ".etl-host-";
/// How much is kept; beyond that, what was used longest ago is removed.
const ENTRIES_MAX: usize = 200;
const BYTES_MAX: u64 = 1 << 30;

/// Where compiled components are kept, if anywhere.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: Option<PathBuf>,
}

/// Why a component was compiled although there is a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// The cache is turned off, or there is no home directory to put it in.
    Off,
    /// There is no directory only this user can write to, and none can be made.
    Directory,
    /// There is no entry.
    New,
    /// The entry is not a file of this user's alone.
    Foreign,
    /// The entry is not what was once written for this component and this engine.
    Damaged,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "the cache is off",
            Self::Directory => "the cache needs a directory that only this user can write to",
            Self::New => "it is not in the cache",
            Self::Foreign => "its entry in the cache is not a file of this user's alone",
            Self::Damaged => "its entry in the cache is damaged",
        })
    }
}

impl Cache {
    /// The user's cache, as the environment says: the directory `$ETL_HOST_CACHE` (`off`: none), else
    /// `$XDG_CACHE_HOME/etl-host/components`, else `~/.cache/etl-host/components`.
    pub fn of_user() -> Self {
        Self::of_environment(|name| std::env::var_os(name))
    }

    fn of_environment(env: impl Fn(&str) -> Option<OsString>) -> Self {
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

    /// Returns the component of this SHA-256 digest, taken from the cache or compiled, and in the latter case why. What
    /// was compiled is kept, if it can be.
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        digest: &str,
        compile: impl FnOnce() -> wasmtime::Result<Component>,
    ) -> wasmtime::Result<(Component, Option<Miss>)> {
        let key = key(engine, digest);
        let miss = match self.read(engine, &key) {
            Ok(component) => return Ok((component, None)),
            Err(miss) => miss,
        };
        let component = compile()?;
        if !matches!(miss, Miss::Off | Miss::Directory) {
            // The next run compiles again: that is all that is lost.
            _ = self.write(&key, &component);
        }
        Ok((component, Some(miss)))
    }

    fn read(&self, engine: &wasmtime::Engine, key: &str) -> Result<Component, Miss> {
        let directory = self.directory.as_deref().ok_or(Miss::Off)?;
        make_private(directory).map_err(|_| Miss::Directory)?;
        let bytes = read_private(&path(directory, key))?;
        let code = bytes.get(header(key, &[]).len()..).ok_or(Miss::Damaged)?;
        if !bytes.starts_with(header(key, code).as_bytes()) {
            return Err(Miss::Damaged);
        }
        #[expect(unsafe_code, reason = "a cache of machine code is of use only if the code is run")]
        // SAFETY: wasmtime asks for bytes that `Component::serialize` made. The header says so of all of them, and for
        // this engine; the directory and the file can be written by this user only, who could as well change this
        // program.
        let component = unsafe { Component::deserialize(engine, code) };
        component.map_err(|_| Miss::Damaged)
    }

    /// Writes an entry under a name of its own and renames it, so that nobody ever reads half of one.
    fn write(&self, key: &str, component: &Component) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let code = component.serialize().map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory)?;
        file.write_all(header(key, &code).as_bytes())?;
        file.write_all(&code)?;
        file.persist(path(directory, key))?;
        prune(directory, ENTRIES_MAX, BYTES_MAX)
    }
}

/// Returns what an entry is good for: a component, and a version, target and settings of the engine.
fn key(engine: &wasmtime::Engine, digest: &str) -> String {
    let mut hasher = Xxh3::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:032x}", hasher.digest128())
}

fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}{ENTRY}"))
}

/// Returns what stands in front of `code`; for one key, headers of all codes are equally long.
fn header(key: &str, code: &[u8]) -> String {
    format!("{MAGIC}\n{key}\n{:020}\n{:032x}\n", code.len(), xxh3_128(code))
}

/// Makes a directory that only this user can write to, or makes sure that it is one.
fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = fs::symlink_metadata(directory)?;
    if found.is_dir() && is_private(&found) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Reads a file that only this user can have written, and notes that it was used.
fn read_private(path: &Path) -> Result<Vec<u8>, Miss> {
    // Before it is opened: to open a pipe would wait for a writer.
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
    // Of use only to remove the right ones when there are too many.
    _ = file.set_modified(SystemTime::now());
    Ok(bytes)
}

fn is_private(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0
}

/// Removes the entries that were used longest ago, and what killed processes left, until the limits are kept.
fn prune(directory: &Path, entries_max: usize, bytes_max: u64) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Whatever else somebody keeps here is not ours to remove.
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
