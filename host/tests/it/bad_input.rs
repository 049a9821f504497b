//! Wrong input: each mistake gives one clear message that names it, the documented exit code, and no partial result.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    guests::{ACCESS_LOG, COUNT_BY_TYPE, CRIMES, FILTER_CLEAN, Guest, IMPORTS_EXTRA, OTHER_VERSION, SUM},
    support::{NONE, Project, etl_host, etl_host_command},
};

fn counting() -> String {
    format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}\n")
}

fn count() -> Project {
    Project::of(&counting()).file("input/a.txt", "a\nb\na\n")
}

/// Asserts that a run fails with this exit code and these texts, and that it leaves nothing of a result.
#[track_caller]
fn fails(project: &Project, code: i32, texts: &[&str]) {
    project.run(NONE).expect_error(code, texts);
    assert!(project.files("result").iter().all(|file| file.contains("_attempts")), "{:?}", project.files("result"));
}

#[test]
fn a_pipeline_that_is_missing_or_no_toml() {
    etl_host(["nowhere.toml"]).expect_error(2, &["nowhere.toml"]);
    etl_host(["rnus"])
        .expect_error(2, &["`rnus`", "`rnus` is no command (did you mean `runs`? commands: run, build, "]);
    etl_host(["cheek", "p.toml"]).expect_error(2, &["`cheek` is no command (did you mean `check`? commands: run, "]);
    fails(&Project::new("name = "), 2, &["pipeline.toml", "line 1"]);
    fails(&Project::of("mapp = []"), 2, &["pipeline.toml:5", "`mapp`", "did you mean `map`?"]);
    fails(
        &Project::of("map = [{ plugin = \"x.wasm\", limits = { memry = 1 } }]"),
        2,
        &["memry", "did you mean `memory`"],
    );
}

#[test]
fn a_plugin_that_is_missing_or_no_component() {
    let with = |path: &str| {
        Project::of(&format!("map = [{{ plugin = \"{path}\" }}]"))
            .file("input/a.txt", "a\n")
            .file("text.wasm", "#!/bin/sh\n")
            .file("core.wasm", b"\0asm\x01\0\0\0")
            .file("broken.wasm", b"\0asm\x0d\0\x01\0\x01\x02")
    };
    fails(&with("gone.wasm"), 2, &["cannot read plugin", "gone.wasm"]);
    let unbuilt = Project::of("map = [{ plugin = \"gone.wasm\", build = \"make gone\" }]").file("input/a.txt", "a\n");
    fails(&unbuilt, 2, &["gone.wasm` does not exist: build it with `etl-host build`", "which run `make gone`"]);
    fails(&with("input"), 2, &["input"]);
    fails(&with("text.wasm"), 2, &["text.wasm", "is not WebAssembly"]);
    fails(&with("core.wasm"), 2, &["core.wasm", "is a core module, not a component", "wasm32-wasip2"]);
    fails(&with("broken.wasm"), 2, &["broken.wasm", "is not a valid component"]);
}

#[test]
fn a_plugin_of_another_world_or_version() {
    let with = |plugin: Guest| Project::of(&format!("map = [{{ plugin = {plugin} }}]")).file("input/a.txt", "a\n");
    fails(&with(SUM), 2, &["sum.wasm", "is a reduce plugin, but `[map]` needs a map plugin"]);
    fails(&with(OTHER_VERSION), 2, &["other_version.wasm", "`etl:plugin@0.1.0`", "rebuild"]);
    fails(&with(IMPORTS_EXTRA), 2, &["imports_extra.wasm", "acme:things", "is not given"]);
}

#[test]
fn a_configuration_the_plugin_does_not_accept() {
    let project = Project::of(&format!("map = [{{ plugin = {FILTER_CLEAN}, config = {{ pattern = \"(\" }} }}]"));
    fails(&project.file("input/a.txt", "a\n"), 2, &["refused `map.config`: `pattern` is not a regular expression"]);
}

#[test]
fn steps_that_do_not_fit() {
    let unkeyed = format!("map = [{{ plugin = {FILTER_CLEAN} }}]\nreduce = {{ plugin = {SUM} }}");
    fails(&Project::of(&unkeyed).file("input/a.txt", "a\n"), 2, &["without a key", "`[reduce]` needs one"]);
    let columns = format!("map = [{{ plugin = {ACCESS_LOG} }}]");
    fails(&Project::of(&columns).file("input/a.txt", "a\n"), 2, &["access_log.wasm", "`line binary`", "path"]);
    let sink = format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nsink.format = \"lines\"");
    fails(&Project::of(&sink).file("input/a.txt", "a\n"), 2, &["lines"]);
    let binary = format!("map = [{{ plugin = {CRIMES} }}]");
    fails(&Project::of(&binary).file("input/a.txt", "a\n"), 2, &["`line`", "binary"]);
}

#[test]
fn a_source_that_is_missing_or_empty() {
    fails(&Project::of(&counting()), 2, &["source", "input", "does not exist"]);
    let other = Project::of(&format!("{}source.include = [\"*.csv\"]", counting())).file("input/a.txt", "a\n");
    fails(&other, 42, &["input/` has no objects", "*.csv"]);
}

#[test]
fn a_source_of_empty_objects_has_an_empty_result() {
    let project = Project::of(&counting()).file("input/a.txt", "").file("input/b.txt", "");
    assert_eq!(project.result(NONE), [("part-00000.json".to_owned(), String::new())]);
}

#[test]
fn a_store_that_cannot_be_reached() {
    let options = "store_options = { endpoint = \"http://127.0.0.1:9\", allow_http = \"true\", region = \"x\", \
                   access_key_id = \"x\", secret_access_key = \"not-a-secret\" }\n";
    let project = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/input/\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n{options}{}",
        counting()
    ));
    fails(&project, 75, &["s3://bucket/input/"]);
}

#[test]
fn a_sink_that_is_not_writable() {
    let project = count().file("result", "a file, not a directory");
    project.run(NONE).expect_error(2, &["sink", "result"]);
    assert!(!project.files("runs").iter().any(|file| file.ends_with("plan.json")), "found too late");
}

#[test]
fn a_sink_without_permission() {
    let project = count();
    fs::create_dir(project.path("result")).expect("a directory can be made");
    fs::set_permissions(project.path("result"), fs::Permissions::from_mode(0o500)).expect("its mode can be set");
    // The superuser may write anywhere, so the run does not fail then.
    if fs::write(project.path("result/probe"), "").is_err() {
        project.run(NONE).expect_error(2, &["sink", "result", "not writable"]);
    }
}

#[test]
fn malformed_records_are_set_aside_with_object_and_offset() {
    let pipeline = format!(
        "source.format = \"json\"\nsource.fields = {{ type = \"text\", n = \"int64\" }}\n\
         map = [{{ plugin = {CRIMES} }}]\n"
    );
    let input = "{\"type\":\"a\",\"n\":1}\nnot json\n{\"type\":\"b\",\"n\":\"two\"}\n{\"type\":\"c\",\"n\":3}\n";
    let project = Project::of(&pipeline).file("input/a.jsonl", input);
    fails(&project, 42, &["`a.jsonl` at byte 19", "`[run] max_rejects`", "limit 0"]);
    let result = project.result(["--set", "run.max_rejects=2"]);
    assert_eq!(result[0].1, "{\"type\":\"a\",\"n\":1}\n{\"type\":\"c\",\"n\":3}\n");
    let rejects: Vec<String> = project.files("runs").into_iter().filter(|file| file.contains("/rejects/")).collect();
    let rejects = fs::read_to_string(project.path("runs").join(&rejects[0])).expect("rejects");
    let rejects: Vec<serde_json::Value> =
        rejects.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&rejects[0]["object"], &rejects[0]["offset"]), (&"a.jsonl".into(), &19.into()));
    assert_eq!((&rejects[0]["record"], &rejects[1]["offset"]), (&"not json".into(), &28.into()));
    assert!(rejects[1]["reason"].as_str().expect("a reason").contains("`n`"), "{rejects:?}");
}

#[test]
fn text_that_is_not_utf8_is_set_aside() {
    let project = Project::of(&counting()).file("input/a.txt", b"a\n\xff\xfe\na\n");
    fails(&project, 42, &["`a.txt` at byte 2", "not UTF-8", "`max_rejects` of `map`", "limit 0"]);
    assert_eq!(project.result(["--set", "map.0.max_rejects=1"])[0].1, "{\"type\":\"a\",\"count\":2}\n");
}

#[test]
fn rejects_are_counted_over_all_shards() {
    let project = Project::of(&counting()).file("input/a.txt", b"a\n\xff\na\n\xff\n");
    let two_shards = ["--set", "split.target_size=4", "--set"];
    project.run([&two_shards[..], &["map.0.max_rejects=1"]].concat()).expect_error(42, &["limit 1"]);
    project.run([&two_shards[..], &["map.0.max_rejects=2"]].concat()).expect_success();
}

#[test]
fn secrets_stay_out_of_plan_events_and_messages() {
    let pipeline = format!(
        "secrets = [\"ETL_TEST_SECRET\"]\n\
         map = [{{ plugin = {CRIMES}, config = {{ crime = \"fatal\", text = \"${{ETL_TEST_SECRET}}\" }} }}]\n\
         sink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "a\n");
    project.run(NONE).expect_error(2, &["ETL_TEST_SECRET"]);
    let output = etl_host_command()
        .arg(project.path("pipeline.toml"))
        .env("ETL_TEST_SECRET", "correct horse battery staple")
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(42));
    let mut written = [output.stdout, output.stderr].concat();
    for file in project.files("runs") {
        written.extend(fs::read(project.path("runs").join(file)).expect("it can be read"));
    }
    let written = String::from_utf8_lossy(&written);
    assert!(written.contains("${ETL_TEST_SECRET}") && !written.contains("correct horse"), "{written}");
}

#[test]
fn a_build_that_fails_names_its_step() {
    let pipeline = format!("map = [{{ plugin = {COUNT_BY_TYPE}, build = \"exit 3\" }}]");
    let project = Project::of(&pipeline).file("input/a.txt", "a\n");
    project.run(["--build"]).expect_error(2, &["map: build command `exit 3` failed"]);
    project.run(NONE).expect_success();
}

#[test]
fn a_reject_of_a_later_map_names_the_record_it_was_made_of() {
    let maps = format!(
        "[[map]]\nplugin = {FILTER_CLEAN}\n\
         [[map]]\nplugin = {FILTER_CLEAN}\nmax_rejects = 9\nconfig = {{ columns = 2 }}\n"
    );
    let project = Project::of(&format!("split.target_size = 16\nsink.format = \"lines\"\n{maps}"));
    let project = project.file("input/a.txt", "a,b\nc,d\ne,f\ng,h\n bad \n");
    let result: String = project.result(NONE).into_iter().map(|(_, text)| text).collect();
    assert_eq!(result, "a,b\nc,d\ne,f\ng,h\n");
    let rejects = project.files("runs").into_iter().find(|file| file.contains("/rejects/")).expect("a file of rejects");
    let reject = fs::read_to_string(project.path("runs").join(rejects)).expect("it can be read");
    assert!(reject.starts_with(r#"{"object":"a.txt","offset":16,"step":"map 2","reason":""#), "{reject}");
    assert!(reject.ends_with("\"record\":\"bad\"}\n"), "{reject}");
    let ended = project.run(["--set", "map.1.max_rejects=0"]);
    ended.expect_error(42, &["map 2 rejected a record of `a.txt` at byte 16 (", "`max_rejects` of `map 2`"]);
}
