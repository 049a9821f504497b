//! The sink: results as objects of a store.

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use etl_core::model::{
    error::Result,
    ids::{AttemptId, TaskId},
    usage::Traffic,
};
use etl_store::{Listed, Store, upload::Upload};
use futures::TryStreamExt;

use super::{
    layout::{LATEST, SinkLayout},
    publish::{self, PublishedPart},
};
use crate::connector::{PartSink, Sink, SinkResult};

/// A prefix of a store as a sink.
#[derive(Debug, Clone)]
pub struct ObjectSink {
    store: Store,
}

impl ObjectSink {
    /// Creates a sink of a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Sink for ObjectSink {
    fn result(&self, run_id: &str, extension: &'static str) -> Arc<dyn SinkResult> {
        Arc::new(ObjectResult { store: self.store.clone(), layout: SinkLayout::new(run_id, extension) })
    }

    fn traffic(&self) -> Traffic {
        self.store.traffic()
    }
}

/// The objects of one run's result.
struct ObjectResult {
    store: Store,
    layout: SinkLayout,
}

#[async_trait]
impl SinkResult for ObjectResult {
    fn location(&self) -> String {
        self.store.locate(self.layout.root())
    }

    fn locate(&self, key: &str) -> String {
        self.store.locate(key)
    }

    async fn probe(&self, process: &str) -> Result<()> {
        self.store.probe_writable("sink", &self.layout.attempts(), process).await
    }

    async fn existing(&self) -> Option<String> {
        let attempts = format!("{}/", self.layout.attempts());
        let is_result = |found: &Listed| std::future::ready(!found.key.starts_with(&attempts));
        let found = std::pin::pin!(self.store.list(self.layout.root()).try_filter(is_result)).try_next().await;
        // A sink that can be written but not listed is good enough: the manifest names the parts.
        found.ok().flatten().map(|found| self.store.locate(&found.key))
    }

    fn writer(&self, part: TaskId, attempt: &AttemptId) -> Box<dyn PartSink> {
        Box::new(Upload::new(&self.store, &self.layout.attempt(part, attempt)))
    }

    async fn take_over(&self, run_id: &str, part: TaskId, attempt: &AttemptId) -> Result<()> {
        let theirs = self.layout.of_run(run_id).part(part);
        self.store.copy(&theirs, &self.layout.attempt(part, attempt)).await
    }

    async fn collect(&self, parts: &[PublishedPart]) -> Result<Vec<String>> {
        publish::move_parts(&self.store, &self.layout, parts).await
    }

    async fn publish(&self, parts: &[String], failed_shards: u64) -> Result<()> {
        publish::publish(&self.store, &self.layout, parts, failed_shards).await
    }

    async fn sweep(&self, before: Option<SystemTime>) {
        publish::delete_leftovers(&self.store, &self.layout).await;
        self.store.sweep(&self.layout.attempts(), None).await;
        self.store.sweep(self.layout.root(), before).await;
        self.store.sweep(LATEST, before).await;
    }
}

impl PartSink for Upload {
    fn finish(self: Box<Self>) -> Result<u64> {
        Self::finish(*self)
    }
}
