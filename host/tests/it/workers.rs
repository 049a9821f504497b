//! Many processes on one run: work is shared, whoever is killed or goes away, and each stage has a command of its own.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, atomic::Ordering::SeqCst},
    thread,
    time::Duration,
};

use etl_core::model::error::ErrorKind;
use etl_host::{
    connector::objects::ObjectSink,
    pipeline::Pipeline,
    run::{Part, RunOptions, Start, Which, run_on},
    run_store::document::seal,
    task::stores::Stores,
};
use etl_store::testing::counting::counting;
use object_store::{memory::InMemory, path::Path};
use serde_json::Value;

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, SUM, WORD_COUNT},
    stores::S3,
    support::{Ended, Project, etl_host, etl_host_command, events, options},
};

/// Returns a project of objects that are a map task each, and of five partitions.
fn project(objects: u32) -> Project {
    let steps = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, partitions = 5 }}\n\
         split.target_size = 20\nrun.fsync = false"
    );
    (0..objects).fold(Project::of(&steps), |project, number| {
        project.file(&format!("input/{number:03}.txt"), format!("word-{} and word-{number}\n", number % 7))
    })
}

fn command(project: &Project, command: &str, more: &[&str]) -> Command {
    let mut process = etl_host_command();
    process.arg(command).arg(project.path("pipeline.toml")).args(["--run-id", "r"]).args(more);
    process.stdout(Stdio::piped()).stderr(Stdio::piped());
    process
}

/// Runs a command on run `r` to its end.
fn ended(project: &Project, name: &str, more: &[&str]) -> Ended {
    Ended::of(&mut command(project, name, more))
}

fn start(project: &Project, name: &str, more: &[&str], fail_point: &str) -> Child {
    command(project, name, more).env("ETL_HOST_FAIL_POINT", fail_point).spawn().expect("it starts")
}

fn output(child: Child) -> Output {
    child.wait_with_output().expect("it ends")
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// Returns the number of attempts that a process made in a stage, by its summary.
fn attempts(summary: &Value, stage: &str) -> u64 {
    summary["stages"][stage]["attempts"].as_u64().unwrap_or_default()
}

/// Returns the result of the pipeline when one process runs it.
fn expected(project: &Project) -> Vec<(String, String)> {
    let expected = project.result(["--quiet"]);
    fs::remove_dir_all(project.path("runs")).expect("it was there");
    fs::remove_dir_all(project.path("result")).expect("it was there");
    expected
}

#[test]
fn workers_share_a_run_and_do_each_task_once() {
    let project = project(60);
    let expected = expected(&project);
    ended(&project, "plan", &[]).expect_success();
    let workers: Vec<Child> = (0..4).map(|_| start(&project, "worker", &["--summary-json"], "")).collect();
    let (mut maps, mut reduces) = (0, 0);
    for worker in workers {
        let ended = output(worker);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let summary = json(&ended.stdout);
        maps += attempts(&summary, "map");
        reduces += attempts(&summary, "reduce");
        assert_eq!((&summary["exit_code"], &summary["command"]), (&0.into(), &"worker".into()), "{summary}");
    }
    assert_eq!(project.latest(), expected);
    let tasks = ended_json(&project, "status", &["--json"])["stages"]["map"]["tasks"].as_u64().expect("a number");
    assert_eq!((maps, reduces), (tasks, 5));
    assert_eq!(project.files("runs/test/r/processes"), Vec::<String>::new());
}

fn ended_json(project: &Project, name: &str, more: &[&str]) -> Value {
    let mut process = etl_host_command();
    process.arg(name).arg(project.path("pipeline.toml")).arg("r").args(more);
    let ended = Ended::of(&mut process);
    ended.expect_success();
    json(ended.stdout.as_bytes())
}

#[test]
fn workers_that_are_killed_anywhere_are_made_up_for_by_the_others() {
    let project = project(40);
    let expected = expected(&project);
    // `upload.finished` is between an upload and its commit, where a node may vanish.
    for points in [
        ["map.begin:3", "upload.finished:2", "commit.end:4"],
        ["plan.freeze", "plan.frozen", "reduce.begin"],
        ["commit.begin:2", "publish.moved", "finalize.manifest"],
    ] {
        let mut killed: Vec<Child> =
            points.iter().map(|point| start(&project, "worker", &["--quiet"], point)).collect();
        let stays = output(start(&project, "worker", &["--quiet"], ""));
        assert!(stays.status.success(), "{points:?}: {}", String::from_utf8_lossy(&stays.stderr));
        assert_eq!(project.latest(), expected, "{points:?}");
        for child in &mut killed {
            let status = child.wait().expect("it ends");
            assert!(status.success() || status.signal() == Some(9), "{points:?}: {status}");
        }
        ended(&project, "worker", &["--quiet"]).expect_success();
        assert_eq!(project.latest(), expected, "{points:?}");
        fs::remove_dir_all(project.path("runs")).expect("it was there");
        fs::remove_dir_all(project.path("result")).expect("it was there");
    }
}

#[test]
fn shards_that_fail_are_left_out_by_all_workers_and_none_waits_for_another_forever() {
    let steps = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic-on-line\", text = \"bad\" }}, retry.attempts = 1 }}]\n\
         sink.format = \"lines\"\nsplit.target_size = 4\nrun.tolerated_failures = 4\nrun.fsync = false"
    );
    let project = Project::of(&steps).file("input/a.txt", "bad\none\nbad\ntwo\nsix\nbad\nten\nbad\n");
    let workers: Vec<Child> = (0..3).map(|_| start(&project, "worker", &["--quiet"], "")).collect();
    for worker in workers {
        let ended = output(worker);
        assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let lines: String = project.latest().into_iter().map(|(_, text)| text).collect();
    assert_eq!(lines, "one\ntwo\nsix\nten\n");
    assert_eq!(project.json("result/latest.json")["failed_shards"], 4);
}

#[test]
fn a_run_that_was_interrupted_is_finished_by_workers() {
    let project = project(20);
    let expected = expected(&project);
    let killed = output(start(&project, "run", &["--quiet"], "commit.end:3"));
    assert_eq!(killed.status.signal(), Some(9));
    let workers: Vec<Child> = (0..2).map(|_| start(&project, "worker", &["--quiet"], "")).collect();
    for worker in workers {
        let ended = output(worker);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(project.latest(), expected);
}

#[test]
fn each_stage_is_a_command_that_may_be_repeated() {
    let project = project(20);
    let expected = expected(&project);
    ended(&project, "map", &[]).expect_error(75, &["run `r` has no plan yet", "`etl-host plan` makes it"]);
    let planned = ended(&project, "plan", &["--json"]);
    let planned = json(planned.expect_success().stdout.as_bytes());
    assert_eq!((&planned["objects"], &planned["partitions"], &planned["run_id"]), (&20.into(), &5.into(), &"r".into()));
    let tasks = planned["tasks"].as_u64().expect("a number");
    assert_eq!(json(ended(&project, "plan", &["--json"]).stdout.as_bytes()), planned);
    for _ in 0..2 {
        let some = ended(&project, "map", &["--tasks", "0-3,7", "--summary-json"]);
        let summary = json(some.expect_success().stdout.as_bytes());
        assert_eq!(&summary["stages"]["map"]["tasks"], 5, "{summary}");
    }
    let status = ended_json(&project, "status", &["--json"]);
    assert_eq!((&status["stages"]["map"]["committed"], &status["complete"]), (&5.into(), &false.into()), "{status}");
    let missing = format!("{} of {tasks} tasks of the map stage are not committed yet, the first is the", tasks - 5);
    ended(&project, "reduce", &[]).expect_error(75, &[&missing, "map of shard 4"]);
    ended(&project, "finalize", &[]).expect_error(75, &[&missing]);
    let done: u64 = (0..3)
        .map(|index| {
            let index = index.to_string();
            let part = ended(&project, "map", &["--index", &index, "--of", "3", "--summary-json"]);
            attempts(&json(part.expect_success().stdout.as_bytes()), "map")
        })
        .sum();
    assert_eq!(done, tasks - 5);
    ended(&project, "reduce", &["--partitions", "0-1"]).expect_success();
    ended(&project, "finalize", &[]).expect_error(75, &["3 of 5 tasks of the reduce stage", "reduce of partition 2"]);
    for index in ["0", "1"] {
        let mut reduce = command(&project, "reduce", &["--of", "2"]);
        Ended::of(reduce.env("JOB_COMPLETION_INDEX", index)).expect_success();
    }
    ended(&project, "finalize", &[]).expect_success();
    assert_eq!(project.latest(), expected);
    for again in ["plan", "map", "reduce", "finalize", "worker"] {
        let summary = json(ended(&project, again, &["--summary-json"]).expect_success().stdout.as_bytes());
        assert_eq!((&summary["already_done"], &summary["exit_code"]), (&true.into(), &0.into()), "{again}: {summary}");
    }
}

#[test]
fn parts_that_there_are_not_are_refused_by_name() {
    let project = project(3);
    ended(&project, "plan", &[]).expect_success();
    let refused = |name: &str, more: &[&str], text: &str| {
        let ended = ended(&project, name, more);
        assert!(ended.code == Some(2) && ended.stderr.contains(text), "{ended:#?}");
    };
    refused("map", &["--tasks", "0-3"], "there is no number 3 among the run's map tasks: they are 0 to 2");
    refused("reduce", &["--partitions", "5"], "there is no number 5 among the run's partitions: they are 0 to 4");
    refused("map", &["--tasks", "0-2,1"], "1 is in two of the ranges `0-2,1`");
    refused("map", &["--tasks", "2-1"], "the range `2-1` is empty");
    refused("map", &["--tasks", "a"], "`a` is no range of numbers");
    refused("map", &["--index", "3", "--of", "3"], "number 3 of 3 (by `--index`), but they are numbered from 0 to 2");
    refused("map", &["--index", "0"], "of how many is not known: add `--of`");
    refused("worker", &["--of", "3"], "`--of` needs `--index`, or one of the variables");
    refused("map", &["--tasks", "0", "--index", "0"], "cannot be used with");
    let mut reduce = command(&project, "reduce", &[]);
    let unknown = Ended::of(reduce.env("JOB_COMPLETION_INDEX", "1"));
    unknown.expect_error(2, &["`JOB_COMPLETION_INDEX` is 1, but of how many is not known: add `--of`"]);
    // More processes than tasks: some have nothing to do.
    for index in ["0", "1", "2", "3", "4", "5", "6"] {
        ended(&project, "map", &["--index", index, "--of", "7"]).expect_success();
    }
    ended(&project, "reduce", &[]).expect_success();
    ended(&project, "finalize", &[]).expect_success();
}

#[test]
fn a_worker_of_another_pipeline_plugin_or_version_is_refused_by_name() {
    let bytes = [fs::read(WORD_COUNT.path()).expect("it can be read"), b"\0\x02\x01x".to_vec()].concat();
    let project = project(3).file("changed.wasm", bytes);
    ended(&project, "plan", &[]).expect_success();
    let changed = format!("map.0.plugin={}", project.path("changed.wasm").display());
    for (set, named) in
        [("reduce.partitions=3", "`reduce.partitions` (was 5, is 3)"), (&changed, "the plugin of `map` (was ")]
    {
        for name in ["worker", "map"] {
            ended(&project, name, &["--set", set]).expect_error(2, &["cannot be resumed", named]);
        }
    }
    let mut plan = project.json("runs/test/r/plan.json");
    plan.as_object_mut().expect("an object").remove("checksum");
    plan["host"] = "0.0.9".into();
    fs::write(project.path("runs/test/r/plan.json"), seal(&plan).expect("JSON")).expect("written");
    ended(&project, "worker", &[])
        .expect_error(2, &["was planned by etl-host 0.0.9, and this is ", "need one version"]);
    fs::write(project.path("runs/test/r/plan.json"), r#"{"format":1,"host":"0.0.9","shards":3}"#).expect("written");
    ended(&project, "worker", &[]).expect_error(2, &["planned by etl-host 0.0.9 in format 1"]);
}

#[test]
fn workers_share_a_run_on_s3() {
    let local = project(12);
    let expected = expected(&local);
    let s3 = S3::start();
    for number in 0..12 {
        let name = format!("input/{number:03}.txt");
        s3.put(&name, fs::read_to_string(local.path(&name)).expect("text"));
    }
    let steps = fs::read_to_string(local.path("pipeline.toml")).expect("text");
    let steps = ["input", "result", "runs"]
        .into_iter()
        .fold(steps, |steps, name| steps.replace(&format!("\"{name}/\""), &format!("\"s3://bucket/{name}/\"")));
    let project = Project::new(&format!("{steps}\n{}", s3.section()));
    let killed = start(&project, "worker", &["--quiet"], "upload.finished:2");
    let workers: Vec<Child> = (0..2).map(|_| start(&project, "worker", &["--quiet"], "")).collect();
    for worker in workers {
        let ended = output(worker);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    drop(output(killed));
    for (part, text) in expected {
        assert_eq!(s3.get(&format!("result/r/{part}")), text, "{part}");
    }
}

fn load(project: &Project) -> Pipeline {
    Pipeline::load(&project.path("pipeline.toml"), &[], |_| None).expect("valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_sleeps_is_not_waited_for_long_and_changes_nothing_when_it_comes_back() {
    let slow = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"emit\" }} }}, {{ plugin = {COUNT_BY_TYPE} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 3 }}\nsplit.target_size = 2000\nrun = {{ fsync = false, concurrency = 1, store = \"runs/\" }}"
    );
    let pipeline = format!("name = \"test\"\nsource.url = \"input/\"\nsink.url = \"result/\"\n{slow}");
    let words: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    let project = Project::new(&pipeline).file("input/a.txt", words);
    let expected = expected(&project);
    let mut sleeper = start(&project, "worker", &["--quiet"], "");
    while !project.files("runs").iter().any(|file| file.ends_with("commit.json")) {
        assert_eq!(sleeper.try_wait().expect("it can be asked"), None, "it has not committed anything");
        thread::sleep(Duration::from_millis(2));
    }
    let signal = |name: &str| Command::new("kill").args([name, &sleeper.id().to_string()]).status().expect("it starts");
    assert!(signal("-STOP").success());
    let status = ended_json(&project, "status", &["--json"]);
    assert_eq!(status["processes"][0]["id"]["pid"], sleeper.id(), "{status}");
    let other = RunOptions { heartbeat: Duration::from_millis(50), ..options(Start::Id("r".to_owned())) };
    let pipeline = load(&project);
    let stores = Stores::open(&pipeline).await.expect("they open");
    run_on(stores, &pipeline, other, &events()).await.expect("it ends well");
    assert_eq!(project.latest(), expected);
    assert!(signal("-CONT").success());
    let ended = tokio::task::spawn_blocking(move || output(sleeper)).await.expect("no panic");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(project.latest(), expected);
}

/// Runs a whole run of this many objects on a run store that counts its requests, and returns the puts, lists and gets.
async fn requests(objects: u32) -> [usize; 3] {
    let project = project(objects);
    let pipeline = load(&project);
    let (run_store, requests) = counting();
    let Stores { source, .. } = Stores::open(&pipeline).await.expect("they open");
    let sink = etl_store::Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "sink");
    let stores = Stores { source, run_store, sink: Arc::new(ObjectSink::new(sink)) };
    let options = RunOptions { shared: true, ..options(Start::Id("r".to_owned())) };
    run_on(stores, &pipeline, options, &events()).await.expect("it ends well");
    [&requests.puts, &requests.lists, &requests.gets].map(|requests| requests.load(SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_task_takes_three_puts_and_at_most_a_get_for_each_partition() {
    // As `docs/how-to/many-machines.md` says.
    let ([puts, lists, gets], [more_puts, more_lists, more_gets]) = (requests(20).await, requests(60).await);
    assert_eq!((more_puts - puts, more_lists - lists), (3 * 40, 0));
    assert!(
        more_gets - gets <= 5 * 40,
        "at most one for each partition that a task has rows for: {more_gets} and {gets}"
    );
    assert!(puts - 3 * 20 < 40 && lists < 20 && gets < 5 * 20 + 40, "{puts} puts, {lists} lists, {gets} gets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_run_is_refused_while_what_it_needs_is_missing() {
    let project = project(3);
    let pipeline = load(&project);
    for part in [Part::Map(Which::All), Part::Reduce(Which::All), Part::Finalize] {
        let options = RunOptions { part, ..options(Start::Id("r".to_owned())) };
        let stores = Stores::open(&pipeline).await.expect("they open");
        let error = run_on(stores, &pipeline, options, &events()).await.expect_err("nothing is planned");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    let ended = etl_host(["status".into(), project.path("pipeline.toml"), "other".into()]);
    ended.expect_error(2, &["there is no run `other`", "the newest: `r`"]);
}

/// Stands for Slurm: runs a job at once, and the tasks of an array at the same time.
const SBATCH: &str = r#"#!/bin/sh
echo "$*" >> "$CALLS"
script=$(mktemp) && cat > "$script"
for option; do case $option in --array=0-*) last=${option#--array=0-} ;; esac; done
if [ -z "${last:-}" ]; then sh "$script" > "$script.out" 2>&1 || exit 1; echo 7; exit; fi
index=0 && while [ "$index" -le "$last" ]; do
  SLURM_ARRAY_TASK_ID=$index SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_COUNT=$((last + 1)) sh "$script" > "$script.out" 2>&1 &
  index=$((index + 1))
done
wait && echo 8
"#;

#[test]
fn the_script_for_slurm_plans_and_then_starts_an_array_of_workers() {
    let project = project(6).file("my bin/sbatch", SBATCH).file("calls", "");
    let expected = expected(&project);
    let run = |line: &str| Ended::of(Command::new("sh").args(["-c", line]).current_dir(project.path("my bin")));
    let binary = env!("CARGO_BIN_EXE_etl-host");
    run(&format!("chmod +x sbatch && ln -s '{binary}' etl-host && mkdir t")).expect_success();
    let shown = Ended::of(etl_host_command().arg("slurm").arg(project.path("pipeline.toml")).args([
        "--workers",
        "3",
        "--set",
        "run.grace=9s",
    ]));
    let project = project.file("my bin/job.sh", &shown.expect_success().stdout);
    let path = |name: &str| project.path(name).display().to_string();
    let environment =
        format!("PATH='{}':\"$PATH\" CALLS='{}' TMPDIR='{}'", path("my bin"), path("calls"), path("my bin/t"));
    let ended = Ended::of(&mut crate::support::shell(&format!(
        "{environment} sh '{}' r --partition=short",
        path("my bin/job.sh")
    )));
    ended.expect_success();
    assert_eq!(project.latest(), expected);
    let calls = fs::read_to_string(project.path("calls")).expect("it was called");
    let expected = "--parsable --job-name=test-plan --requeue --partition=short\n\
                    --parsable --job-name=test --requeue --dependency=afterok:7 --kill-on-invalid-dep=yes --array=0-2 \
                    --cpus-per-task=4 --partition=short\n";
    assert_eq!(calls, expected);
}

#[test]
fn the_manifests_for_kubernetes_are_a_job_of_workers_whose_exit_codes_are_understood() {
    let local = project(1);
    let manifests = |project: &Project, run_id: &str| {
        let pipeline = project.path("pipeline.toml");
        let mut command = etl_host_command();
        command.args(["manifests", "kubernetes"]).arg(pipeline).args([
            "--run-id",
            run_id,
            "--image",
            "i:1",
            "--workers",
            "5",
        ]);
        Ended::of(&mut command)
    };
    manifests(&local, "r").expect_error(2, &["run store `", "is one that each worker would have of its own"]);
    let text = fs::read_to_string(local.path("pipeline.toml")).expect("text");
    let project = Project::new(&text.replace("runs/", "s3://b/runs/").replace("result/", "s3://b/result/"));
    manifests(&project, &"r".repeat(70)).expect_error(2, &["cannot be the name of a job"]);
    let list = json(manifests(&project, "Daily_7").expect_success().stdout.as_bytes());
    let (config, job) = (&list["items"][0], &list["items"][1]);
    assert_eq!(
        (&config["metadata"]["name"], &job["metadata"]["name"]),
        (&"etl-test-daily-7".into(), &"etl-test-daily-7".into())
    );
    assert!(config["data"]["pipeline.toml"].as_str().expect("text").contains("s3://b/runs/"));
    assert_eq!((&job["spec"]["completions"], &job["spec"]["completionMode"]), (&5.into(), &"Indexed".into()));
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    let rule = |number: usize| (rules[number]["action"].as_str(), rules[number]["onExitCodes"]["values"].to_string());
    assert_eq!(rule(0), (Some("Ignore"), "null".to_owned()));
    assert_eq!((rule(1), rule(2)), ((Some("FailJob"), "[2,70]".to_owned()), (Some("FailIndex"), "[42]".to_owned())));
    let command = &job["spec"]["template"]["spec"]["containers"][0]["command"];
    let words: Vec<&str> = command.as_array().expect("words").iter().filter_map(Value::as_str).collect();
    assert_eq!(words[..7], ["etl-host", "worker", "/etl/pipeline.toml", "--run-id", "Daily_7", "--of", "5"]);
}
