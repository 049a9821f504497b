//! Notes of uploads: which uploads the attempts of a plan have begun.
//!
//! Owns these notes, which lie in the run store from before the first part of an upload until the upload is completed
//! or aborted. Not every store lists the uploads that are open, so without its note an upload that a killed process left
//! might stay there, and be paid for, until the store expires it.

use etl_core::model::{
    error::Result,
    event::Stage,
    ids::{AttemptId, TaskId},
};
use etl_store::{Note, Store};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::run_store::{
    document::{seal, unseal},
    layout::PlanLayout,
};

/// Number of notes that are read at the same time.
const READS_MAX: usize = 16;

/// What is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uploaded {
    /// A shuffle file, to the run store.
    ShuffleFile,
    /// Records that were set aside, to the run store.
    Rejects,
    /// A part of the result, to the sink.
    Part,
}

impl Uploaded {
    /// Returns the name of the upload of this number among those of an attempt.
    fn name(self, number: u32) -> String {
        let name = match self {
            Self::ShuffleFile => "shuffle-file",
            Self::Rejects => "rejects",
            Self::Part => "part",
        };
        if number == 0 { name.to_owned() } else { format!("{name}-{number}") }
    }
}

/// The note of one upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadNote {
    /// What is uploaded.
    pub what: Uploaded,
    /// Key of the object in its store.
    pub key: String,
    /// The upload's id.
    pub id: String,
}

/// Returns the note for an upload of the object `key` by an attempt at a task, which has a number if the attempt makes
/// several such uploads. The note is written when the upload's id is known. Call it only on a thread that may block.
pub fn note(
    run_store: &Store,
    layout: &PlanLayout,
    (stage, task, attempt): (Stage, TaskId, &AttemptId),
    (what, number): (Uploaded, u32),
    key: &str,
) -> Note {
    let (run_store, at, key) =
        (run_store.clone(), layout.upload(stage, task, attempt, &what.name(number)), key.to_owned());
    Box::new(move |id| {
        let note = UploadNote { what, key, id: id.to_owned() };
        run_store.wait(run_store.put(&at, seal(&note)?))
    })
}

/// Reads the notes at these keys. Leaves out notes that are gone or damaged.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &Store, keys: Vec<String>) -> Result<Vec<(String, UploadNote)>> {
    let reads = futures::stream::iter(keys).map(|key| async move {
        let note = store.get(&key).await?;
        Ok(note.and_then(|note| unseal(&key, &note).ok()).map(|note| (key, note)))
    });
    reads.buffer_unordered(READS_MAX).try_filter_map(|note| std::future::ready(Ok(note))).try_collect().await
}
