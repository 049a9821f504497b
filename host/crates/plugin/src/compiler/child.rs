//! The work of the compiler's process: one job, one answer.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    process::ExitCode,
    thread,
};

use super::{
    confine::confine,
    job::{Answer, Job, Outcome, Task},
    symbols::places,
};
use crate::{
    component::digest,
    engine::compiling,
    scan::{hide_function_names, scan},
    stdio::cut,
};

/// First argument of the program when it is started as the compiler. The second is the job.
pub const COMPILER: &str = "compile-for-parent";

/// Stack of the thread that reads the component. Its parts can be nested, and are then read by recursion.
const STACK_BYTES: usize = 64 << 20;
/// Longest message about a component, in bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// Does one job as the compiler's process, whose arguments after the first are `arguments`, and returns its exit code.
/// The component is standard input; the answer goes to standard output.
pub fn serve(arguments: &[OsString]) -> ExitCode {
    match serve_job(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(70)
        }
    }
}

fn serve_job(arguments: &[OsString]) -> io::Result<()> {
    let job = arguments.first().and_then(|job| job.to_str()).unwrap_or_default();
    let Job { task, memory_bytes, time_s } =
        serde_json::from_str(job).map_err(|_| io::Error::other(format!("`{COMPILER}` is for this program itself")))?;
    let component = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let size_bytes = component.metadata()?.len();
    confine(memory_bytes.saturating_add(2 * size_bytes), time_s);
    let work = move || -> io::Result<()> {
        // Another process may read the same open file, so its position is not used.
        let mut bytes = vec![0; usize::try_from(size_bytes).map_err(io::Error::other)?];
        component.read_exact_at(&mut bytes, 0)?;
        let digest = digest(&bytes);
        let (outcome, code) = answer(&task, bytes);
        Answer { digest, outcome }.write(&code, io::stdout().lock())
    };
    let worker = thread::Builder::new().name("compile".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
    worker.join().unwrap_or_else(|_| Err(io::Error::other("the compiler panicked")))
}

/// Does a task on a component. Returns the outcome, and the code if it was compiled.
pub(crate) fn answer(task: &Task, component: Vec<u8>) -> (Outcome, Vec<u8>) {
    let done = match task {
        Task::Inspect => scan(&component).map(|facts| (Outcome::Facts(facts), Vec::new())),
        Task::Compile { step, interface } => scan(&component).and_then(|facts| {
            facts.check_use(step, *interface)?;
            Ok((Outcome::Facts(facts), compile(component)?))
        }),
        Task::Locate { addresses } => places(&component, addresses).map(|found| (Outcome::Places(found), Vec::new())),
    };
    done.unwrap_or_else(|what| (Outcome::Refused(cut(&what, MESSAGE_BYTES_MAX).to_owned()), Vec::new()))
}

fn compile(mut component: Vec<u8>) -> Result<Vec<u8>, String> {
    hide_function_names(&mut component);
    let compiled = compiling().and_then(|engine| engine.precompile_component(&component));
    compiled.map_err(|error| format!("cannot be compiled: {error:#}"))
}
