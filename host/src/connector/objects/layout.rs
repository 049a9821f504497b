//! The keys of a result in a sink: the only place that builds them.
//!
//! ```text
//! <sink>/<run-id>/.claim             put-if-absent: the pipeline and the plan that the result belongs to
//! <sink>/<run-id>/_attempts/…        parts until they are published, on stores without multipart uploads
//! <sink>/<run-id>/part-00000.json …  the result, one part for each task
//! <sink>/<run-id>/day=2026-11-27/part-00000-0000.json …  the same, with several parts for each task
//! <sink>/<run-id>/_SUCCESS
//! <sink>/latest.json                 points to the newest complete result
//! ```
//! Numbers are zero-padded, so keys sort as numbers do. A task numbers its parts through all directories.

pub use etl_core::model::ids::LATEST;
use etl_core::model::{
    ids::{AttemptId, SUCCESS},
    part::PartName,
};

/// The keys of one run's result, relative to the sink's prefix.
#[derive(Debug, Clone)]
pub struct SinkLayout {
    run_id: String,
    extension: String,
}

impl SinkLayout {
    /// Creates the layout of a result whose parts have this extension.
    pub fn new(run_id: &str, extension: &str) -> Self {
        Self { run_id: run_id.to_owned(), extension: extension.to_owned() }
    }

    /// Returns the result's prefix.
    pub fn root(&self) -> &str {
        &self.run_id
    }

    /// Returns the key of the claim on the result.
    pub fn claim(&self) -> String {
        format!("{}/.claim", self.run_id)
    }

    /// Returns the key under which the part of an attempt waits in a store without multipart uploads.
    pub fn attempt(&self, part: &PartName, attempt: &AttemptId) -> String {
        format!("{}/_attempts/{}-{attempt}.{}", self.run_id, file_name(part), self.extension)
    }

    /// Returns the prefix of the parts that are not published: those that still may be, and those of attempts that
    /// lost.
    pub fn attempts(&self) -> String {
        format!("{}/_attempts", self.run_id)
    }

    /// Returns the key of a part that is committed and published.
    pub fn part(&self, part: &PartName) -> String {
        let (directory, slash) = (&part.directory, if part.directory.is_empty() { "" } else { "/" });
        format!("{}/{directory}{slash}{}.{}", self.run_id, file_name(part), self.extension)
    }

    /// Returns the key of the object that says that the result is complete.
    pub fn success(&self) -> String {
        format!("{}/{SUCCESS}", self.run_id)
    }
}

/// Returns the name of a part without its directory and extension. Of the parts of an attempt, each has another.
fn file_name(PartName { task, number, .. }: &PartName) -> String {
    match number {
        None => format!("part-{task:05}"),
        Some(number) => format!("part-{task:05}-{number:04}"),
    }
}
