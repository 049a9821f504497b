//! Steps in Python: the projects that `new` makes, their build, the same result as in Rust, and crimes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use tempfile::TempDir;

use crate::{
    guests::{COUNT_BY_TYPE, SUM},
    support::{Ended, NONE, Project, etl_host, etl_host_command, repository, succeed},
};

/// Held while a project is built: what they share is made once, and building takes all processors.
static BUILDING: Mutex<()> = Mutex::new(());

/// Makes a project outside of the repository. Its tools, and what is built of it, as `kept`, stay in the target
/// directory, so that they are made once.
fn project(step: &str, kept: &str) -> (TempDir, PathBuf) {
    let outside = tempfile::tempdir().expect("a directory");
    let project = outside.path().join(format!("python-{step}"));
    let made =
        etl_host(["new".as_ref(), project.as_os_str(), "--step".as_ref(), step.as_ref(), "--lang=python".as_ref()]);
    assert!(made.expect_success().stdout.contains("python3 -m unittest\n"), "{made:#?}");
    for (link, kept) in [(".venv", "tools"), ("build", kept)] {
        let kept = repository().join("target/python-steps").join(kept);
        fs::create_dir_all(&kept).expect("a directory can be made");
        symlink(kept, project.join(link)).expect("a link");
    }
    (outside, project)
}

/// Runs the binary in a project.
fn in_project(project: &Path, arguments: &[&str]) -> Ended {
    Ended::of(etl_host_command().current_dir(project).args(arguments))
}

fn build(project: &Path, set: &[&str]) -> Ended {
    let _building = BUILDING.lock();
    let set = set.iter().flat_map(|set| ["--set", set]);
    in_project(project, &["build"].into_iter().chain(set).collect::<Vec<_>>())
}

fn unit_tests(project: &Path) {
    let mut python = Command::new("python3");
    succeed(python.current_dir(project).args(["-W", "error", "-m", "unittest"]));
}

/// Returns the text of each part of the result of run `r`.
fn parts(project: &Path) -> Vec<String> {
    let parts = fs::read_dir(project.join("result/r")).expect("a result").map(|part| part.expect("an entry").path());
    let mut parts: Vec<PathBuf> = parts.filter(|part| part.extension().is_some()).collect();
    parts.sort();
    parts.iter().map(|part| fs::read_to_string(part).expect("a part")).collect()
}

#[test]
fn the_sdk_passes_its_own_tests() {
    let mut python = Command::new("python3");
    let sdk = repository().join("guest-plugins/sdk-python");
    succeed(
        python.current_dir(sdk).args(["-B", "-W", "error", "-m", "unittest", "discover", "-s", "tests", "-t", "."]),
    );
}

#[test]
fn a_new_project_is_tested_built_tried_and_run_with_nothing_added() {
    let (_map, map) = project("map", "map");
    unit_tests(&map);
    let built = build(&map, &[]);
    assert!(built.expect_success().stdout.contains("etl:plugin/map-plugin@0.2.0, 17."), "{built:#?}");

    let tried = in_project(&map, &["try", "build/step.wasm", "--input", "input/orders.csv"]);
    assert!(tried.expect_success().stdout.contains(r#"{"city":"Chur","pieces":34}"#), "{tried:#?}");
    assert!(!tried.stderr.contains("compiling"), "what was built is compiled already: {tried:#?}");
    let inspected = in_project(&map, &["inspect", "build/step.wasm"]).expect_success().stdout.clone();
    for text in ["separator: text, default `,`", "the text between the fields of a line", "etl_plugin 0.1.0"] {
        assert!(inspected.contains(text), "no `{text}` in {inspected}");
    }
    let laws = in_project(&map, &["laws", "build/step.wasm", "--input", "input/orders.csv"]);
    assert!(!laws.expect_success().stdout.contains("broken"), "{laws:#?}");
    in_project(&map, &["pipeline.toml", "--run-id=r"]).expect_success();
    assert_eq!(parts(&map).concat().lines().count(), 4);
    in_project(&map, &["check", "--set", "map.0.config.seperator=';'"]).expect_error(2, &["seperator"]);

    // The other kinds of steps, with the mapper that is built already.
    let mapper = ["map.0.build='true'".to_owned(), format!("map.0.plugin='{}'", map.join("build/step.wasm").display())];
    let mapper: Vec<&str> = mapper.iter().map(String::as_str).collect();
    let run = ["pipeline.toml", "--run-id=r", "--set", mapper[0], "--set", mapper[1], "--set=map.0.max_rejects=1"];
    let (_reduce, reduce) = project("reduce", "reduce");
    unit_tests(&reduce);
    build(&reduce, &mapper).expect_success();
    in_project(&reduce, &run).expect_success();
    assert_eq!(
        parts(&reduce).concat(),
        "{\"city\":\"Bern\",\"pieces\":3}\n{\"city\":\"Chur\",\"pieces\":61}\n{\"city\":\"Genf\",\"pieces\":8}\n"
    );
    let (_split, split) = project("split", "split");
    unit_tests(&split);
    build(&split, &mapper).expect_success();
    in_project(&split, &run).expect_success();
    let halves = parts(&split);
    assert_eq!((halves.len(), halves.concat().lines().count()), (2, 4), "{halves:?}");
}

/// Builds one of the steps beside this file, and returns its component.
fn built(step: &str) -> (TempDir, PathBuf) {
    let (outside, project) = project("map", step);
    let source = repository().join("host/tests/it/python").join(step).with_extension("py");
    fs::copy(source, project.join(step).with_extension("py")).expect("copied");
    fs::remove_file(project.join("step.py")).expect("the step of the template");
    let plugin = format!("map.0.plugin='build/{step}.wasm'");
    let command = format!("map.0.build='python3 -m etl_plugin.build {step}.py'");
    build(&project, &[&plugin, &command]).expect_success();
    let component = project.join("build").join(step).with_extension("wasm");
    (outside, component)
}

#[test]
fn a_step_in_python_gives_the_same_bytes_as_one_in_rust() {
    let (_outside, component) = built("count_by_type");
    let kinds = ["get", "put", "delete", "höher", "", "a longer kind of record"];
    let line = |n: usize| match n % 97 {
        0 => format!("{n}\n"),
        _ => format!("{n}, {} ,more\n", kinds[n * n % 101 % kinds.len()]),
    };
    let input: String = (0..50_000).map(line).collect();
    let result = |plugin: String| {
        let pipeline = format!(
            "map = [{{ plugin = {plugin}, config = {{ separator = \",\", field = 1 }}, max_rejects = 1000 }}]\n\
             reduce = {{ plugin = {SUM}, combine = true, partitions = 3 }}\nsplit.target_size = \"200KiB\""
        );
        let project = Project::of(&pipeline).file("input/a.txt", &input);
        project.result(NONE)
    };
    assert_eq!(result(format!("'{}'", component.display())), result(COUNT_BY_TYPE.to_string()));
}

/// Returns the place of a line in `crimes.py`, counted from the start of a function, as messages name it.
fn place(function: &str, after: usize) -> String {
    let mut lines = include_str!("python/crimes.py").lines();
    let start = lines.position(|line| line.contains(&format!("def {function}("))).expect("a function");
    format!("in {function} (crimes.py:{})", start + 1 + after)
}

#[test]
fn crimes_fail_their_task_with_a_message_that_names_them_and_their_line() {
    let (_outside, component) = built("crimes");
    let commit = |crime: &str, timeout: &str| {
        let pipeline = format!(
            "map = [{{ plugin = '{}', config = {{ crime = \"{crime}\" }}, retry = {{ interval = \"1ms\" }}, \
             limits = {{ memory = \"64MiB\", timeout = \"2h\", batch_timeout = \"{timeout}\" }} }}]",
            component.display()
        );
        let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\nsix\n");
        let ended = project.run(NONE);
        (project, ended)
    };
    let found = "record `two` (`a.txt` at byte 4) makes `map` fail each time";
    let file = "FileNotFoundError: [Errno 44] No such file or directory: '/etc/passwd'";
    let late = "import it at the top of the file";
    for (crime, texts) in [
        ("exception", vec![found, "failed in `process`: KeyError: 'no such key'", &place("exception", 1)]),
        ("exit", vec![found, "a step cannot end the process", "`sys.exit(3)`", &place("exit", 1)]),
        ("abort", vec![found, "called `exit` in `process`"]),
        ("memory", vec![found, "exceeded `limits.memory`", "limit 67108864 bytes"]),
        ("file", vec![found, file, &place("file", 1)]),
        ("connect", vec![found, "failed in `process`: socket.gaierror:", &place("connect", 1)]),
        ("late", vec![found, "ModuleNotFoundError: No module named 'csv'", &place("late", 1), late]),
        ("recursion", vec![found, "RecursionError: maximum recursion depth exceeded", &place("recursion", 1)]),
        ("type", vec![found, "TypeError: `n` is int64, which cannot hold 'x'", &place("map", 4)]),
        ("range", vec!["OverflowError: `n` (int64): 1180591620717411303424"]),
        ("what", vec!["crime", "what"]),
    ] {
        let (_, ended) = commit(crime, "1h");
        ended.expect_error(if crime == "what" { 2 } else { 42 }, &texts);
        let error = ended.stderr.split("error: ").nth(1).expect("an error");
        assert!(!error.contains("panicked"), "{crime}: {error}");
    }
    commit("loop", "2s").1.expect_error(42, &["exceeded `limits.batch_timeout` (2s) in `process`"]);

    let (project, ended) = commit("clock", "1h");
    for text in ["info: line two", "info: printed"] {
        assert!(ended.expect_success().stderr.contains(text), "no `{text}` in {ended:#?}");
    }
    let (_, lines) = project.latest().remove(0);
    let times: std::collections::BTreeSet<_> =
        lines.lines().map(|line| line.rsplit(':').next().expect("a value").to_owned()).collect();
    assert_eq!(times.len(), 1, "the clock stands at the start of the run: {lines}");
}
