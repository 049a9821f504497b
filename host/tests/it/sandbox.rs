//! The sandbox: one test per promise. A plugin gets nothing real, and whatever it does fails its own task only.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::support::{Ended, NONE, Project};

/// Sends lines to `probe_world`, and returns what came of each.
fn probe(lines: &[&str]) -> BTreeMap<String, String> {
    let project = Project::of("map = [{ plugin = \"plugin:probe_world\" }]\nsink.format = \"lines\"")
        .file("input/a.txt", lines.join("\n"));
    let result = project.result(NONE).remove(0).1;
    let pairs = result.lines().map(|line| line.split_once(" -> ").expect("a probe says what came of it"));
    pairs.map(|(probe, found)| (probe.to_owned(), found.to_owned())).collect()
}

#[test]
fn a_plugin_sees_no_files_no_environment_no_arguments_and_no_input() {
    let found = probe(&[
        "file /etc/passwd",
        "file pipeline.toml",
        "dir /",
        "dir .",
        "write /tmp/x",
        "env PATH",
        "env",
        "args",
        "stdin",
        "thread",
    ]);
    for denied in ["file /etc/passwd", "file pipeline.toml", "dir /", "dir .", "write /tmp/x", "env PATH"] {
        assert!(found[denied].starts_with("error: "), "{denied}: {}", found[denied]);
    }
    assert!(found["thread"].starts_with("error: "), "{}", found["thread"]);
    assert_eq!((found["env"].as_str(), found["args"].as_str()), ("ok: []", "ok: []"));
    assert!(found["stdin"].contains("0 bytes") || found["stdin"].starts_with("error: "), "{}", found["stdin"]);
}

#[test]
fn a_plugin_reaches_no_network_not_even_a_server_that_listens() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("an address");
    let (socket, udp) = (format!("socket {address}"), format!("udp {address}"));
    let found = probe(&[&socket, &udp, "resolve localhost", "listen 127.0.0.1:0"]);
    assert!(found.values().all(|found| found.starts_with("error: ")), "{found:#?}");
    server.set_nonblocking(true).expect("a socket can be made so");
    assert!(server.accept().is_err(), "somebody connected");
}

#[test]
fn clock_and_random_numbers_are_the_runs_and_the_same_every_time() {
    let project = Project::of("map = [{ plugin = \"plugin:probe_world\" }]\nsink.format = \"lines\"")
        .file("input/a.txt", "random\nclock\nmonotonic\n");
    let text = |run: &str| project.result(["--run-id", run]).remove(0).1;
    let (first, second) = (text("one"), text("two"));
    let line = |text: &str, n: usize| text.lines().nth(n).expect("three lines").to_owned();
    assert_eq!(line(&first, 0), line(&second, 0), "random numbers differ");
    assert_eq!(line(&first, 2), line(&second, 2), "the monotonic clock differs");
    let plan = std::fs::read_to_string(project.path("runs/test/one/plan.json")).expect("a plan");
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    assert_eq!(line(&first, 1), format!("clock -> ok: {}", plan["planned_at_ms"]));
}

#[test]
fn different_shards_get_different_random_numbers() {
    let project = Project::of("map = [{ plugin = \"plugin:probe_world\" }]\nsink.format = \"lines\"")
        .file("input/a.txt", "random\nrandom\n");
    let result = project.result(["--set", "split.target_size=7"]);
    assert_eq!(result.len(), 2);
    assert_ne!(result[0].1, result[1].1);
}

#[test]
fn sleeping_takes_no_time() {
    let started = Instant::now();
    let found = probe(&["sleep 3600000"]);
    assert!(found["sleep 3600000"].starts_with("ok: "), "{found:?}");
    assert!(started.elapsed() < Duration::from_secs(600));
}

/// Runs `crimes` on two shards; shard 1 commits the crime.
fn commit(crime: &str, more: &str) -> (Project, Ended) {
    let pipeline = format!(
        "map = [{{ plugin = \"plugin:crimes\", config = {{ crime = \"{crime}\", task = 1 {more} }}, \
         limits = {{ memory = \"32MiB\", timeout = \"2s\", batch_timeout = \"1s\", output = \"8MiB\", log = \"4KiB\" }}, \
         retry = {{ interval = \"1ms\" }} }}]\nsplit.target_size = 4\nsink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\nsix\n");
    let ended = project.run(NONE);
    (project, ended)
}

/// Asserts that a crime fails its task with these texts, and nothing of a result is visible.
#[track_caller]
fn fails(crime: &str, more: &str, texts: &[&str]) {
    let (project, ended) = commit(crime, more);
    let named = ["map of shard 1 failed", "map plugin `crimes.wasm`"];
    ended.expect_error(42, &[&named[..], texts].concat());
    assert!(ended.stderr.len() < 64 * 1024, "an error of {} bytes", ended.stderr.len());
    let result = project.files("result");
    assert!(!result.iter().any(|file| !file.contains("_attempts")), "{crime} left a result: {result:?}");
    let committed = project.files("runs");
    assert!(!committed.iter().any(|file| file.contains("map/000001/commit.json")), "{committed:?}");
    assert!(!committed.iter().any(|file| file.ends_with("_SUCCESS")), "{committed:?}");
}

#[test]
fn a_trap_fails_its_task_with_the_plugins_own_words_and_its_place_in_the_source() {
    let panicked = "panicked in `process` at fixtures/crimes/src/acts.rs:10:5: as asked\n";
    fails("panic", "", &["(attempt 2)", panicked, "  in panic (", "crimes/src/acts.rs:10)\n"]);
    fails("panic", ", at = \"finish\"", &["panicked in `finish` at"]);
    fails("unreachable", "", &["trapped (wasm `unreachable` instruction executed) in `process`", "acts.rs:"]);
    fails("exit", "", &["called `exit` in `process`", "acts.rs:"]);
    fails("exit", ", count = 0", &["called `exit` in `process`"]);
    fails("stack-overflow", "", &["trapped", "or its stack overflowed", "in descend ("]);
    fails("endless-calls", "", &["trapped (call stack exhausted) in `process`", "in call ("]);
    fails("bad-function-pointer", "", &["trapped", "out of bounds table access", "in bad_function_pointer ("]);
    fails("spin", "", &["in spin ("]);
    let (_, ended) = commit("panic", "");
    assert!(!ended.stderr.contains("RUST_BACKTRACE"), "{ended:#?}");
}

#[test]
fn whatever_one_attempt_does_the_result_is_that_of_honest_ones() {
    let honest = commit("emit", "").0.latest();
    assert_eq!(honest.len(), 3);
    for crime in [
        "panic",
        "unreachable",
        "exit",
        "spin",
        "grow-memory",
        "stack-overflow",
        "endless-calls",
        "bad-function-pointer",
        "output-flood",
        "counter-flood",
        "log-flood",
    ] {
        for at in ["process", "finish"] {
            let (project, ended) = commit(crime, &format!(", at = \"{at}\", until = 2"));
            ended.expect_success();
            assert_eq!(project.latest(), honest, "{crime} in {at} left its mark");
        }
    }
}

#[test]
fn mappers_that_emit_from_deep_inside_each_have_their_stack() {
    let mapper = "[[map]]\nplugin = \"plugin:crimes\"\nconfig = { crime = \"deep-emit\", count = 9000 }\n";
    let project = Project::of("sink.format = \"lines\"\n").file("input/a.txt", "one\n");
    let text = std::fs::read_to_string(project.path("pipeline.toml")).expect("it can be read");
    let chain = Project::new(&(text + &mapper.repeat(8))).file("input/a.txt", "one\n");
    // Each emits what it is given twice: from inside, and when it is back.
    assert_eq!(chain.result(["--quiet"])[0].1, "one\n".repeat(256));
}

#[test]
fn a_trap_is_tried_again_once_in_a_fresh_instance() {
    let (_, ended) = commit("panic", ", until = 2");
    ended.expect_success();
    let (_, ended) = commit("retryable", ", until = 3");
    ended.expect_success();
}

#[test]
fn a_spinning_plugin_is_stopped() {
    fails("spin", "", &["exceeded `limits.batch_timeout` (1s) in `process`"]);
    fails("spin", ", at = \"finish\"", &["exceeded `limits.batch_timeout` (1s) in `finish`"]);
}

#[test]
fn a_plugin_gets_no_more_memory_than_its_limit() {
    fails("grow-memory", "", &["exceeded `limits.memory`", "limit 33554432 bytes"]);
}

#[test]
fn floods_are_stopped_or_cut() {
    fails("output-flood", "", &["exceeded `limits.output` (limit 8388608 bytes per attempt)"]);
    fails("counter-flood", "", &["more than 256 counters"]);
    fails("counter-name-too-long", "", &["counter name", "limit 128 bytes"]);
    for (crime, code) in [("log-flood", 42), ("stdout-flood", 42), ("stderr-flood", 42), ("huge-log", 0)] {
        let (project, ended) = commit(crime, "");
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        let events = project.files("runs").into_iter().find(|file| file.contains("/events/")).expect("events");
        let events = std::fs::read_to_string(project.path("runs").join(events)).expect("they can be read");
        assert!(events.len() < 256 * 1024, "{crime} wrote {} bytes of events", events.len());
        assert!(events.contains("reached `limits.log`"), "{crime} was not noted");
    }
}

#[test]
fn rejects_cost_the_host_little() {
    let reject = |crime: &str, lines: usize, more: &str| {
        let pipeline = format!(
            "map = [{{ plugin = \"plugin:crimes\", config = {{ crime = \"{crime}\" {more} }}, max_rejects = 1000000, \
             retry = {{ interval = \"1ms\" }} }}]\nsink.format = \"lines\""
        );
        let project = Project::of(&pipeline).file("input/a.txt", "a\n".repeat(lines));
        let ended = project.run(NONE);
        let rejects = project.files("runs").into_iter().find(|file| file.contains("/rejects/"));
        let rejects = rejects.map(|file| std::fs::read_to_string(project.path("runs").join(file)).expect("rejects"));
        (ended, rejects.unwrap_or_default())
    };
    let (ended, rejects) = reject("million-rejects", 3, "");
    ended.expect_success();
    assert_eq!(rejects.lines().count(), 3, "a row is rejected once: {rejects}");
    let (ended, rejects) = reject("huge-reject-reason", 1, "");
    ended.expect_success();
    assert!(rejects.len() < 4096 && rejects.contains("rrrr"), "a reject of {} bytes", rejects.len());
    let text = format!(", text = \"{}\"", "t".repeat(1000));
    let (ended, _) = reject("reject-every-row", 40_000, &text);
    ended.expect_error(42, &["gave reasons for rejects of more than 16777216 bytes in one call"]);
}

#[test]
fn lies_in_batches_are_named() {
    for (crime, text) in [
        ("wrong-rows", "rows"),
        ("wrong-column-count", "columns where its schema has"),
        ("no-columns", "columns where its schema has"),
        ("wrong-type", "but the schema says"),
        ("offsets-decreasing", "offsets"),
        ("offsets-outside", "offsets"),
        ("offsets-overlap", "decreasing offsets"),
        ("offsets-too-few", "offsets"),
        ("offsets-too-many", "offsets"),
        ("offsets-not-from-zero", "offsets from"),
        ("offsets-short-of-end", "offsets from"),
        ("no-offsets", "offsets"),
        ("short-validity", "validity"),
        ("null-in-non-nullable", "not nullable"),
    ] {
        fails(crime, "", &["emitted a batch", text]);
    }
}

#[test]
fn text_that_is_not_utf8_is_named() {
    let pipeline = "map = [{ plugin = \"plugin:crimes\", config = { crime = \"bad-utf8\" } }]\nsink.format = \"lines\"";
    let ended = Project::of(pipeline).file("input/a.txt", "one\n").run(NONE);
    ended.expect_error(42, &["crimes.wasm", "emitted a batch whose column `line` is not valid", "UTF-8"]);
}

#[test]
fn calls_at_the_wrong_time_are_named() {
    fails("emit", ", at = \"open\"", &["called `emit` outside `process` and `finish`"]);
    fails("reject-row-out-of-range", ", at = \"finish\"", &["called `reject` outside `process`"]);
    fails("reject-row-out-of-range", "", &["of a batch of"]);
}

#[test]
fn a_schema_that_is_none_is_found_before_data_is_read() {
    for (crime, text) in [
        ("schema-empty", "1 to 1024 fields"),
        ("schema-empty-name", "empty name"),
        ("schema-duplicate-names", "two fields are called"),
        ("schema-too-many-keys", "key fields"),
        ("schema-too-many-fields", "1 to 1024 fields"),
    ] {
        let pipeline = format!("map = [{{ plugin = \"plugin:crimes\", config = {{ crime = \"{crime}\" }} }}]");
        let project = Project::of(&pipeline).file("input/a.txt", "one\n");
        project.run(NONE).expect_error(2, &["returned a wrong schema from `open`", text]);
        assert!(!project.path("runs").exists(), "{crime} was found too late");
    }
}

#[test]
fn a_schema_that_changes_from_task_to_task_is_named() {
    fails("schema-by-task", "", &["schema"]);
}

#[test]
fn errors_a_step_returns_are_classed() {
    for (crime, code) in [("invalid-input", 42), ("fatal", 42), ("other", 42), ("retryable", 75), ("invalid-config", 2)]
    {
        let (_, ended) = commit(crime, ", text = \"the reason\"");
        ended.expect_error(code, &["the reason", "crimes.wasm"]);
    }
    fails("huge-error", "", &["eeee"]);
}

#[test]
fn a_splitter_cannot_add_shards_the_source_does_not_have() {
    for (mode, text) in [
        ("outside", "but the object has"),
        ("outside-overflow", "but the object has"),
        ("overlapping", "overlaps"),
        ("twice", "overlaps"),
        ("unknown-object", "which the source does not have"),
        ("empty-name", "which the source does not have"),
        ("path-tricks #0", "named object `./a.txt`, which the source does not have"),
        ("path-tricks #1", "named object `x/../a.txt`, which the source does not have"),
        ("path-tricks #2", "named object `/a.txt`, which the source does not have"),
        ("path-tricks #3", "named object `../../etc/passwd`, which the source does not have"),
        ("huge-name", "exceeded `limits.output` (limit 65536 bytes per attempt)"),
        ("spin", "exceeded `limits.batch_timeout` (1s) in `split`"),
        ("endless-shards", "exceeded `limits.output` (limit 65536 bytes per attempt)"),
        ("million-shards", "exceeded `limits.output` (limit 65536 bytes per attempt)"),
        ("records-of-other-schema", "added a shard of records"),
        ("records-with-bad-offsets", "added a shard of records"),
        ("panic", "panicked in `split`"),
    ] {
        let (mode, count) = mode.split_once(" #").unwrap_or((mode, "1000000"));
        let pipeline = format!(
            "split = {{ plugin = \"plugin:split_crimes\", config = {{ mode = \"{mode}\", count = {count} }}, retry = {{ attempts = 1 }}, \
             limits = {{ batch_timeout = \"1s\", output = \"64KiB\" }} }}\n\
             map = [{{ plugin = \"plugin:count_by_type\" }}]"
        );
        let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\n");
        let ended = project.run(NONE);
        ended.expect_error(42, &["split failed", "split_crimes.wasm", text]);
        assert!(ended.stderr.len() < 16 * 1024, "{mode}: an error of {} bytes", ended.stderr.len());
        assert!(!project.files("runs").iter().any(|file| file.ends_with("plan.json")), "{mode} was planned");
    }
}

#[test]
fn a_splitter_in_passing_trouble_is_tried_again() {
    let pipeline = "split = { plugin = \"plugin:split_crimes\", config = { mode = \"retryable\" }, \
                    retry = { attempts = 3, interval = \"1ms\" } }\nmap = [{ plugin = \"plugin:count_by_type\" }]";
    let ended = Project::of(pipeline).file("input/a.txt", "one\n").run(NONE);
    ended.expect_error(75, &["split failed (attempt 3)", "split_crimes.wasm"]);
}

#[test]
fn a_combiner_that_breaks_the_order_is_named() {
    let pipeline = |mode: &str| {
        format!(
            "map = [{{ plugin = \"plugin:count_by_type\" }}]\n\
             reduce = {{ plugin = \"plugin:bad_combiner\", combine = true, config = {{ mode = \"{mode}\" }}, retry = {{ interval = \"1ms\" }} }}"
        )
    };
    let run = |mode| Project::of(&pipeline(mode)).file("input/a.txt", "a\nb\nc\nd\ne\nf\n").run(NONE);
    run("unsorted").expect_error(42, &["out of", "order"]);
    run("other-schema").expect_error(2, &["`reduce.combine` needs a reducer that emits what it is given"]);
    run("other-type").expect_error(2, &["`reduce.combine` needs a reducer that emits what it is given"]);
    run("panic").expect_error(42, &["bad_combiner.wasm", "panicked in `process`"]);
    run("honest").expect_success();
}
