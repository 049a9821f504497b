//! The source of a pipeline, alone, and its fields as a plan and people write them.

use std::{collections::BTreeMap, path::Path};

use etl_core::model::error::{ErrorKind, Result, ResultExt};
use etl_format::{Inferred, WantedField};
use toml::{Table, Value};

use super::{
    Pipeline, PipelineSource, Secrets, deserialize, directory,
    document::{self, Document},
    expansion::Expansion,
    fields, file,
    key::KeyPath,
    redacted,
    validate::Validator,
};

/// The keys that count.
const KEYS: [&str; 2] = ["source", "store_options"];

/// The source of a pipeline, which may have no steps yet.
#[derive(Debug, Clone)]
pub struct SourceTables {
    /// Where records come from.
    pub source: PipelineSource,
    /// Options for its store, under the names the `object_store` crate gives them.
    pub store_options: BTreeMap<String, String>,
    /// Values of variables that must not appear in anything the host writes.
    pub secrets: Secrets,
}

impl SourceTables {
    /// Loads the source from the pipeline file at `path`. Other keys are not looked at.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn load(path: &Path, overrides: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::of(&Document::read(path, overrides)?, path, env)
    }

    /// Makes the source at a URL, with more keys as in [`Pipeline::load`].
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn at(url: &str, overrides: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let text = format!("source.url = {}\n", Value::from(url));
        let path = Path::new("the command line");
        Self::of(&Document::parse(path, text, overrides)?, path, env)
    }

    fn of(document: &Document, path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let at_key = |(key, what): (KeyPath, String)| document.error(&key, what);
        let mut root = document.root().clone();
        if let Some(tables) = root.as_table_mut() {
            tables.retain(|name, _| KEYS.contains(&name));
        }
        let secrets = Secrets::of(document.root(), &env).map_err(at_key)?;
        let key = KeyPath::default();
        Expansion::new(&env).expand(&mut root, &key).map_err(at_key)?;
        let validator = Validator { document, directory: &directory(path)?, env: &env, secrets: &secrets };
        let made = deserialize(document, root).and_then(|tables: file::SourceTables| {
            let source = validator.source(&key.key("source"), tables.source)?;
            let store_options = validator.store_options(&key.key("store_options"), tables.store_options)?;
            Ok(Self { source, store_options, secrets: secrets.clone() })
        });
        made.map_err(|error| redacted(&error, &secrets))
    }
}

impl Pipeline {
    /// Returns the fields of the source in order, each as `source.fields` has it; `None` if the format takes none.
    pub fn fields(&self) -> Option<Vec<(String, serde_json::Value)>> {
        let format = &self.source.format;
        let all = || format.reading().fields.wanted().iter().map(entry).collect::<Option<_>>();
        if format.takes_fields() { all() } else { None }
    }

    /// Makes the error that a field of the source is wrong, with the line. `what` continues the sentence that starts with
    /// the field.
    pub fn wrong_field(&self, name: &str, what: &str) -> etl_core::model::error::Error {
        self.written.error(&KeyPath::default().key("source").key("fields").key(name), what)
    }

    /// Returns the pipeline with the fields that were inferred from a sample of its source.
    ///
    /// # Errors
    /// As [`Pipeline::with_fields`].
    pub fn with_inferred(&self, inferred: &Inferred) -> Result<Self> {
        let fields: Option<Vec<_>> = inferred.fields.iter().map(|found| entry(&found.wanted)).collect();
        self.with_fields(&fields.unwrap_or_default(), true)
    }

    /// Returns the pipeline with these fields, each as `source.fields` has it, in place of its own. `is_inferred` says
    /// whether they were inferred.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a field is not valid, or has the name of one of `source.columns`.
    pub fn with_fields(&self, fields: &[(String, serde_json::Value)], is_inferred: bool) -> Result<Self> {
        let mut table = Table::new();
        for (name, value) in fields {
            let value = Value::try_from(value).or_kind(ErrorKind::Config, || format!("field `{name}`"))?;
            table.insert(name.clone(), value);
        }
        let validator =
            Validator { document: &self.written, directory: Path::new("/"), env: &|_| None, secrets: &self.secrets };
        let key = KeyPath::default().key("source").key("fields");
        let wanted = validator.fields(&key, &table)?;
        let mut pipeline = self.clone();
        let format = self.source.format.clone().with_fields(wanted, is_inferred);
        let columns = KeyPath::default().key("source").key("columns");
        pipeline.source.format =
            format.map_err(|error| self.written.error(&columns, format!("cannot be added: {error}")))?;
        pipeline.document["source"]["fields"] = fields.iter().cloned().collect::<serde_json::Map<_, _>>().into();
        Ok(pipeline)
    }
}

/// Returns a field as an entry of `source.fields`.
fn entry(wanted: &WantedField) -> Option<(String, serde_json::Value)> {
    let value = document::json(&fields::written(wanted), &KeyPath::default()).ok()?;
    Some((wanted.field.name().clone(), value))
}

/// Returns a field with its name, as a line of `source.fields` has it.
pub fn field_line(wanted: &WantedField) -> String {
    let name = wanted.field.name();
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let key = if is_bare { name.clone() } else { Value::from(name.as_str()).to_string() };
    format!("{key} = {}", fields::written(wanted))
}
