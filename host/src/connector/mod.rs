//! Connectors: where records come from, and where results go.
//!
//! Owns the traits of a source and of a sink, and which connector a URL belongs to. A connector is one folder, and one
//! line in [`CONNECTORS`]. Does not decide which attempt wins: that is the run store's.

pub mod objects;

use std::{collections::BTreeMap, fmt, io::Write, ops::Range, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use etl_core::model::{
    error::{Error, Result},
    ids::{AttemptId, TaskId},
    object::{Object, Slice},
    usage::Traffic,
};
use etl_format::Cuts;
use etl_store::Location;

use self::objects::Chunks;

/// All connectors. The first one that knows the scheme of a URL opens it.
pub const CONNECTORS: [&dyn Connector; 1] = [&objects::Objects];

/// A kind of place that records come from and results go to.
#[async_trait]
pub trait Connector: Sync {
    /// Returns the schemes of the URLs that belong to it, such as `s3`.
    fn schemes(&self) -> &'static [&'static str];

    /// Opens a source.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) for a setting that is wrong; when the place
    /// cannot be looked at.
    async fn source(&self, settings: &SourceSettings<'_>) -> Result<Arc<dyn Source>>;

    /// Opens a sink.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) for a setting that is wrong.
    fn sink(&self, settings: &SinkSettings<'_>) -> Result<Arc<dyn Sink>>;
}

/// What a source is opened with.
pub struct SourceSettings<'a> {
    /// Location of the source.
    pub location: &'a Location,
    /// Glob patterns for the names of objects; empty for all.
    pub include: &'a [String],
    /// `[store_options]`.
    pub options: &'a BTreeMap<String, String>,
    /// Maximum memory of the listing, in bytes.
    pub memory_bytes: u64,
}

/// What a sink is opened with.
pub struct SinkSettings<'a> {
    /// Location of the sink.
    pub location: &'a Location,
    /// `[store_options]`.
    pub options: &'a BTreeMap<String, String>,
    /// Whether writes to local disk wait until they have reached it.
    pub fsync: bool,
}

/// Opens the source at a location.
///
/// # Errors
/// As [`Connector::source`].
pub async fn open_source(settings: &SourceSettings<'_>) -> Result<Arc<dyn Source>> {
    connector_of(settings.location)?.source(settings).await
}

/// Opens the sink at a location.
///
/// # Errors
/// As [`Connector::sink`].
pub fn open_sink(settings: &SinkSettings<'_>) -> Result<Arc<dyn Sink>> {
    connector_of(settings.location)?.sink(settings)
}

fn connector_of(location: &Location) -> Result<&'static dyn Connector> {
    let scheme = location.url.split_once("://").map_or("", |(scheme, _)| scheme);
    let found = CONNECTORS.into_iter().find(|connector| connector.schemes().contains(&scheme));
    found.ok_or_else(|| {
        let known: Vec<&str> = CONNECTORS.iter().flat_map(|connector| connector.schemes()).copied().collect();
        Error::config(format!("no connector knows `{}` (schemes: {})", location.written, known.join(", ")))
    })
}

/// A source of records.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns the source's objects, sorted by name. An empty list is not an error here.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the source does not exist or has too many
    /// objects; when it cannot be listed.
    async fn list(&self) -> Result<Vec<Object>>;

    /// Returns a range of an object, which must still be the version that was listed.
    ///
    /// # Errors
    /// When the object cannot be read, or has changed.
    async fn read(&self, object: &Object, range: Range<u64>) -> Result<Bytes>;

    /// Starts to fetch the records of some shards in their order, each given by its slices and by objects, sorted by
    /// name, that include those of the slices. `cuts` says where objects may be cut. Must be called on the runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when a slice is not one that its object can have.
    /// A later error is the last item of the chunks.
    fn open(&self, cuts: Cuts, shards: &[(&[Slice], &[Object])]) -> Result<Chunks>;

    /// Returns the requests made to the source so far.
    fn traffic(&self) -> Traffic;
}

/// A place that the results of a pipeline's runs go to.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Returns the result of a run, whose parts have this file extension.
    fn result(&self, run_id: &str, extension: &'static str) -> Arc<dyn SinkResult>;

    /// Returns the requests made to the sink so far.
    fn traffic(&self) -> Traffic;
}

/// The result of one run in a sink.
///
/// Attempts write parts that no reader sees; [`SinkResult::collect`] gives the committed ones their names, and
/// [`SinkResult::publish`] declares the result complete.
#[async_trait]
pub trait SinkResult: Send + Sync {
    /// Returns the location of the result, for messages and the manifest.
    fn location(&self) -> String;

    /// Returns the location of something in the sink by its key.
    fn locate(&self, key: &str) -> String;

    /// Checks that the process of this name can write to the sink.
    ///
    /// # Errors
    /// Why it cannot.
    async fn probe(&self, process: &str) -> Result<()>;

    /// Returns the location of something that already belongs to the result, if that can be found out. Parts that were
    /// not collected do not count.
    async fn existing(&self) -> Option<String>;

    /// Begins to write a part for an attempt. Only for threads that may wait.
    fn writer(&self, part: TaskId, attempt: &AttemptId) -> Box<dyn PartSink>;

    /// Makes the part that an attempt of another run wrote one of this result, for the attempt of the same id.
    ///
    /// # Errors
    /// When the part is gone, or the sink fails.
    async fn take_over(&self, run_id: &str, part: TaskId, attempt: &AttemptId) -> Result<()>;

    /// Gives each committed part its final name. Returns the parts' keys below the sink, in the order given.
    /// Idempotent.
    ///
    /// # Errors
    /// When the sink fails. When parts are gone, the error has [`objects::Gone`] in its chain.
    async fn collect(&self, parts: &[objects::PublishedPart]) -> Result<Vec<String>>;

    /// Declares the result complete. `parts` are the keys of its parts in order, `failed_shards` is the number of
    /// shards that are left out. Idempotent.
    ///
    /// # Errors
    /// When the sink fails.
    async fn publish(&self, parts: &[String], failed_shards: u64) -> Result<()>;

    /// Deletes what losing attempts left, and what killed processes left before `before`, as far as possible.
    async fn sweep(&self, before: Option<SystemTime>);
}

/// A part being written. It belongs to no result before it is collected.
pub trait PartSink: Write + Send {
    /// Completes the part, and returns its size in bytes.
    ///
    /// # Errors
    /// When the sink fails. There may be a part then.
    fn finish(self: Box<Self>) -> Result<u64>;
}
