//! Component files: opening one, and the facts it states about itself.
//!
//! Owns which files are opened and which step may use a component. Parses nothing: the [compiler](super::compiler) reads
//! what is in the file, in a process of its own.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        hex::hex,
    },
    text::nearest::listed,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config_schema::ConfigSchema;

/// Largest component file that is loaded, in bytes.
const COMPONENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Version of the package in `wit/` that this host knows, without the patch number.
const WIT_VERSION: &str = "0.2";

/// The interfaces a plugin can export: one per kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interface {
    /// World `split-plugin`.
    Splitter,
    /// World `map-plugin`.
    Mapper,
    /// World `reduce-plugin`.
    Reducer,
}

impl Interface {
    const ALL: [Self; 3] = [Self::Splitter, Self::Mapper, Self::Reducer];

    /// Returns the name of the interface in `wit/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Splitter => "splitter",
            Self::Mapper => "mapper",
            Self::Reducer => "reducer",
        }
    }

    /// Returns the name of the step that uses the interface.
    pub fn step(self) -> &'static str {
        match self {
            Self::Splitter => "split",
            Self::Mapper => "map",
            Self::Reducer => "reduce",
        }
    }

    /// Returns the interfaces of `etl:plugin` that the interface's world lets a plugin import.
    fn offered(self) -> &'static [&'static str] {
        match self {
            Self::Splitter => &["types", "diagnostics", "source", "shards"],
            Self::Mapper | Self::Reducer => &["types", "diagnostics", "output"],
        }
    }
}

/// The facts about a plugin that its component file states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Interface the plugin exports, which decides the step it implements.
    pub interface: Interface,
    /// Version of the package `etl:plugin` that the plugin was built against.
    pub wit_version: String,
    /// Interfaces the plugin imports, under the component's names for them, sorted.
    pub imports: Vec<String>,
    /// Grants that affect one of these imports, as `grants` spells them: `clock`, `random`, `env:NAME`.
    pub grantable: Vec<&'static str>,
    /// Interfaces the plugin exports, under the component's names for them, sorted.
    pub exports: Vec<String>,
    /// Tools that built the plugin, as the file names them: `rustc 1.95.0`.
    pub built_with: Vec<String>,
    /// Description of the plugin's configuration, if the file has one.
    pub config: Option<ConfigSchema>,
    /// SHA-256 digest of the file, in hexadecimal.
    pub digest: String,
    /// Size of the file.
    pub size_bytes: u64,
}

/// An opened component file. Its content is whatever a stranger wrote; only its size and digest are known.
#[derive(Debug)]
pub(super) struct ComponentFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) size_bytes: u64,
    /// SHA-256 digest in hexadecimal.
    pub(super) digest: String,
}

impl ComponentFile {
    /// Opens a component file, and reads it through once for its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the file cannot be read, is not a regular file, or is larger than 256 MiB.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let cannot_read = || format!("cannot read plugin `{shown}`");
        // Without `O_NONBLOCK`, opening a pipe would wait for its writer. The flag does not affect regular files.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
        let mut file = opened.or_kind(ErrorKind::Config, cannot_read)?;
        let found = file.metadata().or_kind(ErrorKind::Config, cannot_read)?;
        if !found.is_file() {
            return Err(Error::config(format!("plugin `{shown}` is not a regular file")));
        }
        if found.len() > COMPONENT_BYTES_MAX {
            return Err(too_large(path, found.len()));
        }
        let mut hash = Sha256::new();
        let mut read = (&mut file).take(COMPONENT_BYTES_MAX + 1);
        let size_bytes = std::io::copy(&mut read, &mut hash).or_kind(ErrorKind::Config, cannot_read)?;
        if size_bytes > COMPONENT_BYTES_MAX {
            return Err(too_large(path, size_bytes));
        }
        Ok(Self { path: path.to_owned(), file, size_bytes, digest: hex(&hash.finalize()) })
    }

    /// Returns the configuration error that begins with the plugin and says `what` is wrong with it.
    pub(super) fn refused(&self, what: impl std::fmt::Display) -> Error {
        Error::config(format!("plugin `{}` {what}", self.path.display()))
    }
}

fn too_large(path: &Path, size_bytes: u64) -> Error {
    Error::config(format!(
        "plugin `{}` has {size_bytes} bytes, more than the limit of {COMPONENT_BYTES_MAX} bytes",
        path.display()
    ))
}

/// Returns the SHA-256 digest of a component, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The facts that a component states about itself, and the step it implements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) interface: Interface,
    pub(super) wit_version: String,
    /// Sorted names.
    pub(super) imports: Vec<String>,
    /// Sorted names.
    pub(super) exports: Vec<String>,
    pub(super) built_with: Vec<String>,
    pub(super) config: Option<ConfigSchema>,
}

impl Facts {
    /// Finds the step that a component with these exports implements: its interface, and the version of the package
    /// that the component was built against.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the plugin, when it implements no step, or a step of a
    /// version that this host does not know.
    pub(super) fn implemented(exports: &[String]) -> Result<(Interface, String), String> {
        let found = exports.iter().find_map(|name| {
            let (interface, version) = name.strip_prefix("etl:plugin/")?.split_once('@')?;
            let interface = Interface::ALL.into_iter().find(|known| known.name() == interface)?;
            Some((interface, version.to_owned()))
        });
        let Some((interface, version)) = found else {
            return Err(format!(
                "implements no step: it exports {}, but a plugin exports one of `etl:plugin/splitter`, \
                 `etl:plugin/mapper` and `etl:plugin/reducer`",
                if exports.is_empty() { "nothing".to_owned() } else { listed(exports) },
            ));
        };
        if !compatible(&version) {
            return Err(format!(
                "was built against `etl:plugin@{version}`, but this etl-host knows `etl:plugin@{WIT_VERSION}`: rebuild \
                 it against the `wit` directory of this version",
            ));
        }
        Ok((interface, version))
    }

    /// Returns the grants that affect an import of the component. Without a grant, the import is linked to a stand-in.
    pub(super) fn grantable(&self) -> Vec<&'static str> {
        let imports = |prefix: &str| self.imports.iter().any(|import| import.starts_with(prefix));
        let known = [("clock", "wasi:clocks/"), ("random", "wasi:random/"), ("env:NAME", "wasi:cli/environment@")];
        known.into_iter().filter(|(_, prefix)| imports(prefix)).map(|(grant, _)| grant).collect()
    }

    /// Checks that the component implements the interface that `step` uses, and imports only what that interface's
    /// world offers.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the plugin.
    pub(super) fn check_use(&self, step: &str, used_as: Interface) -> Result<(), String> {
        if self.interface != used_as {
            return Err(format!(
                "is a {} plugin, but `[{step}]` needs a {} plugin (world `{}-plugin`)",
                self.interface.step(),
                used_as.step(),
                used_as.step(),
            ));
        }
        let denied: Vec<String> = self.imports.iter().filter(|name| !offers(used_as, name)).cloned().collect();
        if !denied.is_empty() {
            return Err(format!(
                "imports {}, which a {} plugin is not given (it is given {} of `etl:plugin@{WIT_VERSION}`, and an empty \
                 WASI 0.2 world)",
                listed(&denied),
                used_as.step(),
                listed(used_as.offered()),
            ));
        }
        Ok(())
    }
}

fn compatible(version: &str) -> bool {
    version.strip_prefix(WIT_VERSION).is_some_and(|rest| rest.starts_with('.'))
}

fn offers(interface: Interface, import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    match name.split_once('/') {
        Some(("etl:plugin", name)) => compatible(version) && interface.offered().contains(&name),
        Some(("wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random" | "wasi:sockets", _)) => {
            version.starts_with("0.2.")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_world_names_is_offered() {
        assert!(offers(Interface::Mapper, "etl:plugin/output@0.2.0"));
        assert!(offers(Interface::Mapper, "etl:plugin/output@0.2.7"));
        assert!(offers(Interface::Mapper, "wasi:clocks/wall-clock@0.2.6"));
        assert!(offers(Interface::Splitter, "etl:plugin/source@0.2.0"));
        for denied in ["etl:plugin/source@0.2.0", "etl:plugin/output@0.1.0", "wasi:http/types@0.2.0", "a:b/c", "env"] {
            assert!(!offers(Interface::Mapper, denied), "`{denied}` was offered");
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let refused = |path: &Path| ComponentFile::open(path).expect_err("refused").to_string();
        assert_eq!(refused(Path::new("/dev/zero")), "plugin `/dev/zero` is not a regular file");
        let directory = tempfile::tempdir().expect("a directory");
        assert!(refused(directory.path()).ends_with("is not a regular file"));
        let link = directory.path().join("link.wasm");
        std::os::unix::fs::symlink("/dev/zero", &link).expect("a link");
        assert!(refused(&link).ends_with("link.wasm` is not a regular file"));
        let pipe = directory.path().join("pipe.wasm");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        assert!(refused(&pipe).ends_with("pipe.wasm` is not a regular file"));
        assert!(refused(&directory.path().join("none.wasm")).starts_with("cannot read plugin `"));
    }
}
