//! Identity: what is committed belongs to one plan, and a result to one pipeline and plan, whoever else writes there.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use etl_core::model::{
    error::{Error, ErrorKind},
    times::unix_ms,
};
use etl_host::{
    connector::objects::{Latest, ObjectSink},
    history::{self, clean::Cleaner},
    pipeline::Pipeline,
    run::{Outcome, RunOptions, Start, run_on},
    task::stores::Stores,
};
use futures::future::BoxFuture;
use object_store::{Result, memory::InMemory};
use serde_json::Value;
use tokio::{runtime::Handle, sync::watch, task::spawn_blocking};

use crate::{
    guests::{CRIMES, SUM, WORD_COUNT},
    hooked::{Hook, Hooked, Write},
    stores::S3,
    support::{NONE, Project, etl_host, etl_host_command, events, options, standing_clock},
};

fn sums() -> String {
    format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, partitions = 2 }}\n\
         split.target_size = 12"
    )
}

/// Returns steps that make a shard and a part of each line.
fn lines() -> String {
    format!(
        "map = [{{ plugin = {CRIMES}, config = {{}} }}]\nsink.format = \"lines\"\nsplit.target_size = 8\n\
         run.concurrency = 1\nrun.speculative = false"
    )
}

fn project(sections: &str) -> Project {
    Project::of(sections).file("input/a.txt", "ant bee\ncat dog\nant dog\nbee emu\n")
}

fn load(project: &Project, settings: &[&str]) -> Pipeline {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    Pipeline::load(&project.path("pipeline.toml"), &settings, |_| None).expect("valid")
}

/// Runs a pipeline as run `r` with its run store and sink in memory. The plan is made `at_s` seconds after the others.
async fn run<H: Hook>(pipeline: &Pipeline, stores: &Arc<Hooked<H>>, at_s: u64) -> Result<Outcome, Error> {
    let Stores { source, .. } = Stores::open(pipeline).await.expect("they open");
    let stores =
        Stores { source, run_store: stores.below("runs"), sink: Arc::new(ObjectSink::new(stores.below("result"))) };
    let options = options(Start::Id("r".to_owned()));
    let options = RunOptions { started_at: options.started_at + std::time::Duration::from_secs(at_s), ..options };
    run_on(stores, pipeline, options, &events()).await
}

/// Cleans up after run `r`, if there is one.
async fn clean<H: Hook>(pipeline: &Pipeline, stores: &Arc<Hooked<H>>) {
    let (run_store, sink) = (&stores.below("runs"), &stores.below("result"));
    let ids = history::run_ids(run_store, "test").await.expect("lists");
    let runs = history::overviews(run_store, "test", &ids).await.expect("reads");
    for run in &runs {
        let cleaner = Cleaner { pipeline: &pipeline.name, run_store, sink, results: false, dry_run: false };
        cleaner.clean(run).await.expect("cleans");
    }
}

/// Returns the parts of the result of run `r`.
async fn parts<H: Hook>(stores: &Arc<Hooked<H>>) -> Vec<(String, Vec<u8>)> {
    let keys = stores.below("result").list_keys("r").await.expect("lists");
    let mut found = Vec::new();
    for key in keys.into_iter().filter(|key| key.contains("/part-")) {
        let bytes = stores.read(&format!("result/{key}")).await;
        found.push((key, bytes));
    }
    found
}

#[derive(Debug)]
struct Nothing;

impl Hook for Nothing {}

fn undisturbed(inner: InMemory) -> Arc<Hooked<Nothing>> {
    Arc::new(Hooked { inner, hook: Arc::new(Nothing) })
}

type Meanwhile = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Does something just before one write of a process, as if the process slept there for a while.
struct Asleep {
    at: usize,
    writes: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
    slept_before: Mutex<Option<Write>>,
    awake: watch::Sender<bool>,
}

impl std::fmt::Debug for Asleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("asleep")
    }
}

#[async_trait::async_trait]
impl Hook for Asleep {
    async fn before(&self, write: &Write) -> Result<()> {
        // A claim that is under way is dropped when its stage ends, and with it the sleep.
        if write.key().contains("/claims/") {
            return Ok(());
        }
        if self.writes.fetch_add(1, SeqCst) == self.at {
            *self.slept_before.lock().expect("no panic") = Some(write.clone());
            let meanwhile = self.meanwhile.lock().expect("no panic").take();
            if let Some(meanwhile) = meanwhile {
                meanwhile().await;
            }
            self.awake.send_replace(true);
        }
        Ok(())
    }
}

/// Lets a process sleep before each of its writes in turn while `meanwhile` happens to its stores, and checks what it
/// ends with. Returns the number of writes.
async fn at_every_write(
    pipeline: &Pipeline,
    meanwhile: impl Fn(Arc<Hooked<Nothing>>) -> BoxFuture<'static, ()>,
    mut check: impl AsyncFnMut(Option<Write>, Result<Outcome, Error>, Arc<Hooked<Nothing>>),
) -> usize {
    for at in 0.. {
        let others = undisturbed(InMemory::new());
        let happens = meanwhile(Arc::clone(&others));
        let hook = Asleep {
            at,
            writes: AtomicUsize::new(0),
            meanwhile: Mutex::new(Some(Box::new(move || happens))),
            slept_before: Mutex::default(),
            awake: watch::Sender::default(),
        };
        let sleeper = Arc::new(Hooked { inner: others.inner.clone(), hook: Arc::new(hook) });
        let ended = run(pipeline, &sleeper, 0).await;
        let slept_before = sleeper.hook.slept_before.lock().expect("no panic").take();
        if slept_before.is_none() {
            return at;
        }
        // An attempt may sleep longer than its process, which needs it no more.
        sleeper.hook.awake.subscribe().wait_for(|awake| *awake).await.expect("the hook is there");
        check(slept_before, ended, others).await;
    }
    unreachable!("every process ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_slept_through_a_clean_and_a_new_plan_changes_nothing_of_its_result() {
    for (sections, other) in [(sums(), "split.target_size=16"), (lines(), "split.target_size=16")] {
        let project = project(&sections);
        let (before, after) = (load(&project, &[]), load(&project, &[other]));
        let expected = [expected(&before).await, expected(&after).await];
        let meanwhile = |others: Arc<Hooked<Nothing>>| -> BoxFuture<'static, ()> {
            let (before, after) = (before.clone(), after.clone());
            Box::pin(async move {
                // On a thread of its own, because the future of `clean` cannot be sent to another.
                let (runtime, stores) = (Handle::current(), Arc::clone(&others));
                let cleaned = spawn_blocking(move || runtime.block_on(clean(&before, &stores)));
                cleaned.await.expect("it is deleted");
                // A result that was complete before it was cleaned up after stays, and no other is mixed with it.
                let is_complete = others.below("result").exists("r/_SUCCESS").await.expect("looks");
                let ended = run(&after, &others, 1).await;
                let has_run = ended.as_ref().is_ok_and(|outcome| !outcome.already_done);
                assert_eq!(has_run, !is_complete, "{ended:?}");
            })
        };
        let mut of_plan = [0, 0];
        let writes = at_every_write(&before, meanwhile, async |slept_before, ended, stores| {
            if let Err(error) = &ended {
                assert!(matches!(error.kind(), ErrorKind::Changed | ErrorKind::Config), "{slept_before:?}: {error}");
            }
            let latest = Latest::read(&stores.below("result")).await.expect("reads");
            let latest = latest.unwrap_or_else(|| panic!("no latest.json: {slept_before:?}: {ended:?}"));
            let whose = usize::from(latest.made_at_ms > unix_ms(standing_clock()));
            of_plan[whose] += 1;
            assert_eq!(parts(&stores).await, expected[whose], "{slept_before:?}: {ended:?}");
            let claim: Value = serde_json::from_slice(&stores.read("result/r/.claim").await).expect("JSON");
            assert_eq!(claim["plan"].as_str(), Some(latest.plan.to_string().as_str()), "{slept_before:?}");
            if whose == 1 {
                // Whoever asks for the run of the new plan again finds it whole.
                run(&after, &stores, 2).await.unwrap_or_else(|error| panic!("{slept_before:?}: {error}"));
                assert_eq!(parts(&stores).await, expected[1], "{slept_before:?}, and again");
                assert_eq!(
                    stores.read("result/r/_SUCCESS").await,
                    latest.plan.to_string().as_bytes(),
                    "{slept_before:?}"
                );
            }
        })
        .await;
        assert!(of_plan[1] > 20 && of_plan[0] < of_plan[1], "{of_plan:?} of {writes}");
    }
}

/// Returns the parts that a pipeline makes when nothing disturbs it.
async fn expected(pipeline: &Pipeline) -> Vec<(String, Vec<u8>)> {
    let stores = undisturbed(InMemory::new());
    run(pipeline, &stores, 0).await.expect("it ends well");
    parts(&stores).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_slept_while_another_finished_its_run_and_a_later_one_changes_nothing() {
    let project = project(&lines());
    let pipeline = load(&project, &[]);
    let meanwhile = |others: Arc<Hooked<Nothing>>| -> BoxFuture<'static, ()> {
        let pipeline = pipeline.clone();
        Box::pin(async move {
            run(&pipeline, &others, 0).await.expect("the other process ends well");
            let Stores { source, .. } = Stores::open(&pipeline).await.expect("they open");
            let sink = Arc::new(ObjectSink::new(others.below("result")));
            let later = Stores { source, run_store: others.below("runs"), sink };
            let options = options(Start::Id("later".to_owned()));
            let options = RunOptions { started_at: options.started_at + std::time::Duration::from_secs(5), ..options };
            run_on(later, &pipeline, options, &events()).await.expect("the later run ends well");
        })
    };
    let writes = at_every_write(&pipeline, meanwhile, async |slept_before, ended, stores| {
        ended.unwrap_or_else(|error| panic!("{slept_before:?}: {error}"));
        let latest = Latest::read(&stores.below("result")).await.expect("reads").expect("is there");
        assert_eq!(latest.run_id, "later", "{slept_before:?}");
    })
    .await;
    assert!(writes > 20, "{writes} writes");
}

#[test]
fn two_pipelines_with_one_sink_and_one_run_id_do_not_write_into_one_result() {
    let project = project(&sums());
    let other = format!(
        "name = \"other\"\nsource.url = \"input/\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n{}",
        lines()
    );
    let project = project.file("other.toml", other);
    let first = project.result(["--run-id", "r"]);
    let files = project.files("result");
    let ended = etl_host([project.path("other.toml").into_os_string(), "--run-id".into(), "r".into()]);
    ended.expect_error(2, &["result/r", "`--run-id`"]);
    assert_eq!((project.latest(), project.files("result")), (first.clone(), files));
    assert!(!project.path("runs/other/r/plan.json").exists(), "a plan that may not write was frozen");

    // The same while the first one is under way, before it has published a part.
    for directory in ["runs", "result"] {
        fs::remove_dir_all(project.path(directory)).expect("it was there");
    }
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
    let killed = command.env("ETL_HOST_FAIL_POINT", "map.begin").status().expect("it starts");
    assert_eq!(killed.signal(), Some(9));
    let ended = etl_host([project.path("other.toml").into_os_string(), "--run-id".into(), "r".into()]);
    ended.expect_error(2, &["result/r` belongs to pipeline `test`", "`--run-id`"]);
    assert_eq!(project.result(["--run-id", "r"]), first);
}

#[test]
fn a_run_is_not_finished_with_another_sink_and_a_directory_that_moved_is_no_other() {
    // Both pipelines say the same, and are in different directories with one run store.
    let stores = tempfile::tempdir().expect("a directory");
    let shared = stores.path().display();
    let steps = format!(
        "name = \"test\"\nsource.url = \"{shared}/input/\"\nsink.url = \"result/\"\nrun.store = \"{shared}/runs/\"\n{}",
        sums()
    );
    fs::create_dir(stores.path().join("input")).expect("created");
    fs::write(stores.path().join("input/a.txt"), "ant bee\ncat dog\nant dog\nbee emu\n").expect("written");
    let (project, elsewhere) = (Project::new(&steps), Project::new(&steps));
    let run = ["--quiet", "--run-id", "r"];
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(run);
    let killed = command.env("ETL_HOST_FAIL_POINT", "reduce.begin").status().expect("it starts");
    assert_eq!(killed.signal(), Some(9));
    elsewhere.run(run).expect_error(2, &["run `r` was planned to write its result to sink `", "is another place"]);
    let expected = project.result(run);
    // A run that is complete has its result in the first sink only, too.
    elsewhere.run(run).expect_error(2, &["run `r` was planned to write its result to sink `", "is another place"]);
    assert_eq!(elsewhere.files("result"), NONE);

    fs::remove_dir_all(elsewhere.path("")).expect("it was there");
    fs::rename(project.path(""), elsewhere.path("")).expect("moves");
    let ended = elsewhere.run(["--run-id", "r"]);
    assert!(ended.expect_success().stdout.contains("was done before"), "{ended:#?}");
    assert_eq!(elsewhere.latest(), expected);
}

#[test]
fn nothing_is_left_of_killed_processes_on_s3_when_the_run_is_complete_or_deleted() {
    let s3 = S3::start();
    let steps = format!(
        "name = \"test\"\nsource.url = \"input/\"\nsink.url = \"s3://bucket/result/\"\nrun.store = \"s3://bucket/runs/\"\n\
         map = [{{ plugin = {CRIMES}, config = {{}} }}]\nsink.format = \"lines\"\n{}",
        s3.section()
    );
    let text: String = (0..700_000).map(|n| format!("line {n}\n")).collect();
    let project = Project::new(&steps).file("input/a.txt", text);
    let kill = |point: &str| {
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
        let killed = command.env("ETL_HOST_FAIL_POINT", point).status().expect("it starts");
        assert_eq!(killed.signal(), Some(9), "{point}");
    };
    for point in ["upload.finish", "upload.finished", "commit.begin", "publish.begin"] {
        kill(point);
    }
    assert!(s3.uploads() > 0, "uploads that no process goes on with");
    project.run(["--quiet", "--run-id", "r"]).expect_success();
    assert_eq!(s3.uploads(), 0, "after the run is complete");
    assert!(!s3.keys("runs").iter().any(|key| key.contains("/uploads/")), "{:?}", s3.keys("runs"));
    let clean = ["clean".into(), project.path("pipeline.toml").into_os_string(), "r".into(), "--results".into()];
    s3.delete("result/latest.json");
    etl_host(clean.clone()).expect_success();
    for point in ["upload.finish", "upload.finished"] {
        kill(point);
    }
    assert!(s3.uploads() > 0, "uploads that no process goes on with");
    etl_host(clean).expect_success();
    assert_eq!((s3.uploads(), s3.keys("")), (0, Vec::new()), "after the run is deleted");
}

#[test]
fn the_rejects_of_attempts_that_lost_are_gone_when_the_run_is_complete() {
    let steps = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"reject-every-row\" }}, max_rejects = 100 }}]\nsink.format = \"lines\"\n\
         split.target_size = 8"
    );
    let project = project(&steps);
    for point in ["commit.begin:1", "commit.begin:2"] {
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--quiet", "--run-id", "r"]);
        let killed = command.env("ETL_HOST_FAIL_POINT", point).status().expect("it starts");
        assert_eq!(killed.signal(), Some(9), "{point}");
    }
    project.run(["--quiet", "--run-id", "r"]).expect_success();
    let manifest = project.json("runs/test/r/manifest.json");
    let mut named: Vec<String> = serde_json::from_value(manifest["rejects"].clone()).expect("keys");
    named.sort_unstable();
    let found: Vec<String> = project.files("runs").into_iter().filter(|file| file.contains("/rejects/")).collect();
    assert!(!named.is_empty());
    assert_eq!(found, named);
}
