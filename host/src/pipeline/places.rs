//! The places of a pipeline: where its runs and its results lie.
//!
//! Commands that look at runs read these keys and no others, so they need no variable of another key.

use std::{collections::BTreeMap, path::Path};

use etl_core::model::error::Result;
use etl_store::Location;
use toml::Value;

use super::{
    Secrets, deserialize, directory, document::Document, expansion::Expansion, key::KeyPath, place, redacted,
    validate::Validator,
};

/// The keys that count, each with the keys of its table that count; without any, all do.
const KEYS: [(&str, &[&str]); 4] =
    [("name", &[]), ("sink", &["url"]), ("run", &["store", "fsync"]), ("store_options", &[])];

/// Where the runs and the results of a pipeline lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// Name of the pipeline.
    pub name: String,
    /// Where runs keep their plan, intermediates and log.
    pub run_store: Location,
    /// Prefix below which results are written.
    pub sink: Location,
    /// Options for these stores, under the names the `object_store` crate gives them.
    pub store_options: BTreeMap<String, String>,
    /// Whether writes to local disk wait until the data has reached it.
    pub fsync: bool,
    /// Values of variables that must not appear in anything the host writes.
    pub secrets: Secrets,
}

impl Places {
    /// Loads the places from the pipeline file at `path`, as [`Pipeline::load`](super::Pipeline::load) does. Other keys
    /// are not looked at.
    ///
    /// # Errors
    /// As [`Pipeline::load`](super::Pipeline::load).
    pub fn load(path: &Path, overrides: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let document = Document::read(path, overrides)?;
        let at_key = |(key, what): (KeyPath, String)| document.error(&key, what);
        let secrets = Secrets::of(document.root(), &env).map_err(at_key)?;
        let mut root = document.root().clone();
        keep_places(&mut root);
        Expansion::new(&env).expand(&mut root, &KeyPath::default()).map_err(at_key)?;
        let validator = Validator { document: &document, directory: &directory(path)?, env: &env, secrets: &secrets };
        let places = deserialize(&document, root).and_then(|file| validator.places(file));
        places.map_err(|error| redacted(&error, &secrets))
    }

    /// Checks that a run's result does not lie where the pipeline's runs are, so that it can be deleted without them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming the run.
    pub fn check_apart(&self, run_id: &str) -> Result<()> {
        place::check_apart(run_id, &self.name, &self.run_store, &self.sink)
    }
}

fn keep_places(root: &mut Value) {
    let Some(tables) = root.as_table_mut() else { return };
    tables.retain(|name, _| KEYS.iter().any(|(known, _)| *known == name));
    for (name, keys) in KEYS.iter().filter(|(_, keys)| !keys.is_empty()) {
        if let Some(table) = tables.get_mut(*name).and_then(Value::as_table_mut) {
            table.retain(|key, _| keys.contains(&key));
        }
    }
}
