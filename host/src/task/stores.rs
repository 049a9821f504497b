//! The three stores of a pipeline: source, run store and sink.
//!
//! Owns how these stores are opened. A program that has stores of its own hands them to [`crate::run::run_on`] instead.

use std::sync::Arc;

use etl_core::model::error::Result;
use etl_store::Store;

use crate::{
    connector::{Sink, SinkSettings, Source, SourceSettings, open_sink, open_source},
    pipeline::{Pipeline, Places},
};

/// The opened stores of a pipeline.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The source, with the objects that hold the records.
    pub source: Arc<dyn Source>,
    /// The run store, where the run keeps its plan, intermediates and log.
    pub run_store: Store,
    /// The sink, which receives the result.
    pub sink: Arc<dyn Sink>,
}

impl Stores {
    /// Opens the stores that a pipeline names.
    ///
    /// # Errors
    /// Fails as [`Store::open`] and the connectors do.
    pub async fn open(pipeline: &Pipeline) -> Result<Self> {
        Ok(Self {
            source: Self::source(pipeline).await?,
            run_store: Self::run_store(pipeline)?,
            sink: Self::sink(pipeline)?,
        })
    }

    /// Opens the source that a pipeline names. The listing of the source may take up to half of `run.memory`.
    ///
    /// # Errors
    /// Fails as [`open_source`] does.
    pub async fn source(pipeline: &Pipeline) -> Result<Arc<dyn Source>> {
        let settings = SourceSettings {
            location: &pipeline.source.location,
            include: &pipeline.source.include,
            options: &pipeline.store_options,
            memory_bytes: pipeline.run.memory_bytes / 2,
        };
        open_source(&settings).await
    }

    /// Opens the run store that a pipeline names.
    ///
    /// # Errors
    /// Fails as [`Store::open`] does.
    pub fn run_store(pipeline: &Pipeline) -> Result<Store> {
        Store::open_to_write(&pipeline.run.store, &pipeline.store_options, pipeline.run.fsync)
    }

    /// Opens the sink that a pipeline names.
    ///
    /// # Errors
    /// Fails as [`open_sink`] does.
    pub fn sink(pipeline: &Pipeline) -> Result<Arc<dyn Sink>> {
        let (location, options) = (&pipeline.sink.location, &pipeline.store_options);
        open_sink(&SinkSettings { location, options, fsync: pipeline.run.fsync })
    }

    /// Opens the store of the runs of a pipeline of which only the places are known.
    ///
    /// # Errors
    /// Fails as [`Store::open`] does.
    pub fn of_runs(places: &Places) -> Result<Store> {
        Store::open_to_write(&places.run_store, &places.store_options, places.fsync)
    }

    /// Opens the store of the results of a pipeline of which only the places are known. The results are objects.
    ///
    /// # Errors
    /// Fails as [`Store::open`] does.
    pub fn of_results(places: &Places) -> Result<Store> {
        Store::open_to_write(&places.sink, &places.store_options, places.fsync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_source_whose_listing_does_not_fit_is_refused_by_the_name_of_the_setting() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
        std::fs::create_dir(directory.path().join("in")).expect("created");
        (0..100).for_each(|number| file(&format!("in/{number:03}"), "x\n"));
        file("p.toml", "name = 'p'\nsource.url = 'in/'\nsink.url = 'out/'\nmap = [{ plugin = 'a.wasm' }]\n");
        let mut pipeline = Pipeline::load(&directory.path().join("p.toml"), &[], |_| None).expect("valid");
        let source = Stores::source(&pipeline).await.expect("opens");
        assert_eq!(source.list().await.expect("fits").len(), 100);
        pipeline.run.memory_bytes = 8192;
        let source = Stores::source(&pipeline).await.expect("opens");
        let refused = source.list().await.expect_err("100 objects take more").to_string();
        let which = "takes more than 4.0 KiB, half of `run.memory` (";
        assert!(refused.starts_with("the listing of source `") && refused.contains(which), "{refused}");
    }
}
