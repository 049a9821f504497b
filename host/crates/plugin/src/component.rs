//! Inspection of a component file before it is compiled: the step it implements and the imports it needs.

use std::path::Path;

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        hex::hex,
    },
    text::nearest::listed,
};
use sha2::{Digest, Sha256};
use wasmparser::{BinaryReader, Encoding, Parser, Payload, ProducersSectionReader};

use super::stdio::cut;
use crate::config_schema::ConfigSchema;

/// Largest component file that is loaded, in bytes.
const COMPONENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Deepest nesting of components in one another. The memory that compiling takes grows with the square of the depth.
const DEPTH_MAX: u32 = 50;

/// Custom section with the JSON Schema of the plugin's configuration.
const CONFIG_SCHEMA: &str = "etl:config-schema";
/// Custom section with the name and version of the SDK that the plugin uses.
const SDK: &str = "etl:sdk";

/// Number of tools that are listed as having built a component.
const TOOLS_MAX: usize = 16;
/// Longest name and version of such a tool, in bytes.
const TOOL_BYTES_MAX: usize = 100;

/// Version of the package in `wit/` that this host knows, without the patch number.
const WIT_VERSION: &str = "0.1";

/// The interfaces a plugin can export: one per kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Inspects the plugin in a file, without compiling or running it.
///
/// # Errors
/// [`ErrorKind::Config`] when the file cannot be read, is not a component, implements no step, or implements a step of
/// an interface version that this host does not know.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let bytes = read(path)?;
    let found = Scanned::in_component(path, &bytes)?;
    Ok(Inspection {
        interface: found.interface,
        wit_version: found.wit_version.clone(),
        imports: found.imports.clone(),
        grantable: found.grantable(),
        exports: found.exports,
        built_with: found.built_with,
        config: found.config,
        digest: digest(&bytes),
        size_bytes: bytes.len() as u64,
    })
}

/// Reads a component file.
///
/// # Errors
/// [`ErrorKind::Config`] when the file cannot be read or is larger than 256 MiB.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot_read = || format!("cannot read plugin `{}`", path.display());
    let size_bytes = std::fs::metadata(path).or_kind(ErrorKind::Config, cannot_read)?.len();
    if size_bytes > COMPONENT_BYTES_MAX {
        let path = path.display();
        return Err(Error::config(format!(
            "plugin `{path}` has {size_bytes} bytes, more than the limit of {COMPONENT_BYTES_MAX} bytes"
        )));
    }
    std::fs::read(path).or_kind(ErrorKind::Config, cannot_read)
}

/// Returns the SHA-256 digest of a component, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The facts that were found in a component.
pub(super) struct Scanned {
    pub(super) interface: Interface,
    wit_version: String,
    imports: Vec<String>,
    exports: Vec<String>,
    built_with: Vec<String>,
    pub(super) config: Option<ConfigSchema>,
}

impl Scanned {
    /// Reads the names that a component imports and exports, and finds the step it implements.
    ///
    /// # Errors
    /// As [`inspect`], except for reading the file.
    pub(super) fn in_component(path: &Path, bytes: &[u8]) -> Result<Self> {
        let names = scan(bytes).map_err(|what| Error::config(format!("plugin `{}` {what}", path.display())))?;
        let found = names.exports.iter().find_map(|name| {
            let (interface, version) = name.strip_prefix("etl:plugin/")?.split_once('@')?;
            let interface = Interface::ALL.into_iter().find(|known| known.name() == interface)?;
            Some((interface, version.to_owned()))
        });
        let Some((interface, wit_version)) = found else {
            return Err(Error::config(format!(
                "plugin `{}` implements no step: it exports {}, but a plugin exports one of `etl:plugin/splitter`, \
                 `etl:plugin/mapper` and `etl:plugin/reducer`",
                path.display(),
                if names.exports.is_empty() { "nothing".to_owned() } else { listed(&names.exports) },
            )));
        };
        if !compatible(&wit_version) {
            return Err(Error::config(format!(
                "plugin `{}` was built against `etl:plugin@{wit_version}`, but this etl-host knows `etl:plugin@\
                 {WIT_VERSION}`: rebuild it against the `wit` directory of this version",
                path.display(),
            )));
        }
        let Names { imports, exports, built_with, config } = names;
        Ok(Self { interface, wit_version, imports, exports, built_with, config })
    }

    /// Returns the grants that affect an import of the component. Without a grant, the import is linked to a stand-in.
    pub(super) fn grantable(&self) -> Vec<&'static str> {
        let imports = |prefix: &str| self.imports.iter().any(|import| import.starts_with(prefix));
        let known = [("clock", "wasi:clocks/"), ("random", "wasi:random/"), ("env:NAME", "wasi:cli/environment@")];
        known.into_iter().filter(|(_, prefix)| imports(prefix)).map(|(grant, _)| grant).collect()
    }

    /// Checks that the component implements the step it is used as, and imports only what that step's world offers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] otherwise.
    pub(super) fn check_use(&self, path: &Path, step: &str, used_as: Interface) -> Result<()> {
        if self.interface != used_as {
            return Err(Error::config(format!(
                "plugin `{}` is a {} plugin, but `[{step}]` needs a {} plugin (world `{}-plugin`)",
                path.display(),
                self.interface.step(),
                used_as.step(),
                used_as.step(),
            )));
        }
        let denied: Vec<String> = self.imports.iter().filter(|name| !offers(used_as, name)).cloned().collect();
        if !denied.is_empty() {
            return Err(Error::config(format!(
                "plugin `{}` imports {}, which a {} plugin is not given (it is given {} of `etl:plugin@{WIT_VERSION}`, \
                 and an empty WASI 0.2 world)",
                path.display(),
                listed(&denied),
                used_as.step(),
                listed(used_as.offered()),
            )));
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

/// The sorted names at a component's top level, and the contents of its custom sections.
#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    built_with: Vec<String>,
    config: Option<ConfigSchema>,
}

fn scan(bytes: &[u8]) -> Result<Names, String> {
    if !bytes.starts_with(b"\0asm") {
        return Err("is not WebAssembly (a component starts with `\\0asm`)".to_owned());
    }
    let broken = |error: wasmparser::BinaryReaderError| format!("is not a valid component: {error}");
    let mut names = Names::default();
    // The parser also yields the payloads of nested modules and components, between a section's start and its `End`.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("is a core module, not a component (build it for the `wasm32-wasip2` target, or wrap it \
                            with `wasm-tools component new`)"
                    .to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } if depth == DEPTH_MAX => {
                return Err(format!("nests components more than {DEPTH_MAX} deep"));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if depth <= 1 => names.read_section(section.name(), section.data()),
            _ => {}
        }
    }
    names.imports.sort();
    names.exports.sort();
    Ok(names)
}

impl Names {
    /// Takes over a custom section of the component, or of a module in it. Ignores a section that cannot be read.
    fn read_section(&mut self, name: &str, data: &[u8]) {
        match name {
            CONFIG_SCHEMA if self.config.is_none() => self.config = ConfigSchema::parse(data),
            SDK => self.built_with.extend(str::from_utf8(data).map(cut_tool)),
            "producers" => self.built_with.extend(producers(data).unwrap_or_default()),
            _ => {}
        }
        self.built_with.sort();
        self.built_with.dedup();
        self.built_with.truncate(TOOLS_MAX);
    }
}

/// Reads the tools, but not the languages, of a custom section `producers`.
fn producers(data: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut tools = Vec::new();
    for field in ProducersSectionReader::new(BinaryReader::new(data, 0))? {
        let field = field?;
        for tool in field.values.into_iter().take(TOOLS_MAX).filter(|_| field.name != "language") {
            let tool = tool?;
            let version = tool.version.split([' ', '(']).next().unwrap_or_default();
            tools.push(cut_tool(&format!("{} {version}", tool.name)));
        }
    }
    Ok(tools)
}

fn cut_tool(tool: &str) -> String {
    cut(tool.trim(), TOOL_BYTES_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_world_names_is_offered() {
        assert!(offers(Interface::Mapper, "etl:plugin/output@0.1.0"));
        assert!(offers(Interface::Mapper, "etl:plugin/output@0.1.7"));
        assert!(offers(Interface::Mapper, "wasi:clocks/wall-clock@0.2.6"));
        assert!(offers(Interface::Splitter, "etl:plugin/source@0.1.0"));
        for denied in ["etl:plugin/source@0.1.0", "etl:plugin/output@0.2.0", "wasi:http/types@0.2.0", "a:b/c", "env"] {
            assert!(!offers(Interface::Mapper, denied), "`{denied}` was offered");
        }
    }

    #[test]
    fn files_that_are_not_components_are_told_apart() {
        let found =
            |bytes: &[u8]| Scanned::in_component(Path::new("x.wasm"), bytes).err().expect("refused").to_string();
        assert!(found(b"").contains("is not WebAssembly"));
        assert!(found(b"#!/bin/sh").contains("is not WebAssembly"));
        assert!(found(b"\0asm\x01\0\0\0").contains("is a core module, not a component"));
        assert!(found(b"\0asm\x0d\0\x01\0").contains("implements no step"));
        assert!(found(b"\0asm\x0d\0\x01\0\xff\xff").contains("is not a valid component"));
        let nested = |depth| wat::parse_str("(component".repeat(depth) + &")".repeat(depth)).expect("a component");
        assert!(found(&nested(50)).contains("implements no step"));
        assert!(found(&nested(52)).contains("nests components more than 50 deep"));
    }
}
