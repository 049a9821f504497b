//! Tests of the promises on the stores that need no server, of what only local disk promises, and of how errors are
//! classed.

use std::io;

use etl_core::model::error::ErrorKind;
use futures::FutureExt;
use object_store::memory::InMemory;

use super::{
    testing::{
        conformance,
        counting::counting,
        faulty::{Puts, faulty, server},
    },
    *,
};

fn location(url: &str) -> Location {
    Location { written: url.to_owned(), url: url.to_owned() }
}

fn options<const N: usize>(options: [(&str, &str); N]) -> BTreeMap<String, String> {
    options.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn open(url: &str) -> Store {
    Store::open(&location(url), &BTreeMap::new()).expect("opens")
}

fn timed_out() -> StoreError {
    server("the connection timed out")
}

fn not_implemented() -> StoreError {
    server("Server returned non-2xx status code: 501 Not Implemented")
}

/// Returns a store of each kind that needs no server. The directory has to outlive the stores.
fn stores() -> (tempfile::TempDir, [Store; 2]) {
    let directory = tempfile::tempdir().expect("a directory");
    let local = open(&format!("file://{}/not%20there%20yet/", directory.path().display()));
    let memory = Store::from_object_store(Arc::new(InMemory::new()), Path::from("some/prefix"), "memory");
    (directory, [memory, local])
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_all_promises() {
    let (_directory, [memory, _]) = stores();
    conformance::keeps_all(&memory).await;
    conformance::keeps_all(&counting().0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_disk_keeps_all_promises() {
    let (_directory, [_, local]) = stores();
    conformance::keeps_all(&local).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn synced_local_disk_keeps_all_promises() {
    let (_directory, [_, local]) = stores();
    conformance::keeps_all(&local.synced()).await;
}

#[tokio::test]
async fn a_store_that_loses_the_answers_to_puts_keeps_the_promises_of_what_is_read_back() {
    let broken = conformance::broken(&faulty(Puts::Lost(timed_out)), 1).await;
    // A plain writer does not read back what it has put.
    assert_eq!(broken, ["an_upload_appears_whole_at_its_end"]);
}

#[tokio::test]
async fn a_store_that_takes_no_puts_keeps_the_promises_that_need_none() {
    let broken = conformance::broken(&faulty(Puts::Fail(timed_out)), 1).await;
    let mut kept = conformance::promises();
    kept.retain(|name| !broken.contains(name));
    let expected = ["what_is_not_there_is_none", "a_key_that_is_no_path_is_refused"];
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn a_store_that_cannot_create_keeps_all_promises_but_those_of_creators() {
    const ONE_AFTER_ANOTHER: &str = "of_creators_one_after_another_the_first_wins";
    const AT_THE_SAME_TIME: &str = "of_creators_at_the_same_time_one_wins_and_the_others_learn_who";
    const AGAIN: &str = "what_was_deleted_can_be_created_again";
    const TOLD_APART: &str = "a_probe_finds_that_creators_are_told_apart";
    for (puts, before) in [
        (Puts::WithoutCondition, &[ONE_AFTER_ANOTHER, AT_THE_SAME_TIME, TOLD_APART][..]),
        (Puts::NoCreate(not_implemented), &[ONE_AFTER_ANOTHER, AT_THE_SAME_TIME, AGAIN, TOLD_APART]),
    ] {
        assert_eq!(conformance::broken(&faulty(puts), 1).await, before, "{puts:?}");
        let probed = faulty(puts);
        probed.probe_creates("run store", "r", "5f3a").await.expect("is writable");
        assert_eq!(conformance::broken(&probed, 1).await, [AT_THE_SAME_TIME, TOLD_APART], "{puts:?}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_the_operators_to_fix() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("file"), "in the way").expect("writes");
    let store = open(&format!("file://{}/file/", directory.path().display()));
    let error = store.probe_writable("sink", "r", "5f3a").await.expect_err("a file is no directory");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.starts_with("sink `file://") && text.contains("` is not writable: cannot write `"), "{text}");
    assert_eq!(text.matches("os error").count(), 1, "{text}");
}

#[tokio::test]
async fn opening_creates_nothing_and_a_missing_directory_is_known() {
    let (directory, [memory, local]) = stores();
    assert!(memory.prefix_exists().await.expect("looks"));
    assert!(!local.prefix_exists().await.expect("looks"));
    assert!(local.list_keys("").await.expect("lists").is_empty());
    assert_eq!(std::fs::read_dir(directory.path()).expect("reads").count(), 0);
}

#[tokio::test]
async fn an_emptied_directory_can_be_removed_but_no_other() {
    let (directory, [memory, local]) = stores();
    local.put("d/x", "").await.expect("writes");
    local.remove_empty_directory("d").await;
    assert!(local.exists("d/x").await.expect("looks"));
    local.delete("d/x").await.expect("deletes");
    assert_eq!(local.list_prefixes("").await.expect("lists"), ["d"]);
    local.remove_empty_directory("d").await;
    assert_eq!(local.list_prefixes("").await.expect("lists"), [""; 0]);
    assert!(directory.path().join("not there yet").exists());
    assert!(!directory.path().join("not there yet/d").exists());
    memory.remove_empty_directory("d").await;
}

#[tokio::test]
async fn memory_stores_are_found_again_by_name() {
    open("memory://store-tests/a/").put("b", "x").await.expect("writes");
    assert!(open("memory://store-tests").exists("a/b").await.expect("looks"));
    assert!(!open("memory://store-tests-2/").exists("a/b").await.expect("looks"));
    assert!(!open("memory:///").exists("a/b").await.expect("looks"));
}

#[test]
fn a_parent_is_one_level_up() {
    let (parent, key) = open("file:///data/in%20put/a.txt").parent().expect("is not the root");
    assert_eq!((parent.path("x").expect("a path").as_ref(), key.as_str()), ("data/in put/x", "a.txt"));
    assert_eq!(parent.directory.as_deref(), Some(LocalPath::new("/data/in put")));
    assert!(open("memory:///").parent().is_none());
}

#[test]
fn options_of_one_kind_of_store_do_not_break_another() {
    let options = options([("Region", "eu-1"), ("endpoint", "http://localhost:1"), ("account_name", "a")]);
    let urls =
        ["file:///x/", "memory:///", "s3://bucket/prefix/", "az://container/x", "abfss://c@a.dfs.core.windows.net/"];
    for url in urls {
        Store::open(&location(url), &options).unwrap_or_else(|error| panic!("{url}: {error}"));
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let error_of = |url: &str, key: &str, value: &str| {
        let error = Store::open(&location(url), &options([(key, value)])).expect_err("is wrong");
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    let unknown = error_of("file:///x/", "regoin", "x");
    assert!(unknown.contains("unknown store option `regoin`") && unknown.contains("`region`"), "{unknown}");
    let wrong = error_of("s3://bucket/", "allow_http", "perhaps");
    assert!(wrong.starts_with("cannot open the store `s3://bucket/`: ") && wrong.contains("perhaps"), "{wrong}");
    for url in ["ftp://host/x", "https://example.com/x", "input/", "file://host/x"] {
        let error = error_of(url, "region", "x");
        assert!(error.starts_with(&format!("cannot open the store `{url}`: ")), "{error}");
    }
}

#[tokio::test]
async fn a_store_nobody_answers_for_may_be_there_later() {
    // A port that was free a moment ago, so no server listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("binds").port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let keys = [("access_key_id", "a"), ("secret_access_key", "b"), ("allow_http", "true"), ("endpoint", &*endpoint)];
    let store = Store::open(&location("s3://bucket/prefix/"), &options(keys)).expect("opens");
    let error = store.get("x").await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("cannot read `x` in `s3://bucket/prefix/`: "), "{text}");
    assert_eq!(text.to_lowercase().matches("connection refused").count(), 1, "{text}");
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_read_back() {
    faulty(Puts::Lost(timed_out)).put("manifest", "x").await.expect("it is there");
    let error = faulty(Puts::Fail(timed_out)).put("manifest", "x").await.expect_err("it is not");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_store_that_does_not_tell_creators_apart_is_found_out_and_made_do_with() {
    for (puts, creates) in
        [(Puts::WithoutCondition, Creates::Again), (Puts::NoCreate(not_implemented), Creates::NotOffered)]
    {
        let store = faulty(puts);
        assert_eq!(store.probe_creates("run store", "r", "5f3a").await.expect("is writable"), creates);
        assert!(store.list_keys("").await.expect("lists").is_empty());
        let clone = store.clone();
        assert_eq!(clone.create("commit", "attempt 1").await.expect("writes"), Created::Won);
        assert_eq!(store.create("commit", "attempt 1").await.expect("looks"), Created::Won);
        assert_eq!(store.create("commit", "attempt 2").await.expect("looks"), Created::Lost("attempt 1".into()));
    }
}

#[test]
fn a_local_store_is_synced_when_asked_to() {
    let store = open("file:///data/");
    for (store, fsync) in [(store.clone(), false), (store.synced(), true)] {
        assert!(format!("{store:?}").contains(&format!("fsync: {fsync}")), "{store:?}");
    }
    assert!(format!("{:?}", open("file:///data/x/").synced().parent()).contains("fsync: true"));
}

#[tokio::test]
async fn a_failed_operation_names_the_object_and_the_store() {
    let (_directory, stores) = stores();
    for store in stores {
        let error = store.get("a//b").await.expect_err("no key");
        assert!(error.to_string().starts_with("cannot read `a//b` in `"), "{error}");
    }
    let error = faulty(Puts::Fail(timed_out)).probe_creates("run store", "r", "5f3a").await.expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().starts_with("run store `faulty` is not writable: cannot write `r/.probe-5f3a`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_has_won() {
    let store = faulty(Puts::Lost(timed_out));
    assert_eq!(store.create("commit", "attempt 1").await.expect("is read back"), Created::Won);
    assert_eq!(store.create("commit", "attempt 2").await.expect("is read back"), Created::Lost("attempt 1".into()));
}

#[tokio::test]
async fn a_create_that_did_not_land_can_be_tried_again() {
    let store = faulty(Puts::Fail(timed_out));
    let error = store.create("commit", "attempt 1").await.expect_err("did not land");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "cannot create `commit` in `faulty`: the connection timed out");
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_refused() {
    let unsupported: [fn() -> StoreError; 2] =
        [|| StoreError::NotImplemented { operation: "create".into(), implementer: "x".into() }, not_implemented];
    for error in unsupported {
        let error = faulty(Puts::Fail(error)).create("commit", "attempt 1").await.expect_err("not offered");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("cannot create `commit` in `faulty`: not offered by the store"), "{error}");
    }
}

#[test]
fn errors_are_classed_by_what_the_operator_can_do() {
    fn of(error: fn() -> StoreError) -> (ErrorKind, String) {
        let store = faulty(Puts::Fail(error));
        let error = store.list_keys("p").now_or_never().expect("does not wait").expect_err("fails");
        (error.kind(), error.to_string())
    }
    let denied = of(|| StoreError::PermissionDenied { path: "p".into(), source: "AccessDenied".into() });
    let expected = "cannot list `p` in `faulty`: bad credentials or missing permission: AccessDenied".to_owned();
    assert_eq!(denied, (ErrorKind::Config, expected));
    let no_bucket = of(|| StoreError::NotFound {
        path: "p".into(),
        source: "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>".into(),
    });
    assert_eq!(no_bucket.0, ErrorKind::Config);
    assert!(no_bucket.1.contains("no such bucket"), "{}", no_bucket.1);
}

#[tokio::test]
async fn a_name_of_local_disks_own_is_refused_by_every_operation() {
    let (directory, [memory, local]) = stores();
    let key = "deep/er#12";
    memory.put(key, "x").await.expect("is a key like any other");
    let errors = [
        local.get(key).await.err(),
        local.get_range(key, 0..1, None).await.err(),
        local.stat(key).await.err(),
        local.put(key, "x").await.err(),
        local.create(key, "x").await.err(),
        local.upload(key).err(),
        local.delete(key).await.err(),
    ];
    for error in errors {
        let error = error.expect("no object has this name");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().ends_with("is that of a file being written: rename it"), "{error}");
    }
    // A directory may have it.
    local.put("deep/er#12/x", "x").await.expect("writes");
    assert_eq!(local.list_keys(key).await.expect("lists"), ["deep/er#12/x"]);
    assert_eq!(local.list_prefixes("deep").await.expect("lists"), ["er#12"]);
    assert!(!local.exists(key).await.expect("looks"));
    drop(directory);
}

#[tokio::test]
async fn an_http_endpoint_has_to_be_allowed() {
    let endpoint = [("endpoint", "http://127.0.0.1:1"), ("access_key_id", "a"), ("secret_access_key", "b")];
    let store = Store::open(&location("s3://bucket/scheme is not allowed/"), &options(endpoint)).expect("opens");
    let error = store.get("x").await.expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("an `http` endpoint needs `allow_http"), "{error}");
}

#[test]
fn errors_of_writers_are_classed_like_those_of_the_store() {
    let denied = StoreError::Unauthenticated { path: "p".into(), source: "who are you".into() };
    let error = classify_io(denied.into());
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "bad credentials or missing permission: who are you");
    assert_eq!(classify_io(io::ErrorKind::StorageFull.into()).kind(), ErrorKind::Unavailable);
}
