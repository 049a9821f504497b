//! Merges sorted runs to one stream of sorted batches with group ends.

use std::{cmp::Ordering, iter::FusedIterator, mem};

use arrow_array::RecordBatch;
use arrow_row::Rows;
use arrow_select::interleave::interleave_record_batch;

use super::{BATCH_BYTES, SortedGroups, SortedRun, keys::KeyEncoder, sizes::RowSizes};
use crate::{
    error::{Error, ErrorKind, Result, ResultExt},
    schema::Schema,
    times::{Work, spend},
};

/// How many first bytes of a key are compared as one integer.
const PREFIX_BYTES: usize = size_of::<u128>();

/// The rows of all runs by key; rows of one key by run, and within a run in its order. Ends after the first error.
///
/// Holds one batch of each run and the one it makes. A run that is not sorted is an error of kind
/// [`ErrorKind::Input`], not silent disorder.
pub struct Merge {
    schema: Schema,
    encoder: KeyEncoder,
    cursors: Vec<Cursor>,
    tree: LoserTree,
    /// The batches that `rows` and the cursors point into.
    batches: Vec<RecordBatch>,
    /// The rows of the next batch: which of `batches`, and which row.
    rows: Vec<(usize, usize)>,
    bytes: usize,
    group_ends: Vec<u32>,
    /// The prefix of the key of the last row taken; before the first row, that of no key.
    last_prefix: Option<u128>,
    /// That key, if it is longer than its prefix.
    last_key: Vec<u8>,
    failed: bool,
}

impl Merge {
    /// Starts merging; reads the first batch of each run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the schema has no key; what reading the runs fails with.
    pub fn new(runs: Vec<SortedRun>, schema: &Schema) -> Result<Self> {
        let encoder = KeyEncoder::new(schema)?;
        let mut batches = Vec::with_capacity(runs.len());
        let mut cursors = Vec::with_capacity(runs.len());
        for run in runs {
            let mut cursor = Cursor::new(run, &encoder);
            cursor.load(&encoder, schema, &mut batches)?;
            cursors.push(cursor);
        }
        Ok(Self {
            schema: schema.clone(),
            encoder,
            tree: LoserTree::new(cursors.len(), |a, b| comes_first(&cursors, a, b)),
            cursors,
            batches,
            rows: Vec::new(),
            bytes: 0,
            group_ends: Vec::new(),
            last_prefix: None,
            last_key: Vec::new(),
            failed: false,
        })
    }

    /// Takes rows until they are enough for a batch, or there are no more.
    fn next_groups(&mut self) -> Result<Option<SortedGroups>> {
        let mut order = self.next_order();
        while let Some(ordering) = order {
            match ordering {
                Ordering::Less => return Err(self.not_sorted()),
                Ordering::Equal => {}
                Ordering::Greater => self.start_group(),
            }
            self.take_row()?;
            order = self.next_order();
            if self.bytes >= BATCH_BYTES {
                break;
            }
        }
        if self.rows.is_empty() {
            return Ok(None);
        }
        self.end_group();
        let group_ends = mem::take(&mut self.group_ends);
        let last_group_continues = order == Some(Ordering::Equal);
        Ok(Some(SortedGroups { batch: self.cut_batch()?, group_ends, last_group_continues }))
    }

    /// Compares the key of the next row with that of the last one; `None` when there is no next row.
    fn next_order(&self) -> Option<Ordering> {
        let cursor = self.cursors.get(self.tree.winner()).filter(|cursor| !cursor.done)?;
        Some(compare(cursor, self.last_prefix, || &self.last_key))
    }

    fn start_group(&mut self) {
        if !self.rows.is_empty() {
            self.end_group();
        }
        let cursor = &self.cursors[self.tree.winner()];
        self.last_prefix = Some(cursor.prefix);
        self.last_key.clear();
        if cursor.key().len() > PREFIX_BYTES {
            self.last_key.extend_from_slice(cursor.key());
        }
    }

    fn end_group(&mut self) {
        self.group_ends.push(u32::try_from(self.rows.len()).expect("a batch has at most as many rows as bytes"));
    }

    fn take_row(&mut self) -> Result<()> {
        let winner = self.tree.winner();
        let cursor = &mut self.cursors[winner];
        self.rows.push((cursor.batch, cursor.row));
        self.bytes += cursor.sizes.row(cursor.row);
        if !cursor.step() {
            cursor.load(&self.encoder, &self.schema, &mut self.batches)?;
        }
        let cursors = &self.cursors;
        self.tree.replay(|a, b| comes_first(cursors, a, b));
        Ok(())
    }

    /// Puts the rows taken together, and lets go of the batches that are used up.
    fn cut_batch(&mut self) -> Result<RecordBatch> {
        let (first, last) = (self.rows[0], self.rows[self.rows.len() - 1]);
        let batch = if first.0 == last.0 && last.1 - first.1 + 1 == self.rows.len() {
            // A batch's rows are taken in order and all of them, so these have no row of another batch among them.
            Ok(self.batches[first.0].slice(first.1, self.rows.len()))
        } else {
            interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), &self.rows)
        };
        self.rows.clear();
        self.bytes = 0;
        let used = mem::take(&mut self.batches);
        for cursor in self.cursors.iter_mut().filter(|cursor| !cursor.done) {
            self.batches.push(used[cursor.batch].clone());
            cursor.batch = self.batches.len() - 1;
        }
        batch.or_kind(ErrorKind::Internal, || "cannot put merged rows together")
    }

    fn not_sorted(&self) -> Error {
        Error::input(format!(
            "run {} of {} is not sorted by its key: it was changed, or written by something else",
            self.tree.winner() + 1,
            self.cursors.len()
        ))
    }
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

/// A place in a run.
struct Cursor {
    run: SortedRun,
    batch: usize,
    row: usize,
    keys: Rows,
    sizes: RowSizes,
    /// The first bytes of the row's key, as an integer that compares like them.
    prefix: u128,
    done: bool,
}

impl Cursor {
    fn new(run: SortedRun, encoder: &KeyEncoder) -> Self {
        let (keys, sizes) = (encoder.no_keys(), RowSizes::default());
        Self { run, batch: 0, row: 0, keys, sizes, prefix: 0, done: false }
    }

    fn key(&self) -> &[u8] {
        self.keys.row(self.row).data()
    }

    /// Goes to the next row of the batch; false if there is none.
    fn step(&mut self) -> bool {
        self.row += 1;
        let more = self.row < self.keys.num_rows();
        if more {
            self.prefix = prefix(self.key());
        }
        more
    }

    /// Goes to the first row of the run's next batch, which it adds to `batches`, or is done.
    fn load(&mut self, encoder: &KeyEncoder, schema: &Schema, batches: &mut Vec<RecordBatch>) -> Result<()> {
        let batch = self.run.find(|batch| !batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0)).transpose()?;
        self.done = batch.is_none();
        let Some(batch) = batch else { return Ok(()) };
        if batch.schema_ref() != &schema.fields {
            return Err(Error::internal(format!("a run of other columns than `{schema}` was merged")));
        }
        encoder.encode_into(&batch, &mut self.keys)?;
        (self.batch, self.row) = (batches.len(), 0);
        self.sizes = RowSizes::new(&batch);
        self.prefix = prefix(self.key());
        batches.push(batch);
        Ok(())
    }
}

fn prefix(key: &[u8]) -> u128 {
    let mut bytes = [0; PREFIX_BYTES];
    let length = key.len().min(PREFIX_BYTES);
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

/// Compares the key of the row at a cursor with another key, of which a longer rest is asked for only if it matters.
fn compare<'a>(cursor: &Cursor, prefix: Option<u128>, key: impl FnOnce() -> &'a [u8]) -> Ordering {
    match Some(cursor.prefix).cmp(&prefix) {
        // No key is the beginning of another one, so with the same prefix one that fits it is the same.
        Ordering::Equal if cursor.key().len() > PREFIX_BYTES => cursor.key().cmp(key()),
        order => order,
    }
}

/// Returns whether the row at cursor `a` comes before that at `b`. A cursor that is done comes last.
fn comes_first(cursors: &[Cursor], a: usize, b: usize) -> bool {
    let (left, right) = (&cursors[a], &cursors[b]);
    if left.done || right.done {
        return right.done && !left.done;
    }
    compare(left, Some(right.prefix), || right.key()).then(a.cmp(&b)).is_lt()
}

/// Finds the first of several contenders again, after it changed, in log2(contenders) comparisons.
///
/// Leaf `i` is contender `i`; each node above holds the loser of its two sides, and the root the winner of all.
struct LoserTree {
    nodes: Vec<usize>,
}

impl LoserTree {
    const EMPTY: usize = usize::MAX;

    fn new(contenders: usize, wins: impl Fn(usize, usize) -> bool) -> Self {
        let mut tree = Self { nodes: vec![Self::EMPTY; contenders] };
        for contender in 0..contenders {
            tree.play(contender, &wins);
        }
        tree
    }

    /// Returns the winner; not a contender if there are none.
    fn winner(&self) -> usize {
        self.nodes.first().copied().unwrap_or(Self::EMPTY)
    }

    fn replay(&mut self, wins: impl Fn(usize, usize) -> bool) {
        self.play(self.winner(), wins);
    }

    /// Plays from a leaf up. While the tree is filled, the first of two sides waits at the node for the other.
    fn play(&mut self, contender: usize, wins: impl Fn(usize, usize) -> bool) {
        let mut winner = contender;
        let mut node = (contender + self.nodes.len()) / 2;
        while node > 0 {
            if self.nodes[node] == Self::EMPTY {
                self.nodes[node] = winner;
                return;
            }
            if wins(self.nodes[node], winner) {
                mem::swap(&mut self.nodes[node], &mut winner);
            }
            node /= 2;
        }
        self.nodes[0] = winner;
    }
}
