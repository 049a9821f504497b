//! Finds the facts that a component states about itself: names of imports and exports, custom sections.
//!
//! Owns the reading of a stranger's bytes for these facts. Called in the compiler's process only.

use wasmparser::{BinaryReader, Encoding, Parser, Payload, ProducersSectionReader};

use super::{component::Facts, stdio::cut, structure::Parts};
use crate::config_schema::ConfigSchema;

/// Deepest nesting of components in one another. The memory that compiling takes grows with the square of the depth.
const DEPTH_MAX: u32 = 50;

/// Custom section with the JSON Schema of the plugin's configuration.
const CONFIG_SCHEMA: &str = "etl:config-schema";
/// Custom section with the name and version of the SDK that the plugin uses.
const SDK: &str = "etl:sdk";

/// Largest number of imports, and of exports, of a component.
const NAMES_MAX: usize = 1_000;
/// Longest name of an import or an export, in bytes.
const NAME_BYTES_MAX: usize = 1_000;
/// Number of tools that are listed as having built a component.
const TOOLS_MAX: usize = 16;
/// Longest name and version of such a tool, in bytes.
const TOOL_BYTES_MAX: usize = 100;

/// Reads the facts of a component, and checks that its parts are within the limits.
///
/// # Errors
/// What is wrong, as the end of a sentence that begins with the plugin.
pub(super) fn scan(component: &[u8]) -> Result<Facts, String> {
    if !component.starts_with(b"\0asm") {
        return Err("is not WebAssembly (a component starts with `\\0asm`)".to_owned());
    }
    let Names { imports, exports, built_with, config } = Names::read(component)?;
    let (interface, wit_version) = Facts::implemented(&exports)?;
    Parts::count(component)?.check()?;
    Ok(Facts { interface, wit_version, imports, exports, built_with, config })
}

/// Says that a component cannot be read.
pub(super) fn broken(error: impl std::fmt::Display) -> String {
    format!("is not a valid component: {error}")
}

/// The sorted names at a component's top level, and the contents of its custom sections.
#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    built_with: Vec<String>,
    config: Option<ConfigSchema>,
}

impl Names {
    fn read(component: &[u8]) -> Result<Self, String> {
        let mut names = Self::default();
        // The parser also yields the payloads of nested modules and components, between a section's start and its `End`.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(broken)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(
                        "is a core module, not a component (build it for the `wasm32-wasip2` target, or wrap it \
                                with `wasm-tools component new`)"
                            .to_owned(),
                    );
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } if depth == DEPTH_MAX => {
                    return Err(format!("nests components more than {DEPTH_MAX} deep"));
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let read = section.into_iter().map(|import| import.map(|import| import.name.name));
                    add(&mut names.imports, read, "imports")?;
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    let read = section.into_iter().map(|export| export.map(|export| export.name.name));
                    add(&mut names.exports, read, "exports")?;
                }
                Payload::CustomSection(section) if depth <= 1 => names.read_section(section.name(), section.data()),
                _ => {}
            }
        }
        names.imports.sort();
        names.exports.sort();
        Ok(names)
    }

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

/// Adds the names of a section to `names`.
fn add<'a>(
    names: &mut Vec<String>,
    read: impl Iterator<Item = wasmparser::Result<&'a str>>,
    what: &str,
) -> Result<(), String> {
    for name in read {
        let name = name.map_err(broken)?;
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("{what} a name of {} bytes (limit {NAME_BYTES_MAX} bytes)", name.len()));
        }
        if names.len() == NAMES_MAX {
            return Err(format!("{what} more than {NAMES_MAX} things"));
        }
        names.push(name.to_owned());
    }
    Ok(())
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
        tools.truncate(TOOLS_MAX);
    }
    Ok(tools)
}

fn cut_tool(tool: &str) -> String {
    cut(tool.trim(), TOOL_BYTES_MAX).to_owned()
}

/// Changes the names of the custom sections that name functions, so that the compiler leaves these sections out. All
/// addresses stay the same.
///
/// A backtrace would otherwise copy the name of each function it passes, and a name can be as long as the file.
pub(super) fn hide_function_names(component: &mut [u8]) {
    let hidden = |payload: wasmparser::Result<Payload<'_>>| match payload {
        Ok(Payload::CustomSection(section)) if matches!(section.name(), "name" | "component-name") => {
            Some(section.data_offset() - section.name().len())
        }
        _ => None,
    };
    let starts: Vec<usize> = Parser::new(0).parse_all(component).filter_map(hidden).collect();
    starts.into_iter().for_each(|start| component[start] = b'_');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(component: &[u8]) -> String {
        scan(component).expect_err("refused")
    }

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("the text is WebAssembly")
    }

    #[test]
    fn files_that_are_not_components_are_told_apart() {
        assert!(refused(b"").contains("is not WebAssembly"));
        assert!(refused(b"#!/bin/sh").contains("is not WebAssembly"));
        assert!(refused(b"\0asm\x01\0\0\0").contains("is a core module, not a component"));
        assert!(refused(b"\0asm\x0d\0\x01\0").contains("implements no step"));
        assert!(refused(b"\0asm\x0d\0\x01\0\xff\xff").contains("is not a valid component"));
        let nested = |depth| wat(&("(component".repeat(depth) + &")".repeat(depth)));
        assert!(refused(&nested(50)).contains("implements no step"));
        assert!(refused(&nested(52)).contains("nests components more than 50 deep"));
    }

    #[test]
    fn names_without_end_are_refused() {
        let long = format!("(component (import \"a:b/{}\" (instance)))", "c".repeat(1_000));
        assert_eq!(refused(&wat(&long)), "imports a name of 1004 bytes (limit 1000 bytes)");
        let many: String = (0..1_001).map(|number| format!("(import \"a:b/c{number}\" (instance))")).collect();
        assert_eq!(refused(&wat(&format!("(component {many})"))), "imports more than 1000 things");
    }

    #[test]
    fn hidden_function_names_leave_everything_else_where_it_was() {
        let text = "(component $outer (core module $m (func $secret (export \"f\"))) (core instance (instantiate $m)))";
        let mut component = wat(text);
        let before = component.clone();
        hide_function_names(&mut component);
        assert_eq!(component.len(), before.len());
        let names = |component: &[u8]| {
            let payloads = Parser::new(0).parse_all(component).map(|payload| payload.expect("valid"));
            let names = payloads.filter_map(|payload| match payload {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&before), ["name", "component-name"]);
        assert_eq!(names(&component), ["_ame", "_omponent-name"]);
        let differ = before.iter().zip(&component).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 2);
    }
}
