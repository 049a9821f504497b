//! The search for the poison records of a shard whose chain failed.
//!
//! A mapper that fails takes its instance with it, and all it has counted and emitted in its attempt. So a poison record
//! is found after the fact: the records of a batch are replayed one by one in fresh instances, whose output goes
//! nowhere. Then the attempt starts over, and sets aside what was found.
//!
//! What is found depends on the records and the plugins only: a replay counts if the same step fails in the same way as
//! it did in the attempt, and with that record alone. A timeout of a busy machine, or a mapper that wants to have seen
//! other records first, is no proof. Called by the map stage, and by replays.

use std::{ops::Range, time::Instant};

use super::{Found, process};
use crate::{
    chain::Chain,
    context::RunContext,
    error::{Error, Result},
    event::{Event, Events},
    pipeline::Step,
    plugin::{Failure, PluginSettings, Task},
    records::Records,
    reject::Reject,
};

/// The search for the poison records of a shard whose chain failed.
pub struct Search<'a> {
    context: &'a RunContext,
    task: u32,
    /// What instances are told.
    replayed: Task,
    shard: u32,
    /// What is set aside already.
    known: &'a Found,
    /// The step that failed.
    step: &'a Step,
    error: Error,
    failure: Failure,
    started: Instant,
}

impl<'a> Search<'a> {
    /// Begins to search a shard whose chain said `error` when it was not given the records that are `known`. Call with a
    /// worker: waits for plugins for about `limits.timeout` of the step that failed at most, or some times its
    /// `batch_timeout`.
    ///
    /// # Errors
    /// What the chain said, when it was no step of the chain that failed, or that step fails without any record, too;
    /// what keeps an instance from being made.
    pub fn new(context: &'a RunContext, task: &Task, shard: u32, known: &'a Found, error: Error) -> Result<Self> {
        let Some(failure) = error.cause::<Failure>().cloned() else { return Err(error) };
        let Some(step) = context.pipeline.maps.iter().find(|step| step.plugin.name == failure.step) else {
            return Err(error);
        };
        // Would another try fail, too? That is the question, so it is what they are told. What they say was said before.
        let replayed = Task { task: shard, attempt: task.attempt + 1, events: Events::default(), ..task.clone() };
        let (task, started) = (task.task, Instant::now());
        let search = Self { context, task, replayed, shard, known, step, error, failure, started };
        let of_nothing = search.open()?.finish();
        if of_nothing.is_err_and(|error| search.like(&error).is_some()) {
            return Err(search.error);
        }
        Ok(search)
    }

    /// Returns whether a fresh chain fails on a batch, too.
    ///
    /// # Errors
    /// What keeps an instance from being made.
    pub fn fails(&self, records: &Records) -> Result<bool> {
        let rows = records.rows().num_rows();
        Ok(self.replay(records, 0..rows, rows)?.is_some_and(|(_, error)| self.like(&error).is_some()))
    }

    /// Finds poison records in a batch, and returns whether there are any: then the shard can be mapped without them.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::error::ErrorKind::Input), with the record, when the shard has more of them than
    /// `max_rejects` allows for; what keeps an instance from being made.
    pub fn in_batch(&self, records: &Records) -> Result<bool> {
        let known = self.known.values().filter(|known| known.step == self.step.plugin.name).count() as u64;
        let allowed = self.step.max_rejects.saturating_sub(known);
        let found = self.find(records, usize::try_from(allowed).unwrap_or(usize::MAX).saturating_add(1))?;
        let reject = |number, failure: &Failure| records.reject(records.row(number), &failure.step, &failure.what);
        if let Some((number, failure)) = found.last_key_value()
            && found.len() as u64 > allowed
        {
            return Err(self.too_many(&reject(*number, failure)?, failure));
        }
        let any = !found.is_empty();
        for (number, failure) in &self.context.poison.add(self.shard, found) {
            let Reject { object, offset, step, reason, .. } = reject(*number, failure)?;
            let (task, shard, record) = (self.task, self.shard, *number);
            self.context.events.emit(Event::PoisonRecord { step, task, shard, record, object, offset, reason });
        }
        Ok(any)
    }

    /// Returns whether the search has taken as long as it may.
    pub fn is_over(&self) -> bool {
        self.started.elapsed() >= self.step.plugin.limits.timeout
    }

    /// Ends a search that found nothing: it is a failure of the attempt.
    pub fn vain(self) -> Error {
        self.error.context("no record makes it fail by itself")
    }

    fn too_many(&self, reject: &Reject, failure: &Failure) -> Error {
        let Step { plugin: PluginSettings { name, .. }, max_rejects, .. } = self.step;
        let (record, place) = (reject.shown_record(), reject.place().unwrap_or_default());
        Error::input(failure).context(format!(
            "{record} ({place}) makes `{name}` fail each time, and its `max_rejects` lets it set aside no more (limit \
             {max_rejects})"
        ))
    }

    /// Returns up to `most` poison records of a batch; not all, when it takes too long: the next try of the shard comes
    /// upon the others.
    fn find(&self, records: &Records, most: usize) -> Result<Found> {
        let (mut next, mut found, mut late) = (0, Found::new(), None);
        let enough = |found: &Found| found.len() >= most || self.is_over();
        while !enough(&found)
            && next < records.rows().num_rows()
            && let Some((row, error)) = self.replay(records, next..records.rows().num_rows(), 1)?
        {
            if self.like(&error).is_some() {
                let before = found.len();
                self.alone(records, row..row + 1, &mut found, &enough)?;
                if found.len() == before {
                    self.alone(records, next..row + 1, &mut found, &enough)?;
                }
                if found.len() == before {
                    late = late.or(Some(row));
                }
            }
            next = row + 1;
        }
        if let (true, Some(row)) = (found.is_empty(), late) {
            found.extend(self.late(records, row)?);
        }
        Ok(found)
    }

    /// Finds the rows that make a chain fail alone, by halves.
    fn alone(
        &self,
        records: &Records,
        rows: Range<usize>,
        found: &mut Found,
        enough: &impl Fn(&Found) -> bool,
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
        self.alone(records, rows.start..middle, found, enough)?;
        self.alone(records, middle..rows.end, found, enough)
    }

    /// Returns a record that makes the first mapper fail only after those before it in the batch, if it does so again.
    /// A later mapper does not say which record it was at.
    fn late(&self, records: &Records, row: usize) -> Result<Option<(u64, Failure)>> {
        if self.context.pipeline.maps.first().is_none_or(|first| first.plugin.name != self.step.plugin.name) {
            return Ok(None);
        }
        let failed = self.replay(records, 0..row + 1, 1)?.filter(|(failed, _)| *failed == row);
        let failure = failed.and_then(|(_, error)| self.like(&error));
        Ok(failure.map(|mut failure| {
            failure.what.push_str("\nonly when it is given the records before it in its batch, too");
            (records.number(row), failure)
        }))
    }

    /// Gives a fresh chain these rows, so many at a time, and returns the first of those it fails on, or the last one
    /// when it fails at the end, and how.
    fn replay(&self, records: &Records, rows: Range<usize>, at_a_time: usize) -> Result<Option<(usize, Error)>> {
        let mut chain = self.open()?;
        for row in rows.clone().step_by(at_a_time.max(1)) {
            let some = row..rows.end.min(row + at_a_time);
            if let Err(error) = process(&mut chain, records, some, self.known) {
                return Ok(Some((row, error)));
            }
        }
        Ok(chain.finish().err().map(|error| (rows.end.saturating_sub(1), error)))
    }

    /// Opens a chain whose output goes nowhere.
    fn open(&self) -> Result<Chain> {
        Chain::open(&self.context.steps, &self.replayed, Box::new(|_| Ok(())), Box::new(|_| Ok(())))
    }

    /// Returns the failure that an error tells of, if it is like that of the shard.
    fn like(&self, error: &Error) -> Option<Failure> {
        error.cause::<Failure>().filter(|failure| failure.is_like(&self.failure)).cloned()
    }
}
