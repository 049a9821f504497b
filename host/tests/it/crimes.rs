//! Crimes of a mapper: each fails its own attempt only, with a message that names it.

use serde_json::Value;

use crate::{
    guests::CRIMES,
    support::{Ended, NONE, Project, batch_timeout},
};

/// Runs `crimes` on two shards; shard 1 commits the crime.
fn commit(crime: &str, more: &str) -> (Project, Ended) {
    let batch_timeout = batch_timeout(crime, "1s");
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\", task = 1 {more} }}, \
         limits = {{ memory = \"32MiB\", timeout = \"2h\", batch_timeout = \"{batch_timeout}\", output = \"8MiB\", log = \"4KiB\" }}, \
         retry = {{ interval = \"1ms\" }} }}]\nsplit.target_size = 4\nsink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\nsix\n");
    let ended = project.run(NONE);
    (project, ended)
}

/// Asserts that a crime fails its task with these texts, and that nothing of a result is visible.
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
    fails(
        "panic",
        "",
        &[
            "record `two` (`a.txt` at byte 4) makes `map` fail each time",
            panicked,
            "  in panic (",
            "crimes/src/acts.rs:10)\n",
        ],
    );
    fails("panic", ", at = \"finish\"", &["(attempt 2)", "panicked in `finish` at"]);
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
    let mapper = format!("[[map]]\nplugin = {CRIMES}\nconfig = {{ crime = \"deep-emit\", count = 9000 }}\n");
    let project = Project::of("sink.format = \"lines\"\n").file("input/a.txt", "one\n");
    let text = std::fs::read_to_string(project.path("pipeline.toml")).expect("it can be read");
    let chain = Project::new(&(text + &mapper.repeat(8))).file("input/a.txt", "one\n");
    // Each mapper emits its input twice: from the deep call, and after that call has returned.
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
fn a_plugin_that_is_busy_within_its_limits_goes_on_and_its_time_is_told() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"busy\", count = 50000000 }} }}]\n\
         sink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\n");
    let ended = project.run(["--events", "json"]);
    ended.expect_success();
    assert_eq!(project.latest(), [("part-00000.txt".to_owned(), "one\ntwo\n".to_owned())]);
    let finished = ended.stdout.lines().find(|line| line.contains("\"attempt_finished\"") && line.contains("\"map\""));
    let finished: Value = serde_json::from_str(finished.expect("a map task")).expect("JSON");
    // 50 million turns take longer than 5 ms on any machine.
    let guest_us = finished["counts"]["times"]["guest_us"].as_u64().expect("a time");
    assert!(guest_us > 0, "{finished}");
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
fn batches_of_any_size_are_taken_or_named() {
    let pipeline = |count: u64| {
        format!(
            "map = [{{ plugin = {CRIMES}, config = {{ crime = \"huge-batch\", count = {count} }}, \
             limits = {{ memory = \"512MiB\" }}, retry = {{ interval = \"1ms\" }} }}]\nsink.format = \"lines\""
        )
    };
    let run = |count| {
        let project = Project::of(&pipeline(count)).file("input/a.txt", "one\n");
        let ended = project.run(["--quiet"]);
        (project, ended)
    };
    let (project, ended) = run(12_000_000);
    ended.expect_success();
    assert_eq!(project.latest()[0].1.len(), 12_000_001);
    let (_, ended) = run(150_000_000);
    ended.expect_error(42, &["crimes.wasm", "handed over more than 67108864 bytes in one call"]);
    let (_, ended) = run(20_000_000);
    let row = "emitted row 0 of a batch with 20000004 bytes (limit 16777216 bytes per row)";
    ended.expect_error(42, &["crimes.wasm", row]);
    let (project, ended) = commit("empty-batch", "");
    ended.expect_success();
    assert_eq!(project.latest().iter().filter(|(_, text)| text.is_empty()).count(), 1);
}

#[test]
fn counters_that_overflow_stay_at_the_largest_number() {
    let (_, ended) = commit("counter-overflow", "");
    assert!(ended.expect_success().stdout.contains("counter 9,223,372,036,854,775,807"), "{ended:#?}");
}

#[test]
fn rejects_cost_the_host_little() {
    let reject = |crime: &str, lines: usize, more: &str| {
        let pipeline = format!(
            "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" {more} }}, max_rejects = 1000000, \
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
    ended.expect_error(42, &["gave more than 33554432 bytes of rejects in one call"]);
}

#[test]
fn lies_in_batches_are_named() {
    for (crime, text) in [
        ("wrong-rows", "values where there are"),
        ("wrong-column-count", "columns where its schema has"),
        ("no-columns", "columns where its schema has"),
        ("wrong-type", "buffers where binary has 2"),
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
    let pipeline =
        format!("map = [{{ plugin = {CRIMES}, config = {{ crime = \"bad-utf8\" }} }}]\nsink.format = \"lines\"");
    let ended = Project::of(&pipeline).file("input/a.txt", "one\n").run(NONE);
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
        let pipeline = format!("map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" }} }}]");
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
fn what_crimes_took_is_given_back() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"grow-memory\", until = 2 }}, \
         limits = {{ memory = \"64MiB\" }}, retry = {{ interval = \"1ms\" }} }}]\n\
         split.target_size = 4\nsink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "one\n".repeat(60));
    let peak_mib = project.peak_mib(&[]);
    assert_eq!(project.latest().len(), 60);
    // Sixty attempts each took up to 64 MiB before they were stopped.
    assert!(peak_mib < 1024, "a peak of {peak_mib} MiB");
}
