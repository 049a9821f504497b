//! The compiler of plugins as the operator sees it: a large plugin takes seconds, and no terminal stays silent for long.

use std::{
    any::Any,
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use etl_core::text::numbers::{bytes, harmless};
use etl_plugin::Compiler;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::{outside, say};

/// Size of a component from which on its compilation is told: smaller ones take less than a second.
const LARGE_BYTES: u64 = 4 << 20;

/// Returns the compiler of plugins, which says on standard error when it compiles a large one, with a timer on a
/// terminal.
pub(super) fn told() -> Compiler {
    outside::compiler().watched(|file, size_bytes| match size_bytes {
        LARGE_BYTES.. => watch(&line(file, size_bytes)),
        _ => Box::new(()),
    })
}

fn line(file: &Path, size_bytes: u64) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).display().to_string();
    harmless(&format!("compiling {name} ({}), once", bytes(size_bytes))).into_owned()
}

/// Prints a line, on a terminal with the time that passes until the result is dropped.
fn watch(line: &str) -> Box<dyn Any> {
    if !io::stderr().is_terminal() {
        say(line);
        return Box::new(());
    }
    let style = ProgressStyle::with_template("{msg}  {elapsed}").expect("the template is valid");
    let timer = ProgressBar::new_spinner().with_style(style).with_message(line.to_owned());
    timer.enable_steady_tick(Duration::from_millis(200));
    Box::new(timer.with_finish(ProgressFinish::AndLeave))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_file_and_its_size() {
        assert_eq!(line(Path::new("/a/build/step.wasm"), 18 << 20), "compiling step.wasm (18.0 MiB), once");
    }
}
