//! Output of sorted batches to a shuffle file, through the combiner if there is one.
//!
//! Owns the rules for what a combiner returns: its rows are cut into partitions again and must come in order.

use std::{io::Write, mem};

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_select::concat::concat_batches;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        schema::Schema,
        sizes::{Measure, RowSizes},
        times::Work,
    },
    runtime::clock::spend,
};

use super::{
    BATCH_BYTES, Combiner, ShuffleIndex, SortedGroups, file::ShuffleFileWriter, keys::KeyEncoder, partition_of,
};

/// Combining pays if a key has at least this many rows on average. With fewer, the plugin returns most of what it is
/// given and takes more time than it saves.
pub(super) const COMBINED_ROWS_PER_KEY_MIN: usize = 2;

/// Sorted rows on their way into a shuffle file.
pub(super) struct ShuffleOutput<W: Write> {
    file: ShuffleFileWriter<W>,
    combining: Option<Combining>,
}

impl<W: Write> ShuffleOutput<W> {
    pub(super) fn new(
        out: W,
        schema: &Schema,
        partitions: u32,
        compression: Option<CompressionType>,
        combiner: Option<Box<dyn Combiner>>,
    ) -> Result<Self> {
        let file = ShuffleFileWriter::new(out, schema, compression)?;
        let combining = combiner.map(|combiner| Combining::new(combiner, schema.clone(), partitions)).transpose()?;
        Ok(Self { file, combining })
    }

    /// Returns whether there is a combiner. Only then do the group ends of pushed rows matter.
    pub(super) fn combines(&self) -> bool {
        self.combining.is_some()
    }

    /// Removes the combiner. Must be called before anything is pushed.
    pub(super) fn leave_uncombined(&mut self) {
        self.combining = None;
    }

    /// Starts the next sorted run. Must not be called with a combiner.
    pub(super) fn next_run(&mut self) {
        self.file.next_run();
    }

    /// Adds sorted rows of one partition, uncombined.
    pub(super) fn copy(&mut self, partition: u32, batch: &RecordBatch) -> Result<()> {
        spend(Work::Write, || self.file.write(partition, batch))
    }

    /// Adds rows of one partition, which must not come before those already pushed.
    pub(super) fn push(&mut self, partition: u32, groups: &SortedGroups) -> Result<()> {
        let Some(combining) = &mut self.combining else {
            return self.copy(partition, &groups.batch);
        };
        let SortedGroups { batch, group_ends, last_group_continues } = groups;
        let combined = combining.combiner.process(batch, group_ends, *last_group_continues)?;
        combining.write(&combined, &mut self.file)
    }

    /// Writes the rows the combiner still holds, and completes the file.
    pub(super) fn finish(mut self) -> Result<ShuffleIndex> {
        if let Some(combining) = &mut self.combining {
            let combined = combining.combiner.finish()?;
            combining.write(&combined, &mut self.file)?;
            combining.flush(&mut self.file)?;
        }
        self.file.finish()
    }
}

/// A combiner, and the rows it returned that are not written yet, as slices of one partition.
struct Combining {
    combiner: Box<dyn Combiner>,
    schema: Schema,
    encoder: KeyEncoder,
    partitions: u32,
    partition: u32,
    last_key: Vec<u8>,
    slices: Vec<RecordBatch>,
    bytes: usize,
}

impl Combining {
    fn new(combiner: Box<dyn Combiner>, schema: Schema, partitions: u32) -> Result<Self> {
        let encoder = KeyEncoder::new(&schema)?;
        let (last_key, slices) = (Vec::new(), Vec::new());
        Ok(Self { combiner, schema, encoder, partitions, partition: 0, last_key, slices, bytes: 0 })
    }

    fn write<W: Write>(&mut self, batches: &[RecordBatch], file: &mut ShuffleFileWriter<W>) -> Result<()> {
        batches.iter().try_for_each(|batch| self.write_batch(batch, file))
    }

    /// Checks the order of the rows, and writes them, cut by partition and size.
    fn write_batch<W: Write>(&mut self, batch: &RecordBatch, file: &mut ShuffleFileWriter<W>) -> Result<()> {
        check_combined(batch, &self.schema)?;
        let keys = self.encoder.encode(batch)?;
        let sizes = RowSizes::new(batch, Measure::Memory);
        let last_key = mem::take(&mut self.last_key);
        let (mut last_key, mut start) = (last_key.as_slice(), 0);
        for (row, key) in keys.iter().enumerate() {
            let partition = partition_of(key, self.partitions);
            if (partition, key) < (self.partition, last_key) {
                return Err(out_of_order());
            }
            if partition != self.partition || self.bytes >= BATCH_BYTES {
                self.slices.push(batch.slice(start, row - start));
                self.flush(file)?;
                (self.partition, start) = (partition, row);
            }
            self.bytes += sizes.row(row);
            last_key = key;
        }
        self.last_key = last_key.to_vec();
        self.slices.push(batch.slice(start, batch.num_rows() - start));
        Ok(())
    }

    fn flush<W: Write>(&mut self, file: &mut ShuffleFileWriter<W>) -> Result<()> {
        let slices = mem::take(&mut self.slices);
        self.bytes = 0;
        spend(Work::Write, || {
            let batch = concat_batches(&self.schema.fields, &slices);
            file.write(self.partition, &batch.or_kind(ErrorKind::Internal, || "cannot join combined batches")?)
        })
    }
}

/// Checks that a combiner emitted the columns it was given.
pub(super) fn check_combined(batch: &RecordBatch, schema: &Schema) -> Result<()> {
    let emitted = Schema { fields: batch.schema(), key_fields: schema.key_fields };
    let Some(difference) = emitted.difference(schema) else { return Ok(()) };
    Err(plugin_error(format!(
        "the combiner emitted `{emitted}` instead of `{schema}` ({difference}); a combiner must emit the schema it is \
         given"
    )))
}

fn out_of_order() -> Error {
    plugin_error(
        "the combiner emitted rows out of key order; a combiner must emit rows in the order in which it is given \
         their keys"
            .to_owned(),
    )
}

fn plugin_error(message: String) -> Error {
    Error::new(ErrorKind::Plugin, anyhow::anyhow!(message))
}
