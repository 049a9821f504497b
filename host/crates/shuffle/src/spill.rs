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
    Merge, NewCombiner, ShuffleIndex, ShuffleReader, SortedRun,
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

    /// Merges neighbouring runs until at most `fan_in` are left.
    pub(super) fn narrow(mut self, fan_in: usize, combiner: &mut Option<NewCombiner>) -> Result<Self> {
        let fan_in = fan_in.max(2);
        while self.runs.len() > fan_in {
            let mut merged = Self::new(&self.schema, self.partitions, &self.scratch)?;
            for start in self.runs().step_by(fan_in) {
                let runs = start..self.runs.len().min(start + fan_in);
                merged.add(combiner, |out| self.merge_into(runs, out))?;
            }
            self = merged;
        }
        Ok(self)
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
    /// merges the first rows of some partitions, of at most `fan_in` runs.
    pub(super) fn is_worth_combining(&self, fan_in: usize) -> Result<bool> {
        let runs = 0..self.runs.len().min(fan_in.max(2));
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

/// Merges any number of sorted runs, of which at most `fan_in` (at least 2) are open at once.
///
/// Takes a run from the iterator only when it is merged, so the iterator should open each run as it is asked for. Up to
/// `fan_in` runs are merged directly. More runs are first merged in scratch, `fan_in` neighbours at a time, in as many
/// passes as needed; the order of the rows is the same. Rows of one key come in the order of their runs.
///
/// # Errors
/// [`ErrorKind::Config`] when the schema has no key; [`ErrorKind::Unavailable`] when scratch is unavailable; any error
/// from opening or reading the runs.
pub fn merge_all(
    runs: impl IntoIterator<Item = Result<SortedRun>>,
    schema: &Schema,
    fan_in: usize,
    scratch: &Scratch,
) -> Result<Merge> {
    let fan_in = fan_in.max(2);
    let mut runs = runs.into_iter().peekable();
    let first: Vec<SortedRun> = runs.by_ref().take(fan_in).collect::<Result<_>>()?;
    if runs.peek().is_none() {
        return Merge::new(first, schema);
    }
    let mut spill = Spill::new(schema, 1, scratch)?;
    let mut group = first;
    while !group.is_empty() {
        spill.add(&mut None, |out| Merge::new(group, schema)?.try_for_each(|groups| out.push(0, &groups?)))?;
        group = runs.by_ref().take(fan_in).collect::<Result<_>>()?;
    }
    let spill = spill.narrow(fan_in, &mut None)?;
    Merge::new(spill.of_partition(spill.runs(), 0), schema)
}
