//! The parts of the result that one attempt writes.
//!
//! Owns how the rows of a task are divided into parts: by the directories of a partitioned result, by rows, by size, and
//! by how many parts are open at a time. The rows and the settings alone decide, row by row, so the same rows give the
//! same parts, whatever batches they come in.

use std::{collections::HashMap, ops::Range, sync::Arc};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::take::take_record_batch;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        hive,
        ids::TaskId,
        part::PartName,
        times::Work,
    },
    runtime::clock::spend,
};
use etl_format::{PartWriter, SinkFormat};
use etl_store::Pending;

use crate::{
    connector::PartSink,
    pipeline::PartSettings,
    run_store::commit::Part,
    task::{output::HashedPart, partitioning::Partitioning},
};

/// The most parts that one attempt may make. Its commit names them all.
const PARTS_MAX: usize = 10_000;

/// The most rows between two looks at the size of a part.
const STEP_ROWS_MAX: u64 = 1024;

/// Where the parts of an attempt are written.
pub trait PartStore: Send {
    /// Begins a part, the `number`th of the attempt.
    fn begin(&self, name: &PartName, number: u32) -> Box<dyn PartSink>;

    /// Drops a part that will not be committed, as far as possible. Only for threads that may wait.
    fn discard(&self, name: &PartName, pending: &Pending);
}

/// What the parts of an attempt are like.
pub struct PartsOf {
    /// The task that makes them.
    pub task: TaskId,
    /// Format of their rows.
    pub format: SinkFormat,
    /// How rows are divided.
    pub settings: PartSettings,
    /// In which directories they lie.
    pub partitioning: Arc<Partitioning>,
}

/// Writes the parts of an attempt. Parts that are complete when it is dropped are discarded.
pub struct PartsWriter {
    of: PartsOf,
    store: Box<dyn PartStore>,
    /// The parts being written, by directory.
    open: HashMap<String, OpenPart>,
    complete: Vec<Part>,
    /// Number of parts that were begun.
    begun: u32,
    /// Number of rows that were taken.
    rows: u64,
}

impl PartsWriter {
    /// Creates a writer. An attempt at a result that is not partitioned makes a part even if there are no rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the format does not take the rows; when the sink fails.
    pub fn new(of: PartsOf, store: Box<dyn PartStore>) -> Result<Self> {
        of.format.check(of.partitioning.written())?;
        let mut parts = Self { of, store, open: HashMap::new(), complete: Vec::new(), begun: 0, rows: 0 };
        if parts.of.settings.by.is_empty() {
            parts.begin(String::new())?;
        }
        Ok(parts)
    }

    /// Writes the rows of a batch. Returns the number of bytes that they take.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the format or a directory cannot hold a value, or when there are too many parts; when
    /// the sink fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<u64> {
        let partitioning = Arc::clone(&self.of.partitioning);
        let (rows, directories) = (partitioning.project(batch)?, partitioning.directories(batch)?);
        let (mut first, mut bytes, mut directory) = (0, 0, String::new());
        while first < batch.num_rows() {
            let end = directories.run(first, batch.num_rows(), &mut directory)?;
            bytes += self.take(&rows, first..end, &directory)?;
            first = end;
        }
        for part in self.open.values_mut() {
            bytes += part.flush(&rows)?;
        }
        Ok(bytes)
    }

    /// Takes rows of one directory, which are written when their part ends, and at the end of the batch at the latest.
    fn take(&mut self, rows: &RecordBatch, mut taken: Range<usize>, directory: &str) -> Result<u64> {
        let mut bytes = 0;
        while !taken.is_empty() {
            if !self.open.contains_key(directory) {
                bytes += self.make_room(rows)?;
                self.begin(directory.to_owned())?;
            }
            let part = self.open.get_mut(directory).ok_or_else(|| Error::internal("a part was never begun"))?;
            let room = usize::try_from(part.room(&self.of.settings)).unwrap_or(usize::MAX);
            let end = taken.end.min(taken.start.saturating_add(room));
            self.rows += (end - taken.start) as u64;
            part.last_row = self.rows;
            part.waiting.push(taken.start..end);
            if end - taken.start == room {
                bytes += part.flush(rows)?;
                if part.look(&self.of.settings) {
                    self.end(directory)?;
                }
            }
            taken.start = end;
        }
        Ok(bytes)
    }

    /// Ends the part that was written to the longest ago, if no other may be begun beside those that are open.
    fn make_room(&mut self, rows: &RecordBatch) -> Result<u64> {
        if self.open.len() < self.of.settings.open_max {
            return Ok(0);
        }
        let oldest = self.open.iter_mut().min_by_key(|(_, part)| part.last_row);
        let Some((directory, part)) = oldest else { return Ok(0) };
        let (directory, bytes) = (directory.clone(), part.flush(rows)?);
        self.end(&directory)?;
        Ok(bytes)
    }

    fn begin(&mut self, directory: String) -> Result<()> {
        if self.begun as usize >= PARTS_MAX {
            return Err(self.too_many());
        }
        let number = (!self.of.settings.is_one()).then_some(self.begun);
        let name = PartName { directory: directory.clone(), task: self.of.task, number };
        let sink = HashedPart::new(self.store.begin(&name, self.begun));
        let writer = PartWriter::new(self.of.format.clone(), self.of.partitioning.written(), sink)?;
        self.begun += 1;
        let look_at = self.of.settings.target_bytes.map_or(u64::MAX, |_| 1);
        let part = OpenPart { name, writer, written: 0, bytes: 0, look_at, waiting: Vec::new(), last_row: 0 };
        self.open.insert(directory, part);
        Ok(())
    }

    fn end(&mut self, directory: &str) -> Result<()> {
        let Some(part) = self.open.remove(directory) else { return Ok(()) };
        self.complete.push(part.finish()?);
        Ok(())
    }

    /// Completes all parts. Returns them in the order of their names.
    ///
    /// # Errors
    /// As [`PartsWriter::write`].
    pub fn finish(mut self) -> Result<Vec<Part>> {
        let mut directories: Vec<String> = self.open.keys().cloned().collect();
        directories.sort_unstable();
        directories.iter().try_for_each(|directory| self.end(directory))?;
        let mut parts = std::mem::take(&mut self.complete);
        parts.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(parts)
    }

    /// Returns the error that there are too many parts, which names the column of the most values.
    fn too_many(&self) -> Error {
        let task = self.of.task;
        let what = format!("task {task} writes more than {PARTS_MAX} parts of the result");
        let names = self.complete.iter().map(|part| &part.name).chain(self.open.values().map(|part| &part.name));
        let mut found: HashMap<String, std::collections::HashSet<Option<String>>> = HashMap::new();
        for (column, value) in names.flat_map(|name| hive::values(&name.directory)) {
            found.entry(column).or_default().insert(value);
        }
        match found.into_iter().map(|(column, values)| (values.len(), column)).max() {
            None => Error::input(format!("{what}: raise `sink.max_rows` or `sink.target_size`")),
            Some((count, column)) => Error::input(format!(
                "{what}: column `{column}` of `sink.partition_by` had {count} values so far (partition by something of \
                 fewer values, raise `sink.open_parts`, or let rows of the same values follow each other)"
            )),
        }
    }
}

impl Drop for PartsWriter {
    fn drop(&mut self) {
        // The parts that are still being written leave nothing by themselves.
        self.complete.iter().for_each(|part| self.store.discard(&part.name, &part.pending));
    }
}

/// A part that is being written.
struct OpenPart {
    name: PartName,
    writer: PartWriter<HashedPart<Box<dyn PartSink>>>,
    /// Number of rows written.
    written: u64,
    /// Number of bytes that these rows take.
    bytes: u64,
    /// Number of rows at which the size is looked at next.
    look_at: u64,
    /// Rows of the present batch that are not written yet.
    waiting: Vec<Range<usize>>,
    /// Number of rows that the attempt had taken when it took the last one of this part.
    last_row: u64,
}

impl OpenPart {
    /// Returns the number of rows that may be taken before those that wait must be written, which is at least one.
    fn room(&self, settings: &PartSettings) -> u64 {
        let taken = self.written + self.waiting.iter().map(|rows| rows.len() as u64).sum::<u64>();
        self.look_at.min(settings.rows_max.unwrap_or(u64::MAX)) - taken
    }

    /// Returns whether the part has to end, now that all rows that it had room for are written.
    ///
    /// How many bytes a row takes is known only when it is written. So the size is looked at after certain rows, which
    /// depend on nothing but the rows before.
    fn look(&mut self, settings: &PartSettings) -> bool {
        let is_large = settings.target_bytes.is_some_and(|target| self.bytes >= target);
        if is_large || settings.rows_max.is_some_and(|max| self.written >= max) {
            return true;
        }
        if let Some(target) = settings.target_bytes {
            self.look_at = self.written + self.rows_to_look(target);
        }
        false
    }

    /// Returns the number of rows after which the size is looked at next: half of those that seem to be missing.
    fn rows_to_look(&self, target: u64) -> u64 {
        let missing = u128::from(target.saturating_sub(self.bytes)) * u128::from(self.written);
        let half = missing / u128::from(self.bytes.max(1)) / 2;
        u64::try_from(half).unwrap_or(u64::MAX).clamp(1, self.written.clamp(1, STEP_ROWS_MAX))
    }

    /// Writes the rows that wait. Returns the number of bytes that they take.
    fn flush(&mut self, rows: &RecordBatch) -> Result<u64> {
        let waiting = match &self.waiting[..] {
            [] => return Ok(0),
            [only] => rows.slice(only.start, only.len()),
            several => {
                let numbers: UInt64Array = several.iter().flat_map(|rows| rows.start as u64..rows.end as u64).collect();
                take_record_batch(rows, &numbers).or_kind(ErrorKind::Internal, || "cannot take rows of a batch")?
            }
        };
        let bytes = spend(Work::Write, || self.writer.write(&waiting))?;
        self.written += waiting.num_rows() as u64;
        self.bytes += bytes;
        self.waiting.clear();
        Ok(bytes)
    }

    fn finish(self) -> Result<Part> {
        let (sink, digest) = self.writer.finish()?.finish();
        let (bytes, pending) = spend(Work::Write, || sink.finish())?;
        Ok(Part { name: self.name, rows: self.written, bytes, digest, pending })
    }
}

#[cfg(test)]
mod tests;
