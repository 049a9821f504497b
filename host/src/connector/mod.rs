//! Connectors: where records come from, and where results go.
//!
//! Owns the traits of a source and of a sink, and which connector a URL belongs to. A connector is one folder, and one
//! line in [`CONNECTORS`]. Does not decide which attempt wins: that is the run store's.

pub mod objects;
pub mod sample;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Write,
    ops::Range,
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use etl_core::model::{
    error::{Error, Result},
    ids::{AttemptId, PlanId, TaskId},
    object::{Object, Slice},
    part::PartName,
    usage::Traffic,
};
use etl_format::Cuts;
use etl_store::{Location, Note, Pending};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

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
    /// Returns the name of the sink in messages.
    fn name(&self) -> &str;

    /// Returns the URL of the place that the sink is. It may hold secrets, so it is for comparing only.
    fn place(&self) -> &str;

    /// Returns the result of a run, whose parts have this file extension, such as `json` or `json.gz`.
    fn result(&self, run_id: &str, extension: &str) -> Arc<dyn SinkResult>;

    /// Returns the requests made to the sink so far.
    fn traffic(&self) -> Traffic;
}

/// The result of one run in a sink.
///
/// A plan claims the result before anything is written. Attempts write parts that no reader sees;
/// [`SinkResult::collect`] makes the committed ones visible, and [`SinkResult::succeed`] declares the result complete.
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
    /// not collected and the claim do not count.
    async fn existing(&self) -> Option<String>;

    /// Returns who has claimed the result, if anybody has.
    ///
    /// # Errors
    /// When the sink fails, or the claim is damaged.
    async fn claimed(&self) -> Result<Option<Claim>>;

    /// Claims the result. Of several claims, in any process, one holds; it is returned. Idempotent.
    ///
    /// # Errors
    /// As [`SinkResult::claimed`].
    async fn claim(&self, claim: &Claim) -> Result<Claim>;

    /// Begins to write a part for an attempt. `note` makes the note of an upload, given the key of its object. `room`
    /// says how much memory the writer may take. Only for threads that may wait.
    fn writer(
        &self,
        part: &PartName,
        attempt: &AttemptId,
        room: Room,
        note: &dyn Fn(&str) -> Note,
    ) -> Box<dyn PartSink>;

    /// Reads a part of a result by its key, in pieces.
    fn read(&self, key: &str, bytes: u64) -> BoxStream<'static, Result<Bytes>>;

    /// Makes each committed part visible. Returns the parts as they were published, in the order given. Idempotent.
    ///
    /// # Errors
    /// When the sink fails. When parts are gone or damaged, the error has [`Gone`] in its chain.
    async fn collect(&self, parts: &[CommittedPart]) -> Result<Vec<PublishedPart>>;

    /// Drops a part that was not committed, as far as possible.
    async fn discard(&self, part: &PartName, pending: &Pending);

    /// Aborts the upload of an object, as far as possible.
    async fn abort(&self, key: &str, id: &str);

    /// Aborts all uploads of parts of the result that are open, as far as possible.
    async fn abort_all(&self);

    /// Declares the result complete by a plan. What another plan declared is replaced only if `replace` is set. Returns
    /// whether the result is complete by this plan then. Idempotent.
    ///
    /// # Errors
    /// When the sink fails.
    async fn succeed(&self, plan: &PlanId, replace: bool) -> Result<bool>;

    /// Points the sink's pointer to the newest result to this one, unless it points to that of a later plan.
    /// Idempotent.
    ///
    /// # Errors
    /// When the sink fails.
    async fn point(&self, published: &Published<'_>) -> Result<()>;

    /// Takes back that the result is complete by this plan, which turned out to be the run's no longer.
    ///
    /// # Errors
    /// When the sink fails.
    async fn retract(&self, plan: &PlanId) -> Result<()>;

    /// Takes back that the result is complete, because some of its parts are to be made again, and deletes these parts.
    ///
    /// # Errors
    /// When the sink fails.
    async fn withdraw(&self, parts: &[PublishedPart]) -> Result<()>;

    /// Returns the tasks that made parts of a complete result that are gone or damaged.
    ///
    /// # Errors
    /// When the sink fails.
    async fn damaged(&self, parts: &[PublishedPart]) -> Result<BTreeSet<TaskId>>;

    /// Deletes what losing attempts left, and what killed processes left before `before`, as far as possible.
    async fn sweep(&self, before: Option<SystemTime>);
}

/// A claim on a result: to which pipeline and plan it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Id of the plan.
    pub plan: PlanId,
}

/// A part that was committed, and how it waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPart {
    /// Name of the part.
    pub name: PartName,
    /// Attempt that wrote it.
    pub attempt: AttemptId,
    /// Size in bytes.
    pub bytes: u64,
    /// XXH3-128 digest of its bytes, in hexadecimal.
    pub digest: String,
    /// How it waits.
    pub pending: Pending,
}

/// A part of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPart {
    /// Name of the part.
    pub name: PartName,
    /// Key of the part, below the sink.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// XXH3-128 digest of its bytes, in hexadecimal.
    pub digest: String,
    /// ETag when it was published; `None` if the sink has no such thing.
    pub e_tag: Option<String>,
}

/// A result that is declared complete.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// Id of the plan.
    pub plan: &'a PlanId,
    /// When the plan was made, in milliseconds since the Unix epoch. Of two results, the one of the later plan is the
    /// newer one.
    pub made_at_ms: u64,
    /// The parts, in order.
    pub parts: &'a [PublishedPart],
    /// Number of failed shards that are left out.
    pub failed_shards: u64,
}

/// Parts of a result that were committed but are gone from the sink, or are not what was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone(pub Vec<CommittedPart>);

impl std::error::Error for Gone {}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: BTreeSet<TaskId> = self.0.iter().map(|gone| gone.name.task).collect();
        write!(f, "committed parts are gone from the sink or damaged: {}", parts_named(tasks.into_iter()))
    }
}

/// Returns the numbers of the first parts, and how many there are beside these, as text.
pub fn parts_named(parts: impl ExactSizeIterator<Item = TaskId>) -> String {
    let more = parts.len().saturating_sub(PARTS_NAMED_MAX);
    let named: Vec<String> = parts.take(PARTS_NAMED_MAX).map(|part| part.to_string()).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

/// The most parts that a message names.
const PARTS_NAMED_MAX: usize = 10;

/// How much memory the writer of a part may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough to send ahead: the attempt writes one part at a time.
    Alone,
    /// As little as possible: the attempt writes many parts at a time.
    Shared,
}

/// A part being written. It belongs to no result before it is collected.
pub trait PartSink: Write + Send {
    /// Ends the part. Returns its size in bytes, and how it waits to be published.
    ///
    /// # Errors
    /// When the sink fails.
    fn finish(self: Box<Self>) -> Result<(u64, Pending)>;
}
