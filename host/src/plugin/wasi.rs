//! The empty world: WASI 0.2, so that ordinary toolchains work, over nothing.
//!
//! No directory, no network, no environment, no arguments, empty standard input. Random numbers come from a seed and
//! the clocks from the run, so that an instance computes the same every time.

use std::time::Duration;

use rand_pcg::{Pcg64, rand_core::SeedableRng};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    HostWallClock, WasiCtx, WasiCtxView,
    p2::{DynPollable, Pollable, bindings::clocks::monotonic_clock, subscribe},
};

use super::{
    state::State,
    stdio::{Log, Stdio},
};
use crate::event::Level;

/// Makes the world of one instance. Equal seeds give equal worlds.
pub(super) fn empty_world(seed: u128, clock_ms: u64, log: &Log) -> WasiCtx {
    WasiCtx::builder()
        .stdout(Stdio { log: log.clone(), level: Level::Info })
        .stderr(Stdio { log: log.clone(), level: Level::Warn })
        .secure_random(random(seed, b"secure"))
        .insecure_random(random(seed, b"fast"))
        .insecure_random_seed(seed)
        .wall_clock(StoppedClock(Duration::from_millis(clock_ms)))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

fn random(seed: u128, stream: &[u8]) -> Pcg64 {
    let mixed = xxhash_rust::xxh3::xxh3_128_with_seed(&seed.to_le_bytes(), xxhash_rust::xxh3::xxh3_64(stream));
    let mut state = [0; 32];
    state[..16].copy_from_slice(&mixed.to_le_bytes());
    state[16..].copy_from_slice(&seed.to_le_bytes());
    Pcg64::from_seed(state)
}

/// A wall clock that stands at the run's start.
struct StoppedClock(Duration);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A monotonic clock that moves only when it is asked to: each reading is a microsecond after the last, and a sleep
/// ends at once, as late as it should have.
#[derive(Default)]
pub(super) struct VirtualClock {
    now_ns: u64,
}

/// Adds WASI 0.2 to the linker.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // The library's own clock waits in real time inside the host, where no deadline reaches it.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<State, VirtualClock>(linker, |state| {
        let WasiCtxView { table, .. } = wasmtime_wasi::WasiView::ctx(&mut state.wasi);
        ClockView { clock: &mut state.clock, table }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl HasData for VirtualClock {
    type Data<'a> = ClockView<'a>;
}

pub(super) struct ClockView<'a> {
    clock: &'a mut VirtualClock,
    table: &'a mut ResourceTable,
}

struct Passed;

#[wasmtime_wasi::async_trait]
impl Pollable for Passed {
    async fn ready(&mut self) {}
}

impl monotonic_clock::Host for ClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.clock.now_ns = self.clock.now_ns.saturating_add(1_000);
        Ok(self.clock.now_ns)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.clock.now_ns = self.clock.now_ns.max(when);
        let passed = self.table.push(Passed)?;
        subscribe(self.table, passed)
    }

    fn subscribe_duration(&mut self, duration_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let when = self.clock.now_ns.saturating_add(duration_ns);
        self.subscribe_instant(when)
    }
}
