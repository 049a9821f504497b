//! Publishing: committed parts become visible, then the result is declared complete.
//!
//! Owns the order of these writes, which keeps half a result from being taken for a whole one, and the checks that a
//! part is the one that was committed. Called once all tasks are committed, by each process that finalises the run;
//! several may do so at the same time or after a crash.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        ids::{PlanId, TaskId},
    },
    runtime::fail_point,
};
use etl_store::{Created, Listed, Pending, Store};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::connector::{
    CommittedPart, Gone, Published, PublishedPart,
    objects::layout::{LATEST, SinkLayout},
};

/// Number of parts that are published, or leftovers that are deleted, at the same time.
const IN_FLIGHT: usize = 16;

/// Number of tries to write `latest.json`, which other runs write too.
const POINTER_TRIES: u32 = 10;

/// Size in bytes of the pieces in which a part is read.
const PIECE_BYTES: u64 = 4 << 20;

/// Content of `latest.json`: where the newest complete result lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Id of the run that made the result.
    pub run_id: String,
    /// Id of the run's plan.
    pub plan: PlanId,
    /// When the plan was made, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
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

/// Makes each committed part visible under its final name. Returns the parts as they were published, in the order
/// given.
///
/// Idempotent: a part that was published before stays, and the outcome is the same. A part is visible whole or not at
/// all. The result is not complete until [`succeed`] says so.
///
/// # Errors
/// Any error of the store. When parts are neither pending nor published, or not as they were committed, the error is of
/// kind [`ErrorKind::Unavailable`] with [`Gone`] in its chain.
pub(super) async fn collect(store: &Store, layout: &SinkLayout, parts: &[CommittedPart]) -> Result<Vec<PublishedPart>> {
    fail_point::reach("publish.begin");
    let there = listed(store, layout).await;
    let publish = futures::stream::iter(parts.to_vec()).map(async |part| {
        let published = publish_part(store, layout, &there, &part).await?;
        fail_point::reach("publish.moved");
        Ok::<_, Error>(published.ok_or(part))
    });
    let outcomes: Vec<Result<PublishedPart, CommittedPart>> = publish.buffered(IN_FLIGHT).try_collect().await?;
    let (mut published, mut gone) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(part) => published.push(part),
            Err(part) => gone.push(part),
        }
    }
    if gone.is_empty() { Ok(published) } else { Err(Error::new(ErrorKind::Unavailable, Gone(gone))) }
}

/// Returns what is visible of a result, by key. A sink that can be written but not listed seems empty.
async fn listed(store: &Store, layout: &SinkLayout) -> BTreeMap<String, Listed> {
    let listed: Result<Vec<Listed>> = store.list(layout.root()).try_collect().await;
    listed.unwrap_or_default().into_iter().map(|found| (found.key.clone(), found)).collect()
}

/// Publishes one part; returns `None` if the part is gone or is not the one that was committed.
async fn publish_part(
    store: &Store,
    layout: &SinkLayout,
    there: &BTreeMap<String, Listed>,
    part: &CommittedPart,
) -> Result<Option<PublishedPart>> {
    let key = layout.part(&part.name);
    let found = match there.get(&key) {
        Some(found) if found.size == part.bytes => Some(found.clone()),
        _ if !is_as_committed(store, part).await? => None,
        _ => store.complete(&key, &part.pending, part.bytes).await?,
    };
    let CommittedPart { name, bytes, digest, .. } = part.clone();
    Ok(found.map(|Listed { e_tag, .. }| PublishedPart { name, key, bytes, digest, e_tag }))
}

/// Returns whether a part that waits under another name has the bytes that its commit names. The bytes are read only
/// if the object was written since the commit. A part that is gone from there may have been published, so it counts.
async fn is_as_committed(store: &Store, part: &CommittedPart) -> Result<bool> {
    let Pending::Staged { key, e_tag } = &part.pending else { return Ok(true) };
    match store.stat(key).await? {
        Some(found) if found.size != part.bytes => Ok(false),
        Some(found) if found.e_tag != *e_tag => Ok(digest(store, key, part.bytes).await? == part.digest),
        _ => Ok(true),
    }
}

/// Returns the tasks that made parts of a complete result that are gone, or have other bytes. A part that was written since it was
/// published is read as a whole; of the others only the size and the ETag are looked at.
pub(super) async fn damaged(store: &Store, layout: &SinkLayout, parts: &[PublishedPart]) -> Result<BTreeSet<TaskId>> {
    let there = listed(store, layout).await;
    let looks = futures::stream::iter(parts.to_vec()).map(async |part| {
        let found = match there.get(&part.key) {
            Some(found) => Some(found.clone()),
            None => store.stat(&part.key).await?,
        };
        let is_whole = match found {
            Some(found) if found.size == part.bytes => {
                is_same_tag(found.e_tag.as_deref(), part.e_tag.as_deref())
                    || digest(store, &part.key, part.bytes).await? == part.digest
            }
            _ => false,
        };
        Ok::<_, Error>((!is_whole).then_some(part.name.task))
    });
    let looks: Vec<Option<TaskId>> = looks.buffered(IN_FLIGHT).try_collect().await?;
    Ok(looks.into_iter().flatten().collect())
}

/// Returns whether two ETags are the same. Some stores quote them in some answers and not in others.
fn is_same_tag(one: Option<&str>, other: Option<&str>) -> bool {
    let bare = |tag: &str| tag.trim_matches('"').to_owned();
    one.map(bare) == other.map(bare)
}

/// Returns the XXH3-128 digest of an object of this size, in hexadecimal; an empty text if it changes meanwhile.
async fn digest(store: &Store, key: &str, bytes: u64) -> Result<String> {
    let (mut pieces, mut hash) = (read(store, key, bytes), Xxh3::new());
    loop {
        match pieces.try_next().await {
            Ok(Some(piece)) => hash.update(&piece),
            Ok(None) => return Ok(format!("{:032x}", hash.digest128())),
            Err(error) if error.kind() == ErrorKind::Changed => return Ok(String::new()),
            Err(error) => return Err(error),
        }
    }
}

/// Reads an object of this size in pieces.
pub(super) fn read(store: &Store, key: &str, bytes: u64) -> BoxStream<'static, Result<Bytes>> {
    let (store, key) = (store.clone(), key.to_owned());
    let starts = (0..bytes).step_by(PIECE_BYTES as usize);
    let pieces = futures::stream::iter(starts).then(move |start| {
        let (store, key) = (store.clone(), key.clone());
        async move { store.get_range(&key, start..bytes.min(start + PIECE_BYTES), None).await }
    });
    pieces.boxed()
}

/// Marks a result as complete by a plan: writes `_SUCCESS`, which names the plan. What another plan wrote there is
/// replaced only if `replace` is set. Returns whether the result is complete by this plan then. Idempotent.
///
/// # Errors
/// Any error of the store.
pub(super) async fn succeed(store: &Store, layout: &SinkLayout, plan: &PlanId, replace: bool) -> Result<bool> {
    let (key, bytes) = (layout.success(), plan.to_string());
    if store.get(&key).await?.is_some_and(|by| by == bytes) {
        return Ok(true);
    }
    match store.create(&key, bytes.clone()).await? {
        Created::Lost(by) if by != bytes && !replace => return Ok(false),
        Created::Lost(by) if by != bytes => store.put(&key, bytes).await?,
        Created::Won | Created::Lost(_) => {}
    }
    fail_point::reach("publish.success");
    Ok(true)
}

/// Points `latest.json` to a result, unless it points to the result of a later plan. Idempotent.
///
/// # Errors
/// Any error of the store.
pub(super) async fn point(store: &Store, layout: &SinkLayout, published: &Published<'_>) -> Result<()> {
    let Published { plan, made_at_ms, parts, failed_shards } = *published;
    let parts = parts.iter().map(|part| part.key.clone()).collect();
    let latest = Latest { run_id: layout.root().to_owned(), plan: plan.clone(), made_at_ms, parts, failed_shards };
    point_to(store, &latest).await?;
    fail_point::reach("publish.latest");
    Ok(())
}

/// Writes `latest.json`, unless it points to the result of a later plan.
async fn point_to(store: &Store, latest: &Latest) -> Result<()> {
    let text = serde_json::to_vec_pretty(latest).or_kind(ErrorKind::Internal, || LATEST)?;
    for _ in 0..POINTER_TRIES {
        let seen = store.stat(LATEST).await?.and_then(|found| found.e_tag);
        // A pointer that cannot be read is replaced, because it points nowhere.
        let found = match Latest::read(store).await {
            Err(error) if error.kind() != ErrorKind::Input => return Err(error),
            found => found.ok().flatten(),
        };
        if found.is_some_and(|found| found.made_at_ms > latest.made_at_ms)
            || store.put_if_unchanged(LATEST, text.clone(), seen.as_deref()).await?
        {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Unavailable, anyhow::anyhow!("`{}` changes all the time", store.locate(LATEST))))
}

/// Takes back that a result is complete, if it is complete by this plan.
pub(super) async fn retract(store: &Store, layout: &SinkLayout, plan: &PlanId) -> Result<()> {
    match store.get(&layout.success()).await? {
        Some(by) if by == plan.to_string() => store.delete(&layout.success()).await,
        _ => Ok(()),
    }
}

/// Takes back that a result is complete, and deletes these parts of it.
pub(super) async fn withdraw(store: &Store, layout: &SinkLayout, parts: &[PublishedPart]) -> Result<()> {
    store.delete(&layout.success()).await?;
    store.delete_all(parts.iter().map(|part| part.key.clone()).collect()).await
}

/// Deletes what losing attempts left in the sink, as far as possible. Errors are ignored, because a published result is
/// complete without the deletion.
pub(super) async fn delete_leftovers(store: &Store, layout: &SinkLayout) {
    let prefix = layout.attempts();
    store
        .list(&prefix)
        .for_each_concurrent(IN_FLIGHT, async |found| {
            if let Ok(found) = found {
                drop(store.delete(&found.key).await);
            }
        })
        .await;
    store.remove_empty_directory(&prefix).await;
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Write, sync::Arc};

    use object_store::{ObjectStore, memory::InMemory, path::Path};
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;
    use etl_core::{
        model::{
            ids::{AttemptId, Try},
            part::PartName,
        },
        runtime::threads,
    };
    use etl_store::{Location, pending::PendingWriter};

    /// A store with multipart uploads, and one without.
    fn stores(directory: &std::path::Path) -> [Store; 2] {
        let memory = Arc::new(InMemory::new());
        let uploads =
            Store::from_object_store(Arc::clone(&memory) as Arc<dyn ObjectStore>, Path::from("sink"), "memory");
        let location = Location { written: "result/".into(), url: format!("file://{}/", directory.display()) };
        [uploads.with_multipart(memory), Store::open(&location, &BTreeMap::new()).expect("opens")]
    }

    fn only(number: u32) -> PartName {
        PartName::only(TaskId(number))
    }

    fn plan(process: &str) -> PlanId {
        PlanId::of(AttemptId::new(Try::FIRST, process))
    }

    /// Writes a part as the attempt of this process, and returns its commit.
    async fn write(store: &Store, layout: &SinkLayout, number: u32, process: &str) -> CommittedPart {
        let (name, attempt) = (only(number), AttemptId::new(Try::FIRST, process));
        let text = format!("part {number} by {process}");
        let (store, key, staged, bytes) =
            (store.clone(), layout.part(&name), layout.attempt(&name, &attempt), text.clone());
        let work = move || {
            let mut writer = PendingWriter::new(&store, &key, &staged, Box::new(|_| Ok(())));
            writer.write_all(bytes.as_bytes()).map_err(Error::from_io)?;
            writer.finish()
        };
        let (bytes, pending) = threads::run(work).await.expect("no panic").expect("writes");
        CommittedPart { name, attempt, bytes, digest: format!("{:032x}", xxh3_128(text.as_bytes())), pending }
    }

    async fn write_all(store: &Store, layout: &SinkLayout, count: u32) -> Vec<CommittedPart> {
        let mut parts = Vec::new();
        for number in 0..count {
            parts.push(write(store, layout, number, "a").await);
        }
        parts
    }

    async fn publish_as(store: &Store, run_id: &str, plan: &PlanId, made_at_ms: u64) {
        let published = Published { plan, made_at_ms, parts: &[], failed_shards: 2 };
        point(store, &SinkLayout::new(run_id, "json"), &published).await.expect("points");
    }

    #[tokio::test]
    async fn only_committed_parts_are_published_and_twice_is_once() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "json");
            let parts = write_all(&store, &layout, 40).await;
            for number in 0..40 {
                write(&store, &layout, number, "lost").await;
            }
            let mut expected: Vec<_> = (0..40).map(|number| layout.part(&only(number))).collect();
            for _ in 0..2 {
                let published = collect(&store, &layout, &parts).await.expect("publishes");
                assert!(published.iter().map(|part| &part.key).eq(&expected));
                let plan = plan("a");
                let of_result = Published { plan: &plan, made_at_ms: 7, parts: &published, failed_shards: 2 };
                assert!(succeed(&store, &layout, &plan, false).await.expect("publishes"));
                point(&store, &layout, &of_result).await.expect("publishes");
                delete_leftovers(&store, &layout).await;
                assert_eq!(damaged(&store, &layout, &published).await.expect("looks"), [].into());
            }
            let latest = Latest::read(&store).await.expect("reads").expect("is there");
            let parts = expected.clone();
            assert_eq!(latest, Latest { run_id: "r".into(), plan: plan("a"), made_at_ms: 7, parts, failed_shards: 2 });
            for (number, key) in expected.iter().enumerate() {
                let text = format!("part {number} by a");
                assert_eq!(store.get(key).await.expect("reads").as_deref(), Some(text.as_bytes()));
            }
            expected.extend([layout.success(), LATEST.to_owned()]);
            expected.sort();
            assert_eq!(store.list_keys("").await.expect("lists"), expected);
        }
        assert!(!directory.path().join("r/_attempts").exists());
    }

    #[tokio::test]
    async fn a_part_whose_pieces_are_sent_one_at_a_time_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            let name = PartName { directory: "day=1/k=a%2Fb".to_owned(), number: Some(7), ..only(3) };
            let (attempt, text) = (AttemptId::new(Try::FIRST, "a"), "0123456789".repeat(2 << 20));
            let (target, key, staged) = (store.clone(), layout.part(&name), layout.attempt(&name, &attempt));
            let bytes = text.clone();
            let work = move || {
                let mut writer = PendingWriter::new(&target, &key, &staged, Box::new(|_| Ok(()))).one_at_a_time();
                writer.write_all(bytes.as_bytes()).map_err(Error::from_io)?;
                writer.finish()
            };
            let (bytes, pending) = threads::run(work).await.expect("no panic").expect("writes");
            let digest = format!("{:032x}", xxh3_128(text.as_bytes()));
            let parts = [CommittedPart { name, attempt, bytes, digest, pending }];
            let published = collect(&store, &layout, &parts).await.expect("publishes");
            assert_eq!(published[0].key, "r/day=1/k=a%2Fb/part-00003-0007.csv");
            assert_eq!(store.list_keys("r").await.expect("lists"), [published[0].key.clone()]);
            assert!(store.get(&published[0].key).await.expect("reads").is_some_and(|found| found == text));
            assert_eq!(damaged(&store, &layout, &published).await.expect("looks"), [].into());
        }
    }

    #[tokio::test]
    async fn a_crash_between_the_parts_is_made_up_for() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            let parts = write_all(&store, &layout, 3).await;
            collect(&store, &layout, &parts[1..2]).await.expect("publishes");
            let published = collect(&store, &layout, &parts).await.expect("publishes");
            let keys: Vec<_> = published.iter().map(|part| part.key.as_str()).collect();
            assert_eq!(keys, ["r/part-00000.csv", "r/part-00001.csv", "r/part-00002.csv"]);
        }
    }

    #[tokio::test]
    async fn parts_that_are_missing_or_not_as_they_were_committed_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            let mut parts = write_all(&store, &layout, 4).await;
            store.discard(&layout.part(&only(1)), &parts[1].pending).await.expect("discards");
            parts[2].bytes -= 1;
            let mut gone = vec![parts[1].clone(), parts[2].clone()];
            if let Pending::Staged { key, .. } = &parts[3].pending {
                store.put(key, "PART 3 by a").await.expect("writes");
                gone.push(parts[3].clone());
            }
            let error = collect(&store, &layout, &parts).await.expect_err("three parts are wrong");
            assert_eq!(error.cause(), Some(&Gone(gone)), "{error}");
        }
    }

    #[tokio::test]
    async fn damage_to_a_complete_result_is_found_and_the_same_bytes_written_again_are_none() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            let parts = write_all(&store, &layout, 5).await;
            let published = collect(&store, &layout, &parts).await.expect("publishes");
            store.put(&published[0].key, "part 0 by a").await.expect("writes");
            store.put(&published[1].key, "part 1 by b").await.expect("writes");
            store.put(&published[2].key, "part").await.expect("writes");
            store.delete(&published[3].key).await.expect("deletes");
            assert_eq!(damaged(&store, &layout, &published).await.expect("looks"), [1, 2, 3].map(TaskId).into());
        }
    }

    #[tokio::test]
    async fn a_result_that_is_complete_by_another_plan_is_overwritten_only_on_purpose() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            let layout = SinkLayout::new("r", "csv");
            for (process, replace, complete) in
                [("a", false, true), ("a", false, true), ("b", false, false), ("b", true, true), ("a", false, false)]
            {
                assert_eq!(succeed(&store, &layout, &plan(process), replace).await.expect("writes"), complete);
            }
            assert_eq!(store.get(&layout.success()).await.expect("reads").as_deref(), Some(&b"1-b"[..]));
        }
    }

    #[tokio::test]
    async fn the_pointer_to_the_latest_result_never_goes_back() {
        let directory = tempfile::tempdir().expect("a directory");
        for store in stores(directory.path()) {
            for (run_id, made_at_ms, newest) in
                [("b", 2, "b"), ("a", 1, "b"), ("c", 3, "c"), ("b", 2, "c"), ("c", 3, "c")]
            {
                publish_as(&store, run_id, &plan("a"), made_at_ms).await;
                assert_eq!(Latest::read(&store).await.expect("reads").expect("is there").run_id, newest);
            }
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
            publish_as(&store, "r", &plan("a"), 1).await;
            assert!(Latest::read(&store).await.expect("was replaced").is_some());
        }
    }
}
