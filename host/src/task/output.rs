//! The output of a task: a shuffle file, or parts of the result.

use std::{
    io::{self, Write},
    sync::Arc,
};

use arrow_array::RecordBatch;
use etl_core::{
    model::{
        error::{Error, Result},
        event::Stage,
        ids::{AttemptId, TaskId},
        part::PartName,
        shared::Shared,
        times::Work,
    },
    runtime::{clock::spend, threads},
};
use etl_plugin::{Attempt, Emit};
use etl_shuffle::{FanIn, NewCombiner, ShuffleSettings, ShuffleWriter};
use etl_store::{Note, Pending, Store, upload::Upload};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    connector::{PartSink, Room, SinkResult},
    pipeline::PipelineSink,
    run_store::{
        commit::Output,
        layout::PlanLayout,
        uploads::{Uploaded, note},
    },
    task::{
        charge::{Charge, Charged},
        combine::PluginCombiner,
        context::RunContext,
        partitioning::Partitioning,
        parts::{PartStore, PartsOf, PartsWriter},
    },
};

/// The most sorted runs, spilled or fetched, that are merged at once. Their batches fit the memory unless many of their
/// rows are larger than a batch usually is.
pub const FAN_IN: FanIn = FanIn { runs: 64, bytes: 76 << 20 };

/// Writes the output of one attempt under keys that no other attempt uses. Blocks, so it must not be used on a thread
/// of the async runtime.
pub struct OutputWriter {
    target: Target,
    charge: Charge,
    /// Number of instances whose rows go into this output.
    instances: u64,
    rows: u64,
}

enum Target {
    ShuffleFile { shuffle: Box<ShuffleWriter>, key: String, note: Note },
    Parts(Box<PartsWriter>),
}

/// The completed output of an attempt.
pub struct Written {
    /// The output in the form that the attempt's commit stores.
    pub output: Output,
    /// Number of rows that were written to the [`OutputWriter`], before any combining.
    pub rows: u64,
    /// Size of the written object, in bytes.
    pub bytes: u64,
}

impl OutputWriter {
    /// Begins the shuffle file of an attempt at a map task.
    ///
    /// # Errors
    /// Fails as [`shuffle`] does.
    pub fn shuffle_file(
        context: &Arc<RunContext>,
        layout: &PlanLayout,
        task: &Attempt,
        attempt: &AttemptId,
        partitions: u32,
    ) -> Result<Self> {
        let key = layout.shuffle_file(task.task, attempt);
        let of = (Stage::Map, task.task, attempt);
        let note = note(&context.stores.run_store, layout, of, (Uploaded::ShuffleFile, 0), &key);
        let shuffle = Box::new(shuffle(context, task, partitions)?);
        let charge = Charge::new(context.steps.last_map(), "in the shuffle file".to_owned());
        Ok(Self { target: Target::ShuffleFile { shuffle, key, note }, charge, instances: 0, rows: 0 })
    }

    /// Begins the parts of the result that an attempt at a task of this stage writes, with rows of the schema that the
    /// last step emits.
    ///
    /// # Errors
    /// Fails when the sink cannot be written.
    pub fn parts(
        context: &RunContext,
        layout: &PlanLayout,
        stage: Stage,
        task: TaskId,
        attempt: &AttemptId,
    ) -> Result<Self> {
        let PipelineSink { format, parts: settings, .. } = &context.pipeline.sink;
        let partitioning = Partitioning::new(&settings.by, &context.steps.output)?;
        let of =
            PartsOf { task, format: format.clone(), settings: settings.clone(), partitioning: Arc::new(partitioning) };
        let writer = PartsWriter::new(of, Box::new(AttemptParts::new(context, layout, (stage, task, attempt))))?;
        let last = context.steps.reduce.as_ref().unwrap_or(context.steps.last_map());
        let charge = Charge::new(last, format!("as `{}`", format.name()));
        Ok(Self { target: Target::Parts(Box::new(writer)), charge, instances: 0, rows: 0 })
    }

    /// Returns the receiver of what the next instance of the step emits. It adds the rows to the output, and fails as
    /// [`Charge::spend`] does, when the rows cannot be written in the sink's format, when the combiner fails, and when
    /// there is no space left.
    pub fn outlet(output: &Shared<Self>) -> Emit {
        output.lock().admit();
        let output = output.clone();
        Box::new(move |batch, _| output.lock().write(batch))
    }

    /// Makes room for the output of the next instance.
    fn admit(&mut self) {
        self.instances += 1;
        match self.target {
            // What one instance leaves of its room is not for the next one.
            Target::Parts(_) => self.charge.renew(1),
            // Nothing is written before the last instance has ended.
            Target::ShuffleFile { .. } => self.charge.renew(self.instances),
        }
    }

    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        match &mut self.target {
            Target::ShuffleFile { shuffle, .. } => shuffle.push(batch),
            Target::Parts(writer) => self.charge.spend(writer.write(&batch)?),
        }
    }

    /// Completes the written object. The object is garbage until a commit names it.
    ///
    /// # Errors
    /// Fails as the receivers of [`OutputWriter::outlet`] do, and when the store fails.
    pub fn finish(self, run_store: &Store) -> Result<Written> {
        match self.target {
            Target::ShuffleFile { shuffle, key, note } => {
                let mut upload = Charged { out: Upload::noted(run_store, &key, note), charge: self.charge };
                let index = shuffle.finish(&mut upload)?;
                spend(Work::Write, || upload.out.finish())?;
                Ok(Written { rows: self.rows, bytes: index.size_bytes, output: Output::ShuffleFile { key, index } })
            }
            Target::Parts(writer) => {
                let parts = writer.finish()?;
                let bytes = parts.iter().map(|part| part.bytes).sum();
                Ok(Written { rows: self.rows, bytes, output: Output::Parts(parts) })
            }
        }
    }
}

/// The parts of one attempt in the sink. Their uploads are noted in the run store.
pub struct AttemptParts {
    run_store: Store,
    layout: PlanLayout,
    result: Arc<dyn SinkResult>,
    of: (Stage, TaskId, AttemptId),
    room: Room,
}

impl AttemptParts {
    /// Returns the parts of an attempt at a task.
    pub fn new(context: &RunContext, layout: &PlanLayout, (stage, task, attempt): (Stage, TaskId, &AttemptId)) -> Self {
        let many_at_a_time = !context.pipeline.sink.parts.by.is_empty();
        Self {
            run_store: context.stores.run_store.clone(),
            layout: layout.clone(),
            result: Arc::clone(&context.layouts.result),
            of: (stage, task, attempt.clone()),
            room: if many_at_a_time { Room::Shared } else { Room::Alone },
        }
    }
}

impl PartStore for AttemptParts {
    fn begin(&self, name: &PartName, number: u32) -> Box<dyn PartSink> {
        let (stage, task, attempt) = &self.of;
        let of = (*stage, *task, attempt);
        let noted = |key: &str| note(&self.run_store, &self.layout, of, (Uploaded::Part, number), key);
        self.result.writer(name, attempt, self.room, &noted)
    }

    fn discard(&self, name: &PartName, pending: &Pending) {
        threads::wait_on_runtime(self.result.discard(name, pending));
    }
}

/// Output that hashes the bytes written to it, for the digest of a part. The shuffle hashes its files itself.
pub struct HashedPart<W> {
    out: W,
    hash: Xxh3,
}

impl<W> HashedPart<W> {
    /// Creates an output of no bytes so far.
    pub fn new(out: W) -> Self {
        Self { out, hash: Xxh3::new() }
    }

    /// Returns the output, and the XXH3-128 digest of its bytes, in hexadecimal.
    pub fn finish(self) -> (W, String) {
        (self.out, format!("{:032x}", self.hash.digest128()))
    }
}

impl<W: Write> Write for HashedPart<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Begins the shuffle of what a map task emits. Its rows are combined if the pipeline asks for that.
///
/// # Errors
/// Fails when the schema of the map output has no key.
pub fn shuffle(context: &Arc<RunContext>, task: &Attempt, partitions: u32) -> Result<ShuffleWriter> {
    let settings = ShuffleSettings {
        partitions,
        memory_bytes: context.pipeline.run.shuffle_memory_bytes,
        fan_in: FAN_IN,
        scratch: context.resources.scratch.clone(),
    };
    let combines = context.pipeline.reduce.as_ref().is_some_and(|reduce| reduce.combine);
    ShuffleWriter::new(settings, context.steps.shuffled().clone(), combines.then(|| combiner(context, task)))
}

fn combiner(context: &Arc<RunContext>, task: &Attempt) -> NewCombiner {
    let (context, task) = (Arc::clone(context), task.clone());
    Box::new(move || {
        let steps = &context.steps;
        let plugin = steps.reduce.as_ref().ok_or_else(|| Error::internal("there is no reducer to combine with"))?;
        Ok(Box::new(PluginCombiner::open(plugin, steps.shuffled(), &task)?))
    })
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    #[test]
    fn the_digest_of_a_part_is_that_of_the_bytes_its_output_took() {
        let mut room = [0; 5];
        let mut hashed = HashedPart::new(&mut room[..]);
        hashed.write_all(b"abc").expect("there is room");
        hashed.write_all(b"defg").expect_err("there is room for two bytes");
        let (_, digest) = hashed.finish();
        assert_eq!(digest, format!("{:032x}", xxh3_128(b"abcde")));
    }
}
