//! Writer that turns the batches of a map attempt into its shuffle file.

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use etl_core::{
    model::{
        error::{Error, Result},
        schema::Schema,
        times::Work,
    },
    runtime::{clock::spend, fail_point, scratch::Scratch},
};

use super::{
    Combiner, FanIn, NewCombiner, ShuffleIndex, buffer::SortBuffer, entry::PARTITION_BITS, output::ShuffleOutput,
    spill::Spill,
};

/// Maximum number of partitions of a shuffle.
pub const PARTITIONS_MAX: u32 = 1 << PARTITION_BITS;

/// Settings of a map attempt's shuffle.
#[derive(Debug, Clone)]
pub struct ShuffleSettings {
    /// Number of partitions that the keys are divided into: 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// Bytes of rows, keys and sort entries that are collected before they are sorted and spilled.
    pub memory_bytes: u64,
    /// How many spilled runs are merged at once.
    pub fan_in: FanIn,
    /// Scratch space that sorted runs are spilled to.
    pub scratch: Scratch,
}

/// Collects the keyed batches of one map attempt and writes them as one shuffle file.
pub struct ShuffleWriter {
    settings: ShuffleSettings,
    schema: Schema,
    combiner: Option<NewCombiner>,
    buffer: SortBuffer,
    spill: Option<Spill>,
}

impl ShuffleWriter {
    /// Creates a writer for batches of `schema`. With a `combiner`, every sorted run goes through a new combiner,
    /// unless hardly any of its rows share a key. As long as many rows share a key, rows are also combined as they
    /// arrive, 4 MiB at a time.
    ///
    /// # Errors
    /// [`etl_core::model::error::ErrorKind::Config`] when the schema has no key, or the number of partitions is not
    /// allowed.
    pub fn new(settings: ShuffleSettings, schema: Schema, combiner: Option<NewCombiner>) -> Result<Self> {
        if !(1..=PARTITIONS_MAX).contains(&settings.partitions) {
            let partitions = settings.partitions;
            return Err(Error::config(format!("`partitions` is {partitions} (use 1 to {PARTITIONS_MAX})")));
        }
        let buffer = SortBuffer::new(schema.clone(), settings.partitions)?;
        Ok(Self { settings, schema, combiner, buffer, spill: None })
    }

    /// Adds rows behind those already there. When enough rows are collected, sorts them, combines them and spills them
    /// to scratch before returning.
    ///
    /// # Errors
    /// [`etl_core::model::error::ErrorKind::Unavailable`] when scratch is unavailable;
    /// [`etl_core::model::error::ErrorKind::Plugin`] when the combiner breaks its rules; any error of the combiner. The
    /// writer cannot be used after an error.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        spend(Work::Sort, || self.buffer.push(batch, &mut self.combiner))?;
        if self.buffer.is_full(self.settings.memory_bytes) { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        let Self { settings, schema, combiner, buffer, spill } = self;
        let spill = match spill {
            Some(spill) => spill,
            None => spill.insert(Spill::new(schema, settings.partitions, &settings.scratch)?),
        };
        fail_point::reach("spill.begin");
        spend(Work::Spill, || spill.add(combiner, |run| buffer.drain_into(run)))?;
        fail_point::reach("spill.end");
        Ok(())
    }

    /// Writes the shuffle file to `out`, flushes it and returns its index. Spilled runs are merged into one sorted run
    /// if that lets the combiner leave half of the rows or less. Otherwise each spilled run stays a sorted run of its
    /// own, which the readers merge.
    ///
    /// # Errors
    /// As [`Self::push`]; [`etl_core::model::error::ErrorKind::Unavailable`] when `out` fails. After an error, the
    /// bytes given to `out` are of no use.
    pub fn finish(mut self, out: impl Write) -> Result<ShuffleIndex> {
        if self.spill.is_some() && !self.buffer.is_empty() {
            self.spill()?;
        }
        let Self { settings, schema, mut combiner, mut buffer, spill } = self;
        let run = |combiner: Option<Box<dyn Combiner>>| {
            let compression = Some(CompressionType::LZ4_FRAME);
            ShuffleOutput::new(out, &schema, settings.partitions, compression, combiner)
        };
        let new = |combiner: &mut Option<NewCombiner>| combiner.as_mut().map(|new| new()).transpose();
        let run = match spill {
            None => {
                let mut run = run(new(&mut combiner)?)?;
                buffer.drain_into(&mut run)?;
                run
            }
            Some(spill) if combiner.is_some() && spill.is_worth_combining(settings.fan_in)? => {
                let spill = spill.narrow(settings.fan_in, &mut combiner)?;
                let mut run = run(new(&mut combiner)?)?;
                spill.merge_into(spill.runs(), &mut run)?;
                run
            }
            Some(spill) => {
                let mut run = run(None)?;
                spill.copy_into(&mut run)?;
                run
            }
        };
        spend(Work::Write, || run.finish())
    }
}
