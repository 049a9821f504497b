//! Cleaning up: deletes what a run left behind and no longer needs.
//!
//! Owns which objects of a run may be deleted, and in which order. Called by `etl-host clean`.

use std::collections::BTreeSet;

use etl_core::model::{
    error::{Error, Result},
    ids::{AttemptId, PlanId, Try},
};
use etl_store::{Listed, Store};
use futures::TryStreamExt;
use serde::Serialize;

use crate::{
    connector::{
        Claim, Sink,
        objects::{
            Latest, ObjectSink,
            layout::{LATEST, SinkLayout},
        },
    },
    history::{Overview, RunState},
    run_store::{
        layout::RunLayout,
        plan::read_id,
        uploads::{self, UploadNote, Uploaded},
    },
};

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
    /// declares the result complete, and publishes nothing.
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
        let results: Vec<Listed> = self.sink.list(&in_sink).try_collect().await?;
        let mut intermediates: Vec<Listed> = self.run_store.list(layout.root()).try_collect().await?;
        if is_complete && !self.results {
            intermediates.retain(|object| layout.is_intermediate(&object.key));
        }
        let cleaned = Cleaned {
            run_id: run.run_id.clone(),
            state: run.state,
            intermediates: Amount::of(&intermediates),
            results: Amount::of(&results),
        };
        if !self.dry_run {
            self.run_store.sweep(layout.root(), None).await;
            self.sink.sweep(sink_layout.root(), None).await;
            if is_complete && !self.results {
                self.abort(&layout, &intermediates).await?;
                self.run_store.delete_all(keys(&intermediates)).await?;
                self.sink.delete_all(keys(&results)).await?;
            } else {
                self.delete_run(&layout, &sink_layout, keeps_result).await?;
            }
            remove_empty_directories(self.run_store, &intermediates).await;
            remove_empty_directories(self.sink, &results).await;
        }
        Ok(cleaned)
    }

    /// Deletes a run, and its result unless that is kept. The order protects readers that look meanwhile, and processes
    /// that work on the run or plan it again. A result stops being complete before one of its parts is missing. The plan
    /// goes before anything else is looked for: a process that still follows it publishes nothing from then on, and all
    /// that it could have published is found. The run's `_SUCCESS` is deleted last.
    async fn delete_run(&self, layout: &RunLayout, sink_layout: &SinkLayout, keeps_result: bool) -> Result<()> {
        let (run_store, sink) = (self.run_store, self.sink);
        // A plan that is gone or damaged has no id that is known.
        let plan = read_id(run_store, layout).await.ok().flatten();
        if !keeps_result {
            sink.delete(&sink_layout.success()).await?;
        }
        run_store.delete(&layout.plan()).await?;
        let objects: Vec<Listed> = run_store.list(layout.root()).try_collect().await?;
        self.abort(layout, &objects).await?;
        // Best effort: not every store lists its uploads.
        drop(run_store.abort_uploads(layout.root()).await);
        if !keeps_result {
            drop(sink.abort_uploads(sink_layout.root()).await);
        }
        let published_meanwhile = sink.exists(&sink_layout.success()).await?;
        if keeps_result || published_meanwhile || !self.holds_result(layout, plan).await? {
            sink.delete_all(sink.list_keys(&sink_layout.attempts()).await?).await?;
        } else {
            let mut parts = sink.list_keys(sink_layout.root()).await?;
            let claim = take(&mut parts, |key| key == sink_layout.claim());
            sink.delete_all(parts).await?;
            sink.delete_all(claim).await?;
        }
        let mut others = keys(&objects);
        let success = take(&mut others, |key| key == layout.success());
        run_store.delete_all(others).await?;
        run_store.delete_all(success).await
    }

    /// Holds the result of a run, whose plan has just been deleted, with a claim for that plan, so that no new plan
    /// writes there while its parts are deleted. Returns whether it is held, and so may be deleted: not if it belongs to
    /// another pipeline, or to a plan that the run has got by now.
    async fn holds_result(&self, layout: &RunLayout, plan: Option<PlanId>) -> Result<bool> {
        let run_id = layout.root().rsplit('/').next().unwrap_or_default();
        let plan = plan.unwrap_or_else(|| PlanId::of(AttemptId::new(Try(0), "clean")));
        let ours = Claim { pipeline: self.pipeline.to_owned(), plan };
        let holder = ObjectSink::new(self.sink.clone()).result(run_id, "").claim(&ours).await?;
        if holder == ours {
            return Ok(true);
        }
        let now = read_id(self.run_store, layout).await.ok().flatten();
        Ok(holder.pipeline == ours.pipeline && now != Some(holder.plan))
    }

    /// Aborts the uploads whose notes are among these objects. An upload that was completed is not touched.
    async fn abort(&self, layout: &RunLayout, objects: &[Listed]) -> Result<()> {
        let notes = keys(objects).into_iter().filter(|key| layout.is_upload(key)).collect();
        for (_, UploadNote { what, key, id }) in uploads::read(self.run_store, notes).await? {
            match what {
                Uploaded::Part => self.sink.abort_upload(&key, &id).await?,
                Uploaded::ShuffleFile | Uploaded::Rejects => self.run_store.abort_upload(&key, &id).await?,
            }
        }
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

fn keys(objects: &[Listed]) -> Vec<String> {
    objects.iter().map(|object| object.key.clone()).collect()
}

/// Removes the keys for which `which` returns true, and returns them.
fn take(keys: &mut Vec<String>, which: impl Fn(&str) -> bool) -> Vec<String> {
    keys.extract_if(.., |key| which(key)).collect()
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
