//! Split: divides the source into shards, with the host's own rule or a splitter plugin.
//!
//! Owns which shards are valid: slices inside their objects that do not overlap. Which records belong to a slice is
//! the source's business. Called once per run, when it is planned.

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{Arc, Mutex},
};

use arrow_array::RecordBatch;
use arrow_ipc::{reader::FileReader, writer::FileWriter};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::{
    context::RunContext,
    error::{Error, ErrorContext, ErrorKind, Result, ResultExt},
    event::{Counts, Event, unix_ms},
    layout::AttemptId,
    pipeline::Split,
    plan::Shard,
    plugin::{DraftShard, Plugin, ReadError, SourceView, Task},
    scheduler::Finished,
    schema::Schema,
    source::{Compression, Object, Slice, find},
    steps::rehearsal,
};

/// The most shards a run may have.
const SHARDS_MAX: usize = 10_000_000;

/// The shards an attempt at the split made.
pub struct SplitSource {
    /// The attempt, below whose keys the records of shards lie.
    pub attempt: AttemptId,
    /// The shards, in order.
    pub shards: Vec<Shard>,
    counts: Counts,
}

impl Finished for SplitSource {
    fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// Divides the objects of the source, sorted by name, into shards: try `number` of it.
///
/// # Errors
/// What the splitter returned, how it failed, or which of its shards is not valid.
pub async fn split_source(context: Arc<RunContext>, objects: Arc<Vec<Object>>, number: u32) -> Result<SplitSource> {
    let attempt = context.attempt(number);
    let shards = match &context.pipeline.split {
        Split::BuiltIn { target_size } => split_by_size(objects.iter(), *target_size),
        Split::Plugin(_) => {
            let (attempt, task) = (attempt.clone(), context.task(0, number, unix_ms()));
            let split = tokio::task::spawn_blocking(move || split_by_plugin(&context, &task, objects, attempt));
            split.await.or_kind(ErrorKind::Internal, || "the split panicked")??
        }
    };
    Ok(SplitSource { attempt, shards, counts: Counts::default() })
}

/// Cuts large objects into equal slices of at most `target_size` bytes, one a shard, and packs neighbouring small ones
/// together. The shards keep the order of the source. Empty objects have no records and no shard.
pub fn split_by_size<'a>(objects: impl IntoIterator<Item = &'a Object>, target_size: u64) -> Vec<Shard> {
    let target_size = target_size.max(1);
    let (mut shards, mut packed, mut packed_bytes) = (Vec::new(), Vec::new(), 0);
    for object in objects.into_iter().filter(|object| object.size > 0) {
        if packed_bytes + object.size > target_size && !packed.is_empty() {
            shards.push(Shard::Slices(std::mem::take(&mut packed)));
            packed_bytes = 0;
        }
        if object.size > target_size && object.compression == Compression::None {
            shards.extend(cut(object, target_size).map(|slice| Shard::Slices(vec![slice])));
        } else {
            packed.push(Slice { object: object.name.clone(), offset: 0, length: object.size });
            packed_bytes += object.size;
        }
    }
    if !packed.is_empty() {
        shards.push(Shard::Slices(packed));
    }
    shards
}

/// Cuts an object into equal slices of at most `target_size` bytes.
fn cut(object: &Object, target_size: u64) -> impl Iterator<Item = Slice> {
    let count = object.size.div_ceil(target_size);
    // In 128 bits, so that the product cannot overflow; the quotient is at most the size.
    let start = move |i: u64| (u128::from(object.size) * u128::from(i) / u128::from(count)) as u64;
    (0..count).map(move |i| Slice { object: object.name.clone(), offset: start(i), length: start(i + 1) - start(i) })
}

fn split_by_plugin(
    context: &Arc<RunContext>,
    task: &Task,
    objects: Arc<Vec<Object>>,
    attempt: AttemptId,
) -> Result<Vec<Shard>> {
    let plugin = context.steps.split.as_ref().ok_or_else(|| Error::internal("the splitter is not loaded"))?;
    let _worker = context.workers.take();
    let draft = Arc::new(Mutex::new(Draft::default()));
    let view = View { context: Arc::clone(context), objects, attempt, draft: Arc::clone(&draft) };
    let source_bytes: u64 = view.objects.iter().map(|object| object.size).sum();
    plugin.split(task, &context.steps.source, Box::new(view))?.run()?;
    let draft = std::mem::take(&mut *draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let left_out = source_bytes.saturating_sub(draft.covered_bytes);
    if left_out > 0 && !draft.has_records {
        let message = format!("the splitter left {left_out} of the source's {source_bytes} bytes out");
        context.events.emit(Event::Warning { message });
    }
    Ok(draft.shards)
}

/// Checks that a splitter accepts its configuration.
///
/// # Errors
/// What it returned, or how it failed.
pub fn check_splitter(plugin: &Plugin, records: &Schema) -> Result<()> {
    plugin.split(&rehearsal(), records, Box::new(NoSource)).map(|_| ())
}

/// The source of a splitter that is only opened.
struct NoSource;

impl SourceView for NoSource {
    fn list(&self, _: Option<&str>, _: usize) -> Vec<(String, u64, bool)> {
        Vec::new()
    }

    fn read(&self, _: &str, _: u64, _: u32) -> Result<Vec<u8>, ReadError> {
        Err(ReadError::NoSuchObject)
    }

    fn add(&mut self, _: DraftShard) -> Result<()> {
        Ok(())
    }
}

/// The shards a splitter has added.
#[derive(Default)]
struct Draft {
    shards: Vec<Shard>,
    /// By object, the end of each slice by its start.
    slices: BTreeMap<String, BTreeMap<u64, u64>>,
    covered_bytes: u64,
    has_records: bool,
}

/// What a splitter sees of the source.
struct View {
    context: Arc<RunContext>,
    objects: Arc<Vec<Object>>,
    attempt: AttemptId,
    draft: Arc<Mutex<Draft>>,
}

impl SourceView for View {
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)> {
        let start = after.map_or(0, |after| self.objects.partition_point(|object| object.name.as_str() <= after));
        let page = self.objects[start..].iter().take(max);
        page.map(|object| (object.name.clone(), object.size, object.compression == Compression::None)).collect()
    }

    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let object = find(&self.objects, object).ok_or(ReadError::NoSuchObject)?;
        if offset > object.size {
            return Err(ReadError::OutOfRange);
        }
        let end = offset.saturating_add(u64::from(length)).min(object.size);
        let read = self.context.source.store().get_range(&object.name, offset..end, object.e_tag.as_deref());
        Handle::current().block_on(read).map(Vec::from).map_err(ReadError::Store)
    }

    fn add(&mut self, shard: DraftShard) -> Result<()> {
        let draft = Arc::clone(&self.draft);
        let mut draft = draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = draft.shards.len();
        if number == SHARDS_MAX {
            return Err(refused(format!("added more than {SHARDS_MAX} shards")));
        }
        let shard = match shard {
            DraftShard::Slices(slices) => {
                for slice in &slices {
                    draft.cover(slice, &self.objects).context(|| format!("shard {number}"))?;
                }
                Shard::Slices(slices)
            }
            DraftShard::Records(batch) => {
                draft.has_records = true;
                // Fits: there are at most SHARDS_MAX shards.
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let key = self.context.layout.shard_records(&self.attempt, number);
                let file = records_file(&batch).or_kind(ErrorKind::Internal, || "cannot write a splitter's records")?;
                Handle::current().block_on(self.context.run_store.put(&key, file))?;
                Shard::Records { key, rows: batch.num_rows() as u64 }
            }
        };
        draft.shards.push(shard);
        Ok(())
    }
}

impl Draft {
    /// Takes a slice, if it lies inside its object and overlaps no other.
    fn cover(&mut self, slice: &Slice, objects: &[Object]) -> Result<()> {
        let Slice { object: name, offset, length } = slice;
        let Some(object) = find(objects, name) else {
            return Err(refused(format!("named object `{name}`, which the source does not have")));
        };
        let size = object.size;
        let Some(end) = offset.checked_add(*length).filter(|end| *end <= size) else {
            return Err(refused(format!(
                "added the slice of `{name}` at {offset} of {length} bytes, but the object has {size} bytes"
            )));
        };
        if object.compression != Compression::None && (*offset, end) != (0, size) {
            return Err(refused(format!("cut `{name}`, which is compressed and can only be a slice as a whole")));
        }
        if *length == 0 {
            return Ok(());
        }
        let taken = self.slices.entry(name.clone()).or_default();
        if let Some((start, other_end)) = taken.range(..end).next_back().filter(|(_, other_end)| **other_end > *offset)
        {
            return Err(refused(format!(
                "added the slice of `{name}` from {offset} to {end}, which overlaps the one from {start} to {other_end}"
            )));
        }
        taken.insert(*offset, end);
        self.covered_bytes += length;
        Ok(())
    }
}

/// The records a splitter made for one shard, as batches.
pub type SplitRecords = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// About how many bytes of a splitter's records go into one batch.
const RECORDS_BATCH_BYTES: usize = 256 * 1024;

/// Reads the records a splitter made for a shard, and cuts them into batches.
///
/// # Errors
/// [`ErrorKind::Input`] when the file is damaged, or not of the source's schema.
pub fn read_records(key: &str, file: Bytes, schema: &Schema) -> Result<SplitRecords> {
    let damaged = format!("`{key}` in the run store is damaged");
    let reader = FileReader::try_new(Cursor::new(file), None).or_kind(ErrorKind::Input, || damaged.clone())?;
    if reader.schema() != schema.fields {
        return Err(Error::input(format!("`{key}` in the run store has the wrong columns")));
    }
    let batches = reader.map(move |batch| batch.or_kind(ErrorKind::Input, || damaged.clone()));
    Ok(Box::new(batches.flat_map(|batch| match batch {
        Ok(batch) => cut_batch(&batch).into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })))
}

fn cut_batch(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    let pieces = batch.get_array_memory_size().div_ceil(RECORDS_BATCH_BYTES).max(1);
    let piece_rows = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(piece_rows).map(|start| batch.slice(start, piece_rows.min(rows - start))).collect()
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::Plugin, anyhow::anyhow!(what))
}

fn records_file(batch: &RecordBatch) -> Result<Vec<u8>, arrow_schema::ArrowError> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, size: u64) -> Object {
        Object { name: name.to_owned(), size, e_tag: None, compression: Compression::of(name) }
    }

    fn slices(shards: &[Shard]) -> Vec<Vec<(&str, u64, u64)>> {
        shards.iter().map(slices_of).collect()
    }

    fn slices_of(shard: &Shard) -> Vec<(&str, u64, u64)> {
        match shard {
            Shard::Slices(slices) => slices.iter().map(|s| (s.object.as_str(), s.offset, s.length)).collect(),
            Shard::Records { .. } => Vec::new(),
        }
    }

    #[test]
    fn large_objects_are_cut_evenly_and_small_ones_packed() {
        let objects =
            [object("a", 10), object("b", 25), object("c", 0), object("d", 4), object("e", 5), object("f.gz", 99)];
        let expected = vec![
            vec![("a", 0, 10)],
            vec![("b", 0, 8)],
            vec![("b", 8, 8)],
            vec![("b", 16, 9)],
            vec![("d", 0, 4), ("e", 0, 5)],
            vec![("f.gz", 0, 99)],
        ];
        assert_eq!(slices(&split_by_size(&objects, 10)), expected);
    }

    #[test]
    fn slices_outside_their_object_or_overlapping_are_refused() {
        let objects = [object("a", 10), object("z.gz", 10)];
        let slice = |name: &str, offset, length| Slice { object: name.to_owned(), offset, length };
        let mut draft = Draft::default();
        draft.cover(&slice("a", 4, 4), &objects).expect("inside");
        draft.cover(&slice("a", 8, 2), &objects).expect("adjacent");
        draft.cover(&slice("a", 0, 4), &objects).expect("adjacent");
        draft.cover(&slice("a", 5, 0), &objects).expect("empty");
        for (bad, what) in [
            (slice("a", 9, 2), "but the object has 10 bytes"),
            (slice("a", 0, u64::MAX), "but the object has 10 bytes"),
            (slice("a", 7, 2), "overlaps the one from 8 to 10"),
            (slice("../a", 0, 1), "which the source does not have"),
            (slice("z.gz", 0, 5), "compressed"),
        ] {
            let error = draft.cover(&bad, &objects).expect_err("refused").to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(draft.covered_bytes, 10);
    }
}
