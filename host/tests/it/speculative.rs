//! Stragglers: a task that is far slower than its peers gets a second attempt, and the attempt that ends first counts.

use std::{
    ffi::OsString,
    fs, iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use etl_core::model::event::{Event, Listener, Stamped};
use etl_host::{
    connector::objects::ObjectSink,
    pipeline::Pipeline,
    run::{Start, run_on},
    task::{
        steps::{Steps, rehearsal},
        stores::Stores,
    },
};
use etl_plugin::{Attempt, Engine};
use object_store::Result;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES},
    hooked::{Hook, Hooked, Write},
    support::{Ended, Project, compiler, etl_host, events, options},
};

/// Makes a project of eight shards of two words, where the first attempt at shard 7 never ends by itself, and of five
/// partitions, where the first attempt at the partition of `word-3` never ends by itself.
fn stragglers() -> Project {
    let words: String = (0..16).map(|n| format!("word-{}\n", n % 8)).collect();
    let pipeline = format!(
        r#"name = "test"
source.url = "input/"
sink.url = "result/"
split.target_size = 14
map = [
  {{ plugin = {CRIMES}, config = {{ crime = "spin", task = 7, until = 2 }}, limits.batch_timeout = "2s" }},
  {{ plugin = {COUNT_BY_TYPE} }},
]
reduce = {{ plugin = {BAD_COMBINER}, config = {{ mode = "spin-on-key", key = "word-3" }}, partitions = 5, limits.batch_timeout = "2s" }}
run = {{ store = "runs/", concurrency = 2 }}
"#
    );
    Project::new(&pipeline).file("input/a.txt", words)
}

fn count(ended: &Ended, event: &str) -> usize {
    ended.stdout.matches(&format!("\"event\":\"{event}\"")).count()
}

#[test]
fn a_straggler_is_overtaken_and_stopped_and_the_result_is_the_same() {
    let project = stragglers();
    let honest = ["--set", "map.0.config.crime=emit", "--set", "reduce.config.mode=honest"];
    let expected = project.result(honest);
    // The timeouts are an hour, so only a second attempt helps. There are two workers, so the second attempt of the
    // reduce stage gets a worker only if the straggler of the map stage has been stopped.
    let patient = ["map.0.limits.batch_timeout=1h", "map.0.limits.timeout=1h", "reduce.limits.batch_timeout=1h"];
    let patient = patient.into_iter().chain(["reduce.limits.timeout=1h", "run.speculative=true"]);
    let arguments = ["--run-id", "slow", "--events", "json"].into_iter().chain(patient.flat_map(|set| ["--set", set]));
    let ended = project.run(arguments);
    ended.expect_success();
    assert_eq!(project.latest(), expected);
    assert_eq!((count(&ended, "attempt_finished"), count(&ended, "attempt_failed")), (1 + 8 + 5, 0), "{ended:#?}");
    // On a busy machine, other attempts may be overtaken as well.
    let events = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let overtaken: Vec<Value> = events.filter(|event| event["event"] == "attempt_overtaken").collect();
    let of_map =
        |event: &Value| (&event["stage"], &event["task"], &event["by"]) == (&"map".into(), &7.into(), &2.into());
    let of_reduce = |event: &Value| event["stage"] == "reduce";
    assert!(overtaken.iter().any(of_map) && overtaken.iter().any(of_reduce), "{overtaken:?}");
    assert!(ended.stderr.contains("map of shard 7: attempt 2 was faster than attempt 1"), "{ended:#?}");
    let pipeline = project.path("pipeline.toml").into_os_string();
    let report = fs::read_to_string(project.path("runs/test/slow/report.html")).expect("a report");
    assert!(report.contains("\"overtaken\""), "the timeline has the attempt that was stopped");
    let shown = etl_host([OsString::from("show"), pipeline]);
    assert!(shown.stdout.contains("complete") && !shown.stdout.contains("failed"), "{shown:#?}");
}

#[test]
fn without_the_setting_there_is_no_second_attempt_beside_the_first() {
    let ended = stragglers().run(["--events", "json"]);
    ended.expect_success();
    assert_eq!(count(&ended, "attempt_overtaken"), 0, "{ended:#?}");
    assert!(count(&ended, "attempt_failed") >= 2, "{ended:#?}");
}

/// Stops an instance as soon as its plugin logs a message.
struct StopAtFirstWord(CancellationToken);

impl Listener for StopAtFirstWord {
    fn on_event(&mut self, event: &Stamped) {
        if let Event::Log { .. } = event.event {
            self.0.cancel();
        }
    }
}

#[test]
fn an_instance_whose_attempt_is_given_up_stops_wherever_it_is() {
    let project = Project::of(&format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"log-flood\" }}, limits = {{ timeout = \"1h\", \
         batch_timeout = \"1h\" }} }}]\nsink.format = \"lines\""
    ));
    let pipeline = Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid");
    let engine = Engine::new(2, compiler()).expect("it starts");
    let steps = Steps::load(&pipeline, &engine).expect("it loads");
    let (events, stop) = (events(), CancellationToken::new());
    events.listen(StopAtFirstWord(stop.clone()));
    let task = Attempt { events, stop, ..rehearsal() };
    let mut mapper = steps.maps[0].map(&task, &steps.source, Box::new(|_, _| Ok(()))).expect("it opens");
    let lines: ArrayRef = Arc::new(BinaryArray::from_iter_values(iter::once(b"one")));
    let batch = RecordBatch::try_new(Arc::clone(&steps.source.fields), vec![lines]).expect("a batch");
    let error = mapper.process(&batch, 0).expect_err("it never ends by itself");
    assert!(error.to_string().contains("was stopped: its attempt is no longer needed"), "{error}");
    let error = mapper.finish().expect_err("it is not called any more");
    assert!(error.to_string().contains("was stopped"), "{error}");
}

/// Holds up the writes of the first attempt at task 4: until the result is published if `opens_at_the_end`, or forever.
#[derive(Debug)]
struct Gate {
    open: watch::Sender<bool>,
    opens_at_the_end: bool,
    /// Whether the first attempt has begun to write.
    begun: AtomicBool,
}

#[async_trait::async_trait]
impl Hook for Gate {
    async fn before(&self, write: &Write) -> Result<()> {
        let is_of_task = matches!(write, Write::Begin(key) if key.ends_with("/part-00004.txt"));
        if is_of_task && !self.begun.swap(true, SeqCst) {
            self.open.subscribe().wait_for(|open| *open).await.expect("the gate is there");
        }
        Ok(())
    }

    async fn after(&self, write: &Write, _worked: bool) -> Result<()> {
        if self.opens_at_the_end && write.key().ends_with("latest.json") {
            self.open.send_replace(true);
        }
        Ok(())
    }
}

/// Records warnings and the end of the run.
#[derive(Default, Clone)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Listener for Said {
    fn on_event(&mut self, event: &Stamped) {
        match &event.event {
            Event::Warning { message } => self.0.lock().expect("no panic").push(message.clone()),
            Event::RunFinished { .. } => self.0.lock().expect("no panic").push("the end".to_owned()),
            _ => {}
        }
    }
}

/// Runs five tasks, of which the last has a second attempt with another output than the first. Returns the warnings,
/// the store and the run's id.
async fn overtaken(opens_at_the_end: bool, grace: &str) -> (Vec<String>, Arc<Hooked<Gate>>, String) {
    let project = Project::of(&format!(
        "split.target_size = 4\nrun.speculative = true\nrun.grace = \"{grace}\"\nsink.format = \"lines\"\n\
         map = [{{ plugin = {CRIMES}, config = {{ crime = \"empty-batch\", task = 4, until = 2 }} }}]",
    ));
    let project = project.file("input/a.txt", "one\ntwo\nsix\nten\nlie\n");
    let pipeline = Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid");
    let gate = Hooked::new(Gate { open: watch::Sender::default(), opens_at_the_end, begun: AtomicBool::new(false) });
    let Stores { source, .. } = Stores::open(&pipeline).await.expect("they open");
    let stores =
        Stores { source, run_store: gate.below("runs"), sink: Arc::new(ObjectSink::new(gate.below("result"))) };
    let (events, said) = (events(), Said::default());
    events.listen(said.clone());
    let outcome = run_on(stores, &pipeline, options(Start::Default), &events).await.expect("it ends well");
    let part = gate.read(&format!("result/{}/part-00004.txt", outcome.run_id)).await;
    assert_eq!(part, b"lie\n", "the second attempt was first");
    let said = said.0.lock().expect("no panic").clone();
    (said, gate, outcome.run_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_attempts_that_both_end_are_compared_before_the_run_ends_and_the_loser_leaves_nothing() {
    let (said, gate, run_id) = overtaken(true, "1h").await;
    let [warning, end] = &said[..] else { panic!("{said:?}") };
    assert!(warning.starts_with("map of shard 4: attempt 1-"), "{warning}");
    assert!(warning.contains("a plugin is not deterministic"), "{warning}");
    assert_eq!(end, "the end");
    let left = gate.below("result").list_keys(&format!("{run_id}/_attempts")).await.expect("lists");
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_than_its_grace_for_an_attempt_that_was_overtaken() {
    let (said, gate, _) = overtaken(false, "1ms").await;
    assert_eq!(said, ["the end"]);
    gate.hook.open.send_replace(true);
}
