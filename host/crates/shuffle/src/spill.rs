//! Sorted runs in local scratch, and merges of more runs than can be open at once.

use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{ErrorKind, Result, ResultExt},
        schema::Schema,
        shared::Shared,
    },
    runtime::scratch::{Scratch, ScratchFile},
};

use super::{
    FanIn, Merge, NewCombiner, ShuffleIndex, ShuffleReader, SortedRun,
    output::{COMBINED_ROWS_PER_KEY_MIN, ShuffleOutput},
};

/// Number of partitions that are looked at to see whether combining pays.
const LOOK_PARTITIONS: u32 = 8;

/// Sorted runs, one behind the other in one scratch file. Each has the format of a shuffle file, but is not compressed.
pub(super) struct Spill {
    schema: Schema,
    partitions: u32,
    scratch: Scratch,
    /// Every use of the file seeks first, so a use that panicked leaves no state that matters.
    file: Shared<ScratchFile>,
    /// Offset at which each run starts, and its index.
    runs: Vec<(u64, ShuffleIndex)>,
}

/// Output that writes a run to scratch.
pub(super) type ScratchOutput<'a> = ShuffleOutput<&'a mut ScratchFile>;

impl Spill {
    /// Creates a spill with an empty scratch file.
    pub(super) fn new(schema: &Schema, partitions: u32, scratch: &Scratch) -> Result<Self> {
        let file = Shared::new(scratch.file()?);
        Ok(Self { schema: schema.clone(), partitions, scratch: scratch.clone(), file, runs: Vec::new() })
    }

    /// Returns the positions of all runs.
    pub(super) fn runs(&self) -> Range<usize> {
        0..self.runs.len()
    }

    /// Adds the run that `fill` writes, through a new combiner if there is one.
    pub(super) fn add(
        &mut self,
        combiner: &mut Option<NewCombiner>,
        fill: impl FnOnce(&mut ScratchOutput<'_>) -> Result<()>,
    ) -> Result<()> {
        let combiner = combiner.as_mut().map(|new| new()).transpose()?;
        let mut file = self.file.lock();
        let start = file.seek(SeekFrom::End(0)).or_kind(ErrorKind::Unavailable, || "cannot use a scratch file")?;
        let mut run = ShuffleOutput::new(&mut *file, &self.schema, self.partitions, None, combiner)?;
        fill(&mut run)?;
        self.runs.push((start, run.finish()?));
        Ok(())
    }

    /// Merges neighbouring runs until those that are left can be merged at once.
    pub(super) fn narrow(mut self, fan_in: FanIn, combiner: &mut Option<NewCombiner>) -> Result<Self> {
        loop {
            let together = self.together(fan_in);
            if together.len() <= 1 {
                return Ok(self);
            }
            let mut merged = Self::new(&self.schema, self.partitions, &self.scratch)?;
            for runs in together {
                merged.add(combiner, |out| self.merge_into(runs, out))?;
            }
            self = merged;
        }
    }

    /// Divides the runs into neighbours that are merged at once.
    fn together(&self, fan_in: FanIn) -> Vec<Range<usize>> {
        let batch_bytes = |run: &usize| {
            let partitions = &self.runs[*run].1.partitions;
            partitions.iter().map(|index| index.batch_bytes_max).max().unwrap_or_default()
        };
        let (mut runs, mut together, mut start) = (self.runs().peekable(), Vec::new(), 0);
        while start < self.runs.len() {
            let end = start + fan_in.take(&mut runs, batch_bytes).len();
            together.push(start..end);
            start = end;
        }
        together
    }

    /// Passes the rows of the given runs to `out`, sorted.
    pub(super) fn merge_into<W: io::Write>(&self, runs: Range<usize>, out: &mut ShuffleOutput<W>) -> Result<()> {
        for partition in 0..self.partitions {
            for groups in Merge::new(self.of_partition(runs.clone(), partition), &self.schema)? {
                out.push(partition, &groups?)?;
            }
        }
        Ok(())
    }

    /// Returns whether merging the runs brings so many rows of each key together that combining them pays. To find out,
    /// merges the first rows of some partitions, of as many runs as are merged at once.
    pub(super) fn is_worth_combining(&self, fan_in: FanIn) -> Result<bool> {
        let runs = self.together(fan_in).into_iter().next().unwrap_or_default();
        let (mut rows, mut keys) = (0, 0);
        for partition in 0..self.partitions.min(LOOK_PARTITIONS) {
            let mut merge = Merge::new(self.of_partition(runs.clone(), partition), &self.schema)?;
            if let Some(groups) = merge.next().transpose()? {
                rows += groups.batch.num_rows();
                keys += groups.group_ends.len();
            }
        }
        Ok(rows >= keys * COMBINED_ROWS_PER_KEY_MIN)
    }

    /// Passes all rows to `out`, run by run.
    pub(super) fn copy_into<W: io::Write>(&self, out: &mut ShuffleOutput<W>) -> Result<()> {
        for run in self.runs() {
            out.next_run();
            for partition in 0..self.partitions {
                for batch in self.read(run, partition).into_iter().flatten() {
                    out.copy(partition, &batch?)?;
                }
            }
        }
        Ok(())
    }

    fn of_partition(&self, runs: Range<usize>, partition: u32) -> Vec<SortedRun> {
        runs.filter_map(|run| self.read(run, partition)).collect()
    }

    /// Returns the rows of a partition in a run, if there are any.
    fn read(&self, run: usize, partition: u32) -> Option<SortedRun> {
        let (start, index) = &self.runs[run];
        // A spilled run is a single sorted run, so its index has at most one item for a partition.
        let index = index.of_partition(partition).first()?;
        let file = self.file.clone();
        let mut offset = start + index.offset;
        let blocks = index.blocks.clone().into_iter().map(move |block| {
            let bytes = read_at(&file, offset, block.length);
            offset += block.length;
            bytes.or_kind(ErrorKind::Unavailable, || "cannot read a scratch file")
        });
        Some(Box::new(ShuffleReader::new(format!("scratch run {run}"), &self.schema, index, blocks)))
    }
}

fn read_at(file: &Shared<ScratchFile>, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut file = file.lock();
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

/// A sorted run that is to be merged.
pub struct SizedRun {
    /// The batches of the run.
    pub run: SortedRun,
    /// Size of the largest batch in bytes, in memory.
    pub batch_bytes_max: u64,
}

/// Merges any number of sorted runs, of which `fan_in` says how many are open at once.
///
/// Takes a run from the iterator only when it is merged, or to see whether it can be merged with those before it, so
/// the iterator should open each run as it is asked for. Runs that can be merged at once are merged directly. More runs
/// are first merged in scratch, some neighbours at a time, in as many passes as needed; the order of the rows is the
/// same. Rows of one key come in the order of their runs.
///
/// # Errors
/// [`ErrorKind::Config`] when the schema has no key; [`ErrorKind::Unavailable`] when scratch is unavailable; any error
/// from opening or reading the runs.
pub fn merge_all(
    runs: impl IntoIterator<Item = Result<SizedRun>>,
    schema: &Schema,
    fan_in: FanIn,
    scratch: &Scratch,
) -> Result<Merge> {
    let mut runs = runs.into_iter().peekable();
    let mut next = || -> Result<(Vec<SortedRun>, bool)> {
        let taken = fan_in.take(&mut runs, |run| run.as_ref().map_or(0, |run| run.batch_bytes_max));
        let taken = taken.into_iter().map(|run| run.map(|run| run.run)).collect::<Result<_>>()?;
        Ok((taken, runs.peek().is_none()))
    };
    let (mut group, is_last) = next()?;
    if is_last {
        return Merge::new(group, schema);
    }
    let mut spill = Spill::new(schema, 1, scratch)?;
    while !group.is_empty() {
        spill.add(&mut None, |out| Merge::new(group, schema)?.try_for_each(|groups| out.push(0, &groups?)))?;
        (group, _) = next()?;
    }
    let spill = spill.narrow(fan_in, &mut None)?;
    Merge::new(spill.of_partition(spill.runs(), 0), schema)
}
