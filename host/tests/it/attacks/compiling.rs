//! Modules that are small to write and dear to compile.

use super::{Attack, refused};
use crate::hostile_components::component;

/// Start of the message. Whether memory or time is used up first depends on the machine, and a fast one may compile some
/// of these; their functions have other types than those of a mapper.
const EITHER: &[&str] = &["error: "];

fn function(body: &str) -> Vec<u8> {
    component(&format!("(memory 1) (func $callee (param i32)) (func $attack (param i32) {body})"))
}

/// Returns a function with `locals` locals that change in each of `depth` nested loops.
fn loops(depth: usize, locals: usize) -> Vec<u8> {
    let declared = format!("(local {})", "i32 ".repeat(locals));
    let changes: String =
        (1..=locals).map(|local| format!("(local.set {local} (i32.add (local.get {local}) (local.get 0)))")).collect();
    let (open, close) = ("loop ".repeat(depth), "(br_if 0 (local.get 0)) end ".repeat(depth));
    function(&format!("{declared} {open} {changes} {close}"))
}

/// Returns a function in which `count` branches join, and each may have changed one of `locals` locals.
fn joins(count: usize, locals: usize) -> Vec<u8> {
    let declared = format!("(local {})", "i32 ".repeat(locals));
    let branch = |number: usize| {
        let local = 1 + number % locals;
        format!("(block (br_if 0 (local.get {local})) (local.set {local} (i32.const {number})))")
    };
    function(&format!("{declared} (loop {} (br_if 0 (local.get 0)))", (0..count).map(branch).collect::<String>()))
}

#[test]
fn modules_that_are_dear_to_compile_are_refused_or_compiled_within_the_limits() {
    let calls = |count: usize| function(&"(call $callee (i32.const 7))".repeat(count));
    let functions = |count: usize| {
        component(&"(func (param i64) (result i64) (i64.mul (local.get 0) (local.get 0)))".repeat(count))
    };
    let elements = |segments: usize, length: usize| {
        let segment = format!("(elem func {})", "$f ".repeat(length));
        component(&format!("(func $f) {}", segment.repeat(segments)))
    };
    let branches = |count: usize| {
        let (open, close) = ("block ".repeat(300), "end ".repeat(300));
        function(&format!("{open} (br_table {} (local.get 0)) {close}", "299 ".repeat(count)))
    };
    let locals = component(&format!("(func (local {}))", "i64 ".repeat(49_000)).repeat(20));
    refused(vec![
        Attack { name: "400,000 calls in one function", component: calls(400_000), told: EITHER },
        Attack { name: "loops, 400 deep, that change 400 locals", component: loops(400, 400), told: EITHER },
        Attack { name: "20,000 joins over 2,000 locals", component: joins(20_000, 2_000), told: EITHER },
        Attack {
            name: "blocks, 100,000 deep",
            component: function(&("block ".repeat(100_000) + &"end ".repeat(100_000))),
            told: EITHER,
        },
        Attack { name: "a branch table of 1,000,000 targets", component: branches(1_000_000), told: EITHER },
        Attack { name: "20 functions of 49,000 locals", component: locals, told: EITHER },
        Attack { name: "200,000 functions", component: functions(200_000), told: EITHER },
        Attack { name: "1,000 passive segments of 2,000 elements", component: elements(1_000, 2_000), told: EITHER },
        Attack {
            name: "99,000 empty data segments",
            component: component(&format!("(memory 1) {}", "(data \"\")".repeat(99_000))),
            told: EITHER,
        },
        Attack {
            name: "200,000 globals",
            component: component(&"(global i64 (i64.const 7))".repeat(200_000)),
            told: EITHER,
        },
        Attack {
            name: "200,000 exports",
            component: component(&format!(
                "(func $f) {}",
                (0..200_000).map(|n| format!("(export \"{n}\" (func $f))")).collect::<String>()
            )),
            told: EITHER,
        },
        Attack {
            name: "a function that leaves 100,000 values on its stack",
            component: function(&format!("{} {}", "(local.get 0)".repeat(100_000), "(drop)".repeat(100_000))),
            told: EITHER,
        },
        Attack {
            name: "a function name of 8 MB",
            component: component(&format!("(func ${}) (func $trap unreachable) (start $trap)", "n".repeat(8_000_000))),
            told: &["trapped", "in `start`"],
        },
    ]);
}
