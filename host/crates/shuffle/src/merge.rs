//! Merge of sorted runs into one stream of sorted batches with group ends.
//!
//! The merge does not go row by row. It looks at the current batch of each run, and sorts at once all rows that no
//! later batch can come before. That many presorted rows stay in the cache, and sorting integers there takes less time
//! than as many steps through a tree of runs.

use std::{
    iter::{Fuse, FusedIterator},
    ops::Range,
};

use arrow_array::RecordBatch;
use etl_core::{
    model::{
        error::{Error, Result},
        schema::Schema,
        times::Work,
    },
    runtime::clock::spend,
};

use super::{SortedGroups, SortedRun, chunk::Chunk, cut::Cutter, entry::ROWS_MAX, keys::KeyEncoder, sort::Sorted};

/// The rows of all runs, ordered by key. Rows of one key are ordered by run, and within a run they keep its order. Ends
/// after the first error.
///
/// Holds one batch of each run and the batch it makes. A run that is not sorted is an error of kind
/// [`Input`](etl_core::model::error::ErrorKind::Input), not silent disorder.
pub struct Merge {
    schema: Schema,
    encoder: KeyEncoder,
    runs: Vec<OpenRun>,
    /// Current batch of each run.
    chunks: Vec<Chunk>,
    /// Rows that come next, to be cut into batches.
    block: Cutter,
    failed: bool,
}

/// A run, and the number of rows of its current batch that are taken.
struct OpenRun {
    batches: Fuse<SortedRun>,
    taken: usize,
}

impl Merge {
    /// Starts a merge and reads the first batch of each run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the schema has no key; any error from
    /// reading the runs.
    pub fn new(runs: Vec<SortedRun>, schema: &Schema) -> Result<Self> {
        let encoder = KeyEncoder::new(schema)?;
        let none = || Chunk::new(RecordBatch::new_empty(schema.fields.clone()), &encoder);
        let chunks = runs.iter().map(|_| none()).collect::<Result<_>>()?;
        let runs = runs.into_iter().map(|batches| OpenRun { batches: batches.fuse(), taken: 0 }).collect();
        let mut merge = Self { schema: schema.clone(), encoder, runs, chunks, block: Cutter::default(), failed: false };
        merge.load()?;
        Ok(merge)
    }

    fn next_groups(&mut self) -> Result<Option<SortedGroups>> {
        if self.block.is_done() {
            self.take_block();
        }
        let Some((_, mut groups)) = self.block.next(&self.chunks, true)? else { return Ok(None) };
        if self.block.is_done() {
            let last = self.block.last_key(&self.chunks).to_vec();
            self.load()?;
            groups.last_group_continues = self.heads().any(|head| head == last);
        }
        Ok(Some(groups))
    }

    /// Reads the next batch of each run whose current batch is taken completely.
    fn load(&mut self) -> Result<()> {
        for number in 0..self.runs.len() {
            let (run, chunk) = (&mut self.runs[number], &mut self.chunks[number]);
            if run.taken < chunk.rows() {
                continue;
            }
            let Some(batch) = run.next_batch().transpose()? else { continue };
            if batch.schema_ref() != &self.schema.fields || batch.num_rows() > ROWS_MAX {
                let rows = batch.num_rows();
                return Err(Error::internal(format!(
                    "a batch of {rows} rows cannot be merged (at most {ROWS_MAX} rows of `{}`)",
                    self.schema
                )));
            }
            let next = Chunk::new(batch, &self.encoder)?;
            let last = chunk.keys().iter().next_back();
            if !last.into_iter().chain(next.keys().iter()).is_sorted() {
                return Err(self.not_sorted(number));
            }
            (*chunk, run.taken) = (next, 0);
        }
        Ok(())
    }

    /// Takes the rows that certainly come next. The bound is the smallest last key of the current batches that further
    /// batches of their run may follow. Rows with a smaller key are taken from all runs; rows with the bound itself
    /// only from the first run that ends with it and from earlier runs, because that run may have more rows of this
    /// key, which come before those of later runs. If no further batch follows in any run, all rows are taken.
    fn take_block(&mut self) {
        let followed = self.open().filter(|(number, _)| !self.runs[*number].ends());
        let last_keys = followed.map(|(number, rows)| (number, self.chunks[number].keys().of(rows.end - 1)));
        let bound = last_keys.min_by_key(|(_, key)| *key);
        let mut ranges = vec![0..0; self.runs.len()];
        for (number, rows) in self.open() {
            let keys = self.chunks[number].keys();
            let comes = |row| match bound {
                Some((first, bound)) if number <= first => keys.of(row) <= bound,
                Some((_, bound)) => keys.of(row) < bound,
                None => true,
            };
            ranges[number] = rows.start..partition_point(rows, comes);
        }
        self.block = Cutter::new(Sorted::ranges(&self.chunks, &ranges), &self.chunks);
        for (run, rows) in self.runs.iter_mut().zip(ranges) {
            run.taken += rows.len();
        }
    }

    /// Returns the runs that have rows left, with the range of those rows in the current batch.
    fn open(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let left = self.runs.iter().zip(&self.chunks).map(|(run, chunk)| run.taken..chunk.rows());
        left.enumerate().filter(|(_, rows)| !rows.is_empty())
    }

    /// Returns the next key of each run that has rows left.
    fn heads(&self) -> impl Iterator<Item = &[u8]> {
        self.open().map(|(number, rows)| self.chunks[number].keys().of(rows.start))
    }

    fn not_sorted(&self, number: usize) -> Error {
        Error::input(format!(
            "run {} of {} is not sorted by its key: it was changed, or written by something else",
            number + 1,
            self.runs.len()
        ))
    }
}

impl OpenRun {
    /// Returns the next batch that has rows, or the next error.
    fn next_batch(&mut self) -> Option<Result<RecordBatch>> {
        self.batches.find(|batch| !batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0))
    }

    /// Returns whether the run is known to have no more batches.
    fn ends(&self) -> bool {
        self.batches.size_hint().1 == Some(0)
    }
}

/// Returns the first row of the range for which `is_before` is false, or the end of the range. `is_before` must be true
/// for all rows up to there and false from there on.
fn partition_point(rows: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut start, mut end) = (rows.start, rows.end);
    while start < end {
        let middle = start.midpoint(end);
        if is_before(middle) { start = middle + 1 } else { end = middle }
    }
    start
}

impl Iterator for Merge {
    type Item = Result<SortedGroups>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let groups = spend(Work::Merge, || self.next_groups());
        self.failed = groups.is_err();
        groups.transpose()
    }
}

impl FusedIterator for Merge {}
