//! Objects of a store as a source and as a sink.
//!
//! Owns which objects belong to a source, which records belong to a slice, the built-in split, and the order in which a
//! result is published. Does not decide which attempt wins: that is the run store's.
//!
//! ```text
//! store ─► fetch (async, reads ahead) ─► Chunks ─► format
//! ```

mod exact;
mod fetch;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod layout;
mod listing;
mod names;
mod position;
mod publish;
mod sink;
pub mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use etl_core::model::error::Result;
use etl_store::Store;

pub use self::{
    exact::MovedCuts,
    fetch::{Chunks, READ_AHEAD_BYTES},
    listing::ObjectSource,
    publish::Latest,
    sink::ObjectSink,
};
use super::{Connector, Sink, SinkSettings, Source, SourceSettings};

/// The connector of object stores.
pub struct Objects;

#[async_trait]
impl Connector for Objects {
    fn schemes(&self) -> &'static [&'static str] {
        &etl_store::SCHEMES
    }

    async fn source(&self, settings: &SourceSettings<'_>) -> Result<Arc<dyn Source>> {
        let SourceSettings { location, include, options, memory_bytes } = *settings;
        Ok(Arc::new(ObjectSource::open(location, include, options).await?.within(memory_bytes)))
    }

    fn sink(&self, settings: &SinkSettings<'_>) -> Result<Arc<dyn Sink>> {
        let SinkSettings { location, options, fsync } = *settings;
        Ok(Arc::new(ObjectSink::new(Store::open_to_write(location, options, fsync)?)))
    }
}
