//! Crashes: wherever a process is killed, the next process finishes the run with the same bytes and repeats no
//! committed task. The kills are real.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    hash::{BuildHasher, RandomState},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    thread,
    time::Instant,
};

use etl_core::runtime::fail_point;

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, SUM, WORD_COUNT},
    support::{NONE, Project, etl_host, etl_host_command},
};

const SIGKILL: i32 = 9;

/// Arguments of each run. The power is not cut in these tests, so nothing needs to reach the disk.
const RUN: [&str; 5] = ["--quiet", "--set", "run.fsync=false", "--run-id", "r"];

/// Returns lines with so many keys that their shuffle spills.
fn lines(count: u64) -> String {
    (0..count).map(|n| format!("key {}\n", n.wrapping_mul(7_919) % 1_000_003)).collect()
}

/// Starts the binary, which kills itself at this fail point, and waits for the end of the process.
fn run_to(project: &Project, point: &str) -> ExitStatus {
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(RUN).env("ETL_HOST_FAIL_POINT", point).stderr(Stdio::null());
    command.status().expect("it starts")
}

/// Returns the run's commits, by file.
fn commits(project: &Project) -> BTreeMap<String, String> {
    let files = project.files("runs/test/r").into_iter().filter(|file| file.ends_with("commit.json"));
    files
        .map(|file| (file.clone(), fs::read_to_string(project.path("runs/test/r").join(file)).expect("it is there")))
        .collect()
}

/// Returns the files of the result, without the files that lost attempts left behind.
fn published(project: &Project) -> Vec<String> {
    project.files("result").into_iter().filter(|file| !file.contains("/_attempts/")).collect()
}

/// Finishes a run that was killed, and checks its result, its commits and the files that are left.
#[track_caller]
fn finish(project: &Project, expected: &[(String, String)], whence: &str) {
    let before = commits(project);
    assert_eq!(project.result(RUN), expected, "{whence}");
    let after = commits(project);
    assert!(before.iter().all(|(file, commit)| after.get(file) == Some(commit)), "a commit changed: {whence}");
    let parts = expected.iter().map(|(part, _)| format!("r/{part}"));
    let files: Vec<String> = ["latest.json".into(), "r/_SUCCESS".into()].into_iter().chain(parts).collect();
    assert_eq!(published(project), files, "{whence}");
    let run = project.files("runs/test/r");
    for once in ["manifest.json", "_SUCCESS", "plan.json"] {
        assert_eq!(run.iter().filter(|file| file.ends_with(once)).count(), 1, "{once} in {run:?}: {whence}");
    }
}

/// Checks that no file is left on the disk that an attempt was writing when it was killed.
#[track_caller]
fn swept(project: &Project, whence: &str) {
    let files = [project.files(&project.of_plan("r")), project.files("result")].concat();
    assert!(!files.iter().any(|file| file.contains('#')), "{files:?}: {whence}");
}

fn forget(project: &Project) {
    for directory in ["runs", "result"] {
        fs::remove_dir_all(project.path(directory)).expect("it was there");
    }
}

#[test]
fn killed_at_any_step_a_run_goes_on_to_the_same_bytes() {
    let pipeline = format!(
        "map = [{{ plugin = {COUNT_BY_TYPE} }}]\n\
         reduce = {{ plugin = {SUM}, combine = true, partitions = 2 }}\n\
         run = {{ shuffle_memory = \"1MiB\", scratch = \"scratch/\" }}\n\
         split.target_size = \"700KiB\""
    );
    let project =
        Project::new(&format!("name = \"test\"\nsource.url = \"input/\"\nsink.url = \"result/\"\n{pipeline}"))
            .file("input/a.txt", lines(120_000))
            .file("input/b.txt", lines(3_000))
            .file("scratch/.keep", "");
    let expected = project.result(RUN);
    forget(&project);
    // Kill at each point when it is first reached. Kill at the points of each task also later, in another task or in
    // the next stage. The tests in `tolerated` kill where failures are committed and redriven.
    let elsewhere = ["failure.commit", "redrive.take"];
    let first = fail_point::ALL.into_iter().filter(|point| !elsewhere.contains(point)).map(str::to_owned);
    let later =
        ["map.begin:3", "upload.finish:2", "upload.finished:4", "commit.begin:4", "commit.end:2", "commit.end:5"];
    for point in first.chain(later.map(str::to_owned)) {
        assert_eq!(run_to(&project, &point).signal(), Some(SIGKILL), "it was not killed at `{point}`");
        assert_eq!(project.files("scratch"), [".keep"], "scratch was left at `{point}`");
        let complete = project.path("result/latest.json").exists();
        let said = ["publish.latest", "finalize.manifest", "finalize.done"].contains(&point.as_str());
        assert_eq!(complete, said, "killed at `{point}`");
        finish(&project, &expected, &point);
        swept(&project, &point);
        forget(&project);
    }
}

#[test]
fn killed_again_and_again_a_run_goes_on_to_the_same_bytes() {
    let pipeline = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, combine = true, partitions = 3 }}\nsplit.target_size = 500"
    );
    let project = Project::of(&pipeline).file("input/a.txt", lines(10_000));
    let started = Instant::now();
    let expected = project.result(RUN);
    let undisturbed = started.elapsed();
    assert!(commits(&project).len() > 100, "{} tasks", commits(&project).len());
    forget(&project);
    let kills = if std::env::var_os("ETL_HOST_LONG_TESTS").is_some() { 1_000 } else { 100 };
    let (mut killed, mut finished) = (0, 0);
    while killed < kills {
        // Few processes live long enough to finish, so a run is killed about ten times.
        let wait = (undisturbed / 5).mul_f64(RandomState::new().hash_one(killed) as f64 / u64::MAX as f64);
        let mut command = etl_host_command();
        let mut child = command.arg(project.path("pipeline.toml")).args(RUN).spawn().expect("it starts");
        thread::sleep(wait);
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        if status.signal() == Some(SIGKILL) {
            killed += 1;
        } else {
            assert!(status.success(), "{status}");
            finish(&project, &expected, &format!("after {killed} kills"));
            swept(&project, &format!("after {killed} kills"));
            forget(&project);
            finished += 1;
        }
    }
    if finished == 0 || project.path("runs").exists() {
        finish(&project, &expected, &format!("after {killed} kills"));
    }
}

/// Kills a run in the middle of uploading a part that is larger than one request to a store.
fn killed_while_uploading() -> Project {
    let project = Project::of(&format!("map = [{{ plugin = {CRIMES}, config = {{}} }}]\nsink.format = \"lines\""));
    let project = project.file("input/a.txt", lines(1_000_000));
    assert_eq!(run_to(&project, "upload.finish").signal(), Some(SIGKILL));
    let left = project.files("result");
    assert!(matches!(&left[..], [file] if file.starts_with("r/_attempts/") && file.ends_with("#1")), "{left:?}");
    let shuffle_file = format!("{}/map/000000/1-0badcafe.arrow#1", project.of_plan("r"));
    project.file(&shuffle_file, "").file("runs/test/r/events/1-0badcafe.jsonl#1", "")
}

#[test]
fn what_a_killed_process_left_on_local_disk_is_swept_by_the_next_one() {
    let project = killed_while_uploading();
    assert_eq!(project.result(RUN), [("part-00000.txt".to_owned(), lines(1_000_000))]);
    let files = [project.files("runs"), project.files("result")].concat();
    assert!(!files.iter().any(|file| file.contains('#') || file.contains("_attempts")), "{files:?}");
    assert!(!project.path("result/r/_attempts").exists());
    let project = killed_while_uploading();
    let clean = [OsString::from("clean"), project.path("pipeline.toml").into_os_string(), "r".into()];
    etl_host(clean).expect_success();
    assert_eq!([project.files("runs"), project.files("result")].concat(), NONE);
}

#[test]
fn processes_that_race_on_a_run_make_one_result_even_if_one_is_killed() {
    let pipeline = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, combine = true, partitions = 3 }}\nsplit.target_size = 2000"
    );
    let project = Project::of(&pipeline).file("input/a.txt", lines(10_000));
    let expected = project.result(RUN);
    for processes in [2, 4] {
        forget(&project);
        let start = |point: &str| {
            let mut command = etl_host_command();
            command.arg(project.path("pipeline.toml")).args(RUN).env("ETL_HOST_FAIL_POINT", point);
            command.spawn().expect("it starts")
        };
        let mut killed = start("commit.end:5");
        let others: Vec<_> = (1..processes).map(|_| start("")).collect();
        assert_eq!(killed.wait().expect("it ends").signal(), Some(SIGKILL));
        for mut other in others {
            assert!(other.wait().expect("it ends").success());
        }
        finish(&project, &expected, &format!("{processes} processes"));
    }
}
