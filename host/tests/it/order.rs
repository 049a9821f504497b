//! The order of writes: an object that names another one is written after it, so a power cut between any two writes
//! leaves no object that names a lost one.

use std::sync::{Mutex, PoisonError};

use etl_host::{
    connector::objects::ObjectSink,
    pipeline::Pipeline,
    run::{Start, run_on},
    task::stores::Stores,
};
use futures::TryStreamExt;
use object_store::{ObjectStore, Result, path::Path};
use serde_json::Value;

use crate::{
    guests::{FILTER_CLEAN, SUM, WORD_COUNT},
    hooked::{Hook, Hooked, Write},
    support::{Project, events, options},
};

/// Records when the write of an object begins, and when the store has answered that it is done.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<(String, bool)>>);

impl Log {
    fn note(&self, key: &str, done: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((key.to_owned(), done));
    }

    /// Asserts that all writes of keys for which `first` is true are done before the first write of a key for which
    /// `then` is true begins. There must be some of each.
    #[track_caller]
    fn check(&self, first: impl Fn(&str) -> bool, then: impl Fn(&str) -> bool) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let done = log.iter().rposition(|(key, done)| *done && first(key)).expect("something comes first");
        let begun = log.iter().position(|(key, done)| !done && then(key)).expect("something comes then");
        assert!(done < begun, "{:?} before {:?}", log[begun].0, log[done].0);
    }
}

/// Returns the name of a write in the log. The parts of an upload are seen by no reader, so they have another name than
/// the object that the upload becomes.
fn name(write: &Write) -> String {
    match write {
        Write::Begin(key) => format!("begin of {key}"),
        Write::Part(key) => format!("upload of {key}"),
        Write::Delete(key) => format!("delete of {key}"),
        write => write.key().to_owned(),
    }
}

#[async_trait::async_trait]
impl Hook for Log {
    async fn before(&self, write: &Write) -> Result<()> {
        self.note(&name(write), false);
        Ok(())
    }

    async fn after(&self, write: &Write, worked: bool) -> Result<()> {
        // One write fails on purpose: the probe creates an object twice, to find out whether the store refuses that.
        if worked {
            self.note(&name(write), true);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_names_something_is_written_after_it() {
    let words: String =
        (0..100).map(|n| if n % 7 == 0 { "w,too many\n".to_owned() } else { format!("w{n}\n") }).collect();
    let project = Project::of(&format!(
        "split.target_size = 50\nmap = [{{ plugin = {FILTER_CLEAN}, config.columns = 1, max_rejects = 100 }}, \
         {{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, partitions = 2 }}"
    ));
    let project = project.file("input/a.txt", words);
    let pipeline = Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid");
    let opened = Stores::open(&pipeline).await.expect("they open");
    for store in [format!("{:?}", opened.run_store), format!("{:?}", opened.sink)] {
        assert!(store.contains("fsync: true"), "on local disk, done means on the disk: {store}");
    }
    let hooked = Hooked::new(Log::default());
    let stores = Stores {
        run_store: hooked.below("runs"),
        sink: std::sync::Arc::new(ObjectSink::new(hooked.below("result"))),
        ..opened
    };
    run_on(stores, &pipeline, options(Start::Id("r".to_owned())), &events()).await.expect("it ends well");

    let log = &hooked.hook;
    let is = |expected: &'static str| move |key: &str| key == expected;
    let is_commit = |key: &str| key.ends_with("/commit.json");
    log.check(|key| key.contains("/shards/"), is("runs/test/r/plan.json"));
    log.check(is("runs/test/r/plan.json"), is("result/r/.claim"));
    log.check(is("result/r/.claim"), |key| key.starts_with("upload of result/r/part-"));
    log.check(is("result/r/.claim"), |key| key.starts_with("begin of result/r/part-"));
    log.check(|key| key.contains("/uploads/reduce-000001-"), is("upload of result/r/part-00001.json"));
    log.check(is_commit, |key| key.starts_with("result/r/part-"));
    log.check(is("runs/test/r/plan.json"), is_commit);
    log.check(|key| key.contains("/map/"), |key| key.contains("/reduce/"));
    log.check(|key| key.starts_with("result/r/part-"), is("result/r/_SUCCESS"));
    log.check(is("result/r/_SUCCESS"), is("result/latest.json"));
    log.check(is("result/latest.json"), is("runs/test/r/manifest.json"));
    log.check(is("runs/test/r/manifest.json"), is("runs/test/r/_SUCCESS"));

    let listed: Vec<_> = hooked.inner.list(Some(&Path::from("runs"))).try_collect().await.expect("it lists");
    let mut rejects = 0;
    let commits: Vec<String> =
        listed.iter().map(|meta| meta.location.to_string()).filter(|key| is_commit(key)).collect();
    assert!(commits.len() > 6, "{commits:?}");
    for key in commits {
        let commit: Value = serde_json::from_slice(&hooked.read(&key).await).expect("JSON");
        let data = match &commit["output"] {
            Value::Object(output) if output.contains_key("shuffle_file") => {
                format!("runs/{}", output["shuffle_file"]["key"].as_str().expect("a key"))
            }
            output => {
                format!("upload of result/r/part-{:05}.json", output["parts"][0]["part"].as_u64().expect("a part"))
            }
        };
        log.check(|written| written == data, |written| written == key);
        if let Some(set_aside) = commit["rejects"].as_str() {
            log.check(|written| written == format!("runs/{set_aside}"), |written| written == key);
            rejects += 1;
        }
    }
    assert!(rejects > 0, "some records are set aside");
}
