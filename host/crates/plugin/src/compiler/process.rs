//! The compiler's process as its parent sees it: started, waited for, and its death explained.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{
    child::COMPILER,
    job::{ANSWER_BYTES_MAX, Answer, Job},
};
use crate::stdio::cut;

/// Most bytes of its standard error that are read.
const WORDS_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes of its last words that are shown.
const SHOWN_BYTES_MAX: usize = 300;
/// Number of threads that compile; more would take more memory than they save time.
const THREADS_MAX: usize = 8;

/// The reason why the compiler's process gave no answer.
#[derive(Debug)]
pub(super) enum Died {
    /// It was not started.
    Unstarted(io::Error),
    /// It took too long and was ended.
    Time,
    /// It needed more memory than it may have.
    Memory,
    /// Its stack overflowed.
    Stack,
    /// Its answer was too large.
    Size,
    /// It died in another way; these are its last words.
    Other(String),
}

impl Died {
    /// Explains the death as the end of a sentence, with the limits by which it may have died.
    pub(super) fn explain(&self, what: &str, memory: &str, time: Duration) -> String {
        let time = humantime::format_duration(time);
        self.because(what, &format!("it takes more than {memory} of memory"), &format!("it takes longer than {time}"))
    }

    /// Explains the death as [`Died::explain`] does, where `limits` of a step set the limits.
    pub(super) fn explain_limits(&self, what: &str, memory: &str, time: Duration) -> String {
        let time = humantime::format_duration(time);
        let memory = format!("exceeded `limits.compile_memory` ({memory})");
        self.because(what, &memory, &format!("exceeded `limits.compile_timeout` ({time})"))
    }

    fn because(&self, what: &str, memory: &str, time: &str) -> String {
        match self {
            Self::Time => format!("{what}: {time}"),
            Self::Memory => format!("{what}: {memory}"),
            Self::Stack => format!("{what}: its parts are nested too deep for the compiler's stack"),
            Self::Size => format!("{what}: the result has more than {ANSWER_BYTES_MAX} bytes"),
            Self::Unstarted(error) => format!("{what}: the compiler cannot be started: {error}"),
            Self::Other(words) => format!("{what}: the compiler died ({words})"),
        }
    }
}

/// Starts `program` as the compiler for one job on a component, and waits for its answer and the code that follows it,
/// for at most `within`.
///
/// # Errors
/// The reason why there is no answer. The process is gone in any case.
pub(super) fn ask(program: &Path, job: &Job, component: &File, within: Duration) -> Result<(Answer, Vec<u8>), Died> {
    let mut child = start(program, job, component).map_err(Died::Unstarted)?;
    let answered = wait(&mut child, within);
    // Its answer is complete or of no use, so whatever it still does is ended.
    _ = child.kill();
    let status = child.wait().map_err(Died::Unstarted)?;
    let (answer, words) = answered?;
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(Died::Size);
    }
    Answer::read(answer).ok_or_else(|| death(status, &words))
}

fn start(program: &Path, job: &Job, component: &File) -> io::Result<Child> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut command = Command::new(program);
    command.arg0("etl-host").args([OsStr::new(COMPILER), serde_json::to_string(job)?.as_ref()]);
    // Each arena of the allocator takes address space of its own, and without this there is one for each thread.
    command.env_clear().env("MALLOC_ARENA_MAX", "2").env("RAYON_NUM_THREADS", threads.to_string());
    // A signal from the terminal is for the parent, which ends the child in its own time.
    command.process_group(0).current_dir("/");
    command.stdin(component.try_clone()?).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Reads what the child writes until it is done, for at most `within`: its answer, and its last words.
fn wait(child: &mut Child, within: Duration) -> Result<(Vec<u8>, String), Died> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (done, answered) = mpsc::sync_channel(1);
    let words = thread::spawn(move || read(&mut stderr, WORDS_BYTES_MAX));
    thread::spawn(move || done.send(read(&mut stdout, ANSWER_BYTES_MAX as u64 + 1)));
    let answer = match answered.recv_timeout(within) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(Died::Time),
    };
    // It may still run and hold standard error open, although it has closed standard output.
    _ = child.kill();
    let words = words.join().unwrap_or_default();
    Ok((answer, String::from_utf8_lossy(&words).into_owned()))
}

fn read(output: &mut Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        // What was read before an error tells as much as there is to tell.
        _ = output.take(bytes_max).read_to_end(&mut bytes);
    }
    bytes
}

/// Finds out why the process died.
fn death(status: ExitStatus, words: &str) -> Died {
    let xcpu = rustix::process::Signal::XCPU.as_raw();
    match status.signal() {
        Some(signal) if signal == xcpu => Died::Time,
        _ if words.contains("memory allocation of") || words.contains("os error 12") => Died::Memory,
        // A thread that cannot have its stack is refused with this error.
        _ if words.contains("os error 11") => Died::Memory,
        _ if words.contains("has overflowed its stack") => Died::Stack,
        signal => {
            let how = signal.map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
            let last = words.trim().lines().next_back().unwrap_or_default();
            Died::Other(cut(&format!("{how}: {last}"), SHOWN_BYTES_MAX).trim_end_matches(": ").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: i32, words: &str) -> String {
        let died = death(ExitStatus::from_raw(status), words);
        died.explain_limits("cannot be compiled", "1 GiB", Duration::from_secs(300))
    }

    #[test]
    fn a_death_is_told_by_its_limit_or_its_last_words() {
        let memory = "cannot be compiled: exceeded `limits.compile_memory` (1 GiB)";
        assert_eq!(told(6, "memory allocation of 4096 bytes failed\n"), memory);
        assert_eq!(told(0, "error: Cannot allocate memory (os error 12)"), memory);
        assert_eq!(told(24, ""), "cannot be compiled: exceeded `limits.compile_timeout` (5m)");
        let stack = "thread 'compile' (7) has overflowed its stack\nfatal runtime error: stack overflow, aborting";
        assert_eq!(told(6, stack), "cannot be compiled: its parts are nested too deep for the compiler's stack");
        assert_eq!(told(11, ""), "cannot be compiled: the compiler died (signal 11)");
        assert_eq!(told(6, "a\npanicked\n"), "cannot be compiled: the compiler died (signal 6: panicked)");
    }

    #[test]
    fn a_program_that_is_not_there_or_says_nothing_is_told() {
        let component = File::open("/dev/null").expect("a file");
        let job = Job { task: super::super::job::Task::Inspect, memory_bytes: 1 << 20, time_s: 60 };
        let minute = Duration::from_secs(60);
        let none = ask(Path::new("/nowhere/etl-host"), &job, &component, minute).expect_err("not there");
        assert!(matches!(none, Died::Unstarted(_)), "{none:?}");
        let silent = ask(Path::new("/bin/true"), &job, &component, minute).expect_err("no answer");
        assert!(matches!(silent, Died::Other(_)), "{silent:?}");
        let late = ask(Path::new("/bin/yes"), &job, &component, Duration::ZERO).expect_err("no answer in time");
        assert!(matches!(late, Died::Time), "{late:?}");
    }
}
