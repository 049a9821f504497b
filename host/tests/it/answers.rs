//! Answers of a store that are not what was asked for. A proxy in front of a real S3 server gives them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use etl_core::model::error::{ErrorKind, Result};
use etl_store::{Store, UPLOAD_PART_BYTES, classify_io};
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use tokio::io::AsyncWriteExt;

use crate::{
    guests::{SUM, WORD_COUNT},
    outages::{Request, Verdict, proxy},
    stores::{S3, run, section, store},
    support::Project,
};

const ERROR: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalFault</Code></Error>";
const PREAMBLE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const PAGE: &str = "<!DOCTYPE html>\n<html><body>Please log in.</body></html>";
const WITHOUT_TOKEN: &str = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
const CUT: &str = "<ListBucketResult><IsTruncated>false</IsTruncated>";

/// Number of objects that the server lists in one page.
const PAGE_OBJECTS: usize = 100;

/// More objects than the server lists in one page.
const MANY: usize = 130;

/// Opens the bucket behind a proxy that answers the first `times` requests of a kind with status 200 and this body.
fn answering(s3: &S3, body: &'static str, times: usize, kind: fn(&Request) -> bool) -> Store {
    let count = AtomicUsize::new(0);
    let answers = move |request: &Request| {
        let wrongly = kind(request) && count.fetch_add(1, SeqCst) < times;
        if wrongly { Verdict::Answer("200 OK", body) } else { Verdict::Forward }
    };
    store(proxy(s3.port(), answers))
}

fn first_page(request: &Request) -> bool {
    request.line.contains("list-type=2") && !request.line.contains("continuation-token")
}

fn second_page(request: &Request) -> bool {
    request.line.contains("continuation-token")
}

fn complete(request: &Request) -> bool {
    request.line.starts_with("POST") && request.line.contains("uploadId=")
}

fn delete(request: &Request) -> bool {
    request.line.starts_with("POST") && request.line.contains("?delete")
}

/// Puts objects that take two pages to list, and returns the server.
fn two_pages() -> S3 {
    let s3 = S3::with_pages_of(PAGE_OBJECTS);
    let (bucket, keys) = (s3.store(), (0..MANY).map(|number| format!("in/{number:03}.txt")));
    let puts = keys.map(|key| {
        let bucket = &bucket;
        async move { bucket.put(&key, "word\n").await }
    });
    run(stream::iter(puts).buffer_unordered(16).try_collect::<()>()).expect("the server takes them");
    s3
}

async fn upload(store: &Store, key: &str) -> Result<()> {
    let mut writer = store.upload(key)?;
    writer.write_all(&vec![b'x'; UPLOAD_PART_BYTES + 1]).await.map_err(classify_io)?;
    writer.shutdown().await.map_err(classify_io)
}

#[test]
fn a_page_that_is_no_listing_does_not_end_the_listing() {
    let s3 = Arc::new(two_pages());
    let answers = [ERROR, PREAMBLE, "", PAGE, WITHOUT_TOKEN, CUT];
    let cases =
        answers.iter().flat_map(|answer| [(*answer, first_page as fn(&Request) -> bool), (answer, second_page)]);
    let tested = cases.map(|(answer, page)| {
        let s3 = Arc::clone(&s3);
        async move {
            // Such a page may pass, and then nothing is missing.
            let once = answering(&s3, answer, 1, page).list_keys("in").await.expect("the second answer is right");
            assert_eq!(once.len(), MANY, "{answer}");
            let error = answering(&s3, answer, usize::MAX, page).list_keys("in").await.expect_err("is no listing");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("the store answered"), "{error}");
        }
    });
    run(join_all(tested));
}

#[test]
fn a_run_does_not_go_on_with_a_part_of_a_listing() {
    let s3 = two_pages();
    let count = AtomicUsize::new(0);
    let port = proxy(s3.port(), move |request| {
        let wrongly = second_page(request) && count.fetch_add(1, SeqCst) < 6;
        if wrongly { Verdict::Answer("200 OK", ERROR) } else { Verdict::Forward }
    });
    let project = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/in/\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n\
         map = [{{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, partitions = 1 }}\n{}",
        section(port)
    ));
    project
        .run(["--run-id", "r"])
        .expect_error(75, &["something else than a whole `ListBucketResult`", "InternalFault"]);
    let result = project.result(["--run-id", "r"]);
    assert!(result.iter().any(|(_, text)| text.contains(&MANY.to_string())), "{result:?}");
}

#[test]
fn an_error_in_place_of_a_listing_is_classed_by_its_code() {
    let s3 = S3::start();
    let denied = answering(&s3, "<Error><Code>AccessDenied</Code></Error>", usize::MAX, first_page);
    let error = run(denied.list_keys("")).expect_err("is denied");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("bad credentials or missing permission"), "{error}");
}

#[test]
fn credentials_that_have_expired_are_known_although_the_answer_about_an_object_has_no_text() {
    let s3 = S3::start();
    let port = proxy(s3.port(), |request| match request.line.split(' ').next() {
        Some("HEAD") => Verdict::Answer("400 Bad Request", ""),
        _ => Verdict::Answer("400 Bad Request", "<Error><Code>ExpiredToken</Code></Error>"),
    });
    let error = run(store(port).stat("x")).expect_err("has expired");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.to_string().starts_with("cannot read `x` in `s3://bucket/`: the credentials have expired: "),
        "{error}"
    );
}

#[test]
fn what_was_not_confirmed_is_done_again_or_fails() {
    let s3 = Arc::new(S3::start());
    s3.put("from", "text");
    let tested = [ERROR, PREAMBLE, "", PAGE].map(|answer| {
        let s3 = Arc::clone(&s3);
        async move {
            let place = answer.len();
            let to = |what: &str| format!("{what}-{place}");
            upload(&answering(&s3, answer, 1, complete), &to("upload")).await.expect("is completed again");
            let bucket = s3.store();
            assert!(bucket.exists(&to("upload")).await.expect("looks"), "{answer}");
            let errors = [
                upload(&answering(&s3, answer, usize::MAX, complete), &to("lost")).await.err(),
                answering(&s3, answer, usize::MAX, delete).delete("from").await.err(),
            ];
            for error in errors {
                let error = error.unwrap_or_else(|| panic!("`{answer}` was taken"));
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            assert!(bucket.exists("from").await.expect("looks"), "{answer}");
            assert!(!bucket.exists(&to("lost")).await.expect("looks"), "{answer}");
        }
    });
    run(join_all(tested));
}

#[test]
fn publishing_copies_nothing_and_a_completion_that_was_not_confirmed_is_looked_after() {
    let s3 = S3::start();
    s3.put("in/a.txt", "ant bee ant\n");
    let (copies, completions) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (copied, completed) = (Arc::clone(&copies), Arc::clone(&completions));
    let port = proxy(s3.port(), move |request| {
        copied.fetch_add(usize::from(request.copies), SeqCst);
        // The first answer to a completion is lost after the server has done it.
        let loses = complete(request) && completed.fetch_add(1, SeqCst) < 1;
        if loses { Verdict::LoseAnswer } else { Verdict::Forward }
    });
    let project = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/in/\"\nsink.url = \"s3://bucket/result/\"\n\
         run.store = \"s3://bucket/runs/\"\nmap = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 1 }}\n{}",
        section(port)
    ));
    project.run(["--quiet", "--run-id", "r"]).expect_success();
    let expected = "{\"word\":\"ant\",\"count\":2}\n{\"word\":\"bee\",\"count\":1}\n";
    assert_eq!(s3.get("result/r/part-00000.json"), expected);
    assert_eq!((copies.load(SeqCst), completions.load(SeqCst)), (0, 2), "copies, and completions with their repeats");
}
