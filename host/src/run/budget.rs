//! The division of `run.memory`: how much an attempt may hold, and so how many attempts may be in flight.
//!
//! Owns the sum. Its terms are bounded where they are used: read-ahead by the source, what a plugin emits by its
//! instance, rows by the shuffle, parts of an upload by the store. Memory decides how many attempts there are at a time,
//! never what one of them does, because the result must be the same bytes on any machine. Asked by `check` and when a
//! run starts.

use etl_core::{
    model::error::{Error, Result},
    text::numbers::{bytes as size, counted},
};
use etl_format::{BUFFER_BYTES, UNPACK_BYTES, UNPACK_BYTES_MAX, pack_bytes};
use etl_plugin::{HOSTCALL_BYTES_MAX, ROW_BYTES_MAX, STACK_BYTES_MAX};
use etl_shuffle::{BATCH_BYTES, merged_bytes};
use etl_store::{UPLOAD_BYTES, UPLOAD_PART_BYTES};

use crate::{
    connector::objects::READ_AHEAD_BYTES,
    pipeline::{PartSettings, Pipeline, RunSettings, Step},
    task::{output::FAN_IN, reduce::PIECE_BYTES},
};

const MIB: u64 = 1 << 20;

/// Bytes that the process holds besides its attempts: code, threads, the log of events, pages of shards, commits.
const BASE_BYTES: u64 = 128 * MIB;

/// Bytes that a plugin instance is counted with, or its memory limit if that is less. Few plugins take more, and
/// counting each of them with its whole limit would leave most processors idle.
const INSTANCE_BYTES: u64 = 32 * MIB;

/// Bytes of the batch that a step emits, which is held until the next step or the output has taken it. Bounded by what
/// a plugin may hand over in one call.
const EMITTED_BYTES: u64 = HOSTCALL_BYTES_MAX as u64;

/// Bytes of the largest batch of a sorted run: a batch that was nearly full, and the largest row.
const LARGEST_BATCH_BYTES: u64 = (BATCH_BYTES + ROW_BYTES_MAX) as u64;

/// Bytes that a row may take in the sink's format. JSON makes six bytes of a control character.
const ENCODED_BYTES: u64 = 6 * ROW_BYTES_MAX as u64;

/// Number of longest records that an attempt may hold at a time: as one arrives, in a batch, and as it is written.
const RECORDS: u64 = 4;

/// Bytes that a merge of sorted runs holds: the batches and keys that [`FAN_IN`] bounds, the next batch of one run with
/// the bytes it comes from, and the batch that is made.
const MERGE_BYTES: u64 = FAN_IN.bytes + merged_bytes(LARGEST_BATCH_BYTES) + 2 * LARGEST_BATCH_BYTES;

/// Bytes that a reducer's merge holds besides: two pieces of each run.
const PIECES_BYTES: u64 = FAN_IN.runs as u64 * 2 * PIECE_BYTES;

/// Bytes that writing a batch to a shuffle file holds: its message, plain and compressed.
const MESSAGE_BYTES: u64 = 2 * LARGEST_BATCH_BYTES;

/// Bytes that a full shuffle buffer takes beyond `run.shuffle_memory`: a row and its keys, a copy of them to join it
/// with others, and the sorted batch.
const OVERFULL_BYTES: u64 = merged_bytes(LARGEST_BATCH_BYTES) + 2 * LARGEST_BATCH_BYTES;

/// Two runs are merged in any case, so two must fit.
const _: () = assert!(2 * merged_bytes(LARGEST_BATCH_BYTES) <= FAN_IN.bytes);

/// Bytes of a thread's stack for the host's own code, besides its plugin instances; only what is used takes memory.
const HOST_STACK_BYTES: usize = 2 << 20;

/// Returns the size in bytes of the stack of a thread that runs the plugins of a pipeline with this many
/// mappers, one inside the other.
pub fn stack_bytes(mappers: usize) -> usize {
    let nested = mappers + 1;
    HOST_STACK_BYTES + nested * (STACK_BYTES_MAX + HOST_STACK_BYTES / 4)
}

/// Numbers of attempts that may be in flight at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Number of map attempts that may be in flight.
    pub map: usize,
    /// Number of reduce attempts that may be in flight.
    pub reduce: usize,
}

impl Slots {
    /// Divides the memory of a pipeline. Allows enough attempts that every worker has one ready while others wait for a
    /// store, as far as they fit.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming what an attempt takes, when not even
    /// one fits.
    pub fn new(pipeline: &Pipeline) -> Result<Self> {
        let map = Footprint::map(pipeline).slots(&pipeline.run)?;
        let reduce = Footprint::reduce(pipeline).map_or(Ok(map), |attempt| attempt.slots(&pipeline.run))?;
        Ok(Self { map, reduce })
    }

    /// Returns a warning when fewer attempts fit than `run.concurrency` asks for.
    pub fn shortage(self, run: &RunSettings) -> Option<String> {
        let (slots, concurrency) = (self.map.min(self.reduce), run.concurrency);
        (slots < concurrency).then(|| {
            let memory = size(run.memory_bytes);
            format!(
                "`run.memory` of {memory} lets {} run at a time, not {concurrency}: raise it to use them all",
                counted(slots as u64, "task")
            )
        })
    }
}

/// The memory that one attempt may hold.
struct Footprint<'a> {
    stage: &'static str,
    /// Bytes, and what they are for.
    parts: Vec<(u64, String)>,
    /// The steps of which the attempt has instances, including the combiner.
    steps: Vec<&'a Step>,
    /// Bytes that an object with the longest window takes beyond those that are counted.
    long_window_bytes: u64,
}

impl<'a> Footprint<'a> {
    fn map(pipeline: &'a Pipeline) -> Self {
        let read_ahead = (READ_AHEAD_BYTES as u64, "read ahead".to_owned());
        let record_max = pipeline.source.format.record_max();
        let records = (RECORDS * record_max, format!("for a `source.max_record` of {}", size(record_max)));
        let unpack = (UNPACK_BYTES as u64, "to decompress an object".to_owned());
        let mut parts = vec![read_ahead, unpack, records, emitted(pipeline.maps.len(), "mappers")];
        if let held @ 1.. = pipeline.source.format.held_bytes_max() {
            parts.push((held, format!("for pages of `{}`", pipeline.source.format.name())));
        }
        let mut steps: Vec<&Step> = pipeline.maps.iter().collect();
        if let Some(reduce) = &pipeline.reduce {
            let shuffle = pipeline.run.shuffle_memory_bytes;
            let bytes = (shuffle.saturating_add(OVERFULL_BYTES)).max(MERGE_BYTES) + MESSAGE_BYTES;
            parts.push(upload());
            parts.push((bytes, format!("for a `run.shuffle_memory` of {}", size(shuffle))));
            if reduce.combine {
                parts.push(emitted(1, "combiner"));
                steps.push(&reduce.step);
            }
        } else {
            parts.push(written(&pipeline.sink.parts));
            parts.extend(encoded(pipeline));
        }
        Self { stage: "map", parts, steps, long_window_bytes: (UNPACK_BYTES_MAX - UNPACK_BYTES) as u64 }
    }

    fn reduce(pipeline: &'a Pipeline) -> Option<Self> {
        let reduce = pipeline.reduce.as_ref()?;
        let merge = (MERGE_BYTES + PIECES_BYTES, format!("to merge {} sorted runs", FAN_IN.runs));
        let mut parts = vec![merge, written(&pipeline.sink.parts), emitted(1, "reducer")];
        parts.extend(encoded(pipeline));
        Some(Self { stage: "reduce", parts, steps: vec![&reduce.step], long_window_bytes: 0 })
    }

    /// Returns the number of attempts that fit, up to twice the number that compute at a time.
    fn slots(&self, run: &RunSettings) -> Result<usize> {
        let memory = run.memory_bytes;
        if BASE_BYTES + self.bytes_max() > memory {
            return Err(self.too_large(memory));
        }
        let fit = (memory - BASE_BYTES) / self.bytes();
        Ok((run.concurrency * 2).min(usize::try_from(fit).unwrap_or(usize::MAX)))
    }

    /// Returns the number of bytes that the attempt is counted with.
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|(bytes, _)| bytes).sum::<u64>()
            + self.steps.iter().map(|step| instance_bytes(step)).sum::<u64>()
    }

    /// Returns the number of bytes that the attempt takes if the plugin with the largest limit uses all of it, on an
    /// object with the longest window.
    fn bytes_max(&self) -> u64 {
        self.bytes()
            + self.long_window_bytes
            + self.largest().map_or(0, |step| step.plugin.limits.memory_bytes - instance_bytes(step))
    }

    fn largest(&self) -> Option<&Step> {
        self.steps.iter().copied().max_by_key(|step| step.plugin.limits.memory_bytes)
    }

    fn too_large(&self, memory: u64) -> Error {
        let mut parts: Vec<String> =
            self.parts.iter().map(|(bytes, what)| format!("{} {what}", size(*bytes))).collect();
        if let Some(step) = self.largest() {
            let limit = size(step.plugin.limits.memory_bytes);
            parts.push(format!("{limit} that `limits.memory` of `{}` allows", step.plugin.name));
        }
        if self.long_window_bytes > 0 {
            parts.push(format!("{} more for an object with the longest window", size(self.long_window_bytes)));
        }
        if self.steps.len() > 1 {
            parts.push(format!("{} for each of its other instances", size(INSTANCE_BYTES)));
        }
        Error::config(format!(
            "`run.memory` is {}, but one {} attempt may take {} besides the {} of the process: {}; raise `run.memory`, \
             or lower one of these",
            size(memory),
            self.stage,
            size(self.bytes_max()),
            size(BASE_BYTES),
            parts.join(", ")
        ))
    }
}

fn instance_bytes(step: &Step) -> u64 {
    step.plugin.limits.memory_bytes.min(INSTANCE_BYTES)
}

fn upload() -> (u64, String) {
    (UPLOAD_BYTES as u64, "of output being uploaded".to_owned())
}

/// Returns what the parts of the result take while they are written.
fn written(parts: &PartSettings) -> (u64, String) {
    if parts.by.is_empty() {
        return upload();
    }
    let open = parts.open_max as u64;
    (open * (UPLOAD_PART_BYTES + BUFFER_BYTES) as u64, format!("for a `sink.open_parts` of {open}"))
}

fn emitted(steps: usize, whose: &str) -> (u64, String) {
    (EMITTED_BYTES * steps as u64, format!("of emitted batches of the {whose}"))
}

/// Returns what writing rows of the result holds: a row, what the format writes together, and what compresses it.
fn encoded(pipeline: &Pipeline) -> impl Iterator<Item = (u64, String)> {
    let format = &pipeline.sink.format;
    let row = (ENCODED_BYTES, "for a row in the sink's format".to_owned());
    let open = if pipeline.sink.parts.by.is_empty() { 1 } else { pipeline.sink.parts.open_max as u64 };
    let shown = counted(open, "part");
    let group = (open * format.held_bytes_max(), format!("for a row group of {shown}"));
    let compression = format.compression();
    let pack = (open * pack_bytes(compression) as u64, format!("to compress {shown} as {}", compression.name()));
    [row, group, pack].into_iter().filter(|(bytes, _)| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parquet_holds_is_counted() {
        let set =
            ["run.memory=300MiB", "map.0.limits.memory=1MiB", "source.format=parquet", "source.fields={a='text'}"];
        let map = slots(&set).expect_err("does not fit").to_string();
        assert!(map.contains("128.0 MiB for pages of `parquet`"), "{map}");
        let set =
            ["run.memory=1GiB", "map.0.limits.memory=1MiB", "sink.format=parquet", "sink.parquet.row_group_size=1GiB"];
        let reduce = slots(&set).expect_err("does not fit").to_string();
        assert!(reduce.contains("2.0 GiB for a row group"), "{reduce}");
    }

    fn slots(set: &[&str]) -> Result<(Slots, Option<String>)> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pipeline.toml");
        let text = "name = 'p'\nsource.url = 'in/'\nsink.url = 'out/'\nmap = [{ plugin = 'a.wasm' }]\n\
                    reduce = { plugin = 'b.wasm', combine = true }\n";
        std::fs::write(&file, text).expect("written");
        let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
        let pipeline = Pipeline::load(&file, &set, |_| None).expect("valid");
        let slots = Slots::new(&pipeline)?;
        Ok((slots, slots.shortage(&pipeline.run)))
    }

    #[test]
    fn two_attempts_for_each_worker_are_in_flight_if_they_fit() {
        assert_eq!(
            slots(&["run.concurrency=2", "run.memory=2GiB"]).expect("fits"),
            (Slots { map: 4, reduce: 4 }, None)
        );
        let (many, shortage) = slots(&["run.concurrency=100", "run.memory=100GiB"]).expect("fits");
        assert_eq!((many, shortage), (Slots { map: 200, reduce: 200 }, None));
    }

    #[test]
    fn attempts_that_do_not_fit_wait_and_the_operator_is_told() {
        let (few, shortage) = slots(&["run.concurrency=100", "run.memory=2GiB"]).expect("fits");
        assert!((4..12).contains(&few.map) && (4..12).contains(&few.reduce), "{few:?}");
        let shortage = shortage.expect("100 do not fit");
        assert!(shortage.starts_with("`run.memory` of 2.0 GiB lets "), "{shortage}");
        let (fewer, _) = slots(&["run.concurrency=100", "run.memory=2GiB", "run.shuffle_memory=500MiB"]).expect("fits");
        assert_eq!((fewer.map, fewer.reduce), (2, few.reduce));
    }

    #[test]
    fn each_thing_that_an_attempt_holds_is_counted_and_named() {
        let refused =
            |set: &[&str]| slots(&[&["run.memory=2GiB"], set].concat()).expect_err("does not fit").to_string();
        let map = refused(&["run.memory=200MiB", "map.0.limits.memory=1MiB"]);
        for term in [
            "18.0 MiB read ahead",
            "16.0 MiB to decompress an object",
            "114.0 MiB more for an object with the longest window",
            "32.0 MiB for a `source.max_record` of 8.0 MiB",
            "24.0 MiB of output being uploaded",
            "64.0 MiB of emitted batches of the mappers",
            "64.0 MiB of emitted batches of the combiner",
            "for a `run.shuffle_memory` of 64.0 MiB",
        ] {
            assert!(map.contains(term), "no `{term}` in {map}");
        }
        let reduce = refused(&[
            "run.memory=1GiB",
            "map.0.limits.memory=1MiB",
            "reduce.combine=false",
            "run.shuffle_memory=1MiB",
            "sink.compression=xz",
        ]);
        for term in [
            "to merge 64 sorted runs",
            "24.0 MiB of output being uploaded",
            "64.0 MiB of emitted batches of the reducer",
            "96.0 MiB for a row in the sink's format",
            "96.0 MiB to compress 1 part as xz",
        ] {
            assert!(reduce.contains(term), "no `{term}` in {reduce}");
        }
    }

    #[test]
    fn one_attempt_fits_with_the_longest_window_and_all_count_with_a_usual_one() {
        let set = ["reduce.combine=false", "map.0.limits.memory=32MiB", "run.shuffle_memory=1MiB", "run.concurrency=9"];
        let fit = |memory: &str| slots(&[&[memory], &set[..]].concat()).map(|(slots, _)| slots.map);
        // 128 MiB for the process, 364 for an attempt, and 114 more for a window of 128 MiB.
        assert!(fit("run.memory=605MiB").is_err());
        assert_eq!(fit("run.memory=1860MiB").expect("fits"), 4);
    }

    #[test]
    fn the_parts_of_a_partitioned_result_are_counted() {
        let partitioned = ["sink.partition_by=['a']", "sink.open_parts=64", "sink.compression=zstd"];
        let settings = ["run.memory=1200MiB", "reduce.combine=false", "map.0.limits.memory=1MiB"];
        let refused = slots(&[settings, partitioned].concat()).expect_err("does not fit").to_string();
        for term in ["576.0 MiB for a `sink.open_parts` of 64", "512.0 MiB to compress 64 parts as zstd"] {
            assert!(refused.contains(term), "no `{term}` in {refused}");
        }
    }

    #[test]
    fn a_run_whose_attempt_does_not_fit_is_refused_with_what_it_takes() {
        let refused =
            |set: &[&str]| slots(&[&["run.memory=2GiB"], set].concat()).expect_err("does not fit").to_string();
        let shuffle = refused(&["run.shuffle_memory=4GiB"]);
        assert!(shuffle.starts_with("`run.memory` is 2.0 GiB, but one map attempt may take 4."), "{shuffle}");
        assert!(shuffle.contains("4.1 GiB for a `run.shuffle_memory` of 4.0 GiB"), "{shuffle}");
        let record = refused(&["source.max_record=1GiB"]);
        assert!(record.contains("4.0 GiB for a `source.max_record` of 1.0 GiB"), "{record}");
        let guest = refused(&["map.0.limits.memory=2GiB"]);
        assert!(guest.contains("2.0 GiB that `limits.memory` of `map` allows"), "{guest}");
        let reduce = refused(&[
            "run.memory=1GiB",
            "map.0.limits.memory=1MiB",
            "reduce.combine=false",
            "run.shuffle_memory=1MiB",
        ]);
        assert!(reduce.contains("one reduce attempt"), "{reduce}");
    }
}
