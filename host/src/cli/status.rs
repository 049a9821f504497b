//! `etl-host status`: shows how far a run is, and what its processes do.

use std::time::Duration;

use clap::Args;
use etl_core::{
    model::{error::Result, times::unix_ms},
    text::{
        numbers::{bytes, count, counted, duration, printable},
        table::table,
    },
};

use super::{load_places, look, outside, print, print_exact, which_run::RunWords};
use crate::{
    history::{self, Progress, StageProgress},
    pipeline::Places,
    run_store::{
        beats::Beat,
        document::{to_json, to_json_pretty},
    },
    task::stores::Stores,
};

/// Time between two looks at a run that is watched.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub words: RunWords,
    /// Set a key of the pipeline, such as `run.store=s3://bucket/runs/`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Look again every two seconds, until the run is complete
    #[arg(long)]
    pub watch: bool,
    /// Print a JSON object, with times in milliseconds; with `--watch`, one in a line for each look
    #[arg(long)]
    pub json: bool,
}

/// Prints the progress of a run, once or until it is complete.
pub(super) fn status(args: &StatusArgs) -> Result<()> {
    let which = args.words.which()?;
    let places = load_places(&which.file, &args.set)?;
    loop {
        let progress = look(&places, progress(&places, which.run_id.as_deref()))?;
        show(args, &places, &progress)?;
        if !args.watch || progress.complete {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

async fn progress(places: &Places, run_id: Option<&str>) -> Result<Progress> {
    let store = Stores::of_runs(places)?;
    let run_id = history::find(&store, &places.name, run_id).await?;
    Progress::read(&store, &places.name, &run_id).await
}

fn show(args: &StatusArgs, places: &Places, progress: &Progress) -> Result<()> {
    if !args.json {
        return print(&places.secrets.redact(&render(progress, unix_ms(outside::now()))));
    }
    let text = if args.watch {
        String::from_utf8_lossy(&to_json(progress)?).into_owned() + "\n"
    } else {
        to_json_pretty(progress)?
    };
    print_exact(&places.secrets.redact(&text))
}

fn render(progress: &Progress, now_ms: u64) -> String {
    let stage = |of: &StageProgress| {
        let under_way = if of.under_way > 0 { format!(", {} under way", count(of.under_way)) } else { String::new() };
        format!("{} of {}{under_way}", count(of.committed), counted(of.tasks, "task"))
    };
    let stages: Vec<String> =
        progress.stages.iter().map(|(name, of)| format!("{} {}", name.name(), stage(of))).collect();
    let state = match (progress.complete, &progress.planned) {
        (true, _) => "complete".to_owned(),
        (false, None) => "not planned yet".to_owned(),
        (false, Some(_)) => stages.join("; "),
    };
    let mut text = format!("run {}: {state}\n", progress.run_id);
    if !progress.processes.is_empty() {
        let header = ["process", "host", "pid", "does", "tasks", "committed", "failed", "read", "last seen"];
        let rows = progress.processes.iter().map(|beat| row(beat, now_ms));
        let rows: Vec<[String; 9]> = [header.map(str::to_owned)].into_iter().chain(rows).collect();
        text += &format!("\n{}", table(&rows, 0, &[2, 4, 5, 6, 7, 8]));
    }
    text
}

fn row(beat: &Beat, now_ms: u64) -> [String; 9] {
    let (host, pid) = match &beat.id {
        Some(id) => (printable(&id.host), id.pid.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let does = match beat.stage {
        Some(stage) if beat.under_way.is_empty() => format!("waits ({})", stage.name()),
        Some(stage) => stage.name().to_owned(),
        None => "plans".to_owned(),
    };
    let (seen, tasks) = (duration(now_ms.saturating_sub(beat.at_ms)), count(beat.under_way.len() as u64));
    let (committed, failed) = (count(beat.committed), count(beat.failed));
    [printable(&beat.process), host, pid, does, tasks, committed, failed, bytes(beat.bytes), format!("{seen} ago")]
}

#[cfg(test)]
mod tests {
    use etl_core::model::{event::Stage, ids::TaskId};

    use super::*;
    use crate::history::PlannedWork;

    #[test]
    fn a_run_and_its_processes_are_a_line_and_a_table() {
        let (mut works, mut waits) = (Beat::new("5f3a90c2", None, 1000), Beat::new("0badcafe", None, 2000));
        works.stage = Some(Stage::Map);
        works.under_way.insert((Stage::Map, TaskId(7)));
        (works.committed, works.bytes, works.at_ms) = (1200, 3 << 20, 9000);
        (waits.stage, waits.failed) = (Some(Stage::Map), 1);
        let planned = PlannedWork {
            run_id: "r".to_owned(),
            plan: "1-5f3a90c2".to_owned(),
            objects: 1,
            bytes: 2,
            shards: 5000,
            tasks: 2500,
            partitions: 8,
        };
        let mut progress = Progress {
            pipeline: "p".to_owned(),
            run_id: "r".to_owned(),
            complete: false,
            planned: Some(planned),
            stages: [(Stage::Map, StageProgress { tasks: 2500, committed: 1200, under_way: 1 })].into(),
            processes: vec![works, waits],
        };
        let expected = "\
run r: map 1,200 of 2,500 tasks, 1 under way

process   host  pid  does         tasks  committed  failed     read  last seen
5f3a90c2  -       -  map              1      1,200       0  3.0 MiB   1.0s ago
0badcafe  -       -  waits (map)      0          0       1      0 B   8.0s ago
";
        assert_eq!(render(&progress, 10_000), expected);
        (progress.complete, progress.processes) = (true, Vec::new());
        assert_eq!(render(&progress, 10_000), "run r: complete\n");
        (progress.complete, progress.planned) = (false, None);
        assert_eq!(render(&progress, 10_000), "run r: not planned yet\n");
    }
}
