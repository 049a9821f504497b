//! `etl-host inspect`: shows what a plugin is.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use etl_core::{
    model::error::Result,
    text::numbers::{bytes, count, printable},
};
use etl_plugin::{
    self, Inspection,
    config_schema::{ConfigField, ConfigSchema},
};

use super::{outside, print};

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component file
    #[arg(value_name = "PLUGIN")]
    pub file: PathBuf,
}

/// Prints a plugin's step, interface, digest, size, exports, imports, grants and configuration.
pub(super) fn inspect(args: &InspectArgs) -> Result<()> {
    let inspection = outside::compiler().inspect(&args.file)?;
    print(&render(&args.file, &inspection))
}

fn render(file: &Path, inspection: &Inspection) -> String {
    let Inspection { interface, imports, exports, grantable, built_with, config, digest, size_bytes, .. } = inspection;
    let mut text = String::new();
    let mut say = |label: &str, lines: &[String], none: &str| {
        let lines = if lines.is_empty() { &[none.to_owned()] } else { lines };
        for (position, line) in lines.iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            _ = writeln!(text, "{label:9}  {}", printable(line));
        }
    };
    say("plugin", &[file.display().to_string()], "");
    say("step", &[interface.step().to_owned()], "");
    say("interface", &[format!("etl:plugin@{}", inspection.wit_version)], "");
    say("digest", &[format!("sha256:{digest}")], "");
    say("size", &[format!("{} ({} bytes)", bytes(*size_bytes), count(*size_bytes))], "");
    say("built by", built_with, "not recorded in the plugin");
    say("exports", exports, "none");
    say("imports", imports, "none");
    say(
        "grantable",
        &[grantable.join(", ")].into_iter().filter(|names| !names.is_empty()).collect::<Vec<_>>(),
        "nothing",
    );
    match config {
        Some(config) => say("config", &fields(config), "none"),
        None => say("config", &[], "the plugin does not describe it"),
    }
    text
}

/// Returns the lines for the fields of a configuration: a line for each field, then its description, indented.
fn fields(config: &ConfigSchema) -> Vec<String> {
    let described = config.fields().into_iter().flat_map(|field| {
        let ConfigField { name, takes, required, default, description } = field;
        let absent = match default {
            Some(default) => format!("default {default}"),
            None if required => "required".to_owned(),
            None => "optional".to_owned(),
        };
        [Some(format!("{name}: {takes}, {absent}")), description.map(|text| format!("  {text}"))]
    });
    described.flatten().map(|line| line.replace('\n', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::Interface;

    #[test]
    fn a_plugin_is_shown_in_aligned_lines() {
        let inspection = Inspection {
            interface: Interface::Mapper,
            wit_version: "0.2.0".to_owned(),
            imports: vec!["etl:plugin/output@0.2.0".to_owned(), "wasi:io/error@0.2.6".to_owned()],
            exports: vec!["etl:plugin/mapper@0.2.0".to_owned()],
            built_with: vec!["etl-plugin 0.1.0".to_owned(), "rustc 1.95.0".to_owned()],
            config: None,
            grantable: vec!["clock", "env:NAME"],
            digest: "00ff".to_owned(),
            size_bytes: 71_782,
        };
        let expected = "\
plugin     a/count.wasm
step       map
interface  etl:plugin@0.2.0
digest     sha256:00ff
size       70.1 KiB (71,782 bytes)
built by   etl-plugin 0.1.0
           rustc 1.95.0
exports    etl:plugin/mapper@0.2.0
imports    etl:plugin/output@0.2.0
           wasi:io/error@0.2.6
grantable  clock, env:NAME
config     the plugin does not describe it
";
        assert_eq!(render(Path::new("a/count.wasm"), &inspection), expected);
    }
}
