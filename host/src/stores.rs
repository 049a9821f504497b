//! The three stores of a pipeline, opened.
//!
//! Owns how they are opened; a program that has stores of its own hands them to [`crate::run::run_on`] instead.

use crate::{error::Result, pipeline::Pipeline, source::SourceStore, store::Store};

/// Where a run reads, works and writes.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Where records come from.
    pub source: SourceStore,
    /// Where the run keeps its plan, intermediates and log.
    pub run_store: Store,
    /// Where results go.
    pub sink: Store,
}

impl Stores {
    /// Opens the stores a pipeline names.
    ///
    /// # Errors
    /// As [`Store::open`] and [`SourceStore::open`].
    pub async fn open(pipeline: &Pipeline) -> Result<Self> {
        let (source, options) = (&pipeline.source, &pipeline.store_options);
        let open = |location| {
            let store = Store::open(location, options)?;
            Ok(if pipeline.run.fsync { store.synced() } else { store })
        };
        Ok(Self {
            source: SourceStore::open(&source.location, &source.include, options).await?,
            run_store: open(&pipeline.run.store)?,
            sink: open(&pipeline.sink.location)?,
        })
    }
}
