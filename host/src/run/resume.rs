//! Resuming a run that ended early: whether that is possible, and which of several runs it is.
//!
//! Owns the rule that a run is resumed only by the plan it was made with. The inputs that decide the result must be the
//! same; everything else may differ. Called by the run before it resumes by an existing plan.

use etl_core::model::{
    error::{Error, Result},
    object::{Object, digest},
};

use crate::run_store::{
    plan::Planned,
    recipe::{Change, Recipe, cannot_go_on, changed, changes, texts},
};

/// The most source objects that a message names.
const OBJECTS_NAMED_MAX: usize = 3;

/// Checks that a run can be resumed: the keys that decide its result, the plugins and the source objects must be the
/// same.
///
/// The plan is frozen, so an object that was added to the source since is a change as well.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming what changed.
pub(super) async fn check_unchanged(planned: &Planned, recipe: &Recipe, objects: &[Object]) -> Result<()> {
    let mut changed = changed(&planned.plan.recipe, recipe);
    if planned.plan.listing != digest(objects) {
        changed.extend(changed_objects(planned, objects).await?);
    }
    if changed.is_empty() { Ok(()) } else { Err(cannot_go_on(&changed)) }
}

/// Checks that a process that shares a run is of the version that planned it: two versions may make different bytes of
/// the same rows.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming both versions.
pub(super) fn check_version(planned: &Planned, run_id: &str) -> Result<()> {
    let (then, now) = (&planned.plan.host, env!("CARGO_PKG_VERSION"));
    if then == now {
        return Ok(());
    }
    Err(Error::config(format!(
        "run `{run_id}` was planned by etl-host {then}, and this is {now}: processes that share a run need one version, so \
         use that one, or `etl-host run` as the only process"
    )))
}

/// Checks that a run that has ended can be completed by a redrive: the keys that decide its result, the plugins and the
/// source objects must be the same. Only the plugins of the mappers and their configuration may differ, since they may
/// have been mended. Returns these differences in words.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming the other changes.
pub(super) async fn check_redrivable(
    base: &Planned,
    recipe: &Recipe,
    emits: &str,
    objects: &[Object],
) -> Result<Vec<String>> {
    let (mended, mut others): (Vec<Change>, Vec<Change>) =
        changes(&base.plan.recipe, recipe).into_iter().partition(|change| change.of_mapper);
    if base.plan.emits != emits {
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
