//! Resuming a run that ended early: whether that is possible, and which of several runs it is.
//!
//! Owns the rule that a run is resumed only by the plan it was made with. The inputs that decide the result must be the
//! same; everything else may differ. Called by the run before it resumes by an existing plan.

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    json::from_json,
    layout::RunLayout,
    pipeline::variables_in,
    plan::{Plan, Planned, Recipe},
    source::{Object, digest},
    store::Store,
};

/// The most runs that are looked at at the same time.
const READS_IN_FLIGHT: usize = 32;

/// The most source objects that a message names.
const OBJECTS_NAMED_MAX: usize = 3;

/// The most characters of a value that a message shows.
const VALUE_CHARACTERS_MAX: usize = 60;

/// Checks that a run can be resumed: the keys that decide its result, the plugins and the source objects must be the
/// same.
///
/// The plan is frozen, so an object that was added to the source since is a change as well.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming what changed.
pub async fn check_unchanged(planned: &Planned, recipe: &Recipe, objects: &[Object]) -> Result<()> {
    let mut changed = changed(&planned.plan.recipe, recipe);
    if planned.plan.listing != digest(objects) {
        changed.extend(changed_objects(planned, objects).await?);
    }
    if changed.is_empty() { Ok(()) } else { Err(cannot_go_on(&changed)) }
}

/// Checks that a run that has ended can be completed by a redrive: the keys that decide its result, the plugins and the
/// source objects must be the same. Only the plugins of the mappers and their configuration may differ, since they may
/// have been mended. Returns these differences in words.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the other changes.
pub async fn check_redrivable(base: &Planned, recipe: &Recipe, emits: &str, objects: &[Object]) -> Result<Vec<String>> {
    let (mended, mut others): (Vec<Change>, Vec<Change>) =
        changes(&base.plan.recipe, recipe).into_iter().partition(|change| change.of_mapper);
    if base.plan.emits.is_empty() && !mended.is_empty() {
        let what = "what the mappers emit is not in the plan, which is of an older version";
        others.push(Change::other(what.to_owned()));
    } else if !base.plan.emits.is_empty() && base.plan.emits != emits {
        others.push(Change::other(format!("what the mappers emit (was `{}`, is `{emits}`)", base.plan.emits)));
    }
    if base.plan.listing != digest(objects) {
        others.extend(changed_objects(base, objects).await?.into_iter().map(Change::other));
    }
    if others.is_empty() {
        return Ok(mended.into_iter().map(|change| change.text).collect());
    }
    Err(Error::config(format!(
        "the run cannot be redriven, because what it was planned with has changed: {}; undo that, or start another run \
         (only the plugins of `[[map]]` and their `config` may change)",
        texts(others).join(", ")
    )))
}

/// Something the run was planned with that is different now.
struct Change {
    /// Whether the change is one of a mapper's plugin or configuration.
    of_mapper: bool,
    text: String,
}

impl Change {
    fn other(text: String) -> Self {
        Self { of_mapper: false, text }
    }
}

fn texts(changes: Vec<Change>) -> Vec<String> {
    changes.into_iter().map(|change| change.text).collect()
}

/// A run that has a plan and is not complete. Another process may be working on it.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The run's id.
    pub run_id: String,
    /// The run's plan.
    pub plan: Plan,
}

/// Returns the unfinished runs of a pipeline, newest plan first, among the `max` runs whose ids sort last. Leaves out
/// runs whose plan this version of the host cannot parse.
///
/// # Errors
/// Fails when the store fails.
pub async fn unfinished(store: &Store, pipeline: &str, max: usize) -> Result<Vec<Unfinished>> {
    let ids = store.list_prefixes(RunLayout::runs(pipeline)).await?;
    let look = |run_id: String| async move {
        let layout = RunLayout::new(pipeline, &run_id);
        // Most runs are complete, so ask for `_SUCCESS` first: that makes it one request for each of them.
        if store.exists(&layout.success()).await? {
            return Ok(None);
        }
        let Some(plan) = store.get(&layout.plan()).await? else { return Ok(None) };
        Ok::<_, Error>(from_json(&layout.plan(), &plan).ok().map(|plan| Unfinished { run_id, plan }))
    };
    let looks = futures::stream::iter(ids.into_iter().rev().take(max)).map(look).buffer_unordered(READS_IN_FLIGHT);
    let mut found: Vec<Unfinished> = looks.try_filter_map(|run| std::future::ready(Ok(run))).try_collect().await?;
    found.sort_unstable_by_key(|run| std::cmp::Reverse(run.plan.planned_at_ms));
    Ok(found)
}

/// Returns the id of the newest unfinished run of a pipeline that `recipe` can finish; `None` when all are complete.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) when there are unfinished runs but none of this recipe,
/// naming what has changed since the newest of them was planned; or when the store fails.
pub async fn newest(store: &Store, pipeline: &str, recipe: &Recipe) -> Result<Option<String>> {
    let runs = unfinished(store, pipeline, usize::MAX).await?;
    if let Some(run) = runs.iter().find(|run| is_same(&run.plan.recipe, recipe)) {
        return Ok(Some(run.run_id.clone()));
    }
    match runs.first() {
        None => Ok(None),
        Some(run) => Err(cannot_go_on(&changed(&run.plan.recipe, recipe)).context(format!("run `{}`", run.run_id))),
    }
}

/// Returns whether two recipes make the same result, as far as plans can tell.
pub fn is_same(then: &Recipe, now: &Recipe) -> bool {
    changes(then, now).is_empty()
}

/// Returns what differs between two recipes, in words.
pub fn changed(then: &Recipe, now: &Recipe) -> Vec<String> {
    texts(changes(then, now))
}

fn cannot_go_on(changed: &[String]) -> Error {
    Error::config(format!(
        "the run cannot be resumed, because what it was planned with has changed: {}; undo that, or start another run \
         (`--new`)",
        changed.join(", ")
    ))
}

/// Returns what differs between two recipes.
fn changes(then: &Recipe, now: &Recipe) -> Vec<Change> {
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
        changed.push(Change::other(format!("the source's records (were `{}`, are `{}`)", then.records, now.records)));
    }
    changed
}

/// Returns the environment variables whose values have changed. A plan that was written before plans kept marks of
/// variables has none to compare.
fn changed_variables(then: &Recipe, now: &Recipe) -> Vec<Change> {
    let differ = then.variables.iter().filter(|(name, mark)| now.variables.get(*name).is_some_and(|now| now != *mark));
    let change = |(name, _): (&String, &String)| {
        let within = |(key, value): &(&String, &Value)| variables_in(key, value).contains(&name.as_str());
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

/// Returns the first source objects that are changed, gone or new, and how many more there are, in words.
async fn changed_objects(planned: &Planned, objects: &[Object]) -> Result<Vec<String>> {
    let mut changed = Named::default();
    let mut known = vec![false; objects.len()];
    for page in 0..planned.plan.shards.pages() {
        for then in planned.objects_of(page).await? {
            match objects.binary_search_by(|object| object.name.cmp(&then.name)) {
                Err(_) => changed.add(format!("source object `{}` (is gone)", then.name)),
                Ok(found) => {
                    let before = std::mem::replace(&mut known[found], true);
                    if !before && objects[found] != then {
                        changed.add(format!("source object `{}` (is another version)", then.name));
                    }
                }
            }
        }
    }
    if changed.names.is_empty() {
        // Empty objects are in no shard, so the plan does not tell whether they are new.
        let unknown = objects.iter().zip(known).filter(|(now, known)| now.size > 0 && !known);
        unknown.for_each(|(now, _)| {
            changed.add(format!("source object `{}` (is in no shard of the plan)", now.name));
        });
    }
    Ok(changed.list())
}

/// The first few changed source objects in words, and how many more there are.
#[derive(Default)]
struct Named {
    names: Vec<String>,
    more: usize,
}

impl Named {
    /// Adds an object, unless it is the one added last: an object may be on several pages in a row.
    fn add(&mut self, name: String) {
        if self.names.last() == Some(&name) {
            return;
        }
        if self.names.len() < OBJECTS_NAMED_MAX { self.names.push(name) } else { self.more += 1 }
    }

    fn list(mut self) -> Vec<String> {
        match (self.names.len(), self.more) {
            (0, _) => self.names.push("the listing of the source".to_owned()),
            (_, 0) => {}
            (_, more) => self.names.push(format!("{more} more source objects")),
        }
        self.names
    }
}
