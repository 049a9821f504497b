//! A store that fails at random, before or after its work, and the reaction of the rest of the host.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use etl_core::{
    model::{error::ErrorKind, ids::TaskId},
    runtime::threads,
};
use etl_host::{
    connector::objects::{ObjectSink, ObjectSource},
    pipeline::Pipeline,
    run::{RunOptions, Start, run_on},
    task::stores::Stores,
};
use etl_store::{Store, classify_io, upload::Upload};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};

use crate::{
    guests::{CRIMES, SUM, WORD_COUNT},
    hooked::{Hook, Hooked, Write},
    support::{Project, events, options},
};

/// The errors that a faulty store returns, in the words of real stores.
pub(crate) const TROUBLE: [&str; 4] = [
    "Server returned non-2xx status code: 503 Service Unavailable: Slow Down",
    "Server returned non-2xx status code: 429 Too Many Requests",
    "HTTP error: operation timed out",
    "HTTP error: connection reset by peer",
];

/// Decides when a faulty store fails.
#[derive(Debug)]
pub(crate) struct Faults {
    state: Mutex<u64>,
    /// Percentage of the requests that fail.
    percent: u64,
    pub(crate) injected: AtomicUsize,
}

impl Faults {
    pub(crate) fn new(seed: u64, percent: u64) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(seed), percent, injected: AtomicUsize::new(0) })
    }

    fn roll(&self, below: u64) -> u64 {
        let mut state = self.state.lock().expect("no roll panics");
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    }

    /// Returns whether the store fails now.
    fn strike(&self) -> bool {
        let strikes = self.roll(100) < self.percent;
        self.injected.fetch_add(usize::from(strikes), Relaxed);
        strikes
    }

    fn error(&self) -> Error {
        let text = TROUBLE[usize::try_from(self.roll(TROUBLE.len() as u64)).expect("small")];
        Error::Generic { store: "Faulty", source: text.into() }
    }

    /// Does `work`. May fail before it, or fail after it and so lose the answer.
    async fn around<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.strike() {
            return work.await;
        }
        if self.roll(2) == 0 {
            tokio::time::sleep(Duration::from_millis(self.roll(3))).await;
        } else {
            work.await?;
        }
        Err(self.error())
    }
}

/// A store with faults in front of it.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<InMemory>,
    pub(crate) faults: Arc<Faults>,
    /// Whether listings may lack objects that exist.
    pub(crate) stale: bool,
    /// Objects whose key contains this text are read with changed bytes.
    pub(crate) rotten: Option<&'static str>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.faults.around(self.inner.put_opts(at, payload, options)).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.faults.around(self.inner.put_multipart_opts(at, options)).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let mut found = self.faults.around(self.inner.get_opts(at, options)).await?;
        if head {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let mut bytes = found.bytes().await?.to_vec();
        if self.rotten.is_some_and(|part| at.as_ref().contains(part)) {
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
        }
        let mut pieces: Vec<Result<_>> = vec![];
        if self.faults.strike() {
            bytes.truncate(bytes.len() / 2);
            // Return half of the bytes, and then an error or, worse, no error.
            pieces.extend((self.faults.roll(2) == 0).then(|| Err(self.faults.error())));
        }
        pieces.insert(0, Ok(bytes.into()));
        let payload = GetResultPayload::Stream(futures::stream::iter(pieces).boxed());
        found = GetResult { payload, meta, range, attributes, extensions: Default::default() };
        Ok(found)
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let delete = move |path: Path| {
            let (inner, faults) = (Arc::clone(&inner), Arc::clone(&faults));
            async move { faults.around(inner.delete(&path)).await.map(|()| path) }
        };
        at.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        if !self.faults.strike() {
            return listed;
        }
        if self.stale && self.faults.roll(2) == 0 {
            let faults = Arc::clone(&self.faults);
            return listed.filter(move |_| std::future::ready(faults.roll(2) == 0)).boxed();
        }
        let some = usize::try_from(self.faults.roll(5)).expect("small");
        listed.take(some).chain(futures::stream::iter([Err(self.faults.error())])).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.around(self.inner.copy_opts(from, to, options)).await
    }
}

#[async_trait::async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, at: &Path) -> Result<MultipartId> {
        self.faults.around(self.inner.create_multipart(at)).await
    }

    async fn put_part(&self, at: &Path, id: &MultipartId, number: usize, part: PutPayload) -> Result<PartId> {
        self.faults.around(self.inner.put_part(at, id, number, part)).await
    }

    async fn complete_multipart(&self, at: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.faults.around(self.inner.complete_multipart(at, id, parts)).await
    }

    async fn abort_multipart(&self, at: &Path, id: &MultipartId) -> Result<()> {
        self.faults.around(self.inner.abort_multipart(at, id)).await
    }
}

/// Returns a store of the host on top of a faulty one, with its multipart uploads.
pub(crate) fn from_faulty(faulty: Faulty) -> Store {
    let faulty = Arc::new(faulty);
    Store::from_object_store(Arc::clone(&faulty) as Arc<dyn ObjectStore>, Path::default(), "faulty")
        .with_multipart(faulty)
}

/// Returns the bytes of an object of the sink; without the plan's id, which differs between runs, if it names one.
fn without_plan(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter(|line| !line.trim_start().starts_with(r#""plan":"#)).collect::<Vec<_>>().join("\n").into()
}

/// The memory behind the three stores of a pipeline.
#[derive(Default)]
struct Memory {
    source: Arc<InMemory>,
    run_store: Arc<InMemory>,
    sink: Arc<InMemory>,
}

impl Memory {
    fn stores(&self, faults: &Arc<Faults>, rotten: Option<&'static str>) -> Stores {
        let open = |inner: &Arc<InMemory>, stale| {
            let faulty = Faulty { inner: Arc::clone(inner), faults: Arc::clone(faults), stale, rotten };
            from_faulty(faulty)
        };
        // The source is not stale: no check can tell a stale listing of the source from another source.
        let source = ObjectSource::new(open(&self.source, false), &[]).expect("no patterns");
        Stores {
            source: Arc::new(source),
            run_store: open(&self.run_store, true),
            sink: Arc::new(ObjectSink::new(open(&self.sink, true))),
        }
    }

    /// Returns the published objects of the sink.
    async fn result(&self) -> BTreeMap<String, Vec<u8>> {
        let listed: Vec<ObjectMeta> = self.sink.list(None).try_collect().await.expect("lists");
        let mut found = BTreeMap::new();
        let is_result =
            |meta: &ObjectMeta| !["/_attempts/", "/.claim"].iter().any(|part| meta.location.as_ref().contains(part));
        for meta in listed.into_iter().filter(is_result) {
            let bytes = self.sink.get(&meta.location).await.expect("is there").bytes().await.expect("reads");
            let is_success = meta.location.as_ref().ends_with("/_SUCCESS");
            found.insert(meta.location.to_string(), if is_success { Vec::new() } else { without_plan(&bytes) });
        }
        found
    }
}

fn pipeline() -> (Project, Pipeline) {
    let project = Project::of(&format!(
        "map = [{{ plugin = {WORD_COUNT}, retry = {{ attempts = 20, interval = \"0s\" }} }}]\n\
         reduce = {{ plugin = {SUM}, combine = true, partitions = 3, retry = {{ attempts = 20, interval = \"0s\" }} }}\n\
         split.target_size = 1100"
    ));
    let pipeline = Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid");
    (project, pipeline)
}

async fn memory() -> Memory {
    let memory = Memory::default();
    for object in ["a.txt", "b.txt"] {
        let words: String = (0..1_500_u32).map(|n| format!("w{}\n", n.wrapping_mul(7_919) % 211)).collect();
        memory.source.put(&Path::from(object), words.into()).await.expect("writes");
    }
    memory
}

fn as_r() -> RunOptions {
    options(Start::Id("r".to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_faults_change_no_byte() {
    let (_project, pipeline) = pipeline();
    let undisturbed = memory().await;
    let stores = undisturbed.stores(&Faults::new(0, 0), None);
    run_on(stores, &pipeline, as_r(), &events()).await.expect("nothing is wrong");
    let expected = undisturbed.result().await;
    assert_eq!(expected.len(), 5, "{:?}", expected.keys());

    let (mut faults_in_all, mut starts) = (0, 0);
    for seed in 1_u64.. {
        let (memory, faults) = (memory().await, Faults::new(seed, 5 + seed % 10));
        loop {
            starts += 1;
            let stores = memory.stores(&faults, None);
            match run_on(stores, &pipeline, as_r(), &events()).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "seed {seed}: {error}"),
            }
        }
        assert_eq!(memory.result().await, expected, "seed {seed}");
        faults_in_all += faults.injected.load(Relaxed);
        if faults_in_all > 2_000 {
            break;
        }
    }
    assert!(starts > 10, "the faults were harmless: {starts} starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shuffle_file_that_is_damaged_again_ends_the_run_with_its_name() {
    let ((_project, pipeline), memory) = (pipeline(), memory().await);
    let stores = memory.stores(&Faults::new(0, 0), Some("map/000001/1-"));
    let error = run_on(stores, &pipeline, as_r(), &events()).await.expect_err("it cannot be read");
    assert_eq!(error.kind(), ErrorKind::Damaged(TaskId(1)));
    assert!(error.to_string().contains("/map/000001/1-"), "{error}");
}

/// A test that decides whether a write is of a certain kind.
type IsIt = fn(&Write) -> bool;

/// Fails the first write of a kind, before its work or after it.
#[derive(Debug)]
struct FailOnce {
    is_it: IsIt,
    after: bool,
    left: AtomicUsize,
}

impl FailOnce {
    fn strike(&self, write: &Write, after: bool) -> Result<()> {
        let strikes = self.after == after && (self.is_it)(write) && self.left.swap(0, Relaxed) == 1;
        if strikes { Err(Error::Generic { store: "S3", source: TROUBLE[0].into() }) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl Hook for FailOnce {
    async fn before(&self, write: &Write) -> Result<()> {
        self.strike(write, false)
    }

    async fn after(&self, write: &Write, _: bool) -> Result<()> {
        self.strike(write, true)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_many_parts_is_whole_or_not_there() {
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let is_part: IsIt = |write| matches!(write, Write::Part(_));
    let is_end: IsIt = |write| matches!(write, Write::Complete(_));
    let faults = [(is_part, false, false), (is_part, true, false), (is_end, false, false), (is_end, true, true)];
    for (case, (is_it, after, whole)) in faults.into_iter().enumerate() {
        let hooked = Hooked::new(FailOnce { is_it, after, left: AtomicUsize::new(1) });
        let (store, written) = (hooked.below("sink"), bytes.clone());
        let upload = move || {
            let mut upload = Upload::new(&store, "part");
            io::Write::write_all(&mut upload, &written).map_err(classify_io)?;
            upload.finish()
        };
        let uploaded = threads::run(upload).await.expect("no panic");
        assert_eq!(hooked.hook.left.load(Relaxed), 0, "case {case}: nothing went wrong");
        if whole {
            assert_eq!(uploaded.expect("it is there"), 20_000_000);
            assert!(hooked.read("sink/part").await == bytes, "other bytes");
        } else {
            assert_eq!(uploaded.expect_err("it failed").kind(), ErrorKind::Unavailable, "case {case}");
            let listed: Vec<ObjectMeta> = hooked.inner.list(None).try_collect().await.expect("lists");
            assert_eq!(listed, [], "case {case}");
        }
    }
}

#[async_trait::async_trait]
impl Hook for Faults {
    async fn before(&self, _: &Write) -> Result<()> {
        if self.strike() { Err(self.error()) } else { Ok(()) }
    }

    async fn after(&self, _: &Write, _: bool) -> Result<()> {
        if self.strike() { Err(self.error()) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_in_uploads_of_many_parts_change_no_byte() {
    let project = Project::of(&format!(
        "map = [{{ plugin = {CRIMES}, retry = {{ attempts = 100, interval = \"0s\" }} }}]\nsink.format = \"lines\""
    ));
    let lines: String = (0..900_000).map(|n| format!("line {n}\n")).collect();
    let project = project.file("input/a.txt", &lines);
    let pipeline = Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid");
    let (mut seed, mut struck) = (1, 0);
    while struck < 30 {
        let faults = Arc::into_inner(Faults::new(seed, 20)).expect("no other reference is left");
        let sink = Hooked::new(faults);
        let opened = Stores::open(&pipeline).await.expect("they open");
        loop {
            let stores = Stores { sink: Arc::new(ObjectSink::new(sink.below("result"))), ..opened.clone() };
            let start = Start::Id(format!("r{seed}"));
            match run_on(stores, &pipeline, options(start), &events()).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "seed {seed}: {error}"),
            }
        }
        assert!(sink.read(&format!("result/r{seed}/part-00000.txt")).await == lines.as_bytes(), "seed {seed}");
        struck += sink.hook.injected.load(Relaxed);
        seed += 1;
    }
}
