//! `etl-host fields`: prints the fields of a source, to be pasted into `pipeline.toml`.

use std::{fmt::Write, path::Path};

use clap::{Args, builder::PossibleValuesParser};
use etl_core::{
    model::{
        error::{Error, Result},
        object::{Compression, Object},
    },
    text::numbers::printable,
};
use etl_format::{Inferred, source_formats};

use super::{outside, print, redacted, say, small_runtime};
use crate::{
    connector::{SourceSettings, open_source, sample},
    pipeline::{SourceTables, field_line},
    run::{check::list_source, fields::extent},
};

/// Maximum memory of the listing of the source, in bytes.
const LISTING_BYTES_MAX: u64 = 256 << 20;

/// Formats by the extensions of names, each with a key that they need.
const EXTENSIONS: [(&str, &str, Option<&str>); 7] = [
    ("csv", "csv", None),
    ("tsv", "csv", Some(r"source.csv.delimiter='\t'")),
    ("json", "json", None),
    ("jsonl", "json", None),
    ("ndjson", "json", None),
    ("parquet", "parquet", None),
    ("avro", "avro", None),
];

#[derive(Debug, Args)]
pub(super) struct FieldsArgs {
    /// A file, a directory or the URL of a prefix or an object; or a pipeline file, whose name ends in `.toml`
    #[arg(value_name = "URL")]
    pub source: String,
    /// The format of the records [default: what the names of objects say]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(source_formats()))]
    pub format: Option<String>,
    /// Set a key of the source, such as `source.csv.delimiter=";"`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Infers the fields of a source from its first records and prints them, and what was read on standard error.
pub(super) fn fields(args: &FieldsArgs) -> Result<()> {
    let (runtime, mut set) = (small_runtime()?, args.set.clone());
    set.extend(args.format.iter().map(|format| format!("source.format={format}")));
    let path = Path::new(&args.source);
    let is_pipeline = path.extension().is_some_and(|extension| extension == "toml") && path.is_file();
    let load = |set: &[String]| match is_pipeline {
        true => SourceTables::load(path, set, outside::variable),
        false => SourceTables::at(&args.source, set, outside::variable),
    };
    let mut tables = load(&set)?;
    let found = runtime.block_on(async {
        let settings = SourceSettings {
            location: &tables.source.location,
            include: &tables.source.include,
            options: &tables.store_options,
            memory_bytes: LISTING_BYTES_MAX,
        };
        let source = open_source(&settings).await?;
        let objects = list_source(&tables.source, &*source).await?;
        if !is_pipeline && args.format.is_none() && tables.source.format.name() == "lines" {
            set.extend(format_by_name(&objects)?);
            tables = load(&set)?;
        }
        if !tables.source.format.takes_fields() {
            let format = tables.source.format.name();
            return Err(Error::config(format!("records of format `{format}` have no fields (choose another format)")));
        }
        sample::infer(&source, &objects, &tables.source.format).await
    });
    let found = found.map_err(|error| redacted(&error, &tables.secrets))?;
    say(&format!("inferred from {}", extent(&found)));
    print(&tables.secrets.redact(&block(&tables, &set, is_pipeline, &found)))
}

/// Returns the keys of the format that the name of the first object tells.
fn format_by_name(objects: &[Object]) -> Result<Vec<String>> {
    let name = objects.first().map_or("", |object| object.name.as_str());
    let mut parts = name.rsplit('.');
    let extension = if Compression::of(name) == Compression::None { parts.next() } else { parts.nth(1) };
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let known = EXTENSIONS.iter().find(|(known, ..)| *known == extension);
    let (_, format, more) = known.ok_or_else(|| {
        Error::config(format!("the name of object `{name}` does not tell its format: say `--format csv` or another"))
    })?;
    Ok([format!("source.format={format}")].into_iter().chain(more.map(str::to_owned)).collect())
}

/// Returns `[source]` with its fields, one a line, each with an example. Of a pipeline file, only the fields.
fn block(tables: &SourceTables, set: &[String], is_pipeline: bool, found: &Inferred) -> String {
    let mut text = String::new();
    if !is_pipeline {
        let url = toml::Value::from(tables.source.location.written.as_str());
        _ = writeln!(text, "[source]\nurl = {url}");
        let keys = set.iter().filter_map(|set| set.strip_prefix("source.")?.split_once('='));
        for (key, value) in keys {
            _ = writeln!(text, "{key} = {}", toml_value(value));
        }
        text.push('\n');
    }
    text.push_str("[source.fields]\n");
    let lines: Vec<String> = found.fields.iter().map(|found| field_line(&found.wanted)).collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default().min(60);
    for (line, found) in lines.iter().zip(&found.fields) {
        match &found.example {
            Some(example) => _ = writeln!(text, "{line:width$}  # {}", one_line(example)),
            None => _ = writeln!(text, "{line}"),
        }
    }
    text
}

/// Returns the value of `--set` as a file has it.
fn toml_value(written: &str) -> String {
    let is_toml = format!("value = {written}").parse::<toml::Table>().is_ok();
    if is_toml { written.to_owned() } else { toml::Value::from(written).to_string() }
}

/// Returns an example as a part of a comment.
fn one_line(example: &str) -> String {
    printable(&example.replace('\n', "\\n").replace('\r', "\\r"))
}
