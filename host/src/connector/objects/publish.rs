//! Publishing: committed parts get their final names, then the result is declared complete.
//!
//! Owns the order of these writes, which keeps half a result from being taken for a whole one. Called once all tasks
//! are committed, by each process that finalises the run; several may do so at the same time or after a crash.

use std::fmt;

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        ids::{AttemptId, TaskId},
    },
    runtime::fail_point,
};
use etl_store::Store;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::connector::objects::layout::{LATEST, SinkLayout};

/// Number of parts that are moved, or leftovers that are deleted, at the same time.
const MOVES_IN_FLIGHT: usize = 16;

/// Maximum number of missing parts that an error names.
const NAMED_MAX: usize = 10;

/// A part and the attempt that was committed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPart {
    /// Number of the part.
    pub part: TaskId,
    /// Attempt whose object becomes the part.
    pub attempt: AttemptId,
}

/// Content of `latest.json`: where the newest complete result lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Id of the run that made the result.
    pub run_id: String,
    /// Keys of the result's parts below the sink, in order.
    pub parts: Vec<String>,
    /// Number of failed shards that are left out of the result, as `run.tolerated_failures` allows. 0 when the result
    /// is whole.
    pub failed_shards: u64,
}

impl Latest {
    /// Reads `latest.json` of a sink. Returns `None` if the sink has no complete result.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], naming the object, when it is damaged; any error of the store.
    pub async fn read(store: &Store) -> Result<Option<Self>> {
        let Some(latest) = store.get(LATEST).await? else { return Ok(None) };
        let latest = serde_json::from_slice(&latest);
        latest.map(Some).or_kind(ErrorKind::Input, || format!("`{}` is damaged", store.locate(LATEST)))
    }
}

/// Gives each committed part its final name. Returns the parts' keys below the sink, in the order given.
///
/// Idempotent: a part that was moved before is not moved again, and the outcome is the same. A part is visible whole or
/// not at all. The result is not complete until [`publish`] says so.
///
/// # Errors
/// Any error of the store. When parts are neither under their attempts' names nor under their final names, the error is
/// of kind [`ErrorKind::Unavailable`] with [`Gone`] in its chain.
pub(super) async fn move_parts(store: &Store, layout: &SinkLayout, parts: &[PublishedPart]) -> Result<Vec<String>> {
    let moves: Vec<(String, String)> = parts
        .iter()
        .map(|PublishedPart { part, attempt }| (layout.attempt(*part, attempt), layout.part(*part)))
        .collect();
    fail_point::reach("publish.begin");
    let moved = futures::stream::iter(moves).map(async |(from, to)| {
        store.rename(&from, &to).await?;
        fail_point::reach("publish.moved");
        Ok::<_, Error>(to)
    });
    match moved.buffered(MOVES_IN_FLIGHT).try_collect().await {
        Ok(keys) => Ok(keys),
        Err(error) => Err(name_gone(store, layout, parts, error).await?),
    }
}

/// Marks a result as complete: writes `_SUCCESS`, then `latest.json`. `parts` are the keys of the result's parts, in
/// order. `failed_shards` is the number of shards left out of the result. Idempotent.
///
/// # Errors
/// Any error of the store.
pub(super) async fn publish(store: &Store, layout: &SinkLayout, parts: &[String], failed_shards: u64) -> Result<()> {
    store.put(&layout.success(), "").await?;
    fail_point::reach("publish.success");
    let latest = Latest { run_id: layout.root().to_owned(), parts: parts.to_vec(), failed_shards };
    let text = serde_json::to_vec_pretty(&latest).or_kind(ErrorKind::Internal, || LATEST)?;
    store.put(LATEST, text).await?;
    fail_point::reach("publish.latest");
    Ok(())
}

/// Parts of a result that were committed but are no longer in the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone(pub Vec<PublishedPart>);

impl std::error::Error for Gone {}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.0.iter().take(NAMED_MAX).map(|gone| gone.part.to_string()).collect();
        let more = match self.0.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        write!(f, "committed parts are gone from the sink: {}{more}", named.join(", "))
    }
}

/// Returns the error that names the parts that are gone, or `error` if no part is gone.
async fn name_gone(store: &Store, layout: &SinkLayout, parts: &[PublishedPart], error: Error) -> Result<Error> {
    let looks = futures::stream::iter(parts.to_vec()).map(async |published| {
        let PublishedPart { part, attempt } = &published;
        let there = store.exists(&layout.part(*part)).await? || store.exists(&layout.attempt(*part, attempt)).await?;
        Ok::<_, Error>((!there).then_some(published))
    });
    let gone: Vec<Option<PublishedPart>> = looks.buffered(MOVES_IN_FLIGHT).try_collect().await?;
    let gone: Vec<PublishedPart> = gone.into_iter().flatten().collect();
    Ok(if gone.is_empty() { error } else { Error::new(ErrorKind::Unavailable, Gone(gone)) })
}

/// Deletes what losing attempts left in the sink, as far as possible. Errors are ignored, because a published result is
/// complete without the deletion.
pub(super) async fn delete_leftovers(store: &Store, layout: &SinkLayout) {
    let prefix = layout.attempts();
    store
        .list(&prefix)
        .for_each_concurrent(MOVES_IN_FLIGHT, async |found| {
            if let Ok(found) = found {
                drop(store.delete(&found.key).await);
            }
        })
        .await;
    store.remove_empty_directory(&prefix).await;
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use object_store::{memory::InMemory, path::Path};

    use super::*;
    use etl_core::model::ids::Try;
    use etl_store::Location;

    fn stores(directory: &std::path::Path) -> [Store; 2] {
        let memory = Store::from_object_store(Arc::new(InMemory::new()), Path::from("sink"), "memory");
        let location = Location { written: "result/".into(), url: format!("file://{}/", directory.display()) };
        [memory, Store::open(&location, &BTreeMap::new()).expect("opens")]
    }

    fn part(part: TaskId) -> PublishedPart {
        PublishedPart { part, attempt: AttemptId::new(Try::FIRST, "a") }
    }

    async fn write(store: &Store, layout: &SinkLayout, part: TaskId, attempt: &AttemptId) {
        store.put(&layout.attempt(part, attempt), attempt.to_string()).await.expect("writes");
    }

    #[tokio::test]
    async fn only_committed_parts_are_published_and_twice_is_once() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "json");
            for number in (0..40).map(TaskId) {
                write(&store, &layout, number, &AttemptId::new(Try::FIRST, "a")).await;
                write(&store, &layout, number, &AttemptId::new(Try(2), "lost")).await;
            }
            let parts: Vec<_> = (0..40).map(TaskId).map(part).collect();
            let mut expected: Vec<_> = (0..40).map(|number| layout.part(TaskId(number))).collect();
            for _ in 0..2 {
                assert_eq!(move_parts(&store, &layout, &parts).await.expect("moves"), expected);
                publish(&store, &layout, &expected, 2).await.expect("publishes");
                delete_leftovers(&store, &layout).await;
            }
            let latest = Latest::read(&store).await.expect("reads").expect("is there");
            assert_eq!(latest, Latest { run_id: "r".into(), parts: expected.clone(), failed_shards: 2 });
            for key in &expected {
                assert_eq!(store.get(key).await.expect("reads").as_deref(), Some(&b"1-a"[..]));
            }
            expected.extend([layout.success(), LATEST.to_owned()]);
            expected.sort();
            assert_eq!(store.list_keys("").await.expect("lists"), expected);
        }
        assert!(!directory.path().join("r/_attempts").exists());
    }

    #[tokio::test]
    async fn a_crash_between_the_moves_is_made_up_for() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            for number in (0..3).map(TaskId) {
                write(&store, &layout, number, &part(number).attempt).await;
            }
            let moved = TaskId(1);
            store.rename(&layout.attempt(moved, &part(moved).attempt), &layout.part(moved)).await.expect("moves");
            // Move on a task of its own, as the end of a run may do.
            let keys = tokio::spawn(async move { move_parts(&store, &layout, &[0, 1, 2].map(TaskId).map(part)).await });
            let keys = keys.await.expect("no panic").expect("moves");
            assert_eq!(keys, ["r/part-00000.csv", "r/part-00001.csv", "r/part-00002.csv"]);
        }
    }

    #[tokio::test]
    async fn a_missing_part_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            write(&store, &layout, TaskId(0), &part(TaskId(0)).attempt).await;
            let error =
                move_parts(&store, &layout, &[0, 1].map(TaskId).map(part)).await.expect_err("part 1 is nowhere");
            assert_eq!(error.cause(), Some(&Gone(vec![part(TaskId(1))])), "{error}");
        }
    }

    #[tokio::test]
    async fn a_damaged_pointer_to_the_latest_result_is_named_with_its_sink() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            assert_eq!(Latest::read(&store).await.expect("reads"), None);
            store.put(LATEST, "{").await.expect("writes");
            let error = Latest::read(&store).await.expect_err("not JSON");
            let expected = format!("`{}` is damaged: ", store.locate(LATEST));
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert_eq!(error.kind(), ErrorKind::Input);
        }
    }

    #[tokio::test]
    async fn a_result_without_parts_is_complete() {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
        let layout = SinkLayout::new("r", "csv");
        assert!(move_parts(&store, &layout, &[]).await.expect("moves").is_empty());
        publish(&store, &layout, &[], 0).await.expect("publishes");
        assert!(store.exists(&layout.success()).await.expect("looks"));
    }
}
