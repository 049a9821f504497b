use std::fs;

use etl_core::model::{
    error::ErrorKind,
    event::Invocation,
    ids::{ShardId, TaskId, Try},
    shared::Shared,
    times::{Times, Work},
    usage::Traffic,
};

use super::*;

fn started() -> Event {
    let (invocation, run_store) = (Invocation::default(), "runs/".into());
    Event::RunStarted { invocation, pipeline: "p".into(), run_id: "r".into(), run_store, resumed: false }
}

fn progress(task: u32, records: u64) -> Event {
    Event::AttemptProgress { stage: Stage::Map, task: TaskId(task), records, bytes: records * 10 }
}

fn attempt(task: u32) -> Event {
    Event::AttemptStarted { stage: Stage::Map, task: TaskId(task), attempt: Try::FIRST }
}

fn finished(task: u32, records_in: u64, counter: &str) -> Event {
    let counters = [(counter.to_owned(), 3)].into();
    let mut times = Times::default();
    times.spend(Work::Guest, 1_500_000);
    let counts = Counts { records_in, bytes_in: records_in * 10, rejects: 1, counters, times, ..Counts::default() };
    Event::AttemptFinished { stage: Stage::Map, task: TaskId(task), attempt: Try::FIRST, duration_ms: 2000, counts }
}

fn failed(task: u32) -> Event {
    let (kind, error, retry_in_ms) = (ErrorKind::Unavailable, "away".to_owned(), Some(1));
    let (stage, attempt, shard, another_under_way) = (Stage::Map, Try::FIRST, None, false);
    Event::AttemptFailed { stage, task: TaskId(task), attempt, shard, kind, error, retry_in_ms, another_under_way }
}

fn poison(task: u32) -> Event {
    let (step, reason, object, offset, row) = ("map".to_owned(), "it panics".to_owned(), None, None, None);
    Event::PoisonRecord { step, task: TaskId(task), shard: ShardId(task), record: 7, object, offset, row, reason }
}

fn value(figures: &[Figure], name: &str, labels: &[&str]) -> f64 {
    let figure = figures.iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("no `{name}`"));
    let is_it = |(found, _): &&(Labels, f64)| found.iter().map(|(_, value)| value.as_str()).eq(labels.iter().copied());
    figure.values.iter().find(is_it).unwrap_or_else(|| panic!("no {labels:?} in {figure:?}")).1
}

#[test]
fn what_happens_is_added_up_by_stage() {
    let mut metrics = Metrics::default();
    let stage = Event::StageStarted { stage: Stage::Map, tasks: 9, committed: 4 };
    let traffic = Traffic { reads: 7, written_bytes: 8, ..Traffic::default() };
    let usage =
        Usage { stores: [("sink".to_owned(), traffic)].into(), peak_memory_bytes: Some(5), processor_ms: Some(2500) };
    let events = [
        started(),
        stage,
        attempt(0),
        attempt(1),
        attempt(2),
        progress(0, 100),
        finished(0, 150, "seen"),
        progress(1, 20),
        failed(2),
        Event::Usage(usage),
    ];
    for (at, event) in events.into_iter().enumerate() {
        metrics.on_event(&Stamped { at_ms: 1000 + at as u64 * 500, event });
    }
    let figures = metrics.figures();
    for (name, labels, expected) in [
        ("tasks", vec!["map"], 9.0),
        ("tasks_committed", vec!["map"], 5.0),
        ("attempts_running", vec!["map"], 1.0),
        ("attempts_total", vec!["map", "failed"], 1.0),
        ("records_read_total", vec!["map"], 170.0),
        ("read_bytes_total", vec!["map"], 1700.0),
        ("rejects_total", vec!["map"], 1.0),
        ("retries_total", vec!["map"], 1.0),
        ("attempt_seconds_total", vec!["map"], 2.0),
        ("work_seconds_total", vec!["map", "guest"], 1.5),
        ("step_counter", vec!["map", "seen"], 3.0),
        ("store_requests_total", vec!["sink", "read"], 7.0),
        ("store_bytes_total", vec!["sink", "write"], 8.0),
        ("processor_seconds_total", vec![], 2.5),
        ("run_duration_seconds", vec![], 4.5),
        ("run_state", vec!["running"], 1.0),
        ("run_state", vec!["failed"], 0.0),
    ] {
        assert_eq!(value(&figures, name, &labels), expected, "{name} {labels:?}");
    }
}

#[test]
fn a_counter_never_falls_when_what_was_read_counts_no_more() {
    let (mut metrics, mut monotonic) = (Metrics::default(), Monotonic::default());
    let mut read = |event| {
        metrics.on_event(&Stamped { at_ms: 1000, event });
        let mut figures = metrics.figures();
        monotonic.raise(&mut figures);
        value(&figures, "records_read_total", &["map"])
    };
    let events = [attempt(0), progress(0, 100), failed(0), progress(0, 70), poison(0), progress(0, 80)];
    assert_eq!(events.map(&mut read), [0.0, 100.0, 100.0, 100.0, 100.0, 100.0]);
    assert_eq!(read(finished(0, 120, "c")), 120.0);
}

#[test]
fn the_file_is_prometheus_text_of_one_moment_whatever_counters_are_called() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("etl.prom");
    let file = MetricsFile::create(&path, |text| text.replace("hunter2", "${KEY}")).expect("it can be written");
    assert_eq!(fs::read_to_string(&path).expect("there"), "", "it is tried before anything runs");
    let file = Shared::new(file);
    let tell = |at_ms, event| file.clone().on_event(&Stamped { at_ms, event });
    tell(10_000, started());
    tell(10_100, finished(0, 5, "a \"b\"\\\nhunter2"));
    let read = || fs::read_to_string(&path).expect("there");
    assert!(!read().contains("step_counter"), "not again within the interval");
    tell(15_000, progress(1, 2));
    assert!(read().contains("\netl_host_records_read_total{pipeline=\"p\",stage=\"map\"} 7\n"), "{}", read());
    assert!(read().contains("counter=\"a \\\"b\\\"\\\\\\n${KEY}\"} 3\n"), "{}", read());
    tell(15_001, Event::RunFailed { kind: ErrorKind::Input, error: String::new(), duration_ms: 1 });
    let text = read();
    assert!(text.contains("etl_host_run_state{pipeline=\"p\",state=\"failed\"} 1\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        assert!(name.starts_with("etl_host_") && name.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1, "nothing else is left");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_at_once() {
    let error = MetricsFile::create("/nowhere/at/all.prom".as_ref(), str::to_owned).err().expect("no such directory");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().starts_with("cannot write metrics to `/nowhere/at/all.prom` (`--metrics`): "), "{error}");
}
