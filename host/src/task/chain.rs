//! The chain of mappers for one shard in one attempt: each mapper's output is the input of the next, in memory.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use etl_core::model::{
    error::{Error, ErrorKind, Result},
    event::add_counters,
    reject::Reject,
    schema::Schema,
    shared::Shared,
};
use etl_core::text::rows::record_of;
use etl_plugin::{Attempt, Emit, Mapper, Plugin};

use crate::task::{records::Records, steps::Steps};

/// Receives the records that a chain sets aside.
pub trait SetAside: Send {
    /// Takes a record.
    ///
    /// # Errors
    /// Any error ends the attempt.
    fn set_aside(&mut self, reject: &Reject) -> Result<()>;

    /// Returns how many more records a step may set aside. Taking one more than these is an error.
    fn room(&self, step: &str) -> u64;
}

/// The opened mappers of one shard, in order.
pub struct Chain {
    mappers: Vec<Shared<Mapper>>,
    first: String,
    rejects: Shared<Box<dyn SetAside>>,
    /// What the first mapper was given last.
    given: Shared<Option<Given>>,
}

/// Records that the first mapper was given, from one of them on.
struct Given {
    records: Records,
    start: usize,
}

impl Given {
    /// Returns `reject` with the origin of the record that a row was made of, or that of the first record if it is not
    /// known which one that was.
    fn locate(&self, row: Option<u32>, reject: Reject) -> Reject {
        match row {
            Some(row) => self.records.locate(self.start + row as usize, reject),
            None => self.records.locate(self.start, reject).made_of_batch(),
        }
    }
}

/// For each row of the batch that a mapper is being given, the row of the first mapper's batch that it was made of; none
/// if a plugin did not say.
type Lineage = Shared<Option<Vec<u32>>>;

impl Chain {
    /// Opens an instance of each mapper, which may compute for the time that `time_max` has for it, if any. The output
    /// of the last one goes to `emit`; the records that any of them sets aside go to `rejects`.
    ///
    /// # Errors
    /// The error that an `open` returned, the way it failed, or the error of [`check_planned`].
    pub fn open(
        steps: &Steps,
        task: &Attempt,
        time_max: &[Duration],
        mut emit: Emit,
        rejects: Box<dyn SetAside>,
    ) -> Result<Self> {
        let rejects = Shared::new(rejects);
        let given = Shared::new(None);
        let lineages: Vec<Lineage> = steps.maps.iter().map(|_| Shared::new(None)).collect();
        let mut mappers = Vec::new();
        for (index, plugin) in steps.maps.iter().enumerate().rev() {
            let input = if index == 0 { &steps.source } else { &steps.mapped[index - 1] };
            let task = Attempt { time_max: time_max.get(index).copied(), ..task.clone() };
            let mapper = plugin.map(&task, input, emit)?;
            check_planned(plugin, mapper.schema(), &steps.mapped[index])?;
            let mapper = Shared::new(mapper);
            let before = (index > 1).then(|| lineages[index - 1].clone());
            let between = Between { before, after: lineages[index].clone(), given: given.clone() };
            emit = emit_to(&mapper, plugin.step(), &rejects, between);
            mappers.push(mapper);
        }
        mappers.reverse();
        let first = steps.maps.first().map(|plugin| plugin.step().to_owned()).unwrap_or_default();
        Ok(Self { mappers, first, rejects, given })
    }

    /// Returns the time that each mapper has computed so far.
    pub fn computed(&self) -> Vec<Duration> {
        self.mappers.iter().map(|mapper| mapper.lock().usage().time).collect()
    }

    /// Sets the given records aside.
    ///
    /// # Errors
    /// When more records are set aside than the pipeline allows, or they cannot be stored.
    pub fn set_aside(&mut self, rejects: &[Reject]) -> Result<()> {
        rejects.iter().try_for_each(|reject| self.rejects.lock().set_aside(reject))
    }

    /// Maps the given rows of a batch. Does nothing if there are none.
    ///
    /// # Errors
    /// The error that a plugin returned, or the way it failed; too many rejects; an error of the output.
    pub fn process(&mut self, records: &Records, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.mappers.len() > 1 {
            *self.given.lock() = Some(Given { records: records.clone(), start: rows.start });
        }
        let room = self.rejects.lock().room(&self.first);
        let rejected = self.mappers[0].lock().process(&records.rows().slice(rows.start, rows.len()), room)?;
        for (row, reason) in rejected {
            let reject = records.reject(rows.start + row as usize, &self.first, &reason);
            self.set_aside(&[reject])?;
        }
        Ok(())
    }

    /// Lets every mapper, in order, emit the rest of its output, and returns the sums of their counters.
    ///
    /// # Errors
    /// As [`Chain::process`].
    pub fn finish(&mut self) -> Result<BTreeMap<String, i64>> {
        let mut counters = BTreeMap::new();
        for mapper in &self.mappers {
            add_counters(&mut counters, &mapper.lock().finish()?);
        }
        Ok(counters)
    }
}

/// Checks that an instance emits the schema that the run was planned with.
///
/// # Errors
/// [`ErrorKind::Plugin`], naming both schemas.
pub fn check_planned(plugin: &Plugin, now: &Schema, then: &Schema) -> Result<()> {
    let Some(difference) = now.difference(then) else { return Ok(()) };
    let what = format!(
        "{} returned a different schema from `open` than when the run was planned (`{now}`, was `{then}`; \
         {difference}): the schema may depend only on the configuration and on the input's schema",
        plugin.name()
    );
    Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)))
}

/// What is known of the rows that pass from one mapper to the next.
struct Between {
    /// The lineage of the batch that the former mapper is being given; absent if it is the first.
    before: Option<Lineage>,
    /// That of the batch that the latter is being given.
    after: Lineage,
    given: Shared<Option<Given>>,
}

impl Between {
    /// Notes that the former mapper made rows of these rows of its batch.
    fn pass(&self, origins: Option<&[u32]>) {
        let passed = match &self.before {
            None => origins.map(<[u32]>::to_vec),
            Some(before) => origins.and_then(|origins| {
                let before = before.lock();
                let rows = before.as_ref()?;
                origins.iter().map(|origin| rows.get(*origin as usize).copied()).collect()
            }),
        };
        *self.after.lock() = passed;
    }

    /// Returns `reject` with the origin of a row that was passed.
    fn locate(&self, row: u32, reject: Reject) -> Reject {
        let origin = self.after.lock().as_ref().and_then(|rows| rows.get(row as usize).copied());
        match &*self.given.lock() {
            Some(given) => given.locate(origin, reject),
            None => reject,
        }
    }
}

/// Returns the output callback of the mapper that precedes `mapper` in the chain.
fn emit_to(mapper: &Shared<Mapper>, step: &str, rejects: &Shared<Box<dyn SetAside>>, between: Between) -> Emit {
    let (mapper, step, rejects) = (mapper.clone(), step.to_owned(), rejects.clone());
    Box::new(move |batch, origins| {
        between.pass(origins);
        let room = rejects.lock().room(&step);
        let rejected = mapper.lock().process(&batch, room)?;
        for (row, reason) in rejected {
            let reject = between.locate(row, Reject::new(&step, &reason));
            rejects.lock().set_aside(&reject.with_record(&record_of(&batch.slice(row as usize, 1))))?;
        }
        Ok(())
    })
}
