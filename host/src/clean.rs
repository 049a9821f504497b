//! Cleaning up: what a run left behind and nobody needs any more.
//!
//! Owns what may be deleted of a run, and in which order. Called by `etl-host clean`.

use std::{collections::BTreeSet, time::SystemTime};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::{
    error::{Error, Result},
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
    /// finished any more. What attempts left in the sink goes too; a result only if asked for.
    ///
    /// Can be repeated when it was interrupted.
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
        let in_sink = if self.results { sink_layout.root().to_owned() } else { sink_layout.attempts() };
        let in_run_store = if run.state.is_complete() && !self.results {
            layout.intermediates().to_vec()
        } else {
            vec![layout.root().to_owned()]
        };
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
            // First what says that there is a result, or a run to go on with; last what says that the run was complete.
            delete(self.sink, &results, &[sink_layout.success()], &[]).await?;
            delete(self.run_store, &intermediates, &[layout.plan()], &[layout.success()]).await?;
        }
        Ok(cleaned)
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

/// Deletes objects: these first and those last, the others at the same time. Then the directories that are empty.
async fn delete(store: &Store, objects: &[Listed], first: &[String], last: &[String]) -> Result<()> {
    let is_other = |key: &String| !first.contains(key) && !last.contains(key);
    let others: Vec<String> = objects.iter().map(|object| object.key.clone()).filter(is_other).collect();
    let among = |keys: &[String]| -> Vec<String> {
        keys.iter().filter(|key| objects.iter().any(|object| object.key == **key)).cloned().collect()
    };
    for keys in [among(first), others, among(last)] {
        let deletes = futures::stream::iter(keys).map(|key| async move { store.delete(&key).await });
        deletes.buffer_unordered(DELETES_IN_FLIGHT).try_collect::<Vec<()>>().await?;
    }
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
    Ok(())
}
