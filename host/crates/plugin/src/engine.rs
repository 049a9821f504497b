//! The wasm engine, which runs the instances of components, and the plugins loaded by it.

use std::{path::Path, sync::Arc, thread, time::Instant};

use etl_core::model::error::{Error, ErrorKind, Result};
use wasmtime::{
    Config, Enabled, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
    component::Linker,
};

use super::{
    allowance::Allowance,
    bindings::exports::etl::plugin::{mapper, reducer, splitter},
    compiler::{Compiled, Compiler},
    component::{ComponentFile, Inspection, Interface},
    config_schema::ConfigSchema,
    imports,
    limits::{EPOCH, TABLE_ELEMENTS_MAX},
    loaded::{Exports, Loading, Plugin},
    settings::PluginSettings,
    state::InstanceState,
    stdio::cut,
    structure::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX},
    symbols::Symbols,
};

/// Largest number of instances that can be alive at the same time. Each reserves 4 GiB of address space per memory.
const INSTANCES_MAX: u32 = 4_000;
/// Stack of an instance for its calls, in bytes, besides the stack that its language keeps in linear memory.
///
/// An instance may emit from deep inside its calls, and the batch may go straight to another instance. A thread
/// therefore needs this much stack for each mapper of a chain, and for a combiner.
pub const STACK_BYTES_MAX: usize = 512 * 1024;

/// Longest message about the types of a component, in bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;
/// Bytes of a dropped instance's memory that are zeroed in place instead of being returned to the system.
const KEEP_RESIDENT_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of a dropped instance's tables that are zeroed in place instead of being returned to the system.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

/// Loads components and runs instances. A process needs one; clones share it.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Arc<Linker<InstanceState>>,
    compiler: Compiler,
    without_pool: Option<Arc<str>>,
}

impl Engine {
    /// Creates an engine for up to `instances` instances at a time, but at most 4,000. It gets its components from
    /// `compiler`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when this machine cannot run wasm at all.
    pub fn new(instances: usize, compiler: Compiler) -> Result<Self> {
        let instances = u32::try_from(instances).unwrap_or(u32::MAX).clamp(1, INSTANCES_MAX);
        let pooled = wasmtime::Engine::new(config().allocation_strategy(pool(instances)));
        let without_pool = pooled.as_ref().err().map(|error| format!("{error:#}").into());
        let engine =
            pooled.or_else(|_| compiling()).map_err(|error| internal("cannot start the wasm engine", &error))?;
        let mut linker = Linker::new(&engine);
        imports::add_to_linker(&mut linker).map_err(|error| internal("cannot link the host's functions", &error))?;
        tick(engine.weak());
        Ok(Self { engine, linker: Arc::new(linker), compiler, without_pool })
    }

    /// Returns a warning if instances are allocated one by one, because the address space for a pool of them cannot be
    /// reserved (`ulimit -v`, some containers). They have the same limits, but each takes longer to start.
    pub fn warning(&self) -> Option<String> {
        let reason = self.without_pool.as_ref()?;
        Some(format!("plugin instances start more slowly, because no pool can be reserved for them: {reason}"))
    }

    /// Inspects the plugin in a file, without compiling or running it.
    ///
    /// # Errors
    /// As [`Compiler::inspect`].
    pub fn inspect(&self, path: &Path) -> Result<Inspection> {
        self.compiler.inspect(path)
    }

    /// Loads the plugin of a step: checks the component, and compiles it unless the cache has it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the file cannot be read, is not a component, implements another step, imports
    /// functions that the step's world does not offer, or cannot be compiled within `limits.compile_timeout` and
    /// `limits.compile_memory`; [`ErrorKind::Unavailable`] when the compiler cannot be started.
    pub fn load(&self, step: &PluginSettings, interface: Interface) -> Result<Plugin> {
        let started = Instant::now();
        check_built(step)?;
        let file = ComponentFile::open(&step.path)?;
        let compiled = self.compiler.component(&self.engine, &file, step, interface)?;
        self.plugin(step, interface, file, compiled, started)
    }

    /// Returns the engine below, which loads what the compiler made.
    #[cfg(any(test, fuzzing))]
    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Links a compiled component to the host's functions.
    pub(super) fn plugin(
        &self,
        step: &PluginSettings,
        interface: Interface,
        file: ComponentFile,
        compiled: Compiled,
        started: Instant,
    ) -> Result<Plugin> {
        let Compiled { facts, component, miss } = compiled;
        let differ = |what: &str, error: wasmtime::Error| {
            let error = format!("{error:#}");
            let error = cut(&error, MESSAGE_BYTES_MAX);
            file.refused(format_args!("{what} functions whose types differ from `wit`: {error}"))
        };
        let pre = self.linker.instantiate_pre(&component).map_err(|error| differ("imports", error))?;
        let exports = match interface {
            Interface::Splitter => splitter::GuestIndices::new(&pre).map(Exports::Splitter),
            Interface::Mapper => mapper::GuestIndices::new(&pre).map(Exports::Mapper),
            Interface::Reducer => reducer::GuestIndices::new(&pre).map(Exports::Reducer),
        };
        let exports = exports.map_err(|error| differ("exports", error))?;
        Ok(Plugin {
            step: step.name.clone(),
            path: step.path.clone(),
            digest: file.digest.clone(),
            grantable: facts.grantable(),
            loading: Loading { compiled: miss, duration: started.elapsed() },
            grants: step.grants.clone(),
            limits: step.limits.clone(),
            allowance: Allowance::new(),
            mask: step.mask.clone(),
            config: typed(step, facts.config.as_ref()),
            config_schema: facts.config,
            exports,
            pre,
            symbols: Symbols::new(self.compiler.clone(), file),
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

/// Returns an engine that compiles for the engines of runs, and allocates instances one by one.
///
/// # Errors
/// When this machine cannot run wasm at all.
pub(super) fn compiling() -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(config().allocation_strategy(InstanceAllocationStrategy::OnDemand))
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
        // Debug information is read by the compiler's process, when a trap is to be explained.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
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
        .table_elements(TABLE_ELEMENTS_MAX)
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
