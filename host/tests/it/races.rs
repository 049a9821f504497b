//! Races: other actors in the middle of a run, such as another process with another pipeline, an operator who deletes
//! objects that the run needs or stops the run while it publishes, and a clean-up that is killed.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use etl_core::model::error::{Error, ErrorKind};
use etl_host::{
    connector::objects::ObjectSink,
    history::{self, clean::Cleaner},
    pipeline::Pipeline,
    run::{Outcome, RunOptions, Start, run_on},
    task::stores::Stores,
};
use object_store::{Error as StoreError, ObjectStoreExt, Result, path::Path};
use tokio_util::sync::CancellationToken;

use crate::{
    guests::{CRIMES, SUM, WORD_COUNT},
    hooked::{Hook, Hooked, Write},
    support::{Project, etl_host_command, events, options},
};

fn sums() -> String {
    format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 2 }}\nsplit.target_size = 12"
    )
}

/// Returns steps that make a shard and a part of each line.
fn lines() -> String {
    format!("map = [{{ plugin = {CRIMES}, config = {{}} }}]\nsink.format = \"lines\"\nsplit.target_size = 8")
}

fn project(sections: &str) -> Project {
    Project::of(sections).file("input/a.txt", "ant bee\ncat dog\nant dog\nbee emu\n")
}

fn load(project: &Project, settings: &[&str]) -> Pipeline {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    Pipeline::load(&project.path("pipeline.toml"), &settings, |_| None).expect("valid")
}

/// Runs a pipeline as run `r`, with its run store and sink in memory.
async fn run<H: Hook>(
    pipeline: &Pipeline,
    stores: &Arc<Hooked<H>>,
    start: Start,
    cancel: CancellationToken,
) -> Result<Outcome, Error> {
    let Stores { source, .. } = Stores::open(pipeline).await.expect("they open");
    let stores =
        Stores { source, run_store: stores.below("runs"), sink: Arc::new(ObjectSink::new(stores.below("result"))) };
    let options = RunOptions { cancel, ..options(start) };
    run_on(stores, pipeline, options, &events()).await
}

fn as_r() -> Start {
    Start::Id("r".to_owned())
}

/// Returns the objects of the result of run `r`: its parts, and `_SUCCESS` if it is complete.
async fn result<H: Hook>(stores: &Arc<Hooked<H>>) -> Vec<(String, Vec<u8>)> {
    let keys = stores.below("result").list_keys("r").await.expect("lists");
    let mut found = Vec::new();
    for key in keys.into_iter().filter(|key| !key.ends_with("/.claim")) {
        let bytes = stores.read(&format!("result/{key}")).await;
        // It names the plan, and each run has another.
        let bytes = if key.ends_with("/_SUCCESS") { Vec::new() } else { bytes };
        found.push((key, bytes));
    }
    found
}

/// Cleans up after run `r`.
async fn clean<H: Hook>(pipeline: &Pipeline, stores: &Arc<Hooked<H>>) -> Result<(), Error> {
    let (run_store, sink) = (&stores.below("runs"), &stores.below("result"));
    let ids = history::run_ids(run_store, "test").await?;
    let runs = history::overviews(run_store, "test", &ids).await?;
    Cleaner { pipeline: &pipeline.name, run_store, sink, results: false, dry_run: false }
        .clean(&runs[0])
        .await
        .map(drop)
}

#[derive(Debug)]
struct Nothing;

impl Hook for Nothing {}

/// Writes the plan of another process just before this process writes its own.
#[derive(Debug)]
struct FasterPlan {
    plan: Vec<u8>,
    stores: Mutex<Option<object_store::memory::InMemory>>,
}

#[async_trait::async_trait]
impl Hook for FasterPlan {
    async fn before(&self, write: &Write) -> Result<()> {
        let stores =
            if write.key().ends_with("plan.json") { self.stores.lock().expect("no panic").take() } else { None };
        if let Some(stores) = stores {
            stores.put(&Path::from(write.key()), self.plan.clone().into()).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_another_process_was_faster_to_freeze_is_not_gone_by_unless_it_is_the_same() {
    let project = project(&sums());
    for (setting, same) in [("run.concurrency=3", true), ("reduce.partitions=3", false)] {
        let theirs = Hooked::new(Nothing);
        run(&load(&project, &[setting]), &theirs, as_r(), CancellationToken::new()).await.expect("it ends well");
        // The other process is still at work, so only its plan and shards exist.
        let ours =
            Hooked::new(FasterPlan { plan: theirs.read("runs/test/r/plan.json").await, stores: Mutex::default() });
        let keys = theirs.below("runs").list_keys("test/r").await.expect("lists");
        for key in keys.into_iter().filter(|key| key.contains("/shards/")) {
            let page = theirs.read(&format!("runs/{key}")).await;
            ours.inner.put(&Path::from(format!("runs/{key}")), page.into()).await.expect("writes");
        }
        *ours.hook.stores.lock().expect("no panic") = Some(ours.inner.clone());
        let ended = run(&load(&project, &[]), &ours, as_r(), CancellationToken::new()).await;
        if same {
            ended.expect("it follows the other process's plan");
            assert_eq!(result(&ours).await, result(&theirs).await);
        } else {
            let error = ended.expect_err("it is another pipeline");
            assert!(error.to_string().contains("`reduce.partitions` (was 3, is 2)"), "{error}");
            assert_eq!(result(&ours).await, []);
        }
    }
}

#[test]
fn a_result_that_is_there_before_the_run_is_planned_is_not_mixed_with_another() {
    let project = project(&lines());
    let run = ["--quiet", "--run-id", "r"];
    project.result(run);
    // Without the run store, the run starts over. The sink has four parts, and the new result has two.
    fs::remove_dir_all(project.path("runs")).expect("it was there");
    let project = project.file("input/a.txt", "ant bee\ncat dog\n");
    let before = project.files("result");
    let ended = project.run(run);
    ended.expect_error(2, &[".txt` is there already", "no plan of a run `r`", "`--run-id`"]);
    assert_eq!(project.files("result"), before);
    fs::remove_dir_all(project.path("result/r")).expect("it was there");
    assert_eq!(project.result(run).len(), 2);
}

#[test]
fn parts_that_are_gone_when_a_run_goes_on_are_made_again() {
    for (sections, again) in [(sums(), "is reduced again"), (lines(), "is mapped again")] {
        let project = project(&sections);
        let run = ["--run-id", "r"];
        let expected = project.result(run);
        for gone in ["result", "result/r/_attempts"] {
            for directory in ["runs", "result"] {
                fs::remove_dir_all(project.path(directory)).expect("it was there");
            }
            let mut command = etl_host_command();
            command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
            let killed = command.env("ETL_HOST_FAIL_POINT", "publish.begin").status().expect("it starts");
            assert_eq!(killed.signal(), Some(9));
            fs::remove_dir_all(project.path(gone)).expect("it was there");
            let ended = project.run(run);
            ended.expect_success();
            assert_eq!(project.latest(), expected, "{gone}");
            assert!(ended.stderr.contains("committed parts are gone from the sink or damaged: 0, 1"), "{ended:#?}");
            assert!(ended.stderr.contains(again), "{ended:#?}");
        }
    }
}

#[test]
fn a_run_that_was_complete_says_what_changed_since_and_sweeps_what_a_kill_at_its_very_end_left() {
    let project = project(&sums());
    let run = ["--run-id", "r"];
    let expected = project.result(run);
    assert!(!project.run(run).stderr.contains("warning"));
    let project = project.file("runs/test/r/events/1-0badcafe.jsonl#1", "").file("runs/test/r/report.html#1", "");
    let ended = project.run(["--run-id", "r", "--set", "reduce.partitions=3"]);
    assert!(ended.expect_success().stderr.contains("`reduce.partitions` (was 2, is 3)"), "{ended:#?}");
    assert_eq!(project.latest(), expected);
    assert!(!project.files("runs").iter().any(|file| file.contains('#')), "{:?}", project.files("runs"));
}

/// Cancels the run at its first write that `is_it` accepts, and never lets that write end.
#[derive(Debug)]
struct Stuck {
    is_it: fn(&Write) -> bool,
    cancel: CancellationToken,
}

#[async_trait::async_trait]
impl Hook for Stuck {
    async fn before(&self, write: &Write) -> Result<()> {
        if (self.is_it)(write) && !self.cancel.is_cancelled() {
            self.cancel.cancel();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_while_it_publishes_or_takes_over_ends_and_can_be_finished() {
    let trips = "config = { crime = \"panic-on-line\", text = \"cat\" }, retry.attempts = 1";
    let project = project(&lines().replace("config = {}", trips));
    let failing = load(&project, &["run.grace=1ms", "run.tolerated_failures=1"]);
    let mended = load(&project, &["run.grace=1ms", "map.0.config.text=yak"]);
    let redrive = || Start::Redrive(Some("r".to_owned()));
    let before = Hooked::new(Nothing);
    run(&failing, &before, as_r(), CancellationToken::new()).await.expect("it ends without a shard");
    let publishes: fn(&Write) -> bool = |write| matches!(write, Write::Complete(key) if key.contains("r/part-00002"));
    let takes_over: fn(&Write) -> bool =
        |write| matches!(write, Write::Begin(key) if key.contains("r-redrive-1/part-00002"));
    for (pipeline, is_it, start) in [(&failing, publishes, as_r()), (&mended, takes_over, redrive())] {
        let cancel = CancellationToken::new();
        let stores = Hooked::new(Stuck { is_it, cancel: cancel.clone() });
        let stores = match start {
            Start::Redrive(_) => Arc::new(Hooked { inner: before.inner.fork(), hook: Arc::clone(&stores.hook) }),
            _ => stores,
        };
        let error = run(pipeline, &stores, start.clone(), cancel).await.expect_err("it is interrupted");
        assert!(matches!(error.kind(), ErrorKind::Interrupted(_)), "{error}");
        let outcome = run(pipeline, &stores, start, CancellationToken::new()).await.expect("it is finished");
        let parts = stores.below("result").list_keys(&outcome.run_id).await.expect("lists");
        let whole = outcome.failed_shards == 0;
        assert_eq!(parts.len(), if whole { 6 } else { 5 }, "the parts, `_SUCCESS` and the claim: {parts:?}");
    }
}

/// Fails every delete after the first `deletes_left`, and every write of a key that ends with `fails`.
#[derive(Debug)]
struct Killed {
    deletes_left: AtomicUsize,
    fails: &'static str,
}

#[async_trait::async_trait]
impl Hook for Killed {
    async fn before(&self, write: &Write) -> Result<()> {
        let dies = match write {
            Write::Delete(_) => self.deletes_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err(),
            write => !self.fails.is_empty() && write.key().ends_with(self.fails),
        };
        if dies {
            return Err(StoreError::Generic { store: "killed", source: "it is no more".into() });
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_half_deleted_starts_over_by_its_plan_or_has_no_commits_of_another() {
    let project = project(&sums());
    let pipeline = load(&project, &["map.0.retry.attempts=1"]);
    let expected = Hooked::new(Nothing);
    run(&pipeline, &expected, as_r(), CancellationToken::new()).await.expect("it ends well");
    let expected = result(&expected).await;
    let unfinished = Hooked::new(Killed { deletes_left: AtomicUsize::new(usize::MAX), fails: "result/r/_SUCCESS" });
    run(&pipeline, &unfinished, as_r(), CancellationToken::new()).await.expect_err("it cannot say that it is complete");
    assert_eq!(result(&unfinished).await, expected[1..], "it has parts, but does not say that they are all");
    let (mut deletes, mut refused) = (0, 0);
    loop {
        let hook = Killed { deletes_left: AtomicUsize::new(deletes), fails: "" };
        let stores = Arc::new(Hooked { inner: unfinished.inner.fork(), hook: Arc::new(hook) });
        let (run_store, sink) = (stores.below("runs"), stores.below("result"));
        if clean(&pipeline, &stores).await.is_ok() {
            let left = [run_store.list_keys("").await.expect("lists"), sink.list_keys("").await.expect("lists")];
            assert_eq!(left.concat(), Vec::<String>::new());
            break;
        }
        stores.hook.deletes_left.store(usize::MAX, SeqCst);
        let keys = run_store.list_keys("test/r").await.expect("lists");
        let is_planned = keys.iter().any(|key| key.ends_with("/plan.json"));
        let is_claimed = sink.exists("r/.claim").await.expect("looks");
        match run(&pipeline, &stores, as_r(), CancellationToken::new()).await {
            Ok(_) => assert_eq!(result(&stores).await, expected, "after {deletes} deletes"),
            Err(error) => {
                let text = error.to_string();
                let says = ["is there already", "belongs to plan "].iter().any(|says| text.contains(says));
                assert!(says && is_claimed && !is_planned, "after {deletes} deletes: {error}");
                refused += 1;
            }
        }
        deletes += 1;
    }
    assert_eq!(refused, 3, "of {deletes}: once for each part, and for the claim");
}

/// Deletes or puts an object, as another process would, just before the first write of the key `before`.
#[derive(Debug)]
struct Meanwhile {
    before: &'static str,
    stores: Mutex<Option<object_store::memory::InMemory>>,
    deletes: Option<&'static str>,
    puts: Option<&'static str>,
}

impl Meanwhile {
    fn of(before: &'static str, deletes: Option<&'static str>, puts: Option<&'static str>) -> Arc<Hooked<Self>> {
        let stores = Hooked::new(Self { before, stores: Mutex::default(), deletes, puts });
        *stores.hook.stores.lock().expect("no panic") = Some(stores.inner.clone());
        stores
    }
}

#[async_trait::async_trait]
impl Hook for Meanwhile {
    async fn before(&self, write: &Write) -> Result<()> {
        let stores = if write.key() == self.before { self.stores.lock().expect("no panic").take() } else { None };
        let Some(stores) = stores else { return Ok(()) };
        if let Some(key) = self.deletes {
            stores.delete(&Path::from(key)).await?;
        }
        if let Some(key) = self.puts {
            stores.put(&Path::from(key), "".into()).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_deleted_while_it_publishes_does_not_say_that_it_is_complete() {
    let project = project(&sums());
    let stores = Meanwhile::of("result/r/part-00001.json", Some("runs/test/r/plan.json"), None);
    let ended = run(&load(&project, &[]), &stores, as_r(), CancellationToken::new()).await;
    let error = ended.expect_err("its parts may be gone");
    assert!(error.to_string().contains("run `r` was deleted while it was under way"), "{error}");
    assert!(!result(&stores).await.iter().any(|(key, _)| key.ends_with("_SUCCESS")));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_published_while_their_run_is_deleted_stay() {
    let project = project(&sums());
    let pipeline = load(&project, &[]);
    let stores = Meanwhile::of("runs/test/r/plan.json", None, Some("result/r/_SUCCESS"));
    let unfinished = Hooked::new(Killed { deletes_left: AtomicUsize::new(usize::MAX), fails: "result/r/_SUCCESS" });
    run(&pipeline, &unfinished, as_r(), CancellationToken::new()).await.expect_err("it cannot say that it is complete");
    let stores = Arc::new(Hooked { inner: unfinished.inner.clone(), hook: Arc::clone(&stores.hook) });
    *stores.hook.stores.lock().expect("no panic") = Some(stores.inner.clone());
    clean(&pipeline, &stores).await.expect("it is deleted");
    assert_eq!(result(&stores).await.len(), 3, "two parts and `_SUCCESS`");
    assert!(!stores.below("runs").exists("test/r/plan.json").await.expect("looks"));
}
