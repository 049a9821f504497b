//! The wasm engine, which compiles components and runs their instances, and the plugins loaded by it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use wasmtime::{
    Config, Enabled, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
    component::{Component, InstancePre, Linker},
};

use super::{
    bindings::exports::etl::plugin::{mapper, reducer, splitter},
    cache::{Cache, Miss},
    component::{self, Found, Interface},
    grants::Grants,
    settings::{Limits, PluginSettings},
    state::{self, State},
};
use crate::{
    config_schema::{ConfigSchema, WrongConfig},
    error::{Error, ErrorKind, Result},
    event::Event,
    times::millis,
};

/// Length of an epoch. The deadline of a guest is checked this often.
pub(super) const EPOCH: Duration = Duration::from_millis(10);

/// Largest number of instances that can be alive at the same time. Each reserves 4 GiB of address space per memory.
const INSTANCES_MAX: u32 = 4_000;
/// Stack of an instance for its calls, in bytes, besides the stack that its language keeps in linear memory.
///
/// An instance may emit from deep inside its calls, and the batch may go straight to another instance. A thread
/// therefore needs this much stack for each mapper of a chain, and for a combiner.
pub const STACK_BYTES_MAX: usize = 512 * 1024;
/// Largest number of core instances in a component.
const CORE_INSTANCES_MAX: u32 = 64;
/// Largest number of memories in a component.
const MEMORIES_MAX: u32 = 2;
/// Largest number of tables in a component.
const TABLES_MAX: u32 = 8;

/// Bytes of a dropped instance's memory that are zeroed in place instead of being returned to the system.
const KEEP_RESIDENT_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of a dropped instance's tables that are zeroed in place instead of being returned to the system.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

/// Compiles components and runs instances. A process needs one; clones share it.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Arc<Linker<State>>,
    cache: Cache,
}

impl Engine {
    /// Creates an engine for up to `instances` instances at a time, but at most 4,000. It keeps compiled components in
    /// `cache`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when this machine cannot run wasm at all.
    pub fn new(instances: usize, cache: Cache) -> Result<Self> {
        let instances = u32::try_from(instances).unwrap_or(u32::MAX).clamp(1, INSTANCES_MAX);
        // The pool cannot be reserved if the address space is limited (`ulimit -v`, some containers). Instances are
        // then allocated on demand, which is slower.
        let engine = wasmtime::Engine::new(config().allocation_strategy(pool(instances)))
            .or_else(|_| wasmtime::Engine::new(config().allocation_strategy(InstanceAllocationStrategy::OnDemand)))
            .map_err(|error| internal("cannot start the wasm engine", &error))?;
        let mut linker = Linker::new(&engine);
        state::add_to_linker(&mut linker).map_err(|error| internal("cannot link the host's functions", &error))?;
        tick(engine.weak());
        Ok(Self { engine, linker: Arc::new(linker), cache })
    }

    /// Loads the plugin of a step: reads and checks the component, and compiles it unless the cache has it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the file cannot be read, is not a component, implements another step, imports
    /// functions that the step's world does not offer, or cannot be compiled within `limits.compile_timeout`.
    pub fn load(&self, step: &PluginSettings, interface: Interface) -> Result<Plugin> {
        let started = Instant::now();
        check_built(step)?;
        let bytes = component::read(&step.path)?;
        let found = Found::in_component(&step.path, &bytes)?;
        found.check_use(&step.path, &step.name, interface)?;
        let invalid = |error: wasmtime::Error| {
            let what = format!("plugin `{}` cannot be compiled: {error:#}", step.path.display());
            Error::config(what)
        };
        let digest = component::digest(&bytes);
        let compile = || compile(&self.engine, bytes, step.limits.compile_timeout);
        let (component, miss) = self.cache.component(&self.engine, &digest, compile).map_err(invalid)?;
        let pre = self.linker.instantiate_pre(&component).map_err(|error| {
            let path = step.path.display();
            Error::config(format!("plugin `{path}` imports functions whose types differ from `wit`: {error:#}"))
        })?;
        let exports = match interface {
            Interface::Splitter => splitter::GuestIndices::new(&pre).map(Exports::Splitter),
            Interface::Mapper => mapper::GuestIndices::new(&pre).map(Exports::Mapper),
            Interface::Reducer => reducer::GuestIndices::new(&pre).map(Exports::Reducer),
        };
        Ok(Plugin {
            step: step.name.clone(),
            path: step.path.clone(),
            digest,
            grantable: found.grantable(),
            loading: Loading { compiled: miss, duration: started.elapsed() },
            grants: step.grants.clone(),
            limits: step.limits.clone(),
            config: step.config.clone(),
            config_schema: found.config,
            exports: exports.map_err(invalid)?,
            pre,
        })
    }
}

/// A loaded component and the step it runs as. Any thread can make any number of instances of it.
pub struct Plugin {
    pub(super) step: String,
    pub(super) path: PathBuf,
    digest: String,
    loading: Loading,
    grantable: Vec<&'static str>,
    pub(super) grants: Grants,
    pub(super) limits: Limits,
    pub(super) config: String,
    config_schema: Option<ConfigSchema>,
    pub(super) pre: InstancePre<State>,
    pub(super) exports: Exports,
}

impl Plugin {
    /// Returns the name of the step in messages: `map 2`.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Returns the component's SHA-256 digest in hexadecimal, which identifies the plugin.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Compares the step's configuration with the schema in the component, if there is one.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check_config(&self) -> Result<(), WrongConfig> {
        let Some(schema) = &self.config_schema else { return Ok(()) };
        // The configuration of a step was made from a TOML document, so it is always valid JSON.
        schema.check(&serde_json::from_str(&self.config).unwrap_or_default())
    }

    /// Returns the grants that affect an import of the component.
    pub fn grantable(&self) -> &[&'static str] {
        &self.grantable
    }

    /// Returns the event that reports how the plugin was loaded.
    pub fn loaded(&self) -> Event {
        Event::PluginLoaded {
            step: self.step.clone(),
            digest: self.digest.clone(),
            compiled: self.loading.compiled.map(|miss| miss.to_string()),
            duration_ms: millis(self.loading.duration),
        }
    }

    /// Returns the names of the step and of the component file, with which messages begin: ``map plugin `a.wasm` ``.
    pub fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str());
        format!("{} plugin `{}`", self.step, file.display())
    }
}

/// Checks that the component file exists, if the step has a `build` command that would make it.
///
/// # Errors
/// [`ErrorKind::Config`], with the command.
fn check_built(step: &PluginSettings) -> Result<()> {
    match &step.build {
        Some(command) if !step.path.exists() => Err(Error::config(format!(
            "plugin `{}` does not exist: build it with `etl-host build` or `--build`, which run `{command}`",
            step.path.display()
        ))),
        _ => Ok(()),
    }
}

/// How a component was loaded.
struct Loading {
    /// Reason why it was compiled; `None` if the cache had it.
    compiled: Option<Miss>,
    duration: Duration,
}

/// The exported functions of the step that a component implements.
pub(super) enum Exports {
    Splitter(splitter::GuestIndices),
    Mapper(mapper::GuestIndices),
    Reducer(reducer::GuestIndices),
}

impl Exports {
    pub(super) fn splitter(&self) -> wasmtime::Result<&splitter::GuestIndices> {
        if let Self::Splitter(indices) = self { Ok(indices) } else { Err(not_a("splitter")) }
    }

    pub(super) fn mapper(&self) -> wasmtime::Result<&mapper::GuestIndices> {
        if let Self::Mapper(indices) = self { Ok(indices) } else { Err(not_a("mapper")) }
    }

    pub(super) fn reducer(&self) -> wasmtime::Result<&reducer::GuestIndices> {
        if let Self::Reducer(indices) = self { Ok(indices) } else { Err(not_a("reducer")) }
    }
}

fn not_a(interface: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the plugin was not loaded as a {interface}"))
}

fn internal(what: &str, error: &wasmtime::Error) -> Error {
    Error::new(ErrorKind::Internal, anyhow::anyhow!("{what}: {error:#}"))
}

/// Compiles a component within a time limit. After the limit, the compiler keeps running on its own thread: it cannot
/// be stopped, but no other thread waits for it, and the error is about to end the process.
///
/// # Errors
/// Says that the limit was exceeded, or why the component cannot be compiled.
fn compile(engine: &wasmtime::Engine, wasm: Vec<u8>, limit: Duration) -> wasmtime::Result<Component> {
    let (done, compiled) = mpsc::sync_channel(1);
    let engine = engine.clone();
    let compiler = move || _ = done.send(Component::new(&engine, wasm));
    thread::Builder::new().name("compile".to_owned()).spawn(compiler)?;
    compiled.recv_timeout(limit).unwrap_or_else(|error| {
        Err(wasmtime::Error::msg(match error {
            RecvTimeoutError::Timeout => {
                format!("exceeded `limits.compile_timeout` ({})", humantime::format_duration(limit))
            }
            RecvTimeoutError::Disconnected => "the compiler failed".to_owned(),
        }))
    })
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        .memory_init_cow(true)
        .memory_guard_size(32 << 20)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

fn pool(instances: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // The totals below are these limits times `instances`, so no component can take the slots that another needs.
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(instances.saturating_mul(MEMORIES_MAX))
        .total_tables(instances.saturating_mul(TABLES_MAX))
        // Calls are synchronous and run on the stack of the calling thread.
        .total_stacks(0)
        .max_memory_size(4 << 30)
        .table_elements(1_000_000)
        .max_core_instance_size(16 << 20)
        .max_component_instance_size(16 << 20)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Starts a thread that advances the epoch until the engine is dropped.
fn tick(engine: EngineWeak) {
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH);
        }
    };
    let spawned = thread::Builder::new().name("epoch".to_owned()).spawn(ticker);
    spawned.expect("a process that cannot start one thread cannot run tasks either");
}
