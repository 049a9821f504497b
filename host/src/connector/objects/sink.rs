//! The sink: results as objects of a store.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    ids::{AttemptId, PlanId, TaskId},
    part::PartName,
    usage::Traffic,
};
use etl_store::{Created, Listed, Note, Pending, Store, pending::PendingWriter};
use futures::{TryStreamExt, stream::BoxStream};

use super::{
    layout::{LATEST, SinkLayout},
    publish,
};
use crate::connector::{Claim, CommittedPart, PartSink, Published, PublishedPart, Room, Sink, SinkResult};

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
    fn name(&self) -> &str {
        self.store.name()
    }

    fn place(&self) -> &str {
        self.store.place()
    }

    fn result(&self, run_id: &str, extension: &str) -> Arc<dyn SinkResult> {
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

impl ObjectResult {
    fn read_claim(&self, bytes: &Bytes) -> Result<Claim> {
        let damaged = || format!("`{}` is damaged", self.store.locate(&self.layout.claim()));
        serde_json::from_slice(bytes).or_kind(ErrorKind::Changed, damaged)
    }
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
        // A sink that cannot create an object only if it is new is good enough: results are claimed by a look before
        // the write then.
        self.store.probe_creates("sink", &self.layout.attempts(), process).await.map(drop)
    }

    async fn existing(&self) -> Option<String> {
        let (attempts, claim) = (format!("{}/", self.layout.attempts()), self.layout.claim());
        let is_result = |found: &Listed| std::future::ready(!found.key.starts_with(&attempts) && found.key != claim);
        let found = std::pin::pin!(self.store.list(self.layout.root()).try_filter(is_result)).try_next().await;
        // A sink that can be written but not listed is good enough: the manifest names the parts.
        found.ok().flatten().map(|found| self.store.locate(&found.key))
    }

    async fn claimed(&self) -> Result<Option<Claim>> {
        let claim = self.store.get(&self.layout.claim()).await?;
        claim.map(|claim| self.read_claim(&claim)).transpose()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claim> {
        let bytes = serde_json::to_vec(claim).or_kind(ErrorKind::Internal, || "cannot write a claim as JSON")?;
        match self.store.create(&self.layout.claim(), bytes).await? {
            Created::Won => Ok(claim.clone()),
            Created::Lost(other) => self.read_claim(&other),
        }
    }

    fn writer(
        &self,
        part: &PartName,
        attempt: &AttemptId,
        room: Room,
        note: &dyn Fn(&str) -> Note,
    ) -> Box<dyn PartSink> {
        let (key, staged) = (self.layout.part(part), self.layout.attempt(part, attempt));
        let writer = PendingWriter::new(&self.store, &key, &staged, note(&key));
        Box::new(match room {
            Room::Alone => writer,
            Room::Shared => writer.one_at_a_time(),
        })
    }

    fn read(&self, key: &str, bytes: u64) -> BoxStream<'static, Result<Bytes>> {
        publish::read(&self.store, key, bytes)
    }

    async fn collect(&self, parts: &[CommittedPart]) -> Result<Vec<PublishedPart>> {
        publish::collect(&self.store, &self.layout, parts).await
    }

    async fn discard(&self, part: &PartName, pending: &Pending) {
        // Best effort by contract: what is left is swept at the end of the run.
        drop(self.store.discard(&self.layout.part(part), pending).await);
    }

    async fn abort(&self, key: &str, id: &str) {
        // Best effort by contract: the store expires what is left.
        drop(self.store.abort_upload(key, id).await);
    }

    async fn abort_all(&self) {
        // Best effort by contract: not every store lists its uploads.
        drop(self.store.abort_uploads(self.layout.root()).await);
    }

    async fn succeed(&self, plan: &PlanId, replace: bool) -> Result<bool> {
        publish::succeed(&self.store, &self.layout, plan, replace).await
    }

    async fn point(&self, published: &Published<'_>) -> Result<()> {
        publish::point(&self.store, &self.layout, published).await
    }

    async fn retract(&self, plan: &PlanId) -> Result<()> {
        publish::retract(&self.store, &self.layout, plan).await
    }

    async fn withdraw(&self, parts: &[PublishedPart]) -> Result<()> {
        publish::withdraw(&self.store, &self.layout, parts).await
    }

    async fn damaged(&self, parts: &[PublishedPart]) -> Result<BTreeSet<TaskId>> {
        publish::damaged(&self.store, &self.layout, parts).await
    }

    async fn sweep(&self, before: Option<SystemTime>) {
        publish::delete_leftovers(&self.store, &self.layout).await;
        self.store.sweep(&self.layout.attempts(), None).await;
        self.store.sweep(self.layout.root(), before).await;
        self.store.sweep(LATEST, before).await;
    }
}

impl PartSink for PendingWriter {
    fn finish(self: Box<Self>) -> Result<(u64, Pending)> {
        Self::finish(*self)
    }
}
