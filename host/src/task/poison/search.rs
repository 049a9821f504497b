//! The search for the poison records of a shard whose chain of mappers failed.
//!
//! When a mapper fails, its instance is lost, and with it all that it has counted and emitted in its attempt. So a
//! poison record is found after the fact: the records of a batch are replayed one by one in fresh instances, whose
//! output is discarded. Then the attempt starts over, and sets the poison records aside.
//!
//! The search depends on the records and the plugins only: a replay counts if the same step fails in the same way as it
//! did in the attempt, and with that record alone. A timeout of a busy machine is no proof, nor is the failure of a
//! mapper that has to see other records first. Called by the map stage, and by replays.

use std::ops::Range;

use etl_core::model::{
    error::{Error, Result},
    event::{Event, Events},
    ids::{ShardId, TaskId},
    reject::Reject,
};
use etl_plugin::{Attempt, Emit, Failure, PluginSettings};

use super::{Allowance, PoisonRecords, process};
use crate::{
    pipeline::Step,
    task::{
        chain::{Chain, SetAside},
        context::RunContext,
        records::Records,
    },
};

/// The search for the poison records of a shard whose chain of mappers failed.
pub(crate) struct Search<'a> {
    context: &'a RunContext,
    task: TaskId,
    /// The task that replayed instances are opened for.
    replayed: Attempt,
    shard: ShardId,
    /// The poison records that are set aside already.
    known: &'a PoisonRecords,
    /// The step that failed.
    step: &'a Step,
    error: Error,
    failure: Failure,
    allowance: &'a Allowance,
}

/// Drops what a replayed chain sets aside.
struct Dropped;

impl SetAside for Dropped {
    fn set_aside(&mut self, _: &Reject) -> Result<()> {
        Ok(())
    }

    fn room(&self, _: &str) -> u64 {
        u64::MAX
    }
}

impl<'a> Search<'a> {
    /// Begins to search a shard whose chain failed with `error`, although it was not given the `known` poison records.
    /// The caller must hold a worker. The search runs plugins for as long as the attempt's `allowance` lets it.
    ///
    /// # Errors
    /// Returns `error` when it is not a failure of a mapper, or when that mapper fails without any record, too. Fails
    /// also when an instance cannot be made.
    pub(crate) fn new(
        context: &'a RunContext,
        task: &Attempt,
        shard: ShardId,
        known: &'a PoisonRecords,
        allowance: &'a Allowance,
        error: Error,
    ) -> Result<Self> {
        let Some(failure) = error.cause::<Failure>().cloned() else { return Err(error) };
        let Some(step) = context.pipeline.maps.iter().find(|step| step.plugin.name == failure.step) else {
            return Err(error);
        };
        allowance.begin(&failure);
        // The search asks whether another attempt would fail, too, so instances are given the number of the next
        // attempt. Their events are dropped, because the failed attempt has emitted the same ones.
        let replayed = Attempt {
            task: TaskId::of_shard(shard),
            attempt: task.attempt.next(),
            events: Events::silent(),
            ..task.clone()
        };
        let search = Self { context, task: task.task, replayed, shard, known, step, error, failure, allowance };
        match search.run(|chain| chain.finish().err())? {
            Some(of_nothing) if search.like(&of_nothing).is_some() => Err(search.error),
            _ => Ok(search),
        }
    }

    /// Returns whether a fresh chain fails on a whole batch in the same way.
    ///
    /// # Errors
    /// Fails when an instance cannot be made.
    pub(crate) fn fails(&self, records: &Records) -> Result<bool> {
        let rows = records.rows().num_rows();
        Ok(self.replay(records, 0..rows, rows)?.is_some_and(|(_, error)| self.like(&error).is_some()))
    }

    /// Finds poison records in a batch, and returns whether there are any. If so, the shard can be mapped again without
    /// them.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), with the record, when the shard has more poison
    /// records than `max_rejects` allows; fails also when an instance cannot be made.
    pub(crate) fn in_batch(&self, records: &Records) -> Result<bool> {
        let known = self.known.values().filter(|known| known.step == self.step.plugin.name).count() as u64;
        let allowed = self.step.max_rejects.saturating_sub(known);
        let found = self.find(records, usize::try_from(allowed).unwrap_or(usize::MAX).saturating_add(1))?;
        let reject = |number, failure: &Failure| records.reject(records.row(number), &failure.step, &failure.what);
        if let Some((number, failure)) = found.last_key_value()
            && found.len() as u64 > allowed
        {
            return Err(self.too_many(&reject(*number, failure), failure));
        }
        let any = !found.is_empty();
        for (number, failure) in &self.context.poison.add(self.shard, found) {
            let Reject { object, offset, row, step, reason, .. } = reject(*number, failure);
            let (task, shard, record) = (self.task, self.shard, *number);
            self.context.events.emit(Event::PoisonRecord { step, task, shard, record, object, offset, row, reason });
        }
        Ok(any)
    }

    /// Returns whether the attempt has used up its time.
    pub(crate) fn is_over(&self) -> bool {
        self.allowance.used_up().is_some()
    }

    /// Ends a search that found nothing. Returns the error of the attempt, with the remark that no record was found,
    /// and with the batch that fails as a whole, if there is one.
    pub(crate) fn no_culprit(self, whole: Option<String>) -> Error {
        let whole = whole.map(|records| format!(", only the batch as a whole, {records}")).unwrap_or_default();
        self.error.context(format!("no single record makes the mapper fail{whole}"))
    }

    /// Names a batch by its first and its last record.
    ///
    /// # Errors
    /// Fails when a record cannot be written as JSON.
    pub(crate) fn ends(records: &Records) -> Result<String> {
        let named = |row| {
            let reject = records.reject(row, "", "");
            Ok::<_, Error>(format!("{} ({})", reject.shown_record(), reject.place().unwrap_or_default()))
        };
        Ok(format!("from {} to {}", named(0)?, named(records.rows().num_rows().saturating_sub(1))?))
    }

    fn too_many(&self, reject: &Reject, failure: &Failure) -> Error {
        let Step { plugin: PluginSettings { name, .. }, max_rejects, .. } = self.step;
        let (record, place) = (reject.shown_record(), reject.place().unwrap_or_default());
        Error::input(failure).context(format!(
            "{record} ({place}) makes `{name}` fail each time, and its `max_rejects` allows no further reject (limit \
             {max_rejects})"
        ))
    }

    /// Returns up to `most` poison records of a batch, each of which makes a chain fail alone. That a mapper fails at a
    /// record after others shows nothing: it may be the sum of all that is too much. May return fewer when the time of
    /// the attempt is used up.
    fn find(&self, records: &Records, most: usize) -> Result<PoisonRecords> {
        let (mut next, mut found) = (0, PoisonRecords::new());
        let enough = |found: &PoisonRecords| found.len() >= most || self.is_over();
        while !enough(&found)
            && next < records.rows().num_rows()
            && let Some((row, error)) = self.replay(records, next..records.rows().num_rows(), 1)?
        {
            if let Some(failure) = self.like(&error) {
                if row == next {
                    found.insert(records.number(row), failure);
                } else {
                    let before = found.len();
                    self.by_halves(records, row..row + 1, &mut found, &enough)?;
                    if found.len() == before {
                        self.by_halves(records, next..row + 1, &mut found, &enough)?;
                    }
                }
            }
            next = row + 1;
        }
        Ok(found)
    }

    /// Adds to `found` the rows that each make a chain fail alone, by searching in halves.
    fn by_halves(
        &self,
        records: &Records,
        rows: Range<usize>,
        found: &mut PoisonRecords,
        enough: &impl Fn(&PoisonRecords) -> bool,
    ) -> Result<()> {
        if enough(found) {
            return Ok(());
        }
        let failed = self.replay(records, rows.clone(), rows.len())?;
        let Some(failure) = failed.and_then(|(_, error)| self.like(&error)) else { return Ok(()) };
        if rows.len() == 1 {
            found.insert(records.number(rows.start), failure);
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        self.by_halves(records, rows.start..middle, found, enough)?;
        self.by_halves(records, middle..rows.end, found, enough)
    }

    /// Gives these rows to a fresh chain, `at_a_time` in each call. If a call fails, returns the first row of that call
    /// and the error; if the chain fails at its end, returns the last row and the error.
    fn replay(&self, records: &Records, rows: Range<usize>, at_a_time: usize) -> Result<Option<(usize, Error)>> {
        self.run(|chain| {
            for row in rows.clone().step_by(at_a_time.max(1)) {
                let some = row..rows.end.min(row + at_a_time);
                if let Err(error) = process(chain, records, some, self.known) {
                    return Some((row, error));
                }
            }
            chain.finish().err().map(|error| (rows.end.saturating_sub(1), error))
        })
    }

    /// Lets `replay` use a fresh chain, whose output is discarded, and charges the time that its mappers computed.
    fn run<R>(&self, replay: impl FnOnce(&mut Chain) -> R) -> Result<R> {
        let left = self.allowance.left();
        let emit: Emit = Box::new(|_, _| Ok(()));
        let mut chain = Chain::open(&self.context.steps, &self.replayed, &left, emit, Box::new(Dropped))?;
        let replayed = replay(&mut chain);
        self.allowance.charge(&chain.computed());
        Ok(replayed)
    }

    /// Returns the plugin failure that caused an error, if it is like the failure of the shard.
    fn like(&self, error: &Error) -> Option<Failure> {
        error.cause::<Failure>().filter(|failure| failure.is_like(&self.failure)).cloned()
    }
}
