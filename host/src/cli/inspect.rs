//! `etl-host inspect`

use std::path::{Path, PathBuf};

use clap::Args;

use super::print;
use crate::{
    error::Result,
    plugin::{self, Inspection},
    report::text::{bytes, count},
};

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component file
    #[arg(value_name = "PLUGIN")]
    pub file: PathBuf,
}

/// Prints what a plugin is.
pub(super) fn inspect(args: &InspectArgs) -> Result<()> {
    let inspection = plugin::inspect(&args.file)?;
    print(&text(&args.file, &inspection));
    Ok(())
}

fn text(file: &Path, inspection: &Inspection) -> String {
    let Inspection { interface, wit_version, imports, grantable, digest, size_bytes } = inspection;
    let grantable = if grantable.is_empty() { "nothing".to_owned() } else { grantable.join(", ") };
    let imports = if imports.is_empty() { "none".to_owned() } else { imports.join("\n           ") };
    format!(
        "plugin     {}\n\
         step       {}\n\
         interface  etl:plugin@{wit_version}\n\
         digest     sha256:{digest}\n\
         size       {} ({} bytes)\n\
         imports    {imports}\n\
         grantable  {grantable}\n",
        file.display(),
        interface.step(),
        bytes(*size_bytes),
        count(*size_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Interface;

    #[test]
    fn a_plugin_is_shown_in_aligned_lines() {
        let inspection = Inspection {
            interface: Interface::Mapper,
            wit_version: "0.1.0".to_owned(),
            imports: vec!["etl:plugin/output@0.1.0".to_owned(), "wasi:io/error@0.2.6".to_owned()],
            grantable: vec!["clock", "env:NAME"],
            digest: "00ff".to_owned(),
            size_bytes: 71_782,
        };
        let expected = "\
plugin     a/count.wasm
step       map
interface  etl:plugin@0.1.0
digest     sha256:00ff
size       70.1 KiB (71,782 bytes)
imports    etl:plugin/output@0.1.0
           wasi:io/error@0.2.6
grantable  clock, env:NAME
";
        assert_eq!(text(Path::new("a/count.wasm"), &inspection), expected);
    }
}
