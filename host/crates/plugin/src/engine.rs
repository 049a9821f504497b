//! The wasm engine, which compiles components and runs their instances, and the plugins loaded by it.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use etl_core::model::error::{Error, ErrorKind, Result};
use wasmtime::{
    Config, Enabled, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
    component::{Component, Linker},
};

use super::{
    allowance::Allowance,
    bindings::exports::etl::plugin::{mapper, reducer, splitter},
    cache::Cache,
    component::{self, Interface, Scanned},
    config_schema::ConfigSchema,
    imports,
    limits::EPOCH,
    loaded::{Exports, Loading, Plugin},
    settings::PluginSettings,
    state::InstanceState,
};

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
    linker: Arc<Linker<InstanceState>>,
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
        imports::add_to_linker(&mut linker).map_err(|error| internal("cannot link the host's functions", &error))?;
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
        let found = Scanned::in_component(&step.path, &bytes)?;
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
            allowance: Allowance::new(),
            mask: step.mask.clone(),
            config: typed(step, found.config.as_ref()),
            config_schema: found.config,
            exports: exports.map_err(invalid)?,
            pre,
        })
    }
}

/// Returns the configuration of a step, with the types that the plugin's schema wants.
fn typed(step: &PluginSettings, schema: Option<&ConfigSchema>) -> String {
    match (schema, serde_json::from_str(&step.config)) {
        (Some(schema), Ok(config)) if !step.variables.is_empty() => schema.typed(config, &step.variables).to_string(),
        _ => step.config.clone(),
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
