//! The reject log: the records that an attempt sets aside, written to the run store.
//!
//! Owns the check of the count against `max_rejects`. [`etl_core::model::reject`] owns the shape of a reject.

use std::{io::Write, sync::Arc};

use etl_core::model::{
    error::{Error, Result},
    event::Stage,
    ids::{AttemptId, TaskId},
    reject::{Reject, Rejected, SOURCE},
};
use etl_store::upload::Upload;

use crate::{pipeline::Pipeline, run_store::document::to_json, task::context::RunContext};

/// Collects the rejects of one attempt. An attempt without rejects writes nothing.
pub struct RejectLog {
    context: Arc<RunContext>,
    key: String,
    upload: Option<Upload>,
    rejected: Rejected,
}

impl RejectLog {
    /// Creates an empty log for an attempt.
    pub fn new(context: &Arc<RunContext>, stage: Stage, task: TaskId, attempt: &AttemptId) -> Self {
        let key = context.layout.rejects(stage, task, attempt);
        Self { context: Arc::clone(context), key, upload: None, rejected: Rejected::new() }
    }

    /// Counts a reject and appends it to the log. Blocks, so it must not run on a thread of the async runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), naming the record, when there are more than
    /// `max_rejects`; or when the store fails.
    pub fn push(&mut self, reject: &Reject) -> Result<()> {
        count(&self.context.pipeline, &mut self.rejected, reject)?;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(Upload::new(&self.context.run_store, &self.key)),
        };
        let mut line = to_json(reject)?;
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

/// Adds a reject to the counts of an attempt, and checks the count of its step against the limit.
///
/// # Errors
/// Fails as [`check_limit`] does, and names the record.
pub fn count(pipeline: &Pipeline, rejected: &mut Rejected, reject: &Reject) -> Result<()> {
    let count = rejected.entry(reject.step.clone()).or_default();
    *count += 1;
    check_limit(pipeline, &reject.step, *count).map_err(|error| error.context(named(reject)))
}

/// Checks a count of rejects by `step` against its `max_rejects`. Rejects by any step but a mapper, such as the source,
/// count against `[run] max_rejects`.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), naming the limit.
pub fn check_limit(pipeline: &Pipeline, step: &str, count: u64) -> Result<()> {
    let (max, setting) = match pipeline.maps.iter().find(|map| map.plugin.name == step) {
        Some(map) => (map.max_rejects, format!("`max_rejects` of `{step}`")),
        None => (pipeline.run.max_rejects, "`[run] max_rejects`".to_owned()),
    };
    if count <= max {
        return Ok(());
    }
    let what = if step == SOURCE { "the source has more malformed" } else { "the step rejected more" };
    Err(Error::input(format!("{what} records than {setting} allows (limit {max})")))
}

fn named(reject: &Reject) -> String {
    let place = reject.place().map(|place| format!(" of {place}")).unwrap_or_default();
    format!("{} rejected a record{place} ({})", reject.step, reject.reason)
}
