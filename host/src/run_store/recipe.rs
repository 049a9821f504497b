//! What decides the result of a run, besides the source's objects, and how two of these differ.

use std::collections::BTreeMap;

use etl_core::{
    model::{error::Error, reject},
    text::variables,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most characters of a value that a message shows.
const VALUE_CHARACTERS_MAX: usize = 60;

/// The inputs that decide the bytes of a result, besides the source's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The deciding keys of `pipeline.toml` and their values, by name: `Pipeline::result_keys`.
    pub keys: BTreeMap<String, Value>,
    /// A mark of the value of each environment variable in these keys, by the variable's name. Equal values have equal
    /// marks; a mark is too short to find the value by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The steps and their plugins, in the order data flows.
    pub steps: Vec<PlannedStep>,
    /// The schema of the source's records, as text.
    pub records: String,
}

/// A step of the pipeline, with the plugin it was planned with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The step's name in messages, such as `map 2`.
    pub step: String,
    /// The SHA-256 digest of the step's plugin.
    pub digest: String,
}

/// Something the run was planned with that is different now.
pub struct Change {
    /// Whether the change is one of a mapper's plugin or configuration.
    pub of_mapper: bool,
    /// The difference in words.
    pub text: String,
}

impl Change {
    /// Returns a difference that is not of a mapper.
    pub fn other(text: String) -> Self {
        Self { of_mapper: false, text }
    }
}

/// Returns the differences in words.
pub fn texts(changes: Vec<Change>) -> Vec<String> {
    changes.into_iter().map(|change| change.text).collect()
}

/// Returns whether two recipes make the same result, as far as plans can tell.
pub fn is_same(then: &Recipe, now: &Recipe) -> bool {
    changes(then, now).is_empty()
}

/// Returns what differs between two recipes, in words.
pub fn changed(then: &Recipe, now: &Recipe) -> Vec<String> {
    texts(changes(then, now))
}

/// Returns the error that a run cannot be resumed, because of these differences.
pub fn cannot_go_on(changed: &[String]) -> Error {
    Error::config(format!(
        "the run cannot be resumed, because what it was planned with has changed: {}; undo that, or start another run \
         (`--new`)",
        changed.join(", ")
    ))
}

/// Returns what differs between two recipes.
pub fn changes(then: &Recipe, now: &Recipe) -> Vec<Change> {
    let mut changed = Vec::new();
    let names: Vec<&String> =
        then.keys.keys().chain(now.keys.keys().filter(|key| !then.keys.contains_key(*key))).collect();
    for key in names {
        let (was, is) = (then.keys.get(key), now.keys.get(key));
        if was != is {
            let of_mapper = is_of_mapper(key);
            let text = format!("`{key}` ({})", was_is(was.map(shown).as_deref(), is.map(shown).as_deref()));
            changed.push(Change { of_mapper, text });
        }
    }
    changed.extend(changed_variables(then, now));
    let digest = |recipe: &Recipe, step: &str| {
        recipe.steps.iter().find(|planned| planned.step == step).map(|planned| format!("{:.12}", planned.digest))
    };
    let steps = then.steps.iter().chain(now.steps.iter().filter(|step| digest(then, &step.step).is_none()));
    for step in steps.map(|planned| planned.step.as_str()) {
        let (was, is) = (digest(then, step), digest(now, step));
        if was != is {
            // A mapper that was added or removed makes another pipeline, which no redrive can complete.
            let of_mapper = step.starts_with("map") && was.is_some() && is.is_some();
            let text = format!("the plugin of `{step}` ({})", was_is(was.as_deref(), is.as_deref()));
            changed.push(Change { of_mapper, text });
        }
    }
    if then.records != now.records && changed.is_empty() {
        changed.push(Change::other(format!(
            "the source's records (were {}, are {})",
            reject::shown(&then.records),
            reject::shown(&now.records)
        )));
    }
    changed
}

/// Returns the environment variables whose values have changed. A plan that was written before plans kept marks of
/// variables has none to compare.
fn changed_variables(then: &Recipe, now: &Recipe) -> Vec<Change> {
    let differ = then.variables.iter().filter(|(name, mark)| now.variables.get(*name).is_some_and(|now| now != *mark));
    let change = |(name, _): (&String, &String)| {
        let within = |(key, value): &(&String, &Value)| variables::names(key, value).contains(&name.as_str());
        let keys: Vec<&String> = now.keys.iter().filter(within).map(|(key, _)| key).collect();
        let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let text = format!("the environment variable `{name}` in {} (has another value)", quoted.join(", "));
        Change { of_mapper: keys.iter().all(|key| is_of_mapper(key)), text }
    };
    differ.map(change).collect()
}

/// Returns whether a key belongs to the configuration of a mapper.
fn is_of_mapper(key: &str) -> bool {
    key.starts_with("map[") && key.contains("].config")
}

fn was_is(was: Option<&str>, is: Option<&str>) -> String {
    let (was, is) = (was.unwrap_or("not there"), is.unwrap_or("not there"));
    format!("was {was}, is {is}")
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
