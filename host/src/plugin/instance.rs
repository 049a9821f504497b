//! Instances: a plugin opened for one attempt, called synchronously, dropped afterwards.

use std::{collections::BTreeMap, time::Duration};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline, component};

use super::{
    batch::{Lowered, lift_schema},
    bindings::{
        etl::plugin::types as wit,
        exports::etl::plugin::{mapper, reducer},
    },
    engine::{EPOCH, Exports, Plugin},
    limits::{Clock, Growth, HANDLES_MAX, HOSTCALL_BYTES_MAX, Output, TimedOut},
    splitter::Splitting,
    state::{Emit, Phase, RejectedRow, State, Wasi},
    stdio::{Log, cut},
    trap::{self, Failure},
    wasi::{self, VirtualClock},
};
use crate::{
    error::{Error, ErrorKind, Result},
    event::Events,
    schema::Schema,
    times::{Work, spend},
};

/// The longest message of a plugin that is passed on.
const GUEST_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// How long an instance may go on that is to be stopped.
const STOP_WITHIN: Duration = Duration::from_millis(100);

/// The attempt an instance is made for.
#[derive(Clone)]
pub struct Task {
    /// The run's id.
    pub run_id: String,
    /// The shard's or partition's number.
    pub task: u32,
    /// Which try, from 1.
    pub attempt: u32,
    /// What the instance's wall clock shows, in milliseconds since the Unix epoch: the run's start.
    pub clock_ms: u64,
    /// Where the instance's messages go.
    pub events: Events,
    /// Stops the instance, within moments, wherever it is: nobody waits for the attempt any more.
    pub stop: CancellationToken,
}

/// What an instance has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time in its calls, less what the host did on its behalf.
    pub time: Duration,
    /// Its memories, which never shrink.
    pub memory_bytes: u64,
}

/// An opened mapper.
pub struct Mapper {
    instance: Instance,
    guest: mapper::Guest,
    schema: Schema,
}

/// An opened reducer.
pub struct Reducer {
    instance: Instance,
    guest: reducer::Guest,
    schema: Schema,
}

impl Plugin {
    /// Makes an instance of a mapper and opens it for records of the schema `input`. What it emits goes to `emit`.
    ///
    /// # Errors
    /// What the plugin's `open` returned, or how it failed.
    pub fn map(&self, task: &Task, input: &Schema, emit: Emit) -> Result<Mapper> {
        let load = |exports: &Exports, store: &mut Store<State>, instance: &component::Instance| {
            exports.mapper()?.load(store, instance)
        };
        let (mut instance, guest) = Instance::new(self, task, Some(emit), None, load)?;
        let schema = instance.open(task, input, |store, context| guest.call_open(store, context))?;
        Ok(Mapper { instance, guest, schema })
    }

    /// Makes an instance of a reducer and opens it for keyed rows of the schema `input`. What it emits goes to
    /// `emit`.
    ///
    /// # Errors
    /// What the plugin's `open` returned, or how it failed.
    pub fn reduce(&self, task: &Task, input: &Schema, emit: Emit) -> Result<Reducer> {
        let load = |exports: &Exports, store: &mut Store<State>, instance: &component::Instance| {
            exports.reducer()?.load(store, instance)
        };
        let (mut instance, guest) = Instance::new(self, task, Some(emit), None, load)?;
        let schema = instance.open(task, input, |store, context| guest.call_open(store, context))?;
        Ok(Reducer { instance, guest, schema })
    }
}

impl Mapper {
    /// Returns what the step emits.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns what the instance has used.
    pub fn usage(&self) -> Usage {
        self.instance.usage()
    }

    /// Hands the next rows to the plugin, and returns those it set aside, by row.
    ///
    /// # Errors
    /// What the plugin returned, how it failed, or what its output's receiver said. The instance is of no use then.
    pub fn process(&mut self, batch: &RecordBatch) -> Result<Vec<RejectedRow>> {
        let lowered = Lowered::new(batch);
        let phase = Phase::Process { rows: lowered.rows() };
        self.instance.call("process", phase, |store| lowered.with(|batch| self.guest.call_process(store, batch)))?;
        Ok(self.instance.take_rejects())
    }

    /// Lets the plugin emit what is left, and returns its counters.
    ///
    /// # Errors
    /// As [`Mapper::process`].
    pub fn finish(&mut self) -> Result<BTreeMap<String, i64>> {
        self.instance.call("finish", Phase::Finish, |store| self.guest.call_finish(store))?;
        Ok(self.instance.take_counters())
    }
}

impl Reducer {
    /// Returns what the step emits.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns what the instance has used.
    pub fn usage(&self) -> Usage {
        self.instance.usage()
    }

    /// Hands the next rows, sorted by key, to the plugin. `group_ends` are the rows after each key's last one.
    ///
    /// # Errors
    /// As [`Mapper::process`].
    pub fn process(&mut self, batch: &RecordBatch, group_ends: &[u32], last_group_continues: bool) -> Result<()> {
        let lowered = Lowered::new(batch);
        let phase = Phase::Process { rows: lowered.rows() };
        self.instance.call("process", phase, |store| {
            lowered.with(|batch| self.guest.call_process(store, batch, group_ends, last_group_continues))
        })?;
        if let Some((row, reason)) = self.instance.take_rejects().into_iter().next() {
            let what = format!("{} rejected row {row} ({reason}), but only mappers may reject", self.instance.name);
            return Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)));
        }
        Ok(())
    }

    /// Lets the plugin emit what is left, and returns its counters.
    ///
    /// # Errors
    /// As [`Mapper::process`].
    pub fn finish(&mut self) -> Result<BTreeMap<String, i64>> {
        self.instance.call("finish", Phase::Finish, |store| self.guest.call_finish(store))?;
        Ok(self.instance.take_counters())
    }
}

/// A store with one instance in it.
pub(super) struct Instance {
    store: Store<State>,
    name: String,
    step: String,
    config: String,
    stop: CancellationToken,
}

/// Why an instance ends whose attempt nobody waits for any more.
#[derive(Debug)]
struct Stopped;

impl std::error::Error for Stopped {}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody waits for its attempt any more")
    }
}

impl Instance {
    /// Instantiates a plugin in a store of its own.
    pub(super) fn new<G>(
        plugin: &Plugin,
        task: &Task,
        emit: Option<Emit>,
        splitting: Option<Splitting>,
        load: impl FnOnce(&Exports, &mut Store<State>, &component::Instance) -> wasmtime::Result<G>,
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
        let mut instance = Self { store, name, step, config, stop: task.stop.clone() };
        let instantiated =
            instance.call("start", Phase::Open, |store| Ok(Ok(plugin.pre.instantiate(&mut *store)?)))?;
        let loaded = load(&plugin.exports, &mut instance.store, &instantiated).map_err(|error| {
            Error::config(format!(
                "{} exports functions of other types than `wit` gives them: {error:#}",
                instance.name
            ))
        })?;
        Ok((instance, loaded))
    }

    /// Calls `open` and takes over the schema it returns.
    fn open(
        &mut self,
        task: &Task,
        input: &Schema,
        call: impl FnOnce(
            &mut Store<State>,
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
        task: &Task,
        input: &Schema,
        f: impl FnOnce(&mut Self, wit::Context<'_>) -> R,
    ) -> R {
        let config = self.config.clone();
        let fields: Vec<wit::FieldParam<'_>> = input
            .fields
            .fields()
            .iter()
            .map(|field| wit::FieldParam {
                name: field.name(),
                data_type: wit_type(field.data_type()),
                nullable: field.is_nullable(),
            })
            .collect();
        // `Schema::new` allows no more key fields than fields, and 1024 of those.
        let key_fields = u32::try_from(input.key_fields).expect("a schema of at most 1024 fields");
        let context = wit::Context {
            run_id: &task.run_id,
            task: task.task,
            attempt: task.attempt,
            input: wit::SchemaParam { fields: &fields, key_fields },
            config: &config,
        };
        f(self, context)
    }

    /// Calls into the guest, within its limits, and says why when that fails.
    pub(super) fn call<T>(
        &mut self,
        function: &str,
        phase: Phase,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<Result<T, wit::StepError>>,
    ) -> Result<T> {
        if self.stop.is_cancelled() {
            return Err(self.stopped());
        }
        let state = self.store.data_mut();
        state.phase = phase;
        let budget = state.time.start_call();
        self.store.set_epoch_deadline(epochs(budget));
        // Inside the guest, the call hook says so; what is left of a call with a batch is copying that.
        let around = if matches!(phase, Phase::Process { .. }) { Work::CopyIn } else { Work::Guest };
        let result = spend(around, || call(&mut self.store));
        self.store.data_mut().time.end_call();
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.step_error(function, error)),
            Err(trap) => Err(self.trap(function, &trap)),
        }
    }

    /// Returns what it has used.
    pub(super) fn usage(&self) -> Usage {
        let state = self.store.data();
        Usage { time: state.time.spent, memory_bytes: state.growth.memory_bytes as u64 }
    }

    fn take_rejects(&mut self) -> Vec<RejectedRow> {
        let state = self.store.data_mut();
        state.reason_bytes = 0;
        std::mem::take(&mut state.rejects).into_iter().collect()
    }

    fn take_counters(&mut self) -> BTreeMap<String, i64> {
        std::mem::take(&mut self.store.data_mut().counters)
    }

    /// Classes an error the plugin returned.
    fn step_error(&self, function: &str, error: wit::StepError) -> Error {
        let told = |message: &str| format!("failed in `{function}`: {}", cut(message, GUEST_MESSAGE_BYTES_MAX));
        let (kind, message) = match error {
            wit::StepError::InvalidConfig(message) => {
                let message = cut(&message, GUEST_MESSAGE_BYTES_MAX);
                return Error::config(format!("{} refused `{}.config`: {message}", self.name, self.step));
            }
            wit::StepError::InvalidInput(message) => (ErrorKind::Input, message),
            wit::StepError::Retryable(message) => (ErrorKind::Unavailable, message),
            wit::StepError::Fatal(message) => (ErrorKind::Plugin, message),
            wit::StepError::Other(message) => return self.failure("failed", told(&message)),
        };
        Error::new(kind, anyhow::anyhow!("{} {}", self.name, told(&message)))
    }

    /// Says why a call trapped: the host's own reason if it had one, a limit, or the trap and the guest's last words.
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
        let sandbox = |cause: &str, what: &str| self.failure(cause, format!("{what}{}", trap::places(trap)));
        let state = self.store.data();
        if let Some(timed_out) = trap.downcast_ref::<TimedOut>() {
            return sandbox("time", &format!("{timed_out} in `{function}`"));
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
        // Not the plugin's failure, so nobody looks for a record that is to blame.
        Error::new(ErrorKind::Unavailable, anyhow::anyhow!("{} was stopped: {Stopped}", self.name))
    }

    fn failure(&self, cause: &str, what: String) -> Error {
        let (step, plugin, cause) = (self.step.clone(), self.name.clone(), cause.to_owned());
        Error::new(ErrorKind::Sandbox, Failure { step, plugin, cause, what })
    }
}

fn state(plugin: &Plugin, task: &Task, emit: Option<Emit>, splitting: Option<Splitting>) -> State {
    let log = Log::new(task.events.clone(), plugin.step.clone(), task.task, plugin.limits.log_bytes);
    // Not the attempt: a second try computes the same.
    let seed = format!("{}\0{}\0{}", plugin.digest(), plugin.step, task.task);
    let seed = xxhash_rust::xxh3::xxh3_128(seed.as_bytes());
    State {
        wasi: Wasi {
            ctx: wasi::world(seed, task.clock_ms, &log, &plugin.grants),
            table: component::ResourceTable::new(),
        },
        clock: VirtualClock::new(&plugin.grants),
        growth: Growth::new(&plugin.limits),
        time: Clock::new(&plugin.limits),
        log,
        phase: Phase::Open,
        emit,
        schema: None,
        output: Output::new(&plugin.limits),
        rejects: BTreeMap::new(),
        reason_bytes: 0,
        counters: BTreeMap::new(),
        splitting,
        failure: None,
        outside: None,
        foreign_failure: false,
    }
}

/// Returns how many epochs cover a duration: at least one, so that the deadline is ahead, and few enough that an
/// instance is soon stopped.
fn epochs(duration: Duration) -> u64 {
    u64::try_from(duration.min(STOP_WITHIN).as_millis() / EPOCH.as_millis()).unwrap_or(u64::MAX / 2) + 1
}

fn wit_type(data_type: &DataType) -> wit::DataType {
    match data_type {
        DataType::Boolean => wit::DataType::Boolean,
        DataType::Int64 => wit::DataType::Int64,
        DataType::Float64 => wit::DataType::Float64,
        DataType::Utf8 => wit::DataType::Text,
        DataType::Binary => wit::DataType::Binary,
        other => unreachable!("a schema has the five column types only, not {other}"),
    }
}
