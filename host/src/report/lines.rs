//! The text of an event in one line, on a terminal and elsewhere.

use etl_core::{
    model::{
        event::{Counts, Event, Level},
        position::Position,
        redact::cut,
        reject::shown_name,
    },
    text::{
        entries::step_name,
        numbers::{bytes, count, counted, duration, printable},
    },
};

/// The most bytes that a line shows of fields that were inferred. `etl-host fields` prints all of them.
const FIELDS_BYTES_MAX: usize = 2000;

/// Returns the level and the line of an event; none for an event without a line.
pub(super) fn line(event: &Event) -> Option<(Level, String)> {
    match event {
        Event::RunStarted { pipeline, run_id, resumed, .. } => {
            let resumed = if *resumed { ", resumed" } else { "" };
            Some((Level::Info, format!("run {run_id} of {pipeline}{resumed}")))
        }
        Event::PluginLoaded { step, digest, compiled, duration_ms } => {
            let digest = digest.get(..12).unwrap_or(digest);
            let how = match compiled {
                Some(why) => format!("compiled, because {why}"),
                None => "compiled before".to_owned(),
            };
            let line = format!("{step}: plugin sha256 {digest}…, {how}, {}", duration(*duration_ms));
            Some((Level::Debug, line))
        }
        Event::FieldsInferred { fields, from } => {
            let fields = cut(fields, FIELDS_BYTES_MAX);
            Some((Level::Info, printable(&format!("source: fields inferred from {from}: {fields}"))))
        }
        Event::Planned { objects, bytes: size, shards, partitions } => {
            let (shards, objects) = (counted(*shards, "shard"), counted(*objects, "object"));
            let partitions = match partitions {
                0 => String::new(),
                partitions => format!(", {}", counted(*partitions, "partition")),
            };
            Some((Level::Info, format!("plan: {shards} of {objects} ({}){partitions}", bytes(*size))))
        }
        Event::StageFinished { stage, duration_ms, counts } => Some((
            Level::Info,
            format!("{}: done in {}{}", stage.name(), duration(*duration_ms), what_was_done(counts)),
        )),
        Event::AttemptFailed { stage, task, attempt, error, retry_in_ms, another_under_way, .. } => {
            let (task, error) = (stage.task(*task), printable(error));
            let next = match retry_in_ms {
                Some(wait_ms) => format!("trying again in {}", duration(*wait_ms)),
                None if *another_under_way => "another attempt continues".to_owned(),
                // The error of the last attempt is the run's error, which the CLI prints.
                None => return None,
            };
            Some((Level::Warn, format!("{task}: attempt {attempt} failed, {next}: {error}")))
        }
        Event::AttemptOvertaken { stage, task, attempt, by, duration_ms } => {
            let (task, took) = (stage.task(*task), duration(*duration_ms));
            Some((Level::Info, format!("{task}: attempt {by} was faster than attempt {attempt}, stopped after {took}")))
        }
        Event::PoisonRecord { step, shard, record, object, offset, row, reason, .. } => {
            let place = match (object, offset.map(Position::Byte).or(row.map(Position::Row))) {
                (Some(object), Some(position)) => format!(", {}{position},", shown_name(object)),
                _ => String::new(),
            };
            let line = format!("{step} of shard {shard}: record {record}{place} is set aside: {reason}");
            Some((Level::Warn, printable(&line)))
        }
        Event::Log { step, task, level, message } => {
            Some((*level, format!("{}: {}: {}", step_name(step, task.0), level.name(), printable(message))))
        }
        Event::Warning { message } => Some((Level::Warn, format!("warning: {}", printable(message)))),
        _ => None,
    }
}

fn what_was_done(counts: &Counts) -> String {
    let parts = [
        (counts.records_in > 0).then(|| format!("{} in", counted(counts.records_in, "record"))),
        (counts.records_out > 0).then(|| format!("{} out", count(counts.records_out))),
        (counts.rejects > 0).then(|| counted(counts.rejects, "reject")),
    ];
    parts.into_iter().flatten().map(|part| format!(", {part}")).collect()
}
