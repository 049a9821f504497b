//! The host functions that an instance may call, and how they are linked.
//!
//! Owns what each imported function does with the state of its instance. The engine links them once.

use std::time::Instant;

use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        event::Level,
        object::Slice,
        schema::Schema,
        times::Work,
    },
    runtime::clock::spend,
};
use wasmtime::{
    StoreContextMut,
    component::{HasSelf, Linker, WasmList},
};
use wasmtime_wasi::{WasiCtxView, p2::bindings::clocks::monotonic_clock};

use super::{
    allowance::COUNTERS_MAX,
    batch,
    bindings::etl::plugin::{
        diagnostics,
        shards::{self, Shard},
        source::{self, Object, ReadError as WitReadError},
        types,
    },
    emitted::Emitted,
    limits::{OutputBudget, TimeLimit},
    source_view::{DraftShard, ReadError, Splitting},
    state::{InstanceState, Phase},
    world::{ClockView, VirtualClock},
};

/// Longest name of a counter, in bytes.
const COUNTER_NAME_BYTES_MAX: usize = 128;

/// Largest number of objects in one page of the listing.
const PAGE_OBJECTS_MAX: usize = 1000;

/// Largest number of bytes that one read returns.
const READ_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// Adds all functions that a plugin may import to the linker.
pub(super) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    add_wasi(linker)?;
    diagnostics::add_to_linker::<InstanceState, HasSelf<InstanceState>>(linker, |state| state)?;
    let mut output = linker.instance("etl:plugin/output@0.2.0")?;
    output.func_wrap("emit", |store, (batch, origins): (Emitted, Option<WasmList<u8>>)| {
        emit(store, &batch, origins.as_ref())
    })?;
    output.func_wrap("reject", |mut store: StoreContextMut<'_, InstanceState>, (row, reason): (u32, String)| {
        store.data_mut().reject(row, &reason)
    })?;
    source::add_to_linker::<InstanceState, HasSelf<InstanceState>>(linker, |state| state)?;
    shards::add_to_linker::<InstanceState, HasSelf<InstanceState>>(linker, |state| state)?;
    types::add_to_linker::<InstanceState, HasSelf<InstanceState>>(linker, |state| state)
}

/// Implements `emit`: copies the batch out of the guest, checks it, and hands it to the receiver of the output.
fn emit(
    mut store: StoreContextMut<'_, InstanceState>,
    batch: &Emitted,
    origins: Option<&WasmList<u8>>,
) -> wasmtime::Result<()> {
    if !matches!(store.data().phase, Phase::Process { .. } | Phase::Finish) {
        return store.data_mut().refuse("called `emit` outside `process` and `finish`");
    }
    let (batch, origins) = spend(Work::CopyOut, || {
        let origins = origins.map(|origins| origins.as_le_slice(&store).to_vec());
        (batch.copy(&mut store), origins)
    });
    let batch = batch?;
    let state = store.data_mut();
    match state.on_host(|state| state.emit_batch(batch, origins)) {
        Ok(()) => Ok(()),
        Err(error) => state.stop(error),
    }
}

impl types::Host for InstanceState {}

impl diagnostics::Host for InstanceState {
    fn log(&mut self, level: diagnostics::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            diagnostics::Level::Debug => Level::Debug,
            diagnostics::Level::Info => Level::Info,
            diagnostics::Level::Warn => Level::Warn,
            diagnostics::Level::Error => Level::Error,
        };
        self.log.message(level, &message);
        Ok(())
    }

    fn count(&mut self, counter: String, delta: i64) -> wasmtime::Result<()> {
        if counter.len() > COUNTER_NAME_BYTES_MAX {
            let bytes = counter.len();
            return self.exceed(format!("used a counter name of {bytes} bytes (limit {COUNTER_NAME_BYTES_MAX} bytes)"));
        }
        let counter = self.mask.apply(&counter);
        if let Some(total) = self.counters.get_mut(&*counter) {
            *total = total.saturating_add(delta);
            return Ok(());
        }
        if !self.allowance.admit_counter(&counter) {
            return self.refuse(format!(
                "used more than {COUNTERS_MAX} counters (limit for all instances of the step together: counters are for \
                 few names)"
            ));
        }
        self.counters.insert(counter.into_owned(), delta);
        Ok(())
    }
}

impl InstanceState {
    /// Returns what a call of a splitter's imports works on, if the instance may make that call now.
    fn splitting(&mut self) -> wasmtime::Result<(&mut Splitting, &mut TimeLimit, &mut OutputBudget)> {
        if self.phase != Phase::Split || self.splitting.is_none() {
            return self.refuse("used the source outside `split`");
        }
        Ok((self.splitting.as_mut().expect("checked just above"), &mut self.time, &mut self.output))
    }
}

impl source::Host for InstanceState {
    fn list(&mut self, after: Option<String>) -> wasmtime::Result<Vec<Object>> {
        let (splitting, ..) = self.splitting()?;
        let objects = splitting.view.list(after.as_deref(), PAGE_OBJECTS_MAX);
        Ok(objects.into_iter().map(|(name, size, splittable)| Object { name, size, splittable }).collect())
    }

    fn read(
        &mut self,
        object: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<std::result::Result<Vec<u8>, WitReadError>> {
        let (splitting, time, _) = self.splitting()?;
        match splitting.read(time, &object, offset, length.min(READ_BYTES_MAX)) {
            Ok(read) => Ok(read.map_err(|error| match error {
                ReadError::NoSuchObject => WitReadError::NoSuchObject,
                ReadError::OutOfRange => WitReadError::OutOfRange,
                ReadError::Store(error) => WitReadError::Store(error.to_string()),
            })),
            Err(error) => self.stop(error),
        }
    }
}

impl shards::Host for InstanceState {
    fn add(&mut self, shards: Vec<Shard>) -> wasmtime::Result<()> {
        let (splitting, time, output) = self.splitting()?;
        let added = shards.into_iter().try_for_each(|shard| {
            let started = Instant::now();
            let draft = draft(shard, &splitting.records)?;
            let (bytes, rows) = (draft.bytes(), draft.rows());
            let added = output.spend(bytes, rows).and_then(|()| spend(Work::Check, || splitting.view.add(draft)));
            time.count_work(started.elapsed(), bytes);
            added
        });
        added.or_else(|error| self.stop(error))
    }
}

fn draft(shard: Shard, records: &Schema) -> Result<DraftShard> {
    match shard {
        Shard::Slices(slices) => {
            let slice = |s: shards::Slice| Slice { object: s.object, offset: s.offset, length: s.length };
            Ok(DraftShard::Slices(slices.into_iter().map(slice).collect()))
        }
        Shard::Records(batch) => {
            let batch = batch::lift(batch, records)
                .map_err(|what| Error::new(ErrorKind::Plugin, anyhow::anyhow!("added a shard of records {what}")))?;
            Ok(DraftShard::Records(batch))
        }
    }
}

/// Adds WASI 0.2 to the linker.
fn add_wasi(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // The clock of `wasmtime_wasi` sleeps in real time inside the host, where no deadline can end the sleep, so it is
    // replaced.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<InstanceState, VirtualClock>(linker, |state| {
        let WasiCtxView { table, .. } = wasmtime_wasi::WasiView::ctx(&mut state.wasi);
        ClockView { clock: &mut state.clock, table }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
