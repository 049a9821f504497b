//! The trial of a splitter: collects the shards that it makes of a source, and checks them as a run does.

use std::sync::Arc;

use etl_core::{
    model::{
        error::{Error, Result},
        ids::{AttemptId, PlanId},
        object::Object,
        shared::Shared,
    },
    runtime::threads,
};
use etl_plugin::{Attempt, DraftShard, InstanceUsage, Plugin, ReadError, SourceView};
use etl_store::Store;
use object_store::{memory::InMemory, path::Path};

use crate::{
    connector::Source,
    run_store::{layout::RunLayout, shards::ShardWriter},
    task::split::{Coverage, SplitterSource},
};

use etl_format::SourceFormat;

/// The result of a splitter's trial.
#[derive(Debug, Clone)]
pub(crate) struct SplitTrial {
    /// The source's objects, sorted by name.
    pub objects: Arc<Vec<Object>>,
    /// The shards that the splitter made, in order.
    pub shards: Vec<DraftShard>,
    /// A message that says how many bytes of the source are in no shard; absent when all are in shards, or the splitter
    /// made records of its own.
    pub left_out: Option<String>,
    /// The time and memory that the splitter used.
    pub usage: InstanceUsage,
}

/// Lets a splitter divide a source of this format. Must be called on the async runtime.
///
/// # Errors
/// Returns the error of the source or the splitter, or says which of its shards is not valid.
pub(crate) async fn split(
    plugin: Arc<Plugin>,
    task: Attempt,
    format: SourceFormat,
    source: Arc<dyn Source>,
) -> Result<SplitTrial> {
    let objects = Arc::new(source.list().await?);
    threads::run(move || {
        let run_store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let plan = PlanId::of(AttemptId::new(task.attempt, "trial"));
        let layout = RunLayout::new("trial", &task.run_id).of_plan(&plan);
        let draft = Shared::new(Coverage::new(ShardWriter::new(&run_store, layout.clone()), format.cuts()));
        let shards = Shared::new(Vec::new());
        let objects_seen = Arc::clone(&objects);
        let view = SplitterSource {
            source,
            run_store,
            layout,
            objects: objects_seen,
            cuts: format.cuts(),
            draft: draft.clone(),
        };
        let witness = Witness { view, shards: shards.clone() };
        let usage = plugin.split(&task, format.schema(), Box::new(witness))?.run()?;
        let left_out = draft.lock().left_out(&objects);
        Ok(SplitTrial { left_out, shards: shards.take()?, usage, objects })
    })
    .await?
}

/// A view of the source as in a run, which also keeps the shards that are added.
struct Witness {
    view: SplitterSource,
    shards: Shared<Vec<DraftShard>>,
}

impl SourceView for Witness {
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)> {
        self.view.list(after, max)
    }

    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        self.view.read(object, offset, length)
    }

    fn add(&mut self, mut shard: DraftShard) -> Result<(), Error> {
        self.view.take(&mut shard)?;
        self.shards.lock().push(shard);
        Ok(())
    }
}
