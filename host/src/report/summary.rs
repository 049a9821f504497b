//! The closing summary: what a run did, how long it took, and where its result, run store and report are.

use std::{collections::BTreeMap, fmt};

use etl_core::{
    model::{
        event::{Counts, Event, Listener, Stage, Stamped},
        ids::{ShardId, TaskId},
    },
    text::{
        entries::{COUNTERS_MAX, entry, first, left_out, signed, stage_row, stage_table},
        numbers::{bytes, count, counted, duration, printable},
    },
};
use serde_json::{Value, json};

/// Maximum number of result parts listed.
const PARTS_MAX: usize = 5;

/// Maximum number of left-out tasks listed.
const FAILED_MAX: usize = 5;

/// Totals of a run, collected from its events. Displays as the text of the summary, or as nothing while the run is not
/// complete.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pipeline: String,
    run_id: Option<String>,
    run_store: String,
    resumed: bool,
    plan: Option<(u64, u64, u64)>,
    stages: BTreeMap<Stage, StageRow>,
    failed: Vec<String>,
    /// The task whose failure ended the run, with the shard that failed, if known.
    failed_task: Option<(Stage, TaskId, Option<ShardId>)>,
    finished: Option<Finished>,
    /// The run whose events are in the run store.
    logged: Option<String>,
    report: Option<String>,
}

#[derive(Debug, Default)]
struct StageRow {
    tasks: u64,
    attempts: u64,
    committed: u64,
    retries: u64,
    duration_ms: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Finished {
    duration_ms: u64,
    result: String,
    parts: Vec<String>,
    parts_left_out: u64,
}

impl Finished {
    /// Returns the location of the result, then the first of its parts, with paths relative to that location.
    fn result_lines(&self) -> Vec<String> {
        let below = |part: &String| part.strip_prefix(&self.result).unwrap_or(part).trim_start_matches('/').to_owned();
        let parts = match self.parts.as_slice() {
            [] => vec!["no parts".to_owned()],
            parts => parts.iter().take(PARTS_MAX).map(below).chain(self.more()).collect(),
        };
        [vec![self.result.clone()], parts].concat()
    }

    /// Says how many parts are not listed, if there are any.
    fn more(&self) -> Option<String> {
        let more = self.parts.len().saturating_sub(PARTS_MAX) as u64 + self.parts_left_out;
        (more > 0).then(|| format!("… and {} more", count(more)))
    }
}

impl Summary {
    /// Returns the id of the run whose events this process has written to the run store.
    pub(crate) fn logged_run(&self) -> Option<&str> {
        self.logged.as_deref()
    }

    /// Returns the task that failed and was not tried again, if there is one, with the shard it failed at if it has
    /// several and the shard is known.
    pub(crate) fn failed_task(&self) -> Option<(Stage, TaskId, Option<ShardId>)> {
        self.failed_task
    }

    /// Returns the run's id once the run has a plan, with which it can be finished.
    pub(crate) fn planned_run(&self) -> Option<&str> {
        self.run_id.as_deref().filter(|_| self.plan.is_some())
    }

    /// Returns the location of the report once it is written.
    pub(crate) fn report(&self) -> Option<&str> {
        self.report.as_deref()
    }

    /// Returns whether there is nothing to show, because the run is not complete.
    pub(crate) fn is_empty(&self) -> bool {
        self.finished.is_none()
    }

    /// Returns what this process did, for programs.
    pub(crate) fn for_programs(&self) -> Value {
        let plan =
            self.plan.map(|(objects, bytes, shards)| json!({ "objects": objects, "bytes": bytes, "shards": shards }));
        let stages = self.stages.iter().map(|(stage, row)| {
            let StageRow { tasks, attempts, committed, retries, duration_ms, counts } = row;
            let row = json!({
                "tasks": tasks, "attempts": attempts, "committed": committed, "retries": retries,
                "duration_ms": duration_ms, "counts": counts,
            });
            (stage.name().to_owned(), row)
        });
        json!({
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "run_store": self.run_store,
            "resumed": self.resumed,
            "plan": plan,
            "stages": stages.collect::<serde_json::Map<_, _>>(),
            "result": self.finished.as_ref().map(|finished| &finished.result),
            "report": self.report,
        })
    }

    fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.stages.values().for_each(|stage| totals.add(&stage.counts));
        totals
    }

    fn write_stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stages.is_empty() {
            return Ok(());
        }
        let rows = self.stages.iter().map(|(stage, row)| stage_row(*stage, row.tasks, &row.counts, row.duration_ms));
        writeln!(f, "\n{}", stage_table(rows))
    }
}

impl Listener for Summary {
    fn on_event(&mut self, event: &Stamped) {
        match &event.event {
            Event::RunStarted { pipeline, run_id, run_store, resumed, .. } => {
                (self.pipeline, self.run_id) = (pipeline.clone(), Some(run_id.clone()));
                (self.run_store, self.resumed) = (run_store.clone(), *resumed);
            }
            Event::Planned { objects, bytes, shards, .. } => self.plan = Some((*objects, *bytes, *shards)),
            Event::StageStarted { stage, tasks, .. } => self.stages.entry(*stage).or_default().tasks = *tasks,
            Event::AttemptStarted { stage, .. } => self.stages.entry(*stage).or_default().attempts += 1,
            Event::AttemptFinished { stage, .. } => self.stages.entry(*stage).or_default().committed += 1,
            Event::AttemptFailed { stage, retry_in_ms: Some(_), .. } => {
                self.stages.entry(*stage).or_default().retries += 1;
            }
            Event::AttemptFailed { stage, task, shard, another_under_way: false, .. } => {
                self.failed_task = Some((*stage, *task, *shard));
            }
            Event::StageFinished { stage, duration_ms, counts } => {
                let row = self.stages.entry(*stage).or_default();
                (row.duration_ms, row.counts) = (*duration_ms, counts.clone());
            }
            Event::RunFinished { duration_ms, result, parts, parts_left_out } => {
                let (duration_ms, parts_left_out) = (*duration_ms, *parts_left_out);
                let (result, parts) = (result.clone(), parts.clone());
                self.finished = Some(Finished { duration_ms, result, parts, parts_left_out });
            }
            Event::LeftOut { shard, shards, error, .. } => self.failed.push(left_out(*shard, *shards, error)),
            Event::Logged { run_id } => self.logged = Some(run_id.clone()),
            Event::Reported { report } => self.report = Some(report.clone()),
            _ => {}
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(finished) = &self.finished else { return Ok(()) };
        let run_id = self.run_id.as_deref().unwrap_or_default();
        // A run that was complete before this process started has no stages here.
        if self.stages.is_empty() {
            writeln!(f, "{}: run {run_id} was done before, nothing to do\n", self.pipeline)?;
        } else {
            let resumed = if self.resumed { " (resumed)" } else { "" };
            writeln!(f, "{}: done in {}\n", self.pipeline, duration(finished.duration_ms))?;
            entry(f, "run", &[format!("{run_id}{resumed}")])?;
        }
        if let Some((objects, size, shards)) = self.plan {
            let (objects, shards) = (counted(objects, "object"), counted(shards, "shard"));
            entry(f, "source", &[format!("{objects}, {}, {shards}", bytes(size))])?;
        }
        self.write_stages(f)?;
        let totals = self.totals();
        let counters = totals.counters.iter().map(|(name, total)| format!("{} {}", printable(name), signed(*total)));
        entry(f, "counters", &first(counters.collect(), COUNTERS_MAX))?;
        let retries = self.stages.iter().filter(|(_, row)| row.retries > 0);
        let retries = retries.map(|(stage, row)| format!("{} {}", stage.name(), row.retries));
        entry(f, "retries", &retries.collect::<Vec<_>>())?;
        if totals.rejects > 0 {
            let place = format!("{}/rejects/", self.run_store.trim_end_matches('/'));
            entry(f, "rejects", &[format!("{}, see {place}", count(totals.rejects))])?;
        }
        entry(f, "left out", &first(self.failed.clone(), FAILED_MAX))?;
        entry(f, "result", &finished.result_lines())?;
        entry(f, "run store", std::slice::from_ref(&self.run_store))?;
        entry(f, "report", &self.report.iter().cloned().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::{error::ErrorKind, event::Invocation, ids::Try};

    fn summary(events: impl IntoIterator<Item = Event>) -> Summary {
        let mut summary = Summary::default();
        events.into_iter().for_each(|event| summary.on_event(&Stamped { at_ms: 0, event }));
        summary
    }

    fn started(resumed: bool) -> Event {
        let run_store = "file:///data/runs/count/r1".to_owned();
        let invocation = Invocation::default();
        Event::RunStarted { invocation, pipeline: "count".into(), run_id: "r1".into(), run_store, resumed }
    }

    fn finished(parts: usize) -> Event {
        let parts = (0..parts).map(|part| format!("file:///data/result/r1/part-{part:05}.json")).collect();
        Event::RunFinished { duration_ms: 3210, result: "file:///data/result/r1".into(), parts, parts_left_out: 0 }
    }

    #[test]
    fn a_run_is_summed_up() {
        let map = Counts {
            records_in: 1_000_000,
            bytes_in: 36_175_872,
            records_out: 12,
            bytes_out: 1229,
            rejects: 3,
            counters: [("bad \x1b lines".to_owned(), 3), ("balance".to_owned(), -1234)].into(),
            ..Counts::default()
        };
        let reduce = Counts { records_in: 12, bytes_in: 1229, records_out: 2, bytes_out: 60, ..Counts::default() };
        let failed = Event::AttemptFailed {
            stage: Stage::Map,
            task: TaskId(3),
            attempt: Try::FIRST,
            shard: None,
            kind: ErrorKind::Unavailable,
            error: "away".into(),
            retry_in_ms: Some(1000),
            another_under_way: false,
        };
        let stage = |stage, duration_ms, counts| Event::StageFinished { stage, duration_ms, counts };
        let summary = summary([
            started(true),
            Event::StageStarted { stage: Stage::Split, tasks: 1, committed: 0 },
            stage(Stage::Split, 50, Counts::default()),
            Event::Planned { objects: 3, bytes: 36_175_872, shards: 4, partitions: 2 },
            Event::StageStarted { stage: Stage::Map, tasks: 4, committed: 1 },
            failed,
            stage(Stage::Map, 2100, map),
            Event::StageStarted { stage: Stage::Reduce, tasks: 2, committed: 0 },
            stage(Stage::Reduce, 130, reduce),
            finished(2),
            Event::Reported { report: "file:///data/runs/count/r1/report.html".into() },
        ]);
        let expected = "\
count: done in 3.2s

run        r1 (resumed)
source     3 objects, 34.5 MiB, 4 shards

stage      tasks  records in  bytes in  records out  bytes out   time
split                                                            50ms
map            4   1,000,000  34.5 MiB           12    1.2 KiB   2.1s
reduce         2          12   1.2 KiB            2       60 B  130ms

counters   bad \\u{1b} lines 3
           balance -1,234
retries    map 1
rejects    3, see file:///data/runs/count/r1/rejects/
result     file:///data/result/r1
           part-00000.json
           part-00001.json
run store  file:///data/runs/count/r1
report     file:///data/runs/count/r1/report.html
";
        assert_eq!(summary.to_string(), expected);
        assert_eq!(summary.planned_run(), Some("r1"));
    }

    #[test]
    fn shards_that_are_left_out_are_listed_with_the_first_line_of_why() {
        let failed = |shard, shards, error: &str| Event::LeftOut {
            shard: ShardId(shard),
            shards,
            kind: ErrorKind::Sandbox,
            error: error.to_owned(),
        };
        let few = summary([started(false), failed(3, 1, "it \x1b broke\nat a.rs:1"), failed(8, 4, "bad"), finished(0)]);
        let expected = "left out   shard 3: it \\u{1b} broke\n           shards 8 to 11: bad\nresult     ";
        assert!(few.to_string().contains(expected), "{few}");
        let many = summary((0..9).map(|shard| failed(shard, 1, "bad")).chain([started(false), finished(0)]));
        assert!(many.to_string().contains("shard 4: bad\n           … and 4 more\n"), "{many}");
    }

    #[test]
    fn many_parts_are_cut_short_and_none_are_said() {
        let many = summary([started(false), finished(12)]).to_string();
        assert!(many.contains("part-00004.json\n           … and 7 more\n"), "{many}");
        assert!(!many.contains("part-00005"), "{many}");
        let none = summary([started(false), finished(0)]).to_string();
        assert!(none.contains("result     file:///data/result/r1\n           no parts\n"), "{none}");
    }

    #[test]
    fn a_run_that_was_done_before_says_where_its_result_lies() {
        let expected = "\
count: run r1 was done before, nothing to do

result     file:///data/result/r1
           part-00000.json
run store  file:///data/runs/count/r1
";
        assert_eq!(summary([started(true), finished(1)]).to_string(), expected);
    }

    #[test]
    fn a_run_that_is_not_complete_has_no_summary() {
        assert_eq!(summary([started(false)]).to_string(), "");
    }
}
