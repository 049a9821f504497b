//! Split: divides the source into shards, by the host's own rule or with a splitter plugin.
//!
//! Owns which shards are valid: their slices lie inside their objects and do not overlap. If a splitter cuts an object
//! that turns out to be compressed, the object belongs to the slice at its beginning. The source module owns which
//! records belong to a slice. Called when a run is planned, once per attempt at the split.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    ops::Range,
    sync::Arc,
};

use etl_core::{
    model::{
        error::{Error, ErrorContext, ErrorKind, Result, ResultExt},
        event::{Counts, Event},
        ids::{PlanId, ShardId, TaskId, Try},
        object::{Compression, Object, Slice, find},
        schema::Schema,
        shared::Shared,
    },
    runtime::threads,
};
use etl_plugin::{Attempt, DraftShard, Plugin, ReadError, SourceView};
use etl_store::Store;

use crate::{
    connector::{
        Source,
        objects::{
            MovedCuts,
            split::{SHARDS_MAX, count_shards, look_at, split_by_size, uncut},
        },
    },
    pipeline::Split,
    run_store::{
        layout::PlanLayout,
        shards::{Shard, ShardTable, ShardWriter, records::records_file},
    },
    scheduler::HasCounts,
    task::{context::RunContext, steps::rehearsal},
};

use etl_format::Cuts;

/// The most bytes that a message shows of the name of an object that does not exist.
const SHOWN_NAME_BYTES_MAX: usize = 1024;
/// The shards that an attempt at the split made.
pub struct SplitSource {
    /// The id of the plan that the attempt makes. The pages of shards, and records that a splitter made, lie under its
    /// keys.
    pub plan: PlanId,
    /// The shards, whose pages are already written.
    pub shards: ShardTable,
    counts: Counts,
}

impl HasCounts for SplitSource {
    fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// Divides the objects of the source, which are sorted by name, into shards, and writes these to the run store. This is
/// attempt `number` at the split. The wall clock of a splitter stands at `clock_ms`, in milliseconds since the Unix
/// epoch.
///
/// # Errors
/// Says what the splitter returned, how it failed, or which of its shards is not valid; fails also when a store fails.
pub async fn split_source(
    context: Arc<RunContext>,
    objects: Arc<Vec<Object>>,
    clock_ms: u64,
    number: Try,
) -> Result<SplitSource> {
    let plan = PlanId::of(context.id.attempt(number));
    let layout = context.layouts.run.of_plan(&plan);
    let task = context.task(TaskId(0), number, clock_ms);
    let _stop_when_dropped = task.stop.clone().drop_guard();
    let (cuts, source) = (context.pipeline.source.format.cuts(), Arc::clone(&context.stores.source));
    let shards = match context.pipeline.split {
        Split::BuiltIn { target_size } => {
            let moved = MovedCuts::find(&source, cuts, &objects, &cut_slices(&objects, cuts, target_size)?).await?;
            let writer = ShardWriter::new(&context.stores.run_store, layout);
            threads::run(move || split_built_in(&objects, cuts, target_size, &moved, writer)).await??
        }
        Split::Plugin(_) => {
            let listed = Arc::clone(&objects);
            let draft = threads::run(move || split_by_plugin(&context, &task, &listed, layout)).await??;
            let moved = MovedCuts::find(&source, cuts, &objects, draft.slices()).await?;
            threads::run(move || draft.finish(&moved)).await??
        }
    };
    Ok(SplitSource { plan, shards, counts: Counts::default() })
}

/// Returns the slices of the built-in split that are parts of objects, if their borders have to move.
fn cut_slices(objects: &[Object], cuts: Cuts, target_size: u64) -> Result<Vec<Slice>> {
    count_shards(objects, cuts, target_size)?;
    let mut parts = Vec::new();
    if cuts.are_exact() {
        split_by_size(objects, cuts, target_size, |slices, of| {
            parts.extend(
                slices.into_iter().zip(of).filter(|(slice, of)| slice.length < of.size).map(|(slice, _)| slice),
            );
            Ok(())
        })?;
    }
    Ok(parts)
}

fn split_built_in(
    objects: &[Object],
    cuts: Cuts,
    target_size: u64,
    moved: &MovedCuts,
    mut writer: ShardWriter,
) -> Result<ShardTable> {
    split_by_size(objects, cuts, target_size, |slices, objects| {
        let slices = slices.into_iter().map(|slice| moved.of(slice)).collect();
        writer.push(Shard::Slices(slices), objects.iter().copied().cloned())
    })?;
    writer.finish()
}

fn split_by_plugin(
    context: &Arc<RunContext>,
    task: &Attempt,
    objects: &Arc<Vec<Object>>,
    layout: PlanLayout,
) -> Result<Coverage> {
    let writer = ShardWriter::new(&context.stores.run_store, layout.clone());
    let plugin = context.steps.split.as_ref().ok_or_else(|| Error::internal("the splitter is not loaded"))?;
    let _worker = context.resources.workers.take();
    let cuts = context.pipeline.source.format.cuts();
    let draft = Shared::new(Coverage::new(writer, cuts));
    let view = SplitterSource {
        source: Arc::clone(&context.stores.source),
        run_store: context.stores.run_store.clone(),
        layout,
        objects: Arc::clone(objects),
        cuts,
        draft: draft.clone(),
    };
    plugin.split(task, &context.steps.source, Box::new(view))?.run()?;
    let draft = draft.take()?;
    if let Some(message) = draft.left_out(objects) {
        context.events.emit(Event::Warning { message });
    }
    Ok(draft)
}

/// Checks that a splitter accepts its configuration, by opening it.
///
/// # Errors
/// Says what the splitter returned, or how it failed.
pub fn check_splitter(plugin: &Plugin, records: &Schema) -> Result<()> {
    plugin.split(&rehearsal(), records, Box::new(NoSource)).map(|_| ())
}

/// An empty source, for a splitter that is only opened.
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

/// The shards that a splitter has added so far.
pub(crate) struct Coverage {
    shards: ShardWriter,
    /// Shards that wait for their borders to move, with the objects of their slices; `None` if slices may start
    /// anywhere.
    waiting: Option<Vec<(Shard, Vec<Object>)>>,
    /// The byte ranges that shards have taken: the key is the position of the object and the start of the range, the
    /// value is its end. Adjacent ranges are joined, so slices added in order take no memory.
    taken: BTreeMap<(usize, u64), u64>,
    covered_bytes: u64,
    has_records: bool,
    /// The compression of the objects that were cut, by position, as their first bytes tell it.
    of_cut: HashMap<usize, Compression>,
}

/// The source as a splitter sees it, and where its shards go.
pub(crate) struct SplitterSource {
    /// The source.
    pub(crate) source: Arc<dyn Source>,
    /// The store for records that the splitter makes.
    pub(crate) run_store: Store,
    /// The keys of these records in the run store.
    pub(crate) layout: PlanLayout,
    /// The source's objects, sorted by name.
    pub(crate) objects: Arc<Vec<Object>>,
    /// Where the objects may be cut.
    pub(crate) cuts: Cuts,
    /// The draft that takes the shards.
    pub(crate) draft: Shared<Coverage>,
}

impl SourceView for SplitterSource {
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)> {
        let start = after.map_or(0, |after| self.objects.partition_point(|object| object.name.as_str() <= after));
        let page = self.objects[start..].iter().take(max);
        page.map(|object| (object.name.clone(), object.size, uncut(object.compression, self.cuts).is_none())).collect()
    }

    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let object = find(&self.objects, object).ok_or(ReadError::NoSuchObject)?;
        if offset > object.size {
            return Err(ReadError::OutOfRange);
        }
        let end = offset.saturating_add(u64::from(length)).min(object.size);
        if offset == end {
            return Ok(Vec::new());
        }
        let read = self.source.read(object, offset..end);
        threads::wait_on_runtime(read).map(Vec::from).map_err(ReadError::Store)
    }

    fn add(&mut self, mut shard: DraftShard) -> Result<()> {
        self.take(&mut shard)
    }
}

impl SplitterSource {
    /// Takes a shard into the draft. Its slices are changed where they cut an object that turns out to be compressed.
    ///
    /// # Errors
    /// Says why the shard is not valid; fails also when a store fails.
    pub(crate) fn take(&self, shard: &mut DraftShard) -> Result<()> {
        let mut draft = self.draft.lock();
        let number = draft.count();
        if number == SHARDS_MAX {
            return Err(refused(format!("added more than {SHARDS_MAX} shards")));
        }
        match shard {
            DraftShard::Slices(slices) if slices.is_empty() => Err(refused(format!("shard {number} has no slices"))),
            DraftShard::Slices(slices) => {
                let look = |object: &Object| threads::wait_on_runtime(look_at(&*self.source, object));
                let cover =
                    |slice| draft.cover(slice, &self.objects, self.cuts, look).context(|| format!("shard {number}"));
                let objects = slices.iter_mut().map(cover).collect::<Result<Vec<Object>>>()?;
                draft.push(Shard::Slices(slices.clone()), objects)
            }
            DraftShard::Records(batch) => {
                draft.has_records = true;
                let key = self.layout.shard_records(ShardId(number));
                let file = records_file(batch).or_kind(ErrorKind::Internal, || "cannot write a splitter's records")?;
                let (rows, bytes) = (batch.num_rows() as u64, file.len() as u64);
                self.run_store.wait(self.run_store.put(&key, file))?;
                draft.push(Shard::Records { key, rows, bytes }, Vec::new())
            }
        }
    }
}

impl Coverage {
    /// Creates an empty draft that writes its shards with `shards`.
    pub(crate) fn new(shards: ShardWriter, cuts: Cuts) -> Self {
        let waiting = cuts.are_exact().then(Vec::new);
        Self { shards, waiting, taken: BTreeMap::new(), covered_bytes: 0, has_records: false, of_cut: HashMap::new() }
    }

    /// Returns the number of shards so far, which is the number of the next one.
    fn count(&self) -> u32 {
        let waiting = self.waiting.as_ref().map_or(0, Vec::len);
        self.shards.count() + u32::try_from(waiting).unwrap_or(SHARDS_MAX)
    }

    fn push(&mut self, shard: Shard, objects: Vec<Object>) -> Result<()> {
        match &mut self.waiting {
            Some(waiting) => {
                waiting.push((shard, objects));
                Ok(())
            }
            None => self.shards.push(shard, objects),
        }
    }

    /// Returns the slices of the shards that wait for their borders to move.
    fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.waiting.iter().flatten().flat_map(|(shard, _)| shard.slices())
    }

    /// Writes what is left to write, and returns the table of all shards.
    fn finish(mut self, moved: &MovedCuts) -> Result<ShardTable> {
        for (shard, objects) in self.waiting.into_iter().flatten() {
            let shard = match shard {
                Shard::Slices(slices) => Shard::Slices(slices.into_iter().map(|slice| moved.of(slice)).collect()),
                records @ Shard::Records { .. } => records,
            };
            self.shards.push(shard, objects)?;
        }
        self.shards.finish()
    }

    /// Returns a message that says how many bytes of the source are in no shard; `None` when all are in shards. Returns
    /// `None` also when the splitter made records of its own, since these may hold the rest of the source.
    pub(crate) fn left_out(&self, objects: &[Object]) -> Option<String> {
        let source_bytes: u64 = objects.iter().map(|object| object.size).sum();
        let left_out = source_bytes.saturating_sub(self.covered_bytes);
        (left_out > 0 && !self.has_records)
            .then(|| format!("the splitter left out {left_out} of the source's {source_bytes} bytes"))
    }

    /// Takes a slice and returns its object. Refuses a slice that lies outside its object, overlaps another, or is a
    /// part of an object that is known to be compressed. An object that is cut is looked at once: if it turns out to be
    /// compressed, the slice at its beginning becomes the whole object, and each other one is empty.
    fn cover(
        &mut self,
        slice: &mut Slice,
        objects: &[Object],
        cuts: Cuts,
        look: impl Fn(&Object) -> Result<Compression>,
    ) -> Result<Object> {
        let Slice { object: name, offset, length } = &*slice;
        let Ok(position) = objects.binary_search_by(|object| object.name.cmp(name)) else {
            let shown = &name[..name.floor_char_boundary(SHOWN_NAME_BYTES_MAX)];
            return Err(refused(format!("named object `{shown}`, which the source does not have")));
        };
        let object = &objects[position];
        let size = object.size;
        let Some(end) = offset.checked_add(*length).filter(|end| *end <= size) else {
            return Err(refused(format!(
                "added the slice of `{name}` at {offset} of {length} bytes, but the object has {size} bytes"
            )));
        };
        if let (Some(why), true) = (uncut(object.compression, cuts), (*offset, end) != (0, size)) {
            return Err(refused(format!("cut `{name}`, which {why} and can only be a slice as a whole")));
        }
        if *length == 0 {
            return Ok(object.clone());
        }
        self.take(position, *offset..end).map_err(|Range { start, end: other_end }| {
            refused(format!(
                "added the slice of `{name}` from {offset} to {end}, which overlaps what is taken from {start} to \
                 {other_end}"
            ))
        })?;
        self.covered_bytes += length;
        let mut object = object.clone();
        if (*offset, end) != (0, size) {
            object.compression = match self.of_cut.entry(position) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(look(&object)?),
            };
            if object.compression != Compression::None {
                slice.length = if *offset == 0 { size } else { 0 };
            }
        }
        Ok(object)
    }

    /// Takes a range of bytes of the object at position `object`. If a range that was taken before overlaps it, that
    /// range is returned as the error.
    fn take(&mut self, object: usize, bytes: Range<u64>) -> Result<(), Range<u64>> {
        let Range { mut start, mut end } = bytes;
        let before = self.taken.range((object, 0)..(object, end)).next_back();
        if let Some((&(_, before_start), &before_end)) = before {
            if before_end > start {
                return Err(before_start..before_end);
            }
            if before_end == start {
                start = before_start;
            }
        }
        if let Some(after_end) = self.taken.remove(&(object, end)) {
            end = after_end;
        }
        self.taken.insert((object, start), end);
        Ok(())
    }
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::Plugin, anyhow::anyhow!(what))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use object_store::{memory::InMemory, path::Path};

    use super::*;
    use crate::run_store::layout::RunLayout;
    use etl_core::model::ids::AttemptId;

    fn object(name: &str) -> Object {
        Object { name: name.to_owned(), size: 10, e_tag: None, compression: Compression::of(name) }
    }

    fn draft() -> Coverage {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let layout = RunLayout::new("p", "r").of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "a")));
        Coverage::new(ShardWriter::new(&store, layout), Cuts::AtLineEnds)
    }

    #[expect(clippy::unnecessary_wraps, reason = "looking at an object may fail")]
    fn plain(_: &Object) -> Result<Compression> {
        Ok(Compression::None)
    }

    #[test]
    fn slices_outside_their_object_or_overlapping_are_refused() {
        let objects = ["a", "z.gz"].map(object);
        let slice = |name: &str, offset, length| Slice { object: name.to_owned(), offset, length };
        let mut draft = draft();
        let mut cover = |mut slice: Slice| draft.cover(&mut slice, &objects, Cuts::AtLineEnds, plain).map(drop);
        cover(slice("a", 4, 4)).expect("inside");
        cover(slice("a", 8, 2)).expect("adjacent");
        cover(slice("a", 0, 4)).expect("adjacent");
        cover(slice("a", 5, 0)).expect("empty");
        for (bad, what) in [
            (slice("a", 9, 2), "but the object has 10 bytes"),
            (slice("a", 0, u64::MAX), "but the object has 10 bytes"),
            (slice("a", 7, 2), "overlaps what is taken from 0 to 10"),
            (slice("../a", 0, 1), "which the source does not have"),
            (slice(&"é".repeat(9_999), 0, 1), "which the source does not have"),
            (slice("z.gz", 0, 5), "compressed"),
        ] {
            let error = cover(bad).expect_err("refused").to_string();
            assert!(error.contains(what) && error.len() < 2000, "{error}");
        }
        assert_eq!(draft.covered_bytes, 10);
        assert_eq!(draft.taken, [((0, 0), 10)].into(), "neighbours are not joined");
    }
    #[test]
    fn an_object_that_is_cut_and_turns_out_to_be_compressed_belongs_to_the_slice_at_its_beginning() {
        let (objects, mut draft, looks) = (["a", "b", "c"].map(object), draft(), Cell::new(0));
        let look = |object: &Object| {
            looks.set(looks.get() + 1);
            Ok(if object.name == "b" { Compression::Gzip } else { Compression::None })
        };
        let mut covered = |name: &str, offset, length| {
            let mut slice = Slice { object: name.to_owned(), offset, length };
            let object = draft.cover(&mut slice, &objects, Cuts::AtLineEnds, look).expect("inside");
            (slice.offset, slice.length, object.compression)
        };
        assert_eq!(covered("a", 0, 4), (0, 4, Compression::None));
        assert_eq!(covered("b", 5, 3), (5, 0, Compression::Gzip));
        assert_eq!(covered("b", 0, 5), (0, 10, Compression::Gzip));
        assert_eq!(covered("b", 8, 2), (8, 0, Compression::Gzip));
        assert_eq!(covered("c", 0, 10), (0, 10, Compression::None));
        assert_eq!((looks.get(), draft.covered_bytes), (2, 24), "an object that stays whole is not looked at");
    }
}
