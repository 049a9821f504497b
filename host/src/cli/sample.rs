//! The arguments that `try` and `laws` share: sample records, grants and limits, and a reducer behind a mapper.
//!
//! Owns how these arguments are read and what they load. `diff` and `replay` also show messages and rejects with the
//! functions here.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, builder::PossibleValuesParser};
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        event::{Events, Level},
        object::Compression,
        reject::Reject,
        schema::Schema,
    },
    text::numbers::{counted, printable},
};
use etl_format::{Chunk, ChunkIter, Cuts, Fields, Inferred, Section, SourceFormat, WantedField, source_formats};
use etl_plugin::{Engine, Interface, Plugin};
use etl_store::Location;

use super::{compiling, outside, say};
use crate::{
    connector::{Source, objects::ObjectSource, sample},
    pipeline::{Sandbox, SourceTables, field_line},
    report::Plain,
    run::fields,
    workbench::trial::{self, Sample},
};

/// Number of bytes of a file from which fields are inferred, at most.
const HEAD_BYTES_MAX: u64 = 8 << 20;

/// Arguments that name the sample records and their format.
#[derive(Debug, Args)]
pub(super) struct InputArgs {
    /// The sample records: a file, or `-` for standard input; for a splitter, a file or a directory
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The plugin's configuration
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub config: String,
    /// The format of the records
    #[arg(long, value_name = "FORMAT", default_value = "lines", value_parser = PossibleValuesParser::new(source_formats()))]
    pub format: String,
    /// The fields to read, such as `city=text,price=decimal(9,2)` [default: those of the first records, or those that a
    /// file of Parquet or Avro has]
    #[arg(long, value_name = "NAME=TYPE,…")]
    pub fields: Vec<String>,
    /// The number of leading fields that form the key, for a reducer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub key_fields: usize,
    /// The maximum number of records to read
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub limit: usize,
}

impl InputArgs {
    /// Returns the format of the records, with the fields to read and these keys of the source.
    fn source_format(&self, keys: &[String]) -> Result<SourceFormat> {
        let named = format!("source.format={}", self.format);
        let set: Vec<String> = std::iter::once(named).chain(keys.iter().cloned()).collect();
        let format = SourceTables::at(".", &set, outside::variable)?.source.format;
        if self.fields.is_empty() {
            return Ok(format);
        }
        let fields: Vec<String> = self.fields.iter().flat_map(|fields| separate(fields)).map(str::to_owned).collect();
        let fields = Fields::from(Schema::parse(&fields, 0)?);
        SourceFormat::new(format.name(), Some(fields.clone()))
            .and_then(|_| format.with_fields(fields, false))
            .map_err(|error| Error::config(format!("`--fields` {error}")))
    }

    /// Returns the format of the records of a source. Call this on the runtime.
    pub(super) async fn format_of(&self, source: &Arc<dyn Source>, keys: &[String]) -> Result<SourceFormat> {
        let format = self.source_format(keys)?;
        if !format.lacks_fields() {
            return Ok(format);
        }
        let inferred = sample::infer(source, &source.list().await?, &format).await?;
        with_inferred(format, &inferred)
    }

    /// Opens the input file or directory as the source of a splitter.
    pub(super) async fn source(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(ObjectSource::open(&Location::local(&self.input)?, &[], &Default::default()).await?))
    }

    /// Reads the sample for a plugin of this kind, with these keys of the source. Reports rejected records, and records
    /// left unread, on standard error.
    pub(super) fn sample(&self, interface: Interface, keys: &[String]) -> Result<Sample> {
        if interface == Interface::Reducer && self.key_fields == 0 {
            return Err(Error::config(
                "a reducer takes rows with a key: give `--format json`, `--fields` and `--key-fields`, or a mapper \
                 with `--reduce`",
            ));
        }
        let mut format = self.source_format(keys)?;
        let name = self.input.file_name().unwrap_or(self.input.as_os_str()).to_string_lossy();
        let (name, mut file): (&str, Box<dyn Read>) = match self.input.to_str() {
            Some("-") => ("stdin", Box::new(io::stdin())),
            _ => (&name, Box::new(open(&self.input)?)),
        };
        let mut head = Vec::new();
        if format.lacks_fields() {
            let is_read_whole = matches!(format.cuts(), Cuts::ByPosition { .. });
            let read = file.by_ref().take(if is_read_whole { u64::MAX } else { HEAD_BYTES_MAX }).read_to_end(&mut head);
            read.or_kind(ErrorKind::Input, || format!("cannot read `{name}`"))?;
            let chunks = match is_read_whole {
                true => vec![Ok(Chunk::Section(Section::in_memory(name, head.clone().into())))],
                false => vec![Ok(Chunk::whole(name, Compression::of(name))), Ok(Chunk::Data(head.clone().into()))],
            };
            let chunks: ChunkIter<'_> = Box::new(chunks.into_iter());
            let inferred = format.infer(Box::new([chunks].into_iter()))?;
            format = with_inferred(format, &inferred)?;
        }
        let mut sample = Sample::read(name, head.as_slice().chain(file), &format, self.limit)?;
        if self.key_fields > 0 {
            sample = sample.keyed(self.key_fields)?;
        }
        if sample.more {
            say(&format!(
                "only the first {} were read (`--limit` sets how many)",
                counted(sample.len() as u64, "record")
            ));
        }
        for reject in &sample.rejects {
            say(&rejected(reject));
        }
        Ok(sample)
    }
}

/// Returns the fields in a list, which commas separate, those outside of types and quotes.
fn separate(list: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start, mut fields) = (0_usize, false, 0, Vec::new());
    for (at, char) in list.char_indices() {
        match char {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                fields.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&list[start..]);
    fields
}

/// Returns a format with fields that were inferred, and says which they are on standard error.
fn with_inferred(format: SourceFormat, inferred: &Inferred) -> Result<SourceFormat> {
    let fields: Vec<WantedField> = inferred.fields.iter().map(|found| found.wanted.clone()).collect();
    let lines: Vec<String> = fields.iter().map(field_line).collect();
    say(&format!("fields inferred from {}: {}", fields::extent(inferred), lines.join(", ")));
    format.with_fields(Fields::new(fields)?, true)
}

fn open(path: &Path) -> Result<impl Read> {
    if path.is_dir() {
        let path = path.display();
        return Err(Error::config(format!("`{path}` is a directory (use one file, or `-` for standard input)")));
    }
    File::open(path).or_kind(ErrorKind::Config, || format!("cannot open `{}`", path.display()))
}

/// What keys of the source begin with.
const SOURCE: &str = "source.";

/// Arguments for the sandbox of the steps: grants, limits and other keys. The keys of the source are among them.
#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Grant the steps something from outside the sandbox: `clock`, `random` or `env:NAME`; may be repeated
    #[arg(long, value_name = "GRANT")]
    pub grant: Vec<String>,
    /// Set a key of the steps or of the source as in pipeline.toml, such as `limits.memory=1GiB` or
    /// `source.csv.delimiter=";"`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SandboxArgs {
    /// Returns the keys that are set of the source.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when one of them says where the records are, which `--input` does.
    pub(super) fn source(&self) -> Result<Vec<String>> {
        let keys: Vec<String> = self.set.iter().filter(|set| set.starts_with(SOURCE)).cloned().collect();
        let names = |set: &String, key: &str| set.split('=').next().is_some_and(|name| name.trim() == key);
        match ["source.url", "source.include"].into_iter().find(|key| keys.iter().any(|set| names(set, key))) {
            Some(key) => Err(Error::config(format!("`{key}` cannot be set here: `--input` names the records"))),
            None => Ok(keys),
        }
    }

    /// Loads a plugin, to be run with these grants and keys.
    pub(super) fn load(&self, engine: &Engine, plugin: &Path, config: &str) -> Result<(Interface, Plugin)> {
        let mut set: Vec<String> = self.set.iter().filter(|set| !set.starts_with(SOURCE)).cloned().collect();
        if !self.grant.is_empty() {
            set.push(format!("grants={}", toml::Value::from(self.grant.clone())));
        }
        let sandbox = Sandbox::parse(plugin, &set, outside::variable)?;
        trial::load(engine, plugin, config, &sandbox)
    }
}

/// Arguments for a reducer behind a mapper.
#[derive(Debug, Args)]
pub(super) struct ReducerArgs {
    /// A reducer for the rows the mapper emits; with it, `laws` compares the reducer's result if the mapper's rows
    /// differ
    #[arg(long, value_name = "PLUGIN")]
    pub reduce: Option<PathBuf>,
    /// The reducer's configuration
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "reduce")]
    pub reduce_config: String,
}

impl ReducerArgs {
    /// Loads the reducer if one is given. `behind` is the kind of the plugin whose rows it takes, which must be a
    /// mapper.
    pub(super) fn load(&self, engine: &Engine, sandbox: &SandboxArgs, behind: Interface) -> Result<Option<Plugin>> {
        let Some(path) = &self.reduce else { return Ok(None) };
        if behind != Interface::Mapper {
            let step = behind.step();
            return Err(Error::config(format!("--reduce goes with a map plugin, and this is a {step} plugin")));
        }
        match sandbox.load(engine, path, &self.reduce_config)? {
            (Interface::Reducer, plugin) => Ok(Some(plugin)),
            (other, _) => Err(Error::config(format!("--reduce `{}` is a {} plugin", path.display(), other.step()))),
        }
    }
}

/// Starts an engine for a trial, which has at most 8 instances at a time.
pub(super) fn engine() -> Result<Engine> {
    Engine::new(8, compiling::told())
}

/// Returns events whose messages are shown on standard error. `redact` removes secrets from them.
pub(super) fn shown_events(redact: impl Fn(&str) -> String + Send + 'static) -> Events {
    let events = Events::new(outside::now);
    events.listen(Plain::new(io::stderr(), Level::Debug, Box::new(redact)));
    events
}

/// Returns a reject as one line of text.
pub(super) fn rejected(reject: &Reject) -> String {
    printable(&format!("rejected {reject}").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_types_and_quotes_separate_no_fields() {
        let list = "a=decimal(9,2),b=struct<x: int64, \"y,\": map<text, json>>,c=text";
        assert_eq!(separate(list), ["a=decimal(9,2)", "b=struct<x: int64, \"y,\": map<text, json>>", "c=text"]);
    }

    #[test]
    fn a_reject_is_one_line() {
        let reject = Reject::new("map", "no\nkey").at("a.csv", 59).with_record(b"x\x1b");
        assert_eq!(rejected(&reject), "rejected `a.csv` at byte 59: no\\nkey: record `x\\u{1b}`");
    }
}
