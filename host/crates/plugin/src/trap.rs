//! Descriptions of traps: how the plugin failed, in its own words, and where in its source.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{
    compiler::Place,
    last_words::{Uncaught, joined},
    limits::{HOSTCALL_BYTES_MAX, TIME_OF_ATTEMPT},
};

/// Largest number of places in the plugin's source that are named.
const FRAMES_MAX: usize = 6;
/// Number of last words that are shown of a failure that they do not tell.
const WORDS_SHOWN_MAX: usize = 8;
/// Directories of the standard libraries of Rust and C and of the SDK. Places in them are not named, because a plugin's
/// author does not look for a mistake there.
const LIBRARIES: [&str; 7] = [
    "/library/std/",
    "/library/core/",
    "/library/alloc/",
    "/library/panic_abort/",
    "/wasi-libc/",
    "/guest-plugins/sdk/src/",
    "/etl-plugin-",
];
/// Names of the functions that the SDK generates for the exports of a plugin.
const EXPORTS: [&str; 4] = ["export_open", "export_process", "export_finish", "export_split"];

/// Failure of a call into a step: the step trapped, exceeded a limit, or returned the error `other`.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Name of the step in messages: `map 2`.
    pub step: String,
    /// Names of the step and the plugin, with which messages begin.
    pub(super) plugin: String,
    /// Cause, which is the same each time the step fails in the same way: the kind and the place of an uncaught error,
    /// the name of a trap, or a limit.
    pub(super) cause: String,
    /// Description of the failure, as a phrase that follows the plugin's name: what happened, in which function, and
    /// where in the plugin's source.
    pub what: String,
}

impl Failure {
    /// Returns whether both failures are of the same step and have the same cause. Their descriptions may differ.
    pub fn is_like(&self, other: &Self) -> bool {
        self.step == other.step && self.cause == other.cause
    }

    /// Returns whether the instance used up the time that its attempt allowed it, which was less than its limits.
    pub fn is_of_attempt(&self) -> bool {
        self.cause == TIME_OF_ATTEMPT
    }
}

impl std::error::Error for Failure {}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.plugin, self.what)
    }
}

/// Describes how a call of `function` ended, as a phrase that follows the plugin's name: ``panicked in `process` at
/// src/lib.rs:7:9: message``. `last_words` are the last lines that the plugin printed in the call.
pub(super) fn describe(trap: &wasmtime::Error, function: &str, last_words: &[String]) -> String {
    let (how, words) = match uncaught(trap, last_words) {
        Some(Uncaught { verb, place, message, .. }) => {
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            (format!("{verb} in `{function}`{place}"), message)
        }
        None => {
            let shown = &last_words[last_words.len().saturating_sub(WORDS_SHOWN_MAX)..];
            (format!("{} in `{function}`", how(trap)), joined(shown))
        }
    };
    if words.is_empty() { how } else { format!("{how}: {words}") }
}

/// Returns the [`Failure::cause`] of a trap.
pub(super) fn cause(trap: &wasmtime::Error, last_words: &[String]) -> String {
    uncaught(trap, last_words).map_or_else(|| how(trap), |uncaught| uncaught.cause())
}

/// Returns the uncaught error that the last words tell, if the call ended as one does: after an uncaught error, the
/// runtimes of all languages execute `unreachable` or exit.
fn uncaught(trap: &wasmtime::Error, last_words: &[String]) -> Option<Uncaught> {
    let gave_up = trap.is::<I32Exit>() || matches!(trap.downcast_ref::<Trap>(), Some(Trap::UnreachableCodeReached));
    gave_up.then(|| Uncaught::of(last_words)).flatten()
}

fn how(trap: &wasmtime::Error) -> String {
    if trap.is::<I32Exit>() {
        return "called `exit`".to_owned();
    }
    match trap.downcast_ref::<Trap>() {
        // A language that keeps its stack in linear memory overflows it by an access outside of the memory.
        Some(Trap::MemoryOutOfBounds) => "trapped (out of bounds memory access, or its stack overflowed)".to_owned(),
        Some(code) => format!("trapped ({})", code.to_string().trim_start_matches("wasm trap: ")),
        // wasmtime has no error type for exhausted hostcall fuel, so only the text identifies it.
        None if trap.root_cause().to_string().contains("fuel allocated for hostcalls") => {
            format!("handed over more than {HOSTCALL_BYTES_MAX} bytes in one call")
        }
        None => format!("trapped ({:#})", trap.root_cause()),
    }
}

/// Returns the addresses in the component's file that the call had reached, innermost first.
pub(super) fn addresses(trap: &wasmtime::Error) -> Vec<u64> {
    let Some(backtrace) = trap.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace.frames().iter().filter_map(|frame| Some(frame.module_offset()? as u64)).collect()
}

/// Shows places in the plugin's source, innermost first, each on its own line.
pub(super) fn shown(places: &[Place]) -> String {
    let shown = |found: &Place| place(found.function.as_deref(), found.file.as_deref()?, found.line?);
    let mut places: Vec<String> = places.iter().filter_map(shown).collect();
    // Recursion repeats one place many times.
    places.dedup();
    places.truncate(FRAMES_MAX);
    places.concat()
}

/// Formats a place in the source. Returns `None` for generated code and for libraries.
fn place(name: Option<&str>, file: &str, line: u32) -> Option<String> {
    let generated = |name: &str| {
        let last = name.rsplit("::").next().unwrap_or(name);
        last.starts_with("_export_") || EXPORTS.contains(&last)
    };
    let generated = name.is_some_and(generated);
    if generated || LIBRARIES.iter().any(|directory| file.contains(directory)) {
        return None;
    }
    let file = short(file);
    Some(name.map_or_else(|| format!("\nat {file}:{line}"), |name| format!("\nin {name} ({file}:{line})")))
}

/// Shortens the path of a file of a dependency to `serde-1.0.0/src/lib.rs`. Other paths are returned unchanged.
fn short(file: &str) -> &str {
    let in_registry = file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    in_registry.map_or(file, |(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_panic_is_told_by_its_place_and_message() {
        let trap = wasmtime::Error::from(Trap::UnreachableCodeReached);
        let panic = ["before", "thread 'main' (1) panicked at src/lib.rs:7:9:", "assertion failed", "left: 1"];
        assert_eq!(
            describe(&trap, "process", &words(&panic)),
            "panicked in `process` at src/lib.rs:7:9: assertion failed left: 1"
        );
        assert_eq!(describe(&trap, "open", &words(&panic[1..2])), "panicked in `open` at src/lib.rs:7:9");
        assert_eq!(cause(&trap, &words(&panic)), "panicked at src/lib.rs:7:9");
        assert_eq!(cause(&trap, &[]), "trapped (wasm `unreachable` instruction executed)");
    }

    #[test]
    fn another_trap_is_told_by_its_code_and_the_last_words() {
        let trap = wasmtime::Error::from(Trap::IntegerDivisionByZero);
        assert_eq!(describe(&trap, "finish", &[]), "trapped (integer divide by zero) in `finish`");
        let goodbye = words(&["too long ago", "1", "2", "3", "4", "5", "6", "7", "panic: runtime error"]);
        assert_eq!(
            describe(&trap, "finish", &goodbye),
            "trapped (integer divide by zero) in `finish`: 1 2 3 4 5 6 7 panic: runtime error"
        );
        assert_eq!(describe(&wasmtime::Error::from(I32Exit(3)), "open", &[]), "called `exit` in `open`");
    }

    #[test]
    fn an_uncaught_error_is_told_in_the_words_of_its_language() {
        let python =
            words(&["Traceback (most recent call last):", "  File \"app.py\", line 12, in map", "KeyError: 'a'"]);
        let trap = wasmtime::Error::from(Trap::UnreachableCodeReached);
        assert_eq!(describe(&trap, "process", &python), "failed in `process` at app.py:12: KeyError: 'a'");
        assert_eq!(cause(&trap, &python), "KeyError at app.py:12");
        let go = words(&["panic: bad", "goroutine 1 [running]:"]);
        assert_eq!(describe(&wasmtime::Error::from(I32Exit(2)), "open", &go), "failed in `open`: panic: bad");
    }

    #[test]
    fn places_nobody_wrote_are_left_out() {
        let shown = |name, file| place(name, file, 7);
        assert_eq!(shown(Some("map"), "src/lib.rs").as_deref(), Some("\nin map (src/lib.rs:7)"));
        assert_eq!(shown(None, "src/lib.rs").as_deref(), Some("\nat src/lib.rs:7"));
        assert_eq!(shown(Some("_export_process_cabi<Component>"), "src/lib.rs"), None);
        assert_eq!(shown(Some("export_process"), "src/lib.rs"), None);
        assert_eq!(shown(Some("map"), "/home/u/etl-host/guest-plugins/sdk/src/mapper.rs"), None);
        assert_eq!(shown(Some("map"), "/home/u/.cargo/registry/src/i/etl-plugin-0.1.0/src/mapper.rs"), None);
        assert_eq!(shown(Some("panic_fmt"), "/rustc/abc/library/core/src/panicking.rs"), None);
    }

    #[test]
    fn dependencies_are_named_without_where_they_lie() {
        assert_eq!(short("/home/u/.cargo/registry/src/index-1/serde-1.0.0/src/lib.rs"), "serde-1.0.0/src/lib.rs");
        assert_eq!(short("src/lib.rs"), "src/lib.rs");
    }
}
