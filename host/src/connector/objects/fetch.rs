//! Fetching the bytes of slices, ahead of the worker that decodes them.
//!
//! Owns which bytes those are: exactly the records that start in each slice, wherever the format ends them. A record
//! belongs to the slice in which it starts. A slice that does not start an object therefore begins behind the first
//! line end at or after its `offset - 1`, and every slice extends to the line end of its last record. Where cuts are exact,
//! the plan has moved them to the starts of records, and a slice is read as it is. If a slice's object has a header, it is
//! read for each slice that does not start the object.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{Error, Result},
        object::{Compression, Object, Slice, Version, find},
    },
    runtime::threads,
};
use etl_format::{Chunk, Cuts, Directories};
use etl_store::Store;
use futures::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::connector::objects::{position::Sections, split::uncut};

/// Limits on how a store is read.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Maximum number of bytes in one request.
    get_bytes: u64,
    /// Number of bytes that may be requested or waiting for the worker.
    ahead_bytes: usize,
}

impl Pace {
    /// For stores on a network: requests are large enough, and enough of them are under way, that latency does not
    /// matter.
    const REMOTE: Self = Self { get_bytes: 4 << 20, ahead_bytes: 16 << 20 };
    /// For local disk: there is hardly any latency, and the bytes just read are still in the cache when they are
    /// decoded.
    const LOCAL: Self = Self { get_bytes: 512 << 10, ahead_bytes: 1 << 20 };

    fn of(store: &Store) -> Self {
        if store.is_local() { Self::LOCAL } else { Self::REMOTE }
    }
}

/// Minimum and maximum length in bytes of the first read behind a slice's end, for the rest of its last record. Each
/// further read is twice as long, up to [`TAIL_GET_BYTES`].
const TAIL_BYTES: (u64, u64) = (4 << 10, 64 << 10);

/// Maximum number of bytes in one request behind a slice's end.
const TAIL_GET_BYTES: u64 = 1 << 20;

/// Number of bytes behind the ends of slices that may be requested or waiting for the worker: those of one request, and
/// those that the worker takes meanwhile.
const TAIL_AHEAD_BYTES: usize = 2 * TAIL_GET_BYTES as usize;

/// Number of bytes in the first read for the header of an object. Each further read is twice as long.
const HEAD_BYTES: u64 = 16 << 10;

/// Maximum number of bytes that may be requested or waiting for the worker, in any store.
pub const READ_AHEAD_BYTES: usize = Pace::REMOTE.ahead_bytes + TAIL_AHEAD_BYTES;

/// Number of requests that may be under way. This limit is for shards of many small objects, whose bytes do not add up
/// to [`Pace::ahead_bytes`].
pub(super) const GETS_IN_FLIGHT: usize = 16;

/// Number of sections whose objects' ends are fetched ahead.
const SECTIONS_AHEAD: usize = 4;

/// Number of chunks that may wait for the worker. Memory is bounded by [`Pace::ahead_bytes`] instead.
const CHUNKS_WAITING: usize = 64;

/// Number of bytes ahead of a read that a local disk is advised to fetch.
const ADVISED_BYTES: u64 = 2 << 20;

/// The chunks of one shard after the other, in order. Dropping them ends the fetch.
#[derive(Debug)]
pub struct Chunks {
    /// Chunks, with `None` at the end of each shard.
    receiver: mpsc::Receiver<Result<Option<Chunk>>>,
    first: Option<Result<Option<Chunk>>>,
    done: bool,
    driver: Driver,
}

/// The driver of a fetch.
enum Driver {
    /// A task of the runtime, which reads ahead.
    Task { _task: AbortOnDropHandle<()> },
    /// The thread that takes the chunks, which polls this future; `None` when the future is done.
    Taker(Option<BoxFuture<'static, ()>>),
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Task { .. }) { "Task" } else { "Taker" })
    }
}

/// Starts to fetch the records of some shards in their order, each given by its slices; `cuts` says where their objects
/// may be cut. Must be called on the runtime.
/// The fetch reads ahead of the consumer of the chunks by at most 16 MiB, also from one shard to the next. In a local
/// store, chunks are read when they are taken, because passing them between threads takes longer; the disk is advised
/// of the coming reads.
///
/// Each shard's slices come with objects, sorted by name, that include those of the slices. A slice in which no record
/// starts yields nothing. Each object must still be the version that was listed.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when a slice is not of one of its objects, lies
/// outside its object, or is a part of an object that cannot be cut. A later error is the last item of the chunks.
pub(super) fn fetch<'a>(
    store: &Store,
    directories: &Arc<Directories>,
    cuts: Cuts,
    shards: impl IntoIterator<Item = (&'a [Slice], &'a [Object])>,
) -> Result<Chunks> {
    let (mut reads, mut shard_ends) = (Vec::new(), Vec::new());
    for (slices, objects) in shards {
        for slice in slices {
            reads.push(Read::new(slice, objects, cuts)?);
        }
        shard_ends.push(reads.len());
    }
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let tail_budget = Arc::new(Semaphore::new(TAIL_AHEAD_BYTES));
    let fetch = Fetch { store: store.clone(), cuts, tail_budget, sender };
    let directories = Arc::clone(directories);
    let fetching = async move {
        let sent = match cuts {
            Cuts::ByPosition { first } => {
                let sections = Arc::new(Sections::new(fetch.store.clone(), directories, first));
                fetch.send_sections(&sections, reads, shard_ends).await
            }
            Cuts::AtLineEnds | Cuts::AtRecords(_) | Cuts::Never(_) => fetch.send_all(reads, shard_ends).await,
        };
        if let Err(FetchEnd::Failed(error)) = sent {
            // The receiver may be gone; the error is then of no interest.
            drop(fetch.sender.send(Err(error)).await);
        }
    };
    let driver = if store.is_local() {
        Driver::Taker(Some(fetching.boxed()))
    } else {
        Driver::Task { _task: AbortOnDropHandle::new(tokio::spawn(fetching)) }
    };
    Ok(Chunks { receiver, first: None, done: false, driver })
}

impl Chunks {
    /// Returns whether the next chunk is still being fetched. Always false in a local store, which does not read ahead.
    pub fn is_waiting(&self) -> bool {
        !self.done && self.first.is_none() && self.receiver.is_empty() && matches!(self.driver, Driver::Task { .. })
    }

    /// Waits for the first chunk, so that no worker thread is held while it is fetched. Returns at once in a local
    /// store, which does not read ahead.
    pub async fn ready(&mut self) {
        if self.first.is_none() && !self.done && matches!(self.driver, Driver::Task { .. }) {
            self.first = self.receiver.recv().await;
        }
    }

    fn receive(&mut self) -> Option<Result<Option<Chunk>>> {
        let Driver::Taker(fetching) = &mut self.driver else { return self.receiver.blocking_recv() };
        threads::wait(future::poll_fn(|context| {
            let received = self.receiver.poll_recv(context);
            if received.is_ready() {
                return received;
            }
            if fetching.as_mut().is_some_and(|fetching| fetching.as_mut().poll(context).is_ready()) {
                *fetching = None;
            }
            self.receiver.poll_recv(context)
        }))
    }

    /// Moves to the next shard. Must be called once the chunks of this shard have ended.
    pub fn next_shard(&mut self) {
        self.done = false;
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk>;

    /// Waits for the shard's next chunk and returns it. Must be called on a worker thread: panics on a thread of the
    /// runtime.
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let last = match self.first.take().or_else(|| self.receive()) {
            Some(Ok(Some(chunk))) => return Some(Ok(chunk)),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some(Err(error)),
            // Without this error, a fetch that died would look like a source that ended.
            None => Some(Err(Error::internal("the fetch of a shard ended early"))),
        };
        self.done = true;
        last
    }
}

/// Why a fetch ends early.
enum FetchEnd {
    /// The chunks were dropped, so they are no longer taken.
    Dropped,
    Failed(Error),
}

impl From<Error> for FetchEnd {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A fetch under way.
struct Fetch {
    store: Store,
    cuts: Cuts,
    /// Bytes behind the ends of slices that may still be requested. They have a budget of their own, because reads of
    /// later slices may hold all of the other one until the worker has taken these.
    tail_budget: Arc<Semaphore>,
    sender: mpsc::Sender<Result<Option<Chunk>>>,
}

impl Fetch {
    /// Sends the chunks of all reads, with `None` behind those of each shard.
    async fn send_all(&self, reads: Vec<Read>, shard_ends: Vec<usize>) -> Result<(), FetchEnd> {
        let mut parts = std::pin::pin!(read_ahead(self.store.clone(), reads));
        let mut shard_ends = shard_ends.into_iter().peekable();
        let (mut started, mut head) = (false, Head::default());
        while let Some(SliceBytes { number, read, range, bytes }) = parts.next().await {
            let bytes = bytes?;
            while shard_ends.next_if(|end| *end <= number).is_some() {
                self.end_shard().await?;
            }
            let ends_with_record = self.cuts.ends_record(&bytes);
            if range.start == read.first_byte() {
                started = false;
                head = self.head(&read, head).await?;
            }
            if started {
                self.send(Chunk::Data(bytes)).await?;
            } else if let Some(start) = read.first_record(range.start, &bytes, head.bytes.len() as u64) {
                started = true;
                let (object, offset) = (Arc::clone(&read.object), range.start + start as u64);
                let head = if offset == 0 { Bytes::new() } else { head.bytes.clone() };
                self.send(Chunk::Start { object, offset, compression: read.compression, head }).await?;
                self.send(Chunk::Data(bytes.slice(start..))).await?;
            }
            if started && range.end == read.end && !ends_with_record {
                self.send_tail(&read).await?;
            }
        }
        for _ in shard_ends {
            self.end_shard().await?;
        }
        Ok(())
    }

    /// Sends the sections of all reads, with `None` behind those of each shard.
    async fn send_sections(
        &self,
        sections: &Arc<Sections>,
        reads: Vec<Read>,
        shard_ends: Vec<usize>,
    ) -> Result<(), FetchEnd> {
        let made = futures::stream::iter(reads.into_iter().enumerate()).map(|(number, read)| {
            let sections = Arc::clone(sections);
            async move { (number, sections.section(&read).await) }
        });
        let mut made = std::pin::pin!(made.buffered(SECTIONS_AHEAD));
        let mut shard_ends = shard_ends.into_iter().peekable();
        while let Some((number, section)) = made.next().await {
            let section = section?;
            while shard_ends.next_if(|end| *end <= number).is_some() {
                self.end_shard().await?;
            }
            self.send(Chunk::Section(section)).await?;
        }
        for _ in shard_ends {
            self.end_shard().await?;
        }
        Ok(())
    }

    /// Returns the first bytes of a slice's object, up to the end of its header, if its readers need them. `last` are
    /// those of the slice before.
    async fn head(&self, read: &Read, last: Head) -> Result<Head> {
        if read.offset == 0 || !self.cuts.needs_head() {
            return Ok(Head::default());
        }
        if last.object.as_ref() == Some(&read.object) {
            return Ok(last);
        }
        let mut length = HEAD_BYTES;
        loop {
            let range = 0..read.size.min(length);
            let at_end = range.end == read.size;
            let bytes = self.store.get_range(&read.object, range, Some(read.version())).await?;
            if let Some(end) = self.cuts.head_end(&bytes, at_end) {
                return Ok(Head { object: Some(Arc::clone(&read.object)), bytes: bytes.slice(..end) });
            }
            length *= 2;
        }
    }

    /// Sends the bytes of the slice's last record that lie behind the slice's end.
    async fn send_tail(&self, read: &Read) -> Result<(), FetchEnd> {
        let (mut at, mut length) = (read.end, read.tail_bytes());
        while at < read.size {
            let range = at..read.size.min(at + length);
            (at, length) = (range.end, TAIL_GET_BYTES.min(length * 2));
            let permit = permit(&self.tail_budget, &range).await;
            let bytes = self.store.get_range(&read.object, range, Some(read.version())).await?;
            let bytes = Bytes::from_owner(Held { bytes, _permit: permit });
            if let Some(end) = self.cuts.behind_record(&bytes) {
                return self.send(Chunk::Data(bytes.slice(..end))).await;
            }
            self.send(Chunk::Data(bytes)).await?;
        }
        Ok(())
    }

    async fn send(&self, chunk: Chunk) -> Result<(), FetchEnd> {
        self.sender.send(Ok(Some(chunk))).await.map_err(|_| FetchEnd::Dropped)
    }

    async fn end_shard(&self) -> Result<(), FetchEnd> {
        self.sender.send(Ok(None)).await.map_err(|_| FetchEnd::Dropped)
    }
}

/// The first bytes of an object, up to the end of its header.
#[derive(Default)]
struct Head {
    object: Option<Arc<str>>,
    bytes: Bytes,
}

/// A slice, with the listed properties of its object.
pub(super) struct Read {
    pub(super) object: Arc<str>,
    pub(super) size: u64,
    pub(super) e_tag: Option<String>,
    pub(super) compression: Compression,
    pub(super) offset: u64,
    pub(super) end: u64,
    cuts: Cuts,
}

impl Read {
    fn new(slice: &Slice, objects: &[Object], cuts: Cuts) -> Result<Self> {
        let Slice { object: name, offset, length } = slice;
        let missing = || Error::input(format!("the source has no object `{name}`"));
        let Object { size, e_tag, compression, .. } = find(objects, name).ok_or_else(missing)?.clone();
        let end = offset.checked_add(*length).filter(|end| *end <= size).ok_or_else(|| {
            Error::input(format!("slice at {offset} of {length} bytes lies outside object `{name}` of {size} bytes"))
        })?;
        if let (Some(why), true) = (uncut(compression, cuts), *length > 0 && (*offset, end) != (0, size)) {
            return Err(Error::input(format!("object `{name}` {why}, so its slice must be the whole object")));
        }
        Ok(Self { object: name.as_str().into(), size, e_tag, compression, offset: *offset, end, cuts })
    }

    fn version(&self) -> Version<'_> {
        Version { size: self.size, e_tag: self.e_tag.as_deref() }
    }

    /// Returns the offset to read from. Unless cuts are exact, it is one byte before the slice, because that byte says
    /// whether a record starts with the slice.
    fn first_byte(&self) -> u64 {
        if self.cuts.are_exact() { self.offset } else { self.offset.saturating_sub(1) }
    }

    /// Returns the ranges to request, each of up to `get_bytes`. An empty slice has none.
    fn ranges(&self, get_bytes: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let (mut at, end) = if self.offset < self.end { (self.first_byte(), self.end) } else { (0, 0) };
        std::iter::from_fn(move || {
            let range = at..end.min(at + get_bytes);
            at = range.end;
            (!range.is_empty()).then_some(range)
        })
    }

    /// Returns the bytes that a disk may fetch while this range is read and worked on, without those of earlier advice.
    fn advised(&self, range: &Range<u64>) -> Range<u64> {
        let start = if range.start == self.first_byte() { range.end } else { range.start + ADVISED_BYTES };
        start..self.end.min(range.end + ADVISED_BYTES)
    }

    /// Returns the number of bytes to read at first behind the end: few compared with the slice, even if the slice is
    /// small.
    fn tail_bytes(&self) -> u64 {
        let (least, most) = TAIL_BYTES;
        ((self.end - self.offset) / 16).clamp(least, most)
    }

    /// Returns the position in `bytes` of the slice's first record, or `None` if no record starts there. `bytes` were
    /// read from `at`. No record starts in the first `head_bytes` of the object.
    fn first_record(&self, at: u64, bytes: &[u8], head_bytes: u64) -> Option<usize> {
        if self.offset == 0 || self.cuts.are_exact() {
            return Some(0);
        }
        // A line of the header may end with its last byte.
        let skipped = usize::try_from(head_bytes.saturating_sub(1).saturating_sub(at)).ok()?;
        let start = skipped + self.cuts.behind_record(bytes.get(skipped..)?)?;
        (at + (start as u64) < self.end).then_some(start)
    }
}

/// Some bytes of a slice, or the error of reading them.
struct SliceBytes {
    /// Number of the read that the bytes belong to.
    number: usize,
    read: Arc<Read>,
    range: Range<u64>,
    bytes: Result<Bytes>,
}

/// Returns the slices' bytes in order. Keeps up to [`GETS_IN_FLIGHT`] requests under way, and at most
/// [`Pace::ahead_bytes`] bytes that are requested, or delivered and not yet dropped.
fn read_ahead(store: Store, reads: Vec<Read>) -> impl Stream<Item = SliceBytes> {
    let pace = Pace::of(&store);
    let budget = Arc::new(Semaphore::new(pace.ahead_bytes));
    let ranges = reads.into_iter().map(Arc::new).enumerate().flat_map(move |(number, read)| {
        let ranges = read.ranges(pace.get_bytes);
        ranges.map(move |range| (number, Arc::clone(&read), range))
    });
    futures::stream::iter(ranges)
        // Acquire the permits in order and before the requests start, or a later request could take what an earlier one
        // needs.
        .then(move |(number, read, range)| {
            let budget = Arc::clone(&budget);
            async move {
                let permit = permit(&budget, &range).await;
                (number, read, range, permit)
            }
        })
        .map(move |(number, read, range, permit)| {
            let store = store.clone();
            async move {
                store.advise(&read.object, read.advised(&range));
                let got = store.get_range(&read.object, range.clone(), Some(read.version())).await;
                let bytes = got.map(|bytes| Bytes::from_owner(Held { bytes, _permit: permit }));
                SliceBytes { number, read, range, bytes }
            }
        })
        .buffered(GETS_IN_FLIGHT)
}

/// Waits until a budget has room for the bytes of a range, and takes it.
async fn permit(budget: &Arc<Semaphore>, range: &Range<u64>) -> OwnedSemaphorePermit {
    let bytes = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
    Arc::clone(budget).acquire_many_owned(bytes).await.expect("the budget is never closed")
}

/// Bytes that count as read ahead until they are dropped.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
