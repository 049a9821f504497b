//! The three stores of a pipeline, opened.
//!
//! Owns how they are opened; a program that has stores of its own hands them to [`crate::run::run_on`] instead.

use crate::{
    error::Result,
    pipeline::{Location, Pipeline},
    source::SourceStore,
    store::Store,
};

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
        Ok(Self {
            source: Self::source(pipeline).await?,
            run_store: Self::run_store(pipeline)?,
            sink: Self::sink(pipeline)?,
        })
    }

    /// Opens the source a pipeline names.
    ///
    /// # Errors
    /// As [`SourceStore::open`].
    pub async fn source(pipeline: &Pipeline) -> Result<SourceStore> {
        let (source, options) = (&pipeline.source, &pipeline.store_options);
        SourceStore::open(&source.location, &source.include, options).await
    }

    /// Opens the run store a pipeline names.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn run_store(pipeline: &Pipeline) -> Result<Store> {
        open(pipeline, &pipeline.run.store)
    }

    /// Opens the sink a pipeline names.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn sink(pipeline: &Pipeline) -> Result<Store> {
        open(pipeline, &pipeline.sink.location)
    }
}

fn open(pipeline: &Pipeline, location: &Location) -> Result<Store> {
    let store = Store::open(location, &pipeline.store_options)?;
    Ok(if pipeline.run.fsync { store.synced() } else { store })
}
