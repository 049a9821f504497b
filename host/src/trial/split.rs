//! The trial of a splitter: the shards it makes of a source, checked as in a run, and kept.

use std::sync::Arc;

use object_store::{memory::InMemory, path::Path};

use crate::{
    blocking,
    error::{Error, Result},
    layout::{AttemptId, RunLayout},
    plugin::{DraftShard, Plugin, ReadError, SourceView, Task, Usage},
    schema::Schema,
    shards::ShardWriter,
    shared::Shared,
    source::{Object, SourceStore},
    split::{Draft, View},
    store::Store,
};

/// What a splitter made of a source.
#[derive(Debug, Clone)]
pub struct SplitTrial {
    /// The source's objects, sorted by name.
    pub objects: Arc<Vec<Object>>,
    /// The shards, in order.
    pub shards: Vec<DraftShard>,
    /// Says how much of the source no shard has.
    pub left_out: Option<String>,
    /// What the splitter used.
    pub usage: Usage,
}

/// Lets a splitter divide a source, whose records have the schema `records`. Call on the runtime.
///
/// # Errors
/// What the source or the splitter failed with, or which of its shards is not valid.
pub async fn split(plugin: Arc<Plugin>, task: Task, records: Schema, source: SourceStore) -> Result<SplitTrial> {
    let objects = Arc::new(source.list().await?);
    blocking::run(move || {
        let run_store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let (layout, attempt) = (RunLayout::new("trial", &task.run_id), AttemptId::new(task.attempt, "trial"));
        let draft = Shared::new(Draft::new(ShardWriter::new(&run_store, &layout, attempt.clone())));
        let shards = Shared::new(Vec::new());
        let (source, objects_seen) = (source.store().clone(), Arc::clone(&objects));
        let view = View { source, run_store, layout, attempt, objects: objects_seen, draft: draft.clone() };
        let witness = Witness { view, shards: shards.clone() };
        let usage = plugin.split(&task, &records, Box::new(witness))?.run()?;
        let left_out = draft.lock().left_out(&objects);
        Ok(SplitTrial { left_out, shards: shards.take()?, usage, objects })
    })
    .await?
}

/// Sees the source as a run does, and keeps what is added.
struct Witness {
    view: View,
    shards: Shared<Vec<DraftShard>>,
}

impl SourceView for Witness {
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)> {
        self.view.list(after, max)
    }

    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        self.view.read(object, offset, length)
    }

    fn add(&mut self, shard: DraftShard) -> Result<(), Error> {
        self.view.add(shard.clone())?;
        self.shards.lock().push(shard);
        Ok(())
    }
}
