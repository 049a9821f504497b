//! The data of an instance's store, and the host functions that the instance may call.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Instant,
};

use arrow_array::RecordBatch;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        redact::Mask,
        schema::Schema,
        sizes::{Measure, RowSizes},
        slices::Slices,
        times::Work,
    },
    runtime::clock::{self, spend},
};
use wasmtime::{CallHook, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    allowance::Allowance,
    batch,
    bindings::etl::plugin::types,
    limits::{Growth, OutputBudget, ROW_BYTES_MAX, TimeLimit},
    source_view::Splitting,
    stdio::{Log, cut},
    world::VirtualClock,
};

/// Longest reason that is kept with a reject, in bytes.
const REASON_BYTES_MAX: usize = 1024;
/// What a reject counts beside its reason, in bytes.
const REJECT_BYTES: usize = 64;
/// Largest total size of the rejects kept in one call. A source's batch of empty lines fits, with short reasons.
const REJECTS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Receiver of an instance's batches: takes a batch, and for each of its rows the row of the batch being processed that
/// it was made of, if the plugin says so. An error from it stops the instance and is returned to the instance's caller.
pub type Emit = Box<dyn FnMut(RecordBatch, Option<&[u32]>) -> Result<()> + Send>;

/// A row that a mapper rejected: its number in the batch, and the reason.
pub type RejectedRow = (u32, String);

/// The phase of an instance, which decides the functions it may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// A batch of `rows` is processed, of which up to `rejects_max` may be rejected.
    Process {
        rows: u32,
        rejects_max: u64,
    },
    Finish,
    Split,
}

/// The data of an instance's store.
pub(super) struct InstanceState {
    pub(super) wasi: Wasi,
    pub(super) clock: VirtualClock,
    pub(super) growth: Growth,
    pub(super) time: TimeLimit,
    pub(super) log: Log,
    pub(super) mask: Mask,
    pub(super) phase: Phase,
    pub(super) emit: Option<Emit>,
    pub(super) schema: Option<Schema>,
    pub(super) output: OutputBudget,
    pub(super) rejects: BTreeMap<u32, String>,
    /// What `rejects` count, in bytes.
    pub(super) reject_bytes: usize,
    pub(super) counters: BTreeMap<String, i64>,
    pub(super) allowance: Allowance,
    pub(super) splitting: Option<Splitting>,
    /// Work the attempt did before it entered the guest, and returns to afterwards.
    pub(super) outside: Option<Work>,
    /// Error with which the host ended the current call. It says more than the trap that follows.
    pub(super) failure: Option<Error>,
    /// Whether `failure` came from the receiver of the output, and so is not this plugin's fault.
    pub(super) foreign_failure: bool,
}

/// The WASI world of the instance, empty except for grants.
pub(super) struct Wasi {
    pub(super) ctx: WasiCtx,
    pub(super) table: ResourceTable,
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

impl InstanceState {
    /// Ends the current call: the guest traps, and the caller gets `error`.
    pub(super) fn stop<T>(&mut self, error: Error) -> wasmtime::Result<T> {
        self.failure.get_or_insert(error);
        Err(wasmtime::Error::msg("stopped by the host"))
    }

    /// Ends the current call as [`InstanceState::stop`] does, for behaviour that no correct plugin shows.
    pub(super) fn refuse<T>(&mut self, what: impl std::fmt::Display) -> wasmtime::Result<T> {
        self.stop(Error::new(ErrorKind::Plugin, anyhow::anyhow!("{what}")))
    }

    /// Ends the current call as [`InstanceState::stop`] does, for a limit that was exceeded.
    pub(super) fn exceed<T>(&mut self, what: impl std::fmt::Display) -> wasmtime::Result<T> {
        self.stop(Error::new(ErrorKind::Sandbox, anyhow::anyhow!("{what}")))
    }

    /// Switches the attempt's clock to the guest when a call enters it, and back when the call leaves it.
    pub(super) fn watch(&mut self, hook: CallHook) {
        match hook {
            CallHook::CallingWasm => self.outside = clock::switch(Work::Guest),
            CallHook::ReturningFromWasm => _ = self.outside.take().and_then(clock::switch),
            CallHook::CallingHost | CallHook::ReturningFromHost => {}
        }
    }

    /// Runs host work on the plugin's behalf. The time it takes does not count against the plugin's limits.
    pub(super) fn on_host<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let started = Instant::now();
        let result = spend(Work::Check, || work(self));
        self.time.exclude(started.elapsed());
        result
    }

    pub(super) fn reject(&mut self, row: u32, reason: &str) -> wasmtime::Result<()> {
        let Phase::Process { rows, rejects_max } = self.phase else {
            return self.refuse("called `reject` outside `process`");
        };
        if row >= rows {
            return self.refuse(format!("rejected row {row} of a batch of {rows} rows"));
        }
        if let Entry::Vacant(entry) = self.rejects.entry(row) {
            let reason = cut(&self.mask.apply(reason), REASON_BYTES_MAX).to_owned();
            self.reject_bytes += reason.len() + REJECT_BYTES;
            entry.insert(reason);
        }
        if self.rejects.len() as u64 > rejects_max {
            return self.refuse(format!("rejected more than {rejects_max} rows"));
        }
        if self.reject_bytes > REJECTS_BYTES_MAX {
            return self.exceed(format!(
                "gave more than {REJECTS_BYTES_MAX} bytes of rejects in one call (each counts as its reason and \
                 {REJECT_BYTES} bytes)"
            ));
        }
        Ok(())
    }

    pub(super) fn emit_batch(&mut self, batch: types::BatchResult, origins: Option<Vec<u8>>) -> Result<()> {
        let refuse = |what: String| Error::new(ErrorKind::Plugin, anyhow::anyhow!("{what}"));
        let (Some(schema), Some(emit)) = (&self.schema, &mut self.emit) else {
            return Err(refuse("called `emit`, but this step has no output".to_owned()));
        };
        let batch = batch::lift(batch, schema).map_err(|what| refuse(format!("emitted a batch {what}")))?;
        check_rows(&batch)?;
        let origins = origins.map(|origins| lift_origins(&origins, batch.num_rows(), self.phase)).transpose();
        let origins = origins.map_err(|what| refuse(format!("emitted a batch whose origins {what}")))?;
        self.output.spend(batch.get_array_memory_size() as u64, batch.num_rows() as u64)?;
        // A guest may pack any number of rows into a batch; what comes after works on a bounded number at a time.
        let mut row = 0;
        let emitted = Slices::of(batch).try_for_each(|slice| {
            let rows = row..row + slice.num_rows();
            row = rows.end;
            emit(slice, origins.as_ref().map(|origins| &origins[rows]))
        });
        self.foreign_failure = emitted.is_err();
        emitted
    }
}

/// Checks that no row of an emitted batch is larger than [`ROW_BYTES_MAX`].
fn check_rows(batch: &RecordBatch) -> Result<()> {
    if batch.get_array_memory_size() <= ROW_BYTES_MAX {
        return Ok(());
    }
    let sizes = RowSizes::new(batch, Measure::Memory);
    let mut rows = (0..batch.num_rows()).map(|row| (row, sizes.row(row)));
    let Some((row, bytes)) = rows.find(|(_, bytes)| *bytes > ROW_BYTES_MAX) else { return Ok(()) };
    let what = format!("emitted row {row} of a batch with {bytes} bytes (limit {ROW_BYTES_MAX} bytes per row)");
    Err(Error::new(ErrorKind::Sandbox, anyhow::anyhow!(what)))
}

/// Returns the row of the batch being processed that each emitted row was made of, from 32 bits for each.
fn lift_origins(origins: &[u8], rows: usize, phase: Phase) -> Result<Vec<u32>, String> {
    let Phase::Process { rows: processed, .. } = phase else {
        return Err("belong to no batch being processed".to_owned());
    };
    let (chunks, rest) = origins.as_chunks::<{ size_of::<u32>() }>();
    if chunks.len() != rows || !rest.is_empty() {
        return Err(format!("have {} bytes for {rows} rows (4 for each)", origins.len()));
    }
    let origins: Vec<u32> = chunks.iter().map(|origin| u32::from_le_bytes(*origin)).collect();
    match origins.iter().find(|origin| **origin >= processed) {
        Some(origin) => Err(format!("name row {origin} of a batch of {processed} rows")),
        None => Ok(origins),
    }
}
