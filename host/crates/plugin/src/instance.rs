//! Instances: a plugin that is opened for one attempt, called synchronously, and dropped afterwards.

use std::{collections::BTreeMap, time::Duration};

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::Events,
        ids::{TaskId, Try},
        schema::Schema,
        times::Work,
    },
    runtime::clock::spend,
};
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline, component};

use super::{
    bindings::etl::plugin::types as wit,
    formats::{Lowered, lift_schema},
    limits::{EPOCH, Growth, HANDLES_MAX, HOSTCALL_BYTES_MAX, OutputBudget, TimeLimit, TimedOut},
    loaded::{Exports, Plugin},
    source_view::Splitting,
    state::{Emit, InstanceState, Phase, RejectedRow, Wasi},
    stdio::{Log, cut},
    symbols::Symbols,
    trap::{self, Failure},
    world::{self, VirtualClock},
};

/// Longest message of a plugin that is passed on, in bytes.
const GUEST_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Longest time between two checks of whether an instance is to be stopped.
const STOP_WITHIN: Duration = Duration::from_millis(100);

/// The attempt an instance is made for.
#[derive(Clone)]
pub struct Attempt {
    /// Id of the run.
    pub run_id: String,
    /// Number of the shard or of the partition.
    pub task: TaskId,
    /// Number of the attempt at the task.
    pub attempt: Try,
    /// Time that the instance's wall clock shows, in milliseconds since the Unix epoch: the start of the run.
    pub clock_ms: u64,
    /// Longest time that the instance may compute, if that is less than its `limits.timeout`.
    pub time_max: Option<Duration>,
    /// Receiver of the instance's messages.
    pub events: Events,
    /// Stops the instance within about 100 ms when cancelled, even inside a call. Used when the attempt is no longer
    /// needed.
    pub stop: CancellationToken,
}

/// Resources that an instance has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceUsage {
    /// Time spent in calls of the instance, without the time the host worked on its behalf.
    pub time: Duration,
    /// Total size of the instance's memories, which never shrink.
    pub memory_bytes: u64,
}

/// A wasmtime store with one instance in it.
pub(super) struct Instance {
    store: Store<InstanceState>,
    pub(super) name: String,
    step: String,
    config: String,
    /// Whether the instance is a reducer that is opened as combiner.
    pub(super) combines: bool,
    stop: CancellationToken,
    symbols: Symbols,
}

/// Error that ends an instance whose attempt is no longer needed.
#[derive(Debug)]
struct Stopped;

impl std::error::Error for Stopped {}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its attempt is no longer needed")
    }
}

impl Instance {
    /// Instantiates a plugin in a new store, and loads its exports with `load`.
    ///
    /// # Errors
    /// As [`Instance::call`]; [`ErrorKind::Config`] when the types of the exports differ from those in `wit`.
    pub(super) fn new<G>(
        plugin: &Plugin,
        task: &Attempt,
        emit: Option<Emit>,
        splitting: Option<Splitting>,
        load: impl FnOnce(&Exports, &mut Store<InstanceState>, &component::Instance) -> wasmtime::Result<G>,
    ) -> Result<(Self, G)> {
        let mut store = Store::new(plugin.pre.engine(), state(plugin, task, emit, splitting));
        store.limiter(|state| &mut state.growth);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.call_hook(|mut store, hook| {
            store.data_mut().watch(hook);
            Ok(())
        });
        let stop = task.stop.clone();
        store.epoch_deadline_callback(move |store| match store.data().time.check() {
            _ if stop.is_cancelled() => Err(Stopped.into()),
            Ok(left) => Ok(UpdateDeadline::Continue(epochs(left))),
            Err(timed_out) => Err(timed_out.into()),
        });
        let (name, step, config) = (plugin.name(), plugin.step.clone(), plugin.config.clone());
        let (stop, symbols) = (task.stop.clone(), plugin.symbols.clone());
        let mut instance = Self { store, name, step, config, combines: false, stop, symbols };
        let instantiated =
            instance.call("start", Phase::Open, |store| Ok(Ok(plugin.pre.instantiate(&mut *store)?)))?;
        let loaded = load(&plugin.exports, &mut instance.store, &instantiated).map_err(|error| {
            Error::config(format!("{} exports functions whose types differ from `wit`: {error:#}", instance.name))
        })?;
        Ok((instance, loaded))
    }

    /// Calls `open`, and checks and keeps the schema it returns.
    pub(super) fn open(
        &mut self,
        task: &Attempt,
        input: &Schema,
        call: impl FnOnce(
            &mut Store<InstanceState>,
            wit::Context<'_>,
        ) -> wasmtime::Result<Result<wit::SchemaResult, wit::StepError>>,
    ) -> Result<Schema> {
        let schema = self.with_context(task, input, |instance, context| {
            instance.call("open", Phase::Open, |store| call(store, context))
        })?;
        let schema = lift_schema(schema).map_err(|error| {
            let what = format!("{} returned a wrong schema from `open`: {error}", self.name);
            Error::new(ErrorKind::Plugin, anyhow::anyhow!(what))
        })?;
        self.store.data_mut().schema = Some(schema.clone());
        Ok(schema)
    }

    /// Calls `f` with the context of `task`.
    pub(super) fn with_context<R>(
        &mut self,
        task: &Attempt,
        input: &Schema,
        f: impl FnOnce(&mut Self, wit::Context<'_>) -> R,
    ) -> R {
        let config = self.config.clone();
        let combines = self.combines;
        let Attempt { run_id, task, attempt, .. } = task;
        Lowered::new(input).with(|input| {
            let (task, attempt) = (task.0, attempt.0);
            f(self, wit::Context { run_id, task, attempt, combines, input, config: &config })
        })
    }

    /// Calls into the guest, within the limits of the step.
    ///
    /// # Errors
    /// The error that the guest returned, or the reason why the call failed: a trap, a limit, an error of the host, or
    /// a stop.
    pub(super) fn call<T>(
        &mut self,
        function: &str,
        phase: Phase,
        call: impl FnOnce(&mut Store<InstanceState>) -> wasmtime::Result<Result<T, wit::StepError>>,
    ) -> Result<T> {
        if self.stop.is_cancelled() {
            return Err(self.stopped());
        }
        let state = self.store.data_mut();
        state.phase = phase;
        state.log.begin_call();
        let budget = state.time.start_call();
        self.store.set_epoch_deadline(epochs(budget));
        // The call hook switches to `Work::Guest` while the guest runs. The rest of a call that passes a batch is spent
        // copying the batch into the guest.
        let around = if matches!(phase, Phase::Process { .. }) { Work::CopyIn } else { Work::Guest };
        let result = spend(around, || call(&mut self.store));
        self.store.data_mut().time.end_call();
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.step_error(function, error)),
            Err(trap) => Err(self.trap(function, &trap)),
        }
    }

    /// Returns the resources that the instance has used.
    pub(super) fn usage(&self) -> InstanceUsage {
        let state = self.store.data();
        InstanceUsage { time: state.time.spent, memory_bytes: state.growth.memory_bytes as u64 }
    }

    pub(super) fn take_rejects(&mut self) -> Vec<RejectedRow> {
        let state = self.store.data_mut();
        state.reject_bytes = 0;
        std::mem::take(&mut state.rejects).into_iter().collect()
    }

    pub(super) fn take_counters(&mut self) -> BTreeMap<String, i64> {
        std::mem::take(&mut self.store.data_mut().counters)
    }

    /// Converts an error that the plugin returned, and gives it the kind that decides about retries and the exit code.
    fn step_error(&self, function: &str, error: wit::StepError) -> Error {
        let mask = &self.store.data().mask;
        let shown = |message: &str| cut(&mask.apply(message), GUEST_MESSAGE_BYTES_MAX).to_owned();
        let told = |message: &str| format!("failed in `{function}`: {}", shown(message));
        let (kind, message) = match error {
            wit::StepError::InvalidConfig(message) => {
                let message = shown(&message);
                return Error::config(format!("{} refused `{}.config`: {message}", self.name, self.step));
            }
            wit::StepError::InvalidInput(message) => (ErrorKind::Input, message),
            wit::StepError::Retryable(message) => (ErrorKind::Unavailable, message),
            wit::StepError::Fatal(message) => (ErrorKind::Plugin, message),
            wit::StepError::Other(message) => return self.failure("failed", told(&message)),
        };
        Error::new(kind, anyhow::anyhow!("{} {}", self.name, told(&message)))
    }

    /// Returns the reason why a call trapped: the host's own error if it ended the call, a stop, a limit, or the trap
    /// itself with the guest's last words.
    fn trap(&mut self, function: &str, trap: &wasmtime::Error) -> Error {
        let state = self.store.data_mut();
        if let Some(failure) = state.failure.take() {
            return match failure.kind() {
                _ if state.foreign_failure => failure,
                ErrorKind::Sandbox => self.failure(&failure.to_string(), failure.to_string()),
                _ => failure.context(self.name.clone()),
            };
        }
        if trap.is::<Stopped>() {
            return self.stopped();
        }
        let places = self.symbols.places(&trap::addresses(trap));
        let sandbox = |cause: &str, what: &str| self.failure(cause, format!("{what}{places}"));
        let state = self.store.data();
        if let Some(timed_out) = trap.downcast_ref::<TimedOut>() {
            return sandbox(timed_out.cause(), &format!("{timed_out} in `{function}`"));
        }
        if let Some(denied) = &state.growth.denied {
            return sandbox("memory", &format!("{denied} in `{function}`"));
        }
        if trap.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Error::new(ErrorKind::Unavailable, anyhow::anyhow!("{}: no free instance: {trap:#}", self.name));
        }
        let last_words = state.log.last_words();
        let told = trap::describe(trap, function, &last_words);
        sandbox(&trap::cause(trap, &last_words), cut(&told, GUEST_MESSAGE_BYTES_MAX))
    }

    fn stopped(&self) -> Error {
        // A stop is not the plugin's failure, so the kind must not be one that starts a search for a poison record.
        Error::new(ErrorKind::Unavailable, anyhow::anyhow!("{} was stopped: {Stopped}", self.name))
    }

    fn failure(&self, cause: &str, what: String) -> Error {
        let (step, plugin, cause) = (self.step.clone(), self.name.clone(), cause.to_owned());
        Error::new(ErrorKind::Sandbox, Failure { step, plugin, cause, what })
    }
}

fn state(plugin: &Plugin, task: &Attempt, emit: Option<Emit>, splitting: Option<Splitting>) -> InstanceState {
    let log = Log::new(plugin, task);
    // The seed does not include the attempt, so that a second attempt computes the same result.
    let seed = format!("{}\0{}\0{}", plugin.digest(), plugin.step, task.task);
    let seed = xxhash_rust::xxh3::xxh3_128(seed.as_bytes());
    InstanceState {
        wasi: Wasi {
            ctx: world::world(seed, task.clock_ms, &log, &plugin.grants),
            table: component::ResourceTable::new(),
        },
        clock: VirtualClock::new(&plugin.grants),
        growth: Growth::new(&plugin.limits),
        time: TimeLimit::new(&plugin.limits, task.time_max),
        log,
        mask: plugin.mask.clone(),
        phase: Phase::Open,
        emit,
        schema: None,
        output: OutputBudget::new(&plugin.limits),
        rejects: BTreeMap::new(),
        reject_bytes: 0,
        counters: BTreeMap::new(),
        allowance: plugin.allowance.clone(),
        splitting,
        failure: None,
        outside: None,
        foreign_failure: false,
    }
}

/// Returns how many epochs cover a duration: at least one, so that the deadline lies ahead, and at most as many as
/// cover [`STOP_WITHIN`], so that an instance is stopped soon.
fn epochs(duration: Duration) -> u64 {
    u64::try_from(duration.min(STOP_WITHIN).as_millis() / EPOCH.as_millis()).unwrap_or(u64::MAX / 2) + 1
}
