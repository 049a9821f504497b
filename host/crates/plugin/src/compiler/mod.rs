//! The compiler: a process of its own that reads what strangers wrote.
//!
//! Parsing a component, compiling it and reading its debug information take memory, time and stack that the component
//! decides. So they happen in a child process, which is this program started anew. It has limits on all of them, no
//! network, and no files but the component. If it dies, the plugin is refused with the reason, and the run goes on.
//!
//! - [`Compiler`] is the host's side: it starts the process, keeps the limits of time and size, and says how it died.
//! - `job` owns what the two sides say to each other, `confine` the rights and limits of the child, and `child` what it
//!   does.
//!
//! Compiled components are kept in the [cache](super::cache), so that a component is compiled once.

pub(super) mod child;
mod confine;
pub(super) mod job;
mod process;
mod symbols;

use std::{
    any::Any,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        shared::Shared,
    },
    text::numbers::bytes as size,
};
use wasmtime::component::Component;

pub use self::child::{COMPILER, serve};
pub(super) use self::job::Place;
use self::{
    job::{Job, Outcome, Task},
    process::{Died, ask},
};
use crate::{
    cache::{Cache, Miss},
    component::{ComponentFile, Facts, Inspection, Interface},
    settings::PluginSettings,
};

/// Memory for a job that reads facts or debug information, in bytes, besides the component itself.
const READ_BYTES: u64 = 256 << 20;
/// Longest time for reading the facts of a component.
const INSPECT_TIME: Duration = Duration::from_secs(60);

/// Compiles components and reads them, one at a time, and keeps what it compiled in a cache. Clones share it.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
    cache: Cache,
    /// Held while the process is at work. The memory limit is that of one process, so there is only one.
    at_work: Shared<()>,
    watch: Watch,
}

/// Called before a component is compiled, with its file and its size in bytes. What it returns is dropped when the
/// compiler is done.
#[derive(Clone)]
struct Watch(Arc<Watching>);

type Watching = dyn Fn(&Path, u64) -> Box<dyn Any> + Send + Sync;

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A compiled component.
pub(super) struct Compiled {
    pub(super) facts: Facts,
    pub(super) component: Component,
    /// Reason why it was compiled; `None` if the cache had it.
    pub(super) miss: Option<Miss>,
}

impl Compiler {
    /// Creates a compiler that starts `program`, which must call [`serve`] when its first argument is [`COMPILER`].
    /// Compiled components are kept in `cache`.
    pub fn new(program: PathBuf, cache: Cache) -> Self {
        Self { program, cache, at_work: Shared::new(()), watch: Watch(Arc::new(|_, _| Box::new(()))) }
    }

    /// Has `watch` called before a component is compiled, with its file and its size in bytes. What it returns is
    /// dropped when the compiler is done.
    #[must_use]
    pub fn watched(self, watch: impl Fn(&Path, u64) -> Box<dyn Any> + Send + Sync + 'static) -> Self {
        Self { watch: Watch(Arc::new(watch)), ..self }
    }

    /// Inspects the plugin in a file, without compiling or running it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the file cannot be read, is not a
    /// component, implements no step, or implements a step of an interface version that this host does not know;
    /// [`ErrorKind::Unavailable`](etl_core::model::error::ErrorKind::Unavailable) when the compiler cannot be started.
    pub fn inspect(&self, path: &Path) -> Result<Inspection> {
        let file = ComponentFile::open(path)?;
        let job = Job { task: Task::Inspect, memory_bytes: READ_BYTES, time_s: seconds(INSPECT_TIME) };
        let explain = |died: &Died| died.explain("cannot be read", &size(READ_BYTES), INSPECT_TIME);
        let _one_at_a_time = self.at_work.lock();
        let (facts, _) = self.facts(&file, &job, INSPECT_TIME, explain)?;
        Ok(Inspection {
            grantable: facts.grantable(),
            interface: facts.interface,
            wit_version: facts.wit_version,
            imports: facts.imports,
            exports: facts.exports,
            built_with: facts.built_with,
            config: facts.config,
            digest: file.digest,
            size_bytes: file.size_bytes,
        })
    }

    /// Returns the component in a file, from the cache or compiled, if `step` can use it as this interface.
    ///
    /// # Errors
    /// As [`Compiler::inspect`]; also when the component implements another step, imports more than its world offers, or
    /// cannot be compiled within the limits of the step.
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        file: &ComponentFile,
        step: &PluginSettings,
        interface: Interface,
    ) -> Result<Compiled> {
        let miss = match self.cache.read(engine, &file.digest) {
            Ok((facts, component)) => {
                facts.check_use(&step.name, interface).map_err(|what| file.refused(what))?;
                return Ok(Compiled { facts, component, miss: None });
            }
            Err(miss) => miss,
        };
        let task = Task::Compile { step: step.name.clone(), interface };
        let limits = &step.limits;
        let job = Job { task, memory_bytes: limits.compile_memory_bytes, time_s: seconds(limits.compile_timeout) };
        let explain = |died: &Died| {
            let memory = size(limits.compile_memory_bytes);
            died.explain_limits("cannot be compiled", &memory, limits.compile_timeout)
        };
        let _one_at_a_time = self.at_work.lock();
        let watching = (self.watch.0)(&file.path, file.size_bytes);
        let (facts, code) = self.facts(file, &job, limits.compile_timeout, explain)?;
        drop(watching);
        let component = crate::cache::load(engine, &code)
            .map_err(|error| file.refused(format_args!("cannot be loaded: {error:#}")))?;
        self.cache.keep(engine, &file.digest, miss, &facts, &code);
        Ok(Compiled { facts, component, miss: Some(miss) })
    }

    /// Has a job done that answers with facts. The caller holds the lock `at_work`.
    fn facts(
        &self,
        file: &ComponentFile,
        job: &Job,
        within: Duration,
        explain: impl FnOnce(&Died) -> String,
    ) -> Result<(Facts, Vec<u8>)> {
        let (answer, code) = ask(&self.program, job, &file.file, within).map_err(|died| match &died {
            Died::Unstarted(error) => {
                Error::new(ErrorKind::Unavailable, anyhow::anyhow!("cannot start the compiler: {error}"))
            }
            _ => file.refused(explain(&died)),
        })?;
        if answer.digest != file.digest {
            return Err(file.refused("changed while it was read"));
        }
        match answer.outcome {
            Outcome::Facts(facts) => Ok((facts, code)),
            Outcome::Refused(what) => Err(file.refused(what)),
            Outcome::Places(_) => Err(Error::internal("the compiler gave another answer than was asked for")),
        }
    }

    /// Finds the places in a component's source that belong to addresses in its file: for each address the places of
    /// the function and of those it is inlined in, innermost first.
    ///
    /// # Errors
    /// The reason why the debug information cannot be read, as the end of a sentence.
    pub(super) fn places(
        &self,
        file: &ComponentFile,
        addresses: &[u64],
        within: Duration,
    ) -> Result<Vec<Vec<Place>>, String> {
        let _one_at_a_time = self.at_work.lock();
        let task = Task::Locate { addresses: addresses.to_vec() };
        let job = Job { task, memory_bytes: READ_BYTES, time_s: seconds(within) };
        let (answer, _) = ask(&self.program, &job, &file.file, within)
            .map_err(|died| died.explain("cannot be read", &size(READ_BYTES), within))?;
        match answer.outcome {
            _ if answer.digest != file.digest => Err("belongs to a file that was changed".to_owned()),
            Outcome::Places(places) => Ok(places),
            Outcome::Refused(what) => Err(what),
            Outcome::Facts(_) => Err("cannot be read".to_owned()),
        }
    }
}

/// Returns a duration in whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
