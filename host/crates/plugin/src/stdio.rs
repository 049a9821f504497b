//! The output that a plugin prints: lines of standard output and standard error become log events, within `limits.log`.

use std::collections::VecDeque;

use bytes::Bytes;
use etl_core::model::{
    event::{Event, Events, Level},
    ids::TaskId,
    redact::Mask,
    shared::Shared,
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::{
    allowance::{Admission, Allowance, MESSAGES_BYTES_MAX},
    instance::Attempt,
    last_words::is_of_tiny_go,
    loaded::Plugin,
};

/// Longest message, in bytes. The rest of a longer message is cut off.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Number of bytes of a printed line that are kept until the line ends: more than are shown, so that a secret that is
/// cut is found before.
const LINE_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Number of lines that are kept to explain a trap: as many as a stack of Go's may have after the line that says why.
const LAST_WORDS_MAX: usize = 256;
/// Largest total size of the lines that are kept to explain a trap.
const LAST_WORDS_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Start of a line that Rust prints after a panic, which is not logged.
const RUST_ADVICE: &str = "note: run with `RUST_BACKTRACE=1`";

/// The log of an instance. Clones share it.
#[derive(Clone)]
pub(super) struct Log {
    inner: Shared<Inner>,
}

struct Inner {
    events: Events,
    step: String,
    task: TaskId,
    mask: Mask,
    allowance: Allowance,
    bytes_left: u64,
    limit_noted: bool,
    /// Text printed since the last line end: to standard output, and to standard error.
    lines: [Vec<u8>; 2],
    /// The last lines that were printed in this call to standard error, or by TinyGo. After a panic, they hold its
    /// message.
    last_words: VecDeque<String>,
    last_words_bytes: usize,
}

impl Log {
    /// Creates the log of an instance that is made of `plugin` for `task`.
    pub(super) fn new(plugin: &Plugin, task: &Attempt) -> Self {
        let inner = Inner {
            events: task.events.clone(),
            step: plugin.step.clone(),
            task: task.task,
            mask: plugin.mask.clone(),
            allowance: plugin.allowance.clone(),
            bytes_left: plugin.limits.log_bytes,
            limit_noted: false,
            lines: [Vec::new(), Vec::new()],
            last_words: VecDeque::new(),
            last_words_bytes: 0,
        };
        Self { inner: Shared::new(inner) }
    }

    /// Emits one message, cut to 16 KiB. Drops the message if it would exceed `limits.log` or the allowance of the step;
    /// the first drop is logged.
    pub(super) fn message(&self, level: Level, text: &str) {
        self.inner.lock().message(level, text);
    }

    /// Begins a call: what was printed before does not explain how it ends.
    pub(super) fn begin_call(&self) {
        let mut inner = self.inner.lock();
        inner.last_words.clear();
        inner.last_words_bytes = 0;
    }

    /// Returns the last lines that the call printed to standard error, including an unfinished one.
    pub(super) fn last_words(&self) -> Vec<String> {
        let mut inner = self.inner.lock();
        inner.end_line(Level::Warn);
        inner.last_words.iter().cloned().collect()
    }
}

impl Inner {
    fn message(&mut self, level: Level, text: &str) {
        let text = self.mask.apply(text);
        let text = cut(&text, MESSAGE_BYTES_MAX).to_owned();
        let bytes = text.len() as u64 + 1;
        if bytes > self.bytes_left {
            self.bytes_left = 0;
            if !std::mem::replace(&mut self.limit_noted, true) {
                let message = "reached `limits.log`; further messages of this attempt are dropped".to_owned();
                self.emit(Level::Warn, message);
            }
            return;
        }
        self.bytes_left -= bytes;
        match self.allowance.admit_message(bytes) {
            Admission::Passed => self.emit(level, text),
            Admission::FirstDropped => {
                let mib = MESSAGES_BYTES_MAX >> 20;
                let message = format!("the step reached {mib} MiB of messages; its further messages are dropped");
                self.emit(Level::Warn, message);
            }
            Admission::Dropped => {}
        }
    }

    fn emit(&self, level: Level, message: String) {
        self.events.emit(Event::Log { step: self.step.clone(), task: self.task, level, message });
    }

    fn print(&mut self, level: Level, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = self.line(level);
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            line.extend_from_slice(&text[..text.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line(level);
            }
        }
    }

    fn line(&mut self, level: Level) -> &mut Vec<u8> {
        &mut self.lines[usize::from(level == Level::Warn)]
    }

    fn end_line(&mut self, level: Level) {
        let line = std::mem::take(self.line(level));
        let text = String::from_utf8_lossy(&line);
        // The advice to set `RUST_BACKTRACE` does not apply in the host, whose error has the backtrace.
        if text.trim().is_empty() || text.starts_with(RUST_ADVICE) {
            return;
        }
        if level == Level::Warn || is_of_tiny_go(&text) {
            self.keep(text.trim_end());
        }
        self.message(level, text.trim_end());
    }

    fn keep(&mut self, line: &str) {
        let words = cut(&self.mask.apply(line), MESSAGE_BYTES_MAX).to_owned();
        self.last_words_bytes += words.len();
        self.last_words.push_back(words);
        while self.last_words.len() > LAST_WORDS_MAX || self.last_words_bytes > LAST_WORDS_BYTES_MAX {
            self.last_words_bytes -= self.last_words.pop_front().map_or(0, |words| words.len());
        }
    }
}

/// Cuts text to at most `bytes_max` bytes, at the end of a character.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Standard output (`Level::Info`) or standard error (`Level::Warn`) of an instance.
pub(super) struct Stdio {
    pub(super) log: Log,
    pub(super) level: Level,
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self { log: self.log.clone(), level: self.level })
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this, and no 0.3 interface is linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}

impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.inner.lock().print(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}
