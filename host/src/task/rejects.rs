//! The reject log: the records that an attempt sets aside, written to the run store.
//!
//! Owns the check of the count against `max_rejects`. [`etl_core::model::reject`] owns the shape of a reject.

use std::{collections::BTreeMap, io::Write};

use etl_core::model::{
    error::{Error, Result},
    redact::Mask,
    reject::{Reject, Rejected, SOURCE},
    shared::Shared,
};
use etl_store::{Note, Store, upload::Upload};

use crate::{pipeline::Pipeline, run_store::document::to_json, task::chain::SetAside};

/// The numbers of records that may be rejected before a run fails.
#[derive(Debug, Clone)]
pub struct RejectLimits {
    /// `max_rejects` of `[run]`.
    run: u64,
    /// `max_rejects` of each mapper, by its name.
    mappers: BTreeMap<String, u64>,
}

impl RejectLimits {
    /// Returns the limits that a pipeline sets.
    pub fn of(pipeline: &Pipeline) -> Self {
        let mappers = pipeline.maps.iter().map(|map| (map.plugin.name.clone(), map.max_rejects)).collect();
        Self { run: pipeline.run.max_rejects, mappers }
    }

    /// Adds a reject to the counts of an attempt, and checks the count of its step against the limit.
    ///
    /// # Errors
    /// Fails as [`RejectLimits::check`] does, and names the record.
    pub fn count(&self, rejected: &mut Rejected, reject: &Reject) -> Result<()> {
        let count = rejected.entry(reject.step.clone()).or_default();
        *count += 1;
        self.check(&reject.step, *count).map_err(|error| error.context(named(reject)))
    }

    /// Returns how many more rejects by `step` an attempt with these counts may have.
    pub fn room(&self, rejected: &Rejected, step: &str) -> u64 {
        let max = self.mappers.get(step).unwrap_or(&self.run);
        max.saturating_sub(rejected.get(step).copied().unwrap_or_default())
    }

    /// Checks a count of rejects by `step` against its `max_rejects`. Rejects by any step but a mapper, such as the
    /// source, count against `[run] max_rejects`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), naming the limit.
    pub fn check(&self, step: &str, count: u64) -> Result<()> {
        let (max, setting) = match self.mappers.get(step) {
            Some(max) => (*max, format!("`max_rejects` of `{step}`")),
            None => (self.run, "`[run] max_rejects`".to_owned()),
        };
        if count <= max {
            return Ok(());
        }
        let what = if step == SOURCE { "the source has more malformed" } else { "the step rejected more" };
        Err(Error::input(format!("{what} records than {setting} allows (limit {max})")))
    }
}

/// Collects the rejects of one attempt. An attempt without rejects writes nothing.
pub struct RejectLog {
    run_store: Store,
    key: String,
    note: Option<Note>,
    limits: RejectLimits,
    mask: Mask,
    upload: Option<Upload>,
    rejected: Rejected,
}

impl RejectLog {
    /// Creates an empty log, to be written under `key`. `note` is told of its upload; `mask` takes secrets out of reasons
    /// and records.
    pub fn new(run_store: &Store, key: String, note: Note, limits: RejectLimits, mask: Mask) -> Self {
        let run_store = run_store.clone();
        Self { run_store, key, note: Some(note), limits, mask, upload: None, rejected: Rejected::new() }
    }

    /// Counts a reject and appends it to the log. Blocks, so it must not run on a thread of the async runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), naming the record, when there are more than
    /// `max_rejects`; or when the store fails.
    pub fn push(&mut self, reject: &Reject) -> Result<()> {
        self.limits.count(&mut self.rejected, reject)?;
        let upload = match (&mut self.upload, self.note.take()) {
            (Some(upload), _) => upload,
            (none, Some(note)) => none.insert(Upload::noted(&self.run_store, &self.key, note)),
            (none, None) => none.insert(Upload::new(&self.run_store, &self.key)),
        };
        let mut line = to_json(&reject.masked(&self.mask))?;
        line.push(b'\n');
        upload.write_all(&line).map_err(|error| Error::from_io(error).context(format!("cannot write `{}`", self.key)))
    }

    /// Completes the log, and returns the counts and the key of the written object, if there is one.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub fn finish(self) -> Result<(Rejected, Option<String>)> {
        let Some(upload) = self.upload else { return Ok((self.rejected, None)) };
        upload.finish()?;
        Ok((self.rejected, Some(self.key)))
    }
}

impl SetAside for Shared<RejectLog> {
    fn set_aside(&mut self, reject: &Reject) -> Result<()> {
        self.lock().push(reject)
    }

    fn room(&self, step: &str) -> u64 {
        let log = self.lock();
        log.limits.room(&log.rejected, step)
    }
}

fn named(reject: &Reject) -> String {
    let place = reject.place().map(|place| format!(" of {place}")).unwrap_or_default();
    format!("{} rejected a record{place} ({})", reject.step, reject.reason)
}
