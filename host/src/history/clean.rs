//! Cleaning up: deletes what a run left behind and no longer needs.
//!
//! Owns which objects of a run may be deleted, and in which order. Called by `etl-host clean`.

use std::collections::BTreeSet;

use etl_core::model::{
    error::{Error, Result},
    event::Stage,
};
use etl_store::{Listed, Store};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::{
    connector::objects::{
        Latest,
        layout::{LATEST, SinkLayout},
    },
    history::{Overview, RunState},
    run_store::layout::RunLayout,
};

/// Number of objects that are deleted at the same time.
const DELETES_IN_FLIGHT: usize = 16;

/// Deletes what runs of a pipeline left behind.
#[derive(Debug, Clone, Copy)]
pub struct Cleaner<'a> {
    /// Name of the pipeline whose runs are cleaned up.
    pub pipeline: &'a str,
    /// The pipeline's run store.
    pub run_store: &'a Store,
    /// The pipeline's sink.
    pub sink: &'a Store,
    /// Whether results are deleted too, and with them everything that the run store holds of their runs.
    pub results: bool,
    /// Whether to delete nothing and only report what would be deleted.
    pub dry_run: bool,
}

/// The objects of one run that were deleted, or that a dry run would have deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// The run's id.
    pub run_id: String,
    /// State of the run before its objects were deleted.
    pub state: RunState,
    /// Objects deleted from the run store.
    pub intermediates: Amount,
    /// Objects deleted from the sink: parts of results, and parts that attempts left there.
    pub results: Amount,
}

/// A number of objects and their total size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Number of objects.
    pub objects: u64,
    /// Total size in bytes.
    pub bytes: u64,
}

impl Amount {
    fn of(objects: &[Listed]) -> Self {
        Self { objects: objects.len() as u64, bytes: objects.iter().map(|object| object.size).sum() }
    }

    /// Adds another amount to this one.
    pub fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

impl Cleaner<'_> {
    /// Deletes what a run left behind. If the run is complete, that is its shards, shuffle files and commits; its plan,
    /// manifest, events, rejects and report stay, so that the run can still be looked at. If it is not complete,
    /// everything in the run store is deleted, so the run cannot be finished any more. In the sink, the parts that
    /// attempts left are deleted, and so are the parts of a result that is not complete. A complete result is deleted
    /// only if `results` is set.
    ///
    /// Cleaning can be repeated after an interruption. An incomplete run that is resumed after its cleaning, or after a
    /// part of it, starts over, with its plan if that is still there, or else with a new one. It is refused if its plan
    /// is gone but parts are still in the sink. A process that is working on the run notices the cleaning before it
    /// declares the result complete.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when `results` is set and `latest.json` points
    /// to the run's result; when a store fails.
    pub async fn clean(&self, run: &Overview) -> Result<Cleaned> {
        let layout = RunLayout::new(self.pipeline, &run.run_id);
        // No part is named here, so their extension does not matter.
        let sink_layout = SinkLayout::new(&run.run_id, "");
        if self.results && self.newest_result().await?.as_ref() == Some(&run.run_id) {
            return Err(Error::config(format!(
                "the result of run `{}` is the newest, which `{}` points to, so it is kept: leave out `--results`, or \
                 delete it by hand",
                run.run_id,
                self.sink.locate(LATEST)
            )));
        }
        let is_complete = run.state.is_complete();
        let keeps_result = !self.results && (is_complete || self.sink.exists(&sink_layout.success()).await?);
        let in_sink = if keeps_result { sink_layout.attempts() } else { sink_layout.root().to_owned() };
        let in_run_store =
            if is_complete && !self.results { layout.intermediates().to_vec() } else { vec![layout.root().to_owned()] };
        let results = list(self.sink, &[in_sink]).await?;
        let intermediates = list(self.run_store, &in_run_store).await?;
        let cleaned = Cleaned {
            run_id: run.run_id.clone(),
            state: run.state,
            intermediates: Amount::of(&intermediates),
            results: Amount::of(&results),
        };
        if !self.dry_run {
            self.run_store.sweep(layout.root(), None).await;
            self.sink.sweep(sink_layout.root(), None).await;
            self.delete(&layout, &sink_layout, &intermediates, &results).await?;
        }
        Ok(cleaned)
    }

    /// Deletes the given objects of a run from the run store, and those of its result from the sink. The order protects
    /// readers that look meanwhile, and a process that resumes the run after an interruption. A result stops being
    /// complete before one of its parts is missing. No commit outlives the plan it belongs to, and no plan outlives its
    /// shards and parts. The commits of partitions are deleted before those of the map tasks whose rows they have or
    /// lack. The run's `_SUCCESS` is deleted last.
    async fn delete(
        &self,
        layout: &RunLayout,
        sink_layout: &SinkLayout,
        intermediates: &[Listed],
        results: &[Listed],
    ) -> Result<()> {
        let is_commit = |stage| move |key: &str| layout.parse_commit(stage, key).is_some();
        let mut others = keys(intermediates);
        let partitions = take(&mut others, is_commit(Stage::Reduce));
        let mapped = take(&mut others, is_commit(Stage::Map));
        let plan = take(&mut others, |key| key == layout.plan());
        let success = take(&mut others, |key| key == layout.success());
        let mut parts = keys(results);
        let published = take(&mut parts, |key| key == sink_layout.success());
        let (run_store, sink) = (self.run_store, self.sink);
        for (store, keys) in [(sink, published), (run_store, partitions), (run_store, mapped), (run_store, plan)] {
            delete(store, keys).await?;
        }
        if !self.results && sink.exists(&sink_layout.success()).await? {
            // A process that was working on the run has published its result meanwhile, so the result's parts stay.
            parts.retain(|key| key.starts_with(&sink_layout.attempts()));
        }
        for (store, keys) in [(sink, parts), (run_store, others), (run_store, success)] {
            delete(store, keys).await?;
        }
        remove_empty_directories(run_store, intermediates).await;
        remove_empty_directories(sink, results).await;
        Ok(())
    }

    /// Returns the run whose result `latest.json` points to.
    ///
    /// # Errors
    /// When the sink fails, or `latest.json` is damaged.
    pub async fn newest_result(&self) -> Result<Option<String>> {
        Ok(Latest::read(self.sink).await?.map(|latest| latest.run_id))
    }
}

async fn list(store: &Store, prefixes: &[String]) -> Result<Vec<Listed>> {
    let mut objects = Vec::new();
    for prefix in prefixes {
        objects.extend(store.list(prefix).try_collect::<Vec<_>>().await?);
    }
    Ok(objects)
}

fn keys(objects: &[Listed]) -> Vec<String> {
    objects.iter().map(|object| object.key.clone()).collect()
}

/// Removes the keys for which `which` returns true, and returns them.
fn take(keys: &mut Vec<String>, which: impl Fn(&str) -> bool) -> Vec<String> {
    keys.extract_if(.., |key| which(key)).collect()
}

/// Deletes objects, several at the same time.
async fn delete(store: &Store, keys: Vec<String>) -> Result<()> {
    let deletes = futures::stream::iter(keys).map(|key| async move { store.delete(&key).await });
    deletes.buffer_unordered(DELETES_IN_FLIGHT).try_collect().await
}

/// Removes the directories that are empty now that these objects are deleted.
async fn remove_empty_directories(store: &Store, objects: &[Listed]) {
    let mut directories = BTreeSet::new();
    for object in objects {
        let mut key = object.key.as_str();
        while let Some((directory, _)) = key.rsplit_once('/') {
            directories.insert(directory);
            key = directory;
        }
    }
    // A directory sorts before its contents, so the reverse order visits the contents first.
    for directory in directories.into_iter().rev() {
        store.remove_empty_directory(directory).await;
    }
}
