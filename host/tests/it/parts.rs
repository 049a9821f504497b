//! Results of several parts for each task: partitioned by columns, and cut by rows. All rows, each once, whatever happens
//! on the way.

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt, process::Command};

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, SUM},
    stores::{S3, python},
    support::{Project, etl_host, etl_host_command, succeed},
};

const RUN: [&str; 5] = ["--quiet", "--set", "run.fsync=false", "--run-id", "r"];

/// How often each key is in the input, which is the column that the result is partitioned by.
const COUNTS: usize = 5;

/// Returns lines in which key `n` is `n % 5 + 1` times.
fn lines() -> String {
    let times = |n: usize| (0..=n % COUNTS).map(move |_| n);
    let mut keys: Vec<usize> = (0..600).flat_map(times).collect();
    keys.sort_by_key(|n| n.wrapping_mul(7_919) % 1_009);
    keys.into_iter().map(|n| format!("key {n}\n")).collect()
}

fn pipeline() -> String {
    format!(
        "map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM}, partitions = 2 }}\n\
         sink.partition_by = [\"count\"]\nsink.max_rows = 25\nsplit.target_size = \"4KiB\"\n"
    )
}

fn project() -> Project {
    Project::of(&pipeline()).file("input/a.txt", lines())
}

/// Returns the files of the result of run `r`, with their contents.
fn published(project: &Project) -> BTreeMap<String, String> {
    let files = project.files("result/r").into_iter();
    files
        .map(|file| {
            let text = fs::read_to_string(project.path("result/r").join(&file)).expect("it is there");
            (file, text)
        })
        .filter(|(file, _)| file != "_SUCCESS")
        .collect()
}

fn forget(project: &Project) {
    for directory in ["runs", "result"] {
        fs::remove_dir_all(project.path(directory)).expect("it was there");
    }
}

#[test]
fn every_row_is_in_the_directory_of_its_value_once_and_in_order_at_any_concurrency() {
    let project = project();
    project.run(RUN).expect_success();
    let expected = published(&project);
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in &expected {
        let (directory, name) = file.split_once('/').expect("a directory");
        assert!(name.starts_with("part-0000") && name.ends_with(".json"), "{file}");
        assert!(text.lines().count() <= 25, "{file}");
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows.is_sorted(), "rows of {file} are in the order of the reducer");
        keys.entry(directory.to_owned()).or_default().extend(rows.into_iter().map(str::to_owned));
    }
    assert_eq!(keys.len(), COUNTS);
    for (directory, mut rows) in keys {
        rows.sort_unstable();
        let of = |count: &usize| directory == format!("count={}", count % COUNTS + 1);
        let mut wanted: Vec<String> = (0..600).filter(of).map(|n| format!("{{\"type\":\"key {n}\"}}")).collect();
        wanted.sort_unstable();
        assert_eq!(rows, wanted, "{directory}");
    }
    let manifest = project.json("runs/test/r/manifest.json");
    let parts = manifest["parts"].as_array().expect("parts");
    assert!(
        parts
            .iter()
            .map(|part| part["key"].as_str().expect("a key"))
            .eq(expected.keys().map(|file| format!("r/{file}")))
    );
    assert_eq!(parts.iter().map(|part| part["rows"].as_u64().expect("rows")).sum::<u64>(), 600);
    assert_eq!(
        (&parts[0]["directory"], &parts[0]["values"]),
        (&"count=1".into(), &serde_json::json!({ "count": "1" }))
    );
    for concurrency in ["1", "16"] {
        forget(&project);
        project.run([&RUN[..], &["--set", &format!("run.concurrency={concurrency}")]].concat()).expect_success();
        assert_eq!(published(&project), expected, "{concurrency}");
    }
}

#[test]
fn killed_at_any_step_a_run_of_many_parts_goes_on_to_the_same_bytes() {
    let project = project();
    project.run(RUN).expect_success();
    let expected = published(&project);
    for point in [
        "upload.begin:9",
        "upload.finish:12",
        "upload.finished:20",
        "reduce.merged:2",
        "commit.end:3",
        "publish.begin",
        "publish.moved",
        "publish.moved:7",
        "publish.success",
        "finalize.manifest",
        "finalize.done",
    ] {
        forget(&project);
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(RUN).env("ETL_HOST_FAIL_POINT", point);
        assert_eq!(command.status().expect("it starts").signal(), Some(9), "{point}");
        project.run(RUN).expect_success();
        assert_eq!(published(&project), expected, "{point}");
        assert!(!project.path("result/r/_attempts").exists(), "{point}");
    }
}

#[test]
fn on_s3_racing_and_killed_processes_make_one_result_and_leave_no_upload() {
    let local = project();
    local.run(RUN).expect_success();
    let expected = published(&local);
    for point in ["upload.finish:9", "upload.finished:20", "commit.end:3", "publish.begin", "publish.moved:5"] {
        let s3 = S3::start();
        s3.put("input/a.txt", lines());
        let remote = Project::new(&format!(
            "name = \"test\"\nsource.url = \"s3://bucket/input/\"\nsink.url = \"s3://bucket/result/\"\n\
             run.store = \"s3://bucket/runs/\"\n{}{}",
            pipeline(),
            s3.section()
        ));
        let start = |point: &str| {
            let mut command = etl_host_command();
            command.arg(remote.path("pipeline.toml")).args(RUN).env("ETL_HOST_FAIL_POINT", point);
            command.spawn().expect("it starts")
        };
        assert_eq!(start(point).wait().expect("it ends").signal(), Some(9), "{point}");
        let processes = [start(""), start("")];
        for mut process in processes {
            assert!(process.wait().expect("it ends").success(), "{point}");
        }
        let found: Vec<String> = s3.keys("result/r").into_iter().filter(|key| key.contains("part-")).collect();
        assert!(found.iter().eq(expected.keys().map(|file| format!("result/r/{file}")).collect::<Vec<_>>().iter()));
        for (file, text) in &expected {
            assert_eq!(&s3.get(&format!("result/r/{file}")), text, "{file} after {point}");
        }
        assert_eq!(s3.uploads(), 0, "{point}");
        assert!(!s3.keys("runs").iter().any(|key| key.contains("/uploads/")), "{point}");
    }
}

#[test]
fn a_part_that_is_gone_is_made_again_with_all_of_its_task_and_the_result_can_be_cleaned() {
    let project = project();
    project.run(RUN).expect_success();
    let expected = published(&project);
    let file = expected.keys().next_back().expect("a part");
    fs::remove_file(project.path("result/r").join(file)).expect("it was there");
    project.run(RUN).expect_error(42, &["parts that are gone or were changed since: ", "`--repair` makes them again"]);
    project.run([&RUN[..], &["--repair"]].concat()).expect_success();
    assert_eq!(published(&project), expected);
    // The newest result is never deleted.
    project.run(["--quiet", "--run-id", "s"]).expect_success();
    let clean = ["clean".into(), project.path("pipeline.toml").into_os_string(), "--results".into(), "r".into()];
    etl_host(clean).expect_success();
    assert!(!project.path("result/r").exists(), "{:?}", project.files("result"));
}

#[test]
fn parts_that_were_damaged_before_they_were_published_are_made_again() {
    let project = project();
    project.run(RUN).expect_success();
    let expected = published(&project);
    forget(&project);
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(RUN).env("ETL_HOST_FAIL_POINT", "publish.moved:3");
    assert_eq!(command.status().expect("it starts").signal(), Some(9));
    for staged in project.files("result/r/_attempts").iter().take(2) {
        fs::write(project.path("result/r/_attempts").join(staged), "damaged").expect("writes");
    }
    project.run(RUN).expect_success();
    assert_eq!(published(&project), expected);
}

#[test]
fn a_redrive_takes_over_all_parts_of_the_tasks_that_did_not_fail() {
    let trips = format!("plugin = {CRIMES}, config = {{ crime = \"panic-on-line\", text = \"bad\" }}");
    let project = Project::of(&format!(
        "split.target_size = 12\nmap = [{{ {trips}, retry = {{ interval = \"1ms\" }} }}]\nsink.format = \"lines\"\n\
         sink.max_rows = 1\nrun.tolerated_failures = 1"
    ));
    let project = project.file("input/a.txt", "one\ntwo\nsix\nbad\nten\nend\n");
    assert_eq!(project.run(["--run-id", "r"]).code, Some(3));
    assert_eq!(project.latest().len(), 3);
    project.run(["--redrive", "--set", "map.0.config.text=nothing like it"]).expect_success();
    let parts = project.latest();
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    let of_task = |task: u32| (0..3).map(move |number| format!("part-{task:05}-{number:04}.txt"));
    assert_eq!(names, of_task(0).chain(of_task(1)).collect::<Vec<_>>());
    assert_eq!(parts.iter().map(|(_, text)| text.as_str()).collect::<String>(), "one\ntwo\nsix\nbad\nten\nend\n");
}

#[test]
fn another_reader_finds_the_columns_in_the_names_of_the_directories() {
    let sink = "sink.partition_by = [\"type\"]\nsink.format = \"csv\"\n";
    let project =
        Project::of(&format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}\n{sink}"));
    let project = project.file("input/a.txt", "a/b=c%d\nZürich\na/b=c%d\n10:30 \"x\"\n\nx y\n");
    project.run(RUN).expect_success();
    assert!(project.path("result/r/type=a%2Fb%3Dc%25d").is_dir(), "{:?}", project.files("result/r"));
    let script = "import sys, json, pyarrow.dataset as ds\n\
                  rows = ds.dataset(sys.argv[1], format='csv', partitioning='hive').to_table().to_pylist()\n\
                  print(json.dumps(sorted([r['type'], r['count']] for r in rows if r['type'])), len(rows))";
    let shown = succeed(Command::new(python()).args(["-c", script]).arg(project.path("result/r")));
    let rows = r#"[["10:30 \"x\"", 1], ["Z\u00fcrich", 1], ["a/b=c%d", 2], ["x y", 1]] 5"#;
    assert_eq!(shown.trim(), rows);
}

#[test]
fn a_column_that_cannot_be_partitioned_by_is_refused_before_any_data_is_read() {
    let project = project();
    let check = |set: &str| {
        etl_host(["check".into(), project.path("pipeline.toml").into_os_string(), "--set".into(), set.into()])
    };
    let named = ["`sink.partition_by` names column `day`, which the result does not have (`type`, `count`)"];
    check("sink.partition_by=['day']").expect_error(2, &named);
    check("sink.partition_by=['type','count']").expect_error(2, &["names all columns of the result"]);
}
