//! What a run takes from the world outside, it takes from its options: its name, its times and the name of its process.

use std::{collections::BTreeSet, sync::Arc};

use etl_core::model::{event::Stamped, times::unix_ms};
use etl_host::{
    connector::objects::ObjectSink,
    pipeline::Pipeline,
    run::{RunOptions, run_on},
    run_store::plan::Plan,
    task::stores::Stores,
};

use crate::{
    guests::{SUM, WORD_COUNT},
    hooked::{Hook, Hooked},
    support::{Project, compiler, events, standing_clock},
};

#[derive(Debug)]
struct Nothing;

impl Hook for Nothing {}

/// Runs a pipeline, as a new run of the process with this number, with its run store and sink in memory.
async fn run(pipeline: &Pipeline, random: u64) -> Arc<Hooked<Nothing>> {
    let memory = Hooked::new(Nothing);
    let opened = Stores::open(pipeline).await.expect("they open");
    let stores =
        Stores { run_store: memory.below("runs"), sink: Arc::new(ObjectSink::new(memory.below("result"))), ..opened };
    let options = RunOptions::new(compiler(), standing_clock(), random);
    run_on(stores, pipeline, options, &events()).await.expect("it ends well");
    memory
}

async fn keys(memory: &Arc<Hooked<Nothing>>) -> BTreeSet<String> {
    memory.below("").list_keys("").await.expect("lists").into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_its_name_its_times_and_the_name_of_its_process_from_its_options() {
    let project = Project::of(&format!(
        "split.target_size = 12\nmap = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 2 }}"
    ));
    let project = project.file("input/a.txt", "ant bee\ncat dog\nant dog\nbee emu\n");
    let pipeline = Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid");
    let (run_id, random) = ("20231114T221320Z-5f3a90c2", 0x5f3a_90c2_0bad_cafe);
    let memory = run(&pipeline, random).await;

    let found = keys(&memory).await;
    let log = format!("runs/test/{run_id}/events/1700000000000-0badcafe.jsonl");
    for key in [
        &log,
        &format!("runs/test/{run_id}/1-0badcafe/map/000000/1-0badcafe.arrow"),
        &format!("result/{run_id}/_SUCCESS"),
    ] {
        assert!(found.contains(key), "no `{key}` in {found:#?}");
    }
    let plan: Plan =
        serde_json::from_slice(&memory.read(&format!("runs/test/{run_id}/plan.json")).await).expect("a plan");
    assert_eq!(plan.planned_at_ms, unix_ms(standing_clock()));
    let log = String::from_utf8(memory.read(&log).await).expect("text");
    let events: Vec<Stamped> = log.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert!(events.len() > 10 && events.iter().all(|event| event.at_ms == 1_700_000_000_000), "{events:?}");

    assert_eq!(keys(&run(&pipeline, random).await).await, found, "nothing else makes a name");
    assert!(
        keys(&run(&pipeline, !random).await).await.is_disjoint(&(&found - &["result/latest.json".to_owned()].into()))
    );
}
