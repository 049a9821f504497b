//! Plugins of strangers: what they cost while they fail, and what their failures tell an operator.

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES, FILTER_CLEAN, SPLIT_CRIMES},
    support::{Ended, NONE, Project, etl_host},
};

/// Returns the number of poison records that a run has told of.
fn poison_records(ended: &Ended) -> usize {
    ended.stdout.matches("\"event\":\"poison_record\"").count()
}

#[test]
fn the_search_for_records_that_spin_takes_no_longer_than_the_mapper_may() {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"spin\", on = \"x\" }}, max_rejects = 1000, \
         limits = {{ timeout = \"2s\", batch_timeout = \"500ms\" }}, retry = {{ interval = \"1ms\" }} }}]\n\
         sink.format = \"lines\""
    );
    let project = Project::of(&pipeline).file("input/a.txt", "x\n".repeat(200));
    let ended = project.run(["--events", "json"]);
    assert_eq!(ended.code, Some(42), "{ended:#?}");
    let told = "map of shard 0 failed (attempt 2): the search for the records that make a mapper fail ran out of time \
                (it may take as long again as `limits.timeout` allows: 2.0s): map plugin `crimes.wasm` exceeded \
                `limits.batch_timeout` (500ms) in `process`";
    assert!(ended.stdout.contains(told) || ended.stderr.contains(told), "{ended:#?}");
    // Each takes 500 ms to show itself, and two attempts have 2 s for all.
    let found = poison_records(&ended);
    assert!((1..=8).contains(&found), "{found} records were found: {ended:#?}");
}

/// Runs a pipeline of these mappers on these lines, in one shard, and expects that they fail and no record is blamed.
#[track_caller]
fn blames_nobody(maps: &str, lines: &str, texts: &[&str]) {
    let project = Project::of(&format!("map = [{maps}]\nsink.format = \"lines\"")).file("input/a.txt", lines);
    let ended = project.run(["--set", "run.max_rejects=1000", "--events", "json"]);
    assert_eq!((ended.code, poison_records(&ended)), (Some(42), 0), "{ended:#?}");
    let again = project.run(["--resume", "--set", "run.max_rejects=1000"]);
    again.expect_error(42, &[&["map of shard 0 failed"], texts].concat());
    assert!(!again.stderr.contains("is set aside"), "{again:#?}");
}

#[test]
fn what_adds_up_over_a_shard_is_blamed_on_no_record() {
    let lines: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
    let crime = |crime: &str, more: &str| {
        format!("{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" }}, retry = {{ interval = \"1ms\" }} {more} }}")
    };
    let of_the_shard = |what| [": no single record makes the mapper fail: map plugin `crimes.wasm` exceeded ", what];
    let memory = of_the_shard("`limits.memory` (");
    blames_nobody(&crime("hoard", ", limits = { memory = \"64MiB\" }"), &lines, &memory);
    let output = of_the_shard("`limits.output` (limit 1000000 bytes");
    blames_nobody(&crime("emit", ", limits = { output = \"1MB\" }"), &lines, &output);
    let few = &lines[..lines.find("line 300").expect("it is there")];
    blames_nobody(&crime("count-lines", ""), few, &["map plugin `crimes.wasm`: used more than 256 counters"]);
}

#[test]
fn what_adds_up_in_a_later_mapper_is_blamed_on_no_record() {
    let maps = format!(
        "{{ plugin = {FILTER_CLEAN}, config = {{ pattern = \"o\" }} }}, {{ plugin = {CRIMES}, \
         config = {{ crime = \"panic-on-second\", text = \"once\" }}, retry = {{ interval = \"1ms\" }} }}"
    );
    let range = "only the batch as a whole, from record `once` (`a.txt` at byte 0) to record `so` (`a.txt` at byte 21)";
    blames_nobody(&maps, "once\nmore\nonce again\nso\n", &[range, "map 2 plugin `crimes.wasm` panicked in `process`"]);
}

/// Runs a splitter that commits this crime, within these limits, on two objects of 300,000 bytes.
fn split(mode: &str, limits: &str) -> Ended {
    let pipeline = format!(
        "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"{mode}\" }}, limits = {{ {limits} }}, \
         retry = {{ attempts = 1 }} }}\nmap = [{{ plugin = {COUNT_BY_TYPE} }}]"
    );
    let lines = "one\n".repeat(75_000);
    Project::of(&pipeline).file("input/a.txt", &lines).file("input/b.txt", &lines).run(["--events", "json"])
}

#[test]
fn a_splitter_that_reads_byte_by_byte_makes_few_requests() {
    let ended = split("read-bytes", "timeout = \"2h\", batch_timeout = \"1h\"");
    let usage =
        ended.expect_success().stdout.lines().find(|line| line.contains("\"event\":\"usage\"")).expect("an event");
    let usage: serde_json::Value = serde_json::from_str(usage).expect("JSON");
    let reads = usage["stores"]["source"]["reads"].as_u64().expect("a number");
    assert!(reads < 20, "{reads} requests");
}

#[test]
fn what_the_host_does_for_a_splitter_is_limited() {
    let reads = split("endless-reads", "timeout = \"1s\", batch_timeout = \"1h\"");
    reads.expect_error(
        42,
        &["split_crimes.wasm` exceeded `limits.timeout` (1s; the host took ", " reads and shards of "],
    );
    let lists = split("endless-lists", "timeout = \"2h\", batch_timeout = \"1s\"");
    lists.expect_error(42, &["split_crimes.wasm` exceeded `limits.batch_timeout` (1s) in `split`"]);
}

/// Returns a pipeline whose mapper prints this text when it is given a line with `bad`, and gives up.
fn last_words(crime: &str, text: &str) -> Project {
    let text = text.replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\", on = \"bad\", text = \"{text}\" }}, \
         max_rejects = 2, retry = {{ interval = \"1ms\" }} }}]\nsink.format = \"lines\""
    );
    Project::of(&pipeline).file("input/a.txt", "good\nbad 1\nbad 2\nfine\n")
}

#[test]
fn the_uncaught_error_of_any_language_is_told_and_is_the_reason_of_a_reject() {
    let python = "Traceback (most recent call last):\n  File \"app.py\", line 12, in map\n    raise ValueError(\"bad \
                  thing\")\nValueError: bad thing\n\nthread '<unnamed>' panicked at runtime/src/lib.rs:561:25:\nPython \
                  function threw an unexpected exception\nnote: run with `RUST_BACKTRACE=1` environment variable";
    let go = "panic: runtime error: bad\n\ngoroutine 1 [running]:\nmain.f()\n\tstep/main.go:12 +0x1d";
    for (crime, text, told) in [
        ("last-words", python, "failed in `process` at app.py:12: ValueError: bad thing\n"),
        ("last-words", go, "failed in `process` at step/main.go:12: panic: runtime error: bad\n"),
        ("last-words-on-stdout", "panic: bad", "failed in `process`: panic: bad\n"),
        ("last-words", "Error: bad\n    at map (app.js:12:3)", "failed in `process` at app.js:12: Error: bad\n"),
        (
            "last-words",
            "Assertion failed: x > 0 (map.c: f: 12)",
            "failed in `process` at map.c:12: Assertion failed: x > 0\n",
        ),
        ("last-words", "so long", "trapped (wasm `unreachable` instruction executed) in `process`: so long\n"),
    ] {
        let project = last_words(crime, text);
        let ended = project.run(NONE);
        assert!(ended.expect_success().stderr.contains(told), "{ended:#?}");
        assert_eq!(project.latest()[0].1, "good\nfine\n");
        let named = format!(
            " makes `map` fail each time, and its `max_rejects` allows no further reject (limit 0): map \
                             plugin `crimes.wasm` {told}"
        );
        let none = project.run(["--new", "--set", "map.0.max_rejects=0"]);
        none.expect_error(42, &[&named]);
    }
}

#[test]
fn text_that_cannot_be_seen_is_shown_by_its_number() {
    let unseen = "\u{61c}\u{200b}\u{202e}\u{2028}\u{2063}\u{2066}\u{feff}\u{e0041}";
    let text = format!("bye {unseen}");
    let project = last_words("last-words", &text).file(&format!("input/b{unseen}.txt"), format!("bad {unseen}\n"));
    let file = project.path("pipeline.toml").display().to_string();
    let run = project.run(["--run-id", "r", "--set", "map.0.max_rejects=3"]);
    run.expect_success();
    let failed = project.run(["--run-id", "f", "--set", "map.0.max_rejects=0"]);
    assert_eq!(failed.code, Some(42), "{failed:#?}");
    let show = |run: &str| etl_host(["show", &file, run]);
    let sample = project.path(&format!("input/b{unseen}.txt")).display().to_string();
    let plugin = CRIMES.path().display().to_string();
    let tried = etl_host(["try", &plugin, "--input", &sample, "--output", "table"]);
    for ended in [&run, &failed, &show("r"), &show("f"), &tried] {
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(shown.contains("\\u{202e}") && !shown.contains(|c| unseen.contains(c)), "{ended:#?}");
    }
    let events = project.run(["--run-id", "e", "--set", "map.0.max_rejects=3", "--events", "json"]).stdout;
    assert!(events.contains(&text), "events are exact: {events}");
}

/// Asserts that a run fails with these texts, in an error that is short.
#[track_caller]
fn fails_shortly(project: &Project, code: i32, texts: &[&str]) {
    let ended = project.run(NONE);
    ended.expect_error(code, texts);
    assert!(ended.stderr.len() < 8 * 1024, "an error of {} bytes", ended.stderr.len());
}

#[test]
fn a_large_schema_leaves_room_for_the_cause() {
    let first = |crime: &str| format!("{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" }} }}");
    let second =
        format!("{{ plugin = {CRIMES}, config = {{ crime = \"fatal\", at = \"open\", text = \"the reason\" }} }}");
    let project = Project::of(&format!("map = [{}, {second}]", first("schema-wide"))).file("input/a.txt", "one\n");
    let refused = "map 2 plugin `crimes.wasm` failed in `open`: the reason";
    fails_shortly(&project, 2, &["opened for input `name 0 nnn", "… text, … and 1,014 more`: ", refused]);
    // The other shard fails, too, because it emits its input.
    let changing =
        format!("map = [{}]\nsplit.target_size = 4\nrun.tolerated_failures = 2", first("schema-wide-by-task"));
    let project = Project::of(&changing).file("input/a.txt", "one\ntwo\n");
    let difference =
        "; field 1024 is `last of 1 text`, not nullable, not `last of 0 text`, not nullable): the schema may";
    let ended = project.run(NONE);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    for text in ["crimes.wasm` returned a different schema from `open`", difference] {
        assert!(ended.stderr.contains(text), "{ended:#?}");
    }
    assert!(ended.stderr.len() < 8 * 1024, "{ended:#?}");
}

#[test]
fn a_long_record_a_long_key_and_a_long_name_leave_room_for_the_cause() {
    let long = "long ".repeat(20_000);
    let panics = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"panic\", on = \"bad\" }} }}]\nsink.format = \"lines\""
    );
    let name = format!("input/{}a.txt", "directory of a long name/".repeat(100));
    let project = Project::of(&panics).file(&name, format!("bad {long}\n"));
    let panicked = "makes `map` fail each time, and its `max_rejects` allows no further reject (limit 0): map plugin \
                    `crimes.wasm` panicked in `process` at fixtures/crimes/src/acts.rs:";
    fails_shortly(
        &project,
        42,
        &["record `bad long long ", "…` (`directory of a long name/", panicked, ": as asked\n"],
    );
    let reduces = format!(
        "map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {BAD_COMBINER}, config = {{ mode = \"panic\" }}, \
         retry = {{ attempts = 1 }} }}"
    );
    let project = Project::of(&reduces).file("input/a.txt", format!("{long}\n"));
    let panicked = "…`: reduce plugin `bad_combiner.wasm` panicked in `process`";
    fails_shortly(&project, 42, &["reduce of partition 0 failed: key `long long ", panicked]);
}

#[test]
fn a_long_message_of_a_step_is_told_with_its_beginning_and_its_end() {
    let text = format!("the beginning {} the end", "of a long message ".repeat(220));
    let fails = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"fatal\", text = \"{text}\" }} }}]\nsink.format = \"lines\""
    );
    let project = Project::of(&fails).file("input/a.txt", "one\n");
    fails_shortly(
        &project,
        42,
        &["map plugin `crimes.wasm` failed in `process`: the beginning of a long ", " the end\n"],
    );
}
