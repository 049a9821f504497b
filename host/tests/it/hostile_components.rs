//! Components that no compiler makes: each is written for its crime, and is refused or stopped before a run begins.

use std::{fs::File, process::Command};

use crate::{
    guests::{COUNT_BY_TYPE, SUM},
    support::{Ended, NONE, Project, etl_host_command},
};

/// The exports that make a component look like a mapper; `f` is a function of the core instance `$i`.
pub(crate) const MAPPER: &str = r#"
    (func $f (canon lift (core func $i "f")))
    (instance $mapper (export "open" (func $f)) (export "process" (func $f)) (export "finish" (func $f)))
    (export "etl:plugin/mapper@0.2.0" (instance $mapper))"#;

/// Returns a component with one core module, which looks like a mapper.
pub(crate) fn component(module: &str) -> Vec<u8> {
    wat(&format!(
        "(component (core module $m {module} (func (export \"f\"))) (core instance $i (instantiate $m)) {MAPPER})"
    ))
}

pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is WebAssembly")
}

/// Runs a pipeline whose mapper is this component. There is no compile cache, because some components attack compiling.
fn run(component: impl AsRef<[u8]>, limits: &str) -> (Project, Ended) {
    let project = with_plugin(limits).file("bad.wasm", component);
    let ended = start(&project);
    (project, ended)
}

pub(crate) fn with_plugin(limits: &str) -> Project {
    let pipeline = format!("map = [{{ plugin = \"bad.wasm\", limits = {{ memory = \"32MiB\" {limits} }} }}]");
    Project::of(&pipeline).file("input/a.txt", "one\n")
}

fn start(project: &Project) -> Ended {
    Ended::of(etl_host_command().env("ETL_HOST_CACHE", "off").arg(project.path("pipeline.toml")))
}

/// Asserts that a component ends the run with exit code 2 and these texts, before there is a plan.
#[track_caller]
fn refused(component: impl AsRef<[u8]>, limits: &str, texts: &[&str]) {
    let (project, ended) = run(component, limits);
    ended.expect_error(2, &[&["bad.wasm"], texts].concat());
    assert!(ended.stderr.len() < 16 * 1024, "an error of {} bytes", ended.stderr.len());
    assert!(!project.path("runs").exists(), "found too late");
}

#[test]
fn a_start_function_that_spins_is_stopped() {
    let spin = component("(func $spin (loop $again (br $again))) (start $spin)");
    refused(&spin, ", batch_timeout = \"200ms\"", &["exceeded `limits.batch_timeout` (200ms) in `start`"]);
    refused(&spin, ", timeout = \"200ms\"", &["exceeded `limits.timeout` (200ms) in `start`"]);
}

#[test]
fn a_start_function_that_traps_is_named() {
    refused(component("(func $trap unreachable) (start $trap)"), "", &["trapped", "unreachable", "in `start`"]);
}

#[test]
fn memory_that_is_too_large_from_the_beginning_is_denied() {
    refused(component("(memory 1000)"), "", &["exceeded `limits.memory`", "requested 65536000 bytes"]);
    refused(component("(memory 65536)"), "", &["exceeded `limits.memory`"]);
}

#[test]
fn memory_growth_in_a_start_function_is_denied() {
    let grow = "(memory 1) (func $grow (loop $again
        (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable) (start $grow)";
    refused(component(grow), "", &["exceeded `limits.memory`", "limit 33554432 bytes", "in `start`"]);
}

#[test]
fn memory_of_several_modules_counts_together() {
    let two = format!(
        "(component (core module $m (memory 300) (func (export \"f\")))
            (core instance (instantiate $m)) (core instance $i (instantiate $m)) {MAPPER})"
    );
    refused(wat(&two), "", &["exceeded `limits.memory`", "requested 39321600 bytes"]);
}

#[test]
fn a_table_that_grows_is_denied() {
    let grow = "(table $t 1 funcref) (func $grow (loop $again
        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 99999)) (i32.const -1)))) unreachable)
        (start $grow)";
    refused(component(grow), "", &["exceeded the table limit", "limit 1000000", "in `start`"]);
    refused(component("(table 1000001 funcref)"), "", &["table"]);
}

#[test]
fn a_stack_of_calls_without_end_is_stopped() {
    let recurse = "(func $recurse (call $recurse)) (start $recurse)";
    refused(component(recurse), "", &["trapped (call stack exhausted) in `start`"]);
}

#[test]
fn a_component_of_too_many_parts_is_refused() {
    let many = |part: &str, count: usize| {
        let instances = "(core instance (instantiate $n))".repeat(count);
        format!(
            "(component (core module $n {part}) {instances}
                (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {MAPPER})"
        )
    };
    refused(wat(&many("", 100)), "", &["core module instances", "64"]);
    refused(wat(&many("(memory 1)", 3)), "", &["memories", "2"]);
    refused(wat(&many("(table 1 funcref)", 9)), "", &["tables", "8"]);
}

#[test]
fn handles_without_end_are_stopped() {
    let flood = r#"(component
        (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $p (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core instance $host (export "subscribe" (func $subscribe)))
        (core module $m
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (func $flood (loop $again (drop (call $subscribe (i64.const 1))) (br $again)))
            (start $flood)
            (func (export "f")))
        (core instance $i (instantiate $m (with "host" (instance $host))))
        MAPPER)"#;
    refused(wat(&flood.replace("MAPPER", MAPPER)), "", &["trapped", "in `start`"]);
}

#[test]
fn a_compilation_without_end_is_given_up() {
    let function = "(func (param i64) (result i64) (i64.mul (local.get 0) (i64.add (local.get 0) (i64.const 7))))";
    let many = component(&function.repeat(20_000));
    refused(&many, ", compile_timeout = \"1ms\"", &["exceeded `limits.compile_timeout` (1ms)"]);
}

#[test]
fn a_component_larger_than_the_limit_is_not_even_read() {
    let project = with_plugin("");
    let file = File::create(project.path("bad.wasm")).expect("a file can be made");
    file.set_len(256 * 1024 * 1024 + 1).expect("a sparse file can be made");
    start(&project).expect_error(2, &["bad.wasm", "has 268435457 bytes, more than the limit of 268435456 bytes"]);
}

#[test]
fn a_path_that_is_not_a_file_is_not_read() {
    for (plugin, text) in [("/dev/zero", "is not a regular file"), ("input", "is not a regular file")] {
        let project = Project::of(&format!("map = [{{ plugin = \"{plugin}\" }}]")).file("input/a.txt", "one\n");
        project.run(NONE).expect_error(2, &[plugin, text]);
    }
}

#[test]
fn without_address_space_for_a_pool_instances_have_the_same_limits() {
    let in_little = |project: &Project| {
        let etl_host = etl_host_command();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 12000000; exec \"$0\" \"$1\""]).arg(etl_host.get_program());
        command.arg(project.path("pipeline.toml"));
        Ended::of(command.envs(etl_host.get_envs().filter_map(|(name, value)| Some((name, value?)))))
    };
    let slower = "plugin instances start more slowly, because no pool can be reserved for them";
    let honest = Project::of(&format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM} }}"))
        .file("input/a.txt", "one\n");
    let ended = in_little(&honest);
    assert!(ended.expect_success().stderr.contains(slower), "{ended:#?}");
    let memories = "(core module $n (memory 1)) (core instance (instantiate $n)) (core instance (instantiate $n))
        (core instance (instantiate $n))";
    let many = wat(&format!(
        "(component {memories} (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {MAPPER})"
    ));
    for (component, text) in [
        (many, "consists of 3 memories (limit 2)"),
        (component("(memory 1000)"), "exceeded `limits.memory`"),
        (component("(table 1000001 funcref)"), "exceeded the table limit (requested 1000001 elements, limit 1000000)"),
    ] {
        in_little(&with_plugin("").file("bad.wasm", component)).expect_error(2, &[text]);
    }
}

#[test]
fn what_is_not_a_component_is_told_apart() {
    let wasip1 =
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (memory (export "memory") 1))"#;
    refused(wat(wasip1), "", &["is a core module, not a component"]);
    refused(wat("(component)"), "", &["implements no step: it exports nothing"]);
    let whole = std::fs::read(SUM.path()).expect("a plugin can be read");
    for part in [9, 1000, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..part], "", &["is not a valid component"]);
    }
}

#[test]
fn imports_nobody_grants_are_named() {
    for import in ["wasi:http/outgoing-handler@0.2.0", "wasi:keyvalue/store@0.2.0", "etl:plugin/source@0.2.0", "env"] {
        let greedy = format!(
            "(component (import \"{import}\" (instance)) (core module $m (func (export \"f\")))
                (core instance $i (instantiate $m)) {MAPPER})"
        );
        refused(wat(&greedy), "", &[&format!("imports `{import}`"), "which a map plugin is not given"]);
    }
}

#[test]
fn functions_of_other_types_are_named() {
    refused(component(""), "", &["exports functions whose types differ from `wit`"]);
}

#[test]
fn threads_and_shared_memory_are_refused() {
    refused(component("(memory 1 2 shared)"), "", &["cannot be compiled", "threads"]);
}
