//! Charges: what the host makes of a plugin's output counts, not what it looked like when it was handed over.

use crate::{
    guests::{BAD_COMBINER, COUNT_BY_TYPE, CRIMES, SPLIT_CRIMES, SUM},
    support::{Ended, NONE, Project},
};

/// Memory that the host takes at most, in MiB, whatever a plugin hands over. It is a few times what it takes, and a
/// fraction of what the crimes here ask for.
const PEAK_MIB_MAX: u64 = 512;

/// Returns a project whose mapper commits a crime with this further configuration, once.
fn project(crime: &str, config: &str, limits: &str, sections: &str) -> Project {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" {config} }}, limits = {{ {limits} }}, \
         retry = {{ interval = \"1ms\" }} }}]\n{sections}"
    );
    Project::of(&pipeline).file("input/a.txt", "one\n")
}

/// Asserts that a project fails with these texts, within the memory that the host may take.
#[track_caller]
fn fails(project: &Project, code: i32, texts: &[&str]) -> Ended {
    let (ended, peak_mib) = project.run_for_peak(NONE);
    ended.expect_error(code, texts);
    assert!(peak_mib < PEAK_MIB_MAX, "a peak of {peak_mib} MiB");
    ended
}

#[test]
fn rows_count_as_what_they_take_in_the_sink() {
    let name = "n".repeat(1000);
    let bits = project("bits", &format!(", text = \"{name}\", count = 2000000"), "output = \"64MiB\"", "");
    let ended = fails(
        &bits,
        42,
        &[
            "map of shard 0 failed",
            "map plugin `crimes.wasm` exceeded `limits.output` (limit 67108864 bytes per attempt): its rows take more \
             as `json`\n",
        ],
    );
    assert!(!ended.stderr.contains("record"), "a record is blamed: {ended:#?}");
}

#[test]
fn a_row_counts_even_if_it_is_one_bit() {
    let bits = project("bits", ", text = \"b\", count = 134217728", "output = \"17MiB\"", "");
    let text = "exceeded `limits.output` (limit 17825792 bytes per attempt; a row counts as 16 or more)";
    fails(&bits, 42, &["map plugin `crimes.wasm`", text]);
}

#[test]
fn a_batch_of_any_number_of_rows_is_passed_on_in_slices() {
    let bits = project("bits", ", text = \"b\", count = 1000000", "", "");
    assert_eq!(bits.result(["--quiet"])[0].1, "{\"b\":true}\n".repeat(1_000_000));
    let text = std::fs::read_to_string(bits.path("pipeline.toml")).expect("it can be read");
    let chain = Project::new(&text.replace("}]\n", &format!("}}, {{ plugin = {CRIMES} }}]\n")));
    let chain = chain.file("input/a.txt", "one\n");
    assert_eq!(chain.result(["--quiet"])[0].1.len(), 11_000_000);
}

#[test]
fn records_of_a_splitter_are_bounded_too() {
    let split = |count: u32| {
        let pipeline = format!(
            "source.format = \"json\"\nsource.fields.flag = \"boolean\"\nmap = [{{ plugin = {CRIMES} }}]\n\
             split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"bits\", count = {count} }}, \
             limits = {{ output = \"64MiB\" }} }}"
        );
        Project::of(&pipeline).file("input/a.txt", "")
    };
    fails(
        &split(8 << 20),
        42,
        &["split_crimes.wasm", "(limit 67108864 bytes per attempt; a row counts as 16 or more)"],
    );
    assert_eq!(split(1 << 20).result(["--quiet"])[0].1, "{\"flag\":true}\n".repeat(1 << 20));
}

#[test]
fn the_shuffle_spills_within_a_batch() {
    let sections = format!("reduce.plugin = {SUM}\nrun.shuffle_memory = \"16MiB\"");
    let letters = project("letters", ", text = \"letter\", count = 4000000", "", &sections);
    let (ended, peak_mib) = letters.run_for_peak(["--quiet"]);
    ended.expect_success();
    assert_eq!(letters.latest()[0].1.lines().count(), 26);
    assert!(peak_mib < PEAK_MIB_MAX, "a peak of {peak_mib} MiB");
}

#[test]
fn rows_count_as_what_they_take_in_the_shuffle_file() {
    let sections = format!("reduce = {{ plugin = {SUM}, partitions = 4096, combine = false }}");
    let letters = project("letters", ", text = \"letter\", count = 26", "output = \"4KiB\"", &sections);
    let text = "map plugin `crimes.wasm` exceeded `limits.output` (limit 4096 bytes per attempt): its rows take more in \
                the shuffle file";
    fails(&letters, 42, &[text]);
}

#[test]
fn a_long_field_name_is_refused_before_data_is_read() {
    let name = "n".repeat(100_000);
    let long = project("bits", &format!(", text = \"{name}\", count = 1000000"), "", "");
    let text = format!(
        "returned a wrong schema from `open`: field `{}…` has a name of 100000 bytes (limit 1024 bytes)\n",
        "n".repeat(40)
    );
    let ended = fails(&long, 2, &["map plugin `crimes.wasm`", &text]);
    assert!(ended.stderr.len() < 1024 && !long.path("runs").exists(), "{ended:#?}");
}

#[test]
fn a_plugin_that_rejects_more_than_it_may_is_stopped_at_once() {
    let reject = |max_rejects: u32| {
        let crime = "config = { crime = \"reject-every-row\", text = \"why\" }";
        let pipeline =
            format!("map = [{{ plugin = {CRIMES}, {crime}, max_rejects = {max_rejects} }}]\nsink.format = \"lines\"");
        Project::of(&pipeline).file("input/a.txt", "one\ntwo\nthree\nfour\n")
    };
    let ended = reject(4).run(["--events", "json"]);
    assert!(ended.expect_success().stdout.contains("rejected every row"), "{ended:#?}");
    let ended = reject(2).run(["--events", "json"]);
    let named = "map rejected a record of `a.txt` at byte 8 (why)";
    let text = "the step rejected more records than `max_rejects` of `map` allows (limit 2)";
    ended.expect_error(42, &["map of shard 0 failed", named, text]);
    assert!(!ended.stdout.contains("rejected every row"), "{ended:#?}");
}

#[test]
fn a_reject_counts_even_without_a_reason() {
    let emit = format!("{{ plugin = {CRIMES}, config = {{ crime = \"bits\", text = \"b\", count = 67108864 }} }}");
    let reject = |max_rejects: u32| {
        let crime = "config = { crime = \"reject-every-row\", text = \"\" }, limits = { memory = \"64MiB\" }";
        let pipeline = format!("map = [{emit}, {{ plugin = {CRIMES}, {crime}, max_rejects = {max_rejects} }}]");
        Project::of(&pipeline).file("input/a.txt", "one\n")
    };
    fails(&reject(0), 42, &["map 2 rejected a record of", "max_rejects` of `map 2` allows (limit 0)"]);
    fails(&reject(65_536), 42, &["map 2 rejected a record of", "max_rejects` of `map 2` allows (limit 65536)"]);
    let crime = "config = { crime = \"reject-every-row\", text = \"\" }, max_rejects = 1000000";
    let lines = Project::of(&format!("map = [{{ plugin = {CRIMES}, {crime} }}]\nsink.format = \"lines\""));
    lines.file("input/a.txt", "\n".repeat(1 << 18)).run(NONE).expect_success();
}

/// Returns a project with one record in each shard, which counts itself under a name of its own.
fn counting(records: u32) -> Project {
    let lines: String = (0..records).map(|number| format!("{number:04}\n")).collect();
    let crime = "config = { crime = \"counter-per-record\" }, max_rejects = 9";
    let pipeline = format!("map = [{{ plugin = {CRIMES}, {crime} }}]\nsplit.target_size = 5\nsink.format = \"lines\"");
    Project::of(&pipeline).file("input/a.txt", lines)
}

#[test]
fn counters_are_few_in_all_shards_together() {
    counting(256).run(NONE).expect_success();
    let text = "map plugin `crimes.wasm`: used more than 256 counters (limit for all instances of the step together: \
                counters are for few names)\n";
    let ended = fails(&counting(300), 42, &["map of shard", text]);
    assert!(!ended.stderr.contains("record") && !ended.stderr.contains("trying again"), "{ended:#?}");
}

#[test]
fn output_and_counters_are_bounded_over_all_processes_of_a_run() {
    let project = counting(300);
    let limited = project.run(["--set", "run.max_output=1000"]);
    let text =
        " bytes, but `run.max_output` allows 1000: raise it in `[run]` if that is as much as you expect, and resume";
    limited.expect_error(42, &["the tasks of the map stage have written 10", text]);
    // The second process counts less than 256 names itself.
    let text =
        "`map` used more than 256 counters in all tasks together (256 for each step: counters are for few names)";
    project.run(["--resume"]).expect_error(42, &[text]);
    let project = counting(250);
    project.run(["--set", "run.max_output=1000"]).expect_error(42, &["`run.max_output`"]);
    project.run(["--resume"]).expect_success();
}

#[test]
fn the_messages_of_all_shards_together_are_bounded() {
    let crime = "config = { crime = \"long-logs\", count = 2560 }, limits = { log = \"1GiB\" }";
    let pipeline = format!("map = [{{ plugin = {CRIMES}, {crime} }}]\nsplit.target_size = 4\nsink.format = \"lines\"");
    let project = Project::of(&pipeline).file("input/a.txt", "one\ntwo\n");
    let (ended, peak_mib) = project.run_for_peak(["--quiet"]);
    ended.expect_success();
    assert!(peak_mib < PEAK_MIB_MAX, "a peak of {peak_mib} MiB");
    let events = project.files("runs").into_iter().find(|file| file.contains("/events/")).expect("events");
    let events = std::fs::read_to_string(project.path("runs").join(events)).expect("they can be read");
    assert!(events.len() < 70 << 20, "{} bytes of events", events.len());
    let told = events.matches("the step reached 64 MiB of messages; its further messages are dropped").count();
    assert_eq!(told, 1, "the warning is given once");
}

#[test]
fn a_combiner_cannot_fill_the_memory_of_the_host() {
    let reduce = format!("plugin = {BAD_COMBINER}, combine = true, config.mode = \"flood\", limits.memory = \"64MiB\"");
    let flood = Project::of(&format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ {reduce} }}"));
    let text = "reduce plugin `bad_combiner.wasm` emitted more in one call as combiner than ";
    fails(&flood.file("input/a.txt", "a\na\n"), 42, &["map of shard 0 failed", text]);
}
