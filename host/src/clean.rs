//! Cleaning up: what a run left behind and nobody needs any more.
//!
//! Owns what may be deleted of a run, and in which order. Called by `etl-host clean`.

use std::{collections::BTreeSet, time::SystemTime};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    event::Stage,
    history::{Overview, State},
    json::from_json,
    layout::{LATEST, RunLayout, SinkLayout},
    pipeline::Pipeline,
    sink::{self, Latest},
    store::{Listed, Store},
};

/// How many objects are deleted at the same time.
const DELETES_IN_FLIGHT: usize = 16;

/// What is deleted of runs.
#[derive(Debug, Clone, Copy)]
pub struct Cleaner<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// Its run store.
    pub run_store: &'a Store,
    /// Its sink.
    pub sink: &'a Store,
    /// Whether results are deleted too, and with them all that the run store says of their runs.
    pub results: bool,
    /// Whether to delete nothing, and only say what would be.
    pub dry_run: bool,
}

/// What was deleted of one run, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// The run's id.
    pub run_id: String,
    /// How far the run is.
    pub state: State,
    /// Objects below the run store.
    pub intermediates: Amount,
    /// Objects below the sink: parts of results, and what attempts left.
    pub results: Amount,
}

/// Some objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    fn of(objects: &[Listed]) -> Self {
        Self { objects: objects.len() as u64, bytes: objects.iter().map(|object| object.size).sum() }
    }

    /// Adds objects to these.
    pub fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

impl Cleaner<'_> {
    /// Deletes what a run left behind. Of a complete one: shards, run files and commits; plan, manifest, events,
    /// rejects and report stay, so that the run can still be looked at. Of another: everything, so it cannot be
    /// finished any more. What attempts left in the sink goes too, and parts of a result that is not complete; a result
    /// only if asked for.
    ///
    /// Can be repeated when it was interrupted. A run that is taken up after that starts over, by its plan or a new one; it
    /// is refused when it has no plan any more, but parts in the sink. A process that is at work on the run notices before
    /// it says that the result is complete.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) when a result is to go that `latest.json` points to; when
    /// a store fails.
    pub async fn clean(&self, run: &Overview) -> Result<Cleaned> {
        let layout = RunLayout::new(&self.pipeline.name, &run.run_id);
        let sink_layout = SinkLayout::new(&run.run_id, sink::extension(self.pipeline.sink.format));
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
            let now = SystemTime::now();
            self.run_store.sweep(layout.root(), now).await;
            self.sink.sweep(sink_layout.root(), now).await;
            self.delete(&layout, &sink_layout, &intermediates, &results).await?;
        }
        Ok(cleaned)
    }

    /// Deletes objects of a run in the run store and of its result, in an order that whoever reads them meanwhile, or
    /// takes up the run after half of it, is not misled by: a result is not complete any more before a part is missing;
    /// no commit outlives the plan it belongs to, nor the plan its shards and parts; partitions go before the map tasks
    /// whose rows they have or lack; and last what says that the run was complete.
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
            // A process that was at work on the run has published it meanwhile.
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
        let latest = self.sink.get(LATEST).await?;
        latest.map(|latest| from_json::<Latest>(LATEST, &latest).map(|latest| latest.run_id)).transpose()
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

/// Takes those keys out that are `which`.
fn take(keys: &mut Vec<String>, which: impl Fn(&str) -> bool) -> Vec<String> {
    keys.extract_if(.., |key| which(key)).collect()
}

/// Deletes objects, several at the same time.
async fn delete(store: &Store, keys: Vec<String>) -> Result<()> {
    let deletes = futures::stream::iter(keys).map(|key| async move { store.delete(&key).await });
    deletes.buffer_unordered(DELETES_IN_FLIGHT).try_collect().await
}

/// Removes the directories that are empty without these objects.
async fn remove_empty_directories(store: &Store, objects: &[Listed]) {
    let mut directories = BTreeSet::new();
    for object in objects {
        let mut key = object.key.as_str();
        while let Some((directory, _)) = key.rsplit_once('/') {
            directories.insert(directory);
            key = directory;
        }
    }
    // A directory sorts before what is in it.
    for directory in directories.into_iter().rev() {
        store.remove_empty_directory(directory).await;
    }
}
