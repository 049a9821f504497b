//! The empty WASI 0.2 world: its functions exist, so that ordinary toolchains work, but they reach nothing outside.
//!
//! There is no directory, no network, no environment, no arguments, and standard input is empty. Random numbers come
//! from a seed, the wall clock stands at the start of the run, and the monotonic clock advances only when it is used.
//! So an instance computes the same every time. A grant replaces one of these by the real thing.

use std::time::{Duration, Instant};

use etl_core::model::event::Level;
use rand_pcg::{Pcg64, rand_core::SeedableRng};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::{
    HostWallClock, WasiCtx,
    p2::{DynPollable, Pollable, bindings::clocks::monotonic_clock, subscribe},
};

use super::{
    grants::Grants,
    stdio::{Log, Stdio},
};

/// Creates the world of one instance. Equal seeds give equal worlds, apart from grants.
pub(super) fn world(seed: u128, clock_ms: u64, log: &Log, grants: &Grants) -> WasiCtx {
    let mut world = WasiCtx::builder();
    if !grants.random {
        world.secure_random(random(seed, b"secure")).insecure_random(random(seed, b"fast")).insecure_random_seed(seed);
    }
    if !grants.clock {
        world.wall_clock(StoppedClock(Duration::from_millis(clock_ms)));
    }
    world
        .envs(&grants.variables)
        .stdout(Stdio { log: log.clone(), level: Level::Info })
        .stderr(Stdio { log: log.clone(), level: Level::Warn })
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

/// A wall clock that stands at the start of the run.
struct StoppedClock(Duration);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A monotonic clock whose sleeps return at once and move the clock to the end of the sleep. Otherwise it advances by
/// one microsecond per reading; if the step was granted `clock`, by the real time that has passed.
pub(super) struct VirtualClock {
    now_ns: u64,
    /// Time of the last reading of the real clock, if the step was granted it.
    real: Option<Instant>,
}

impl VirtualClock {
    pub(super) fn new(grants: &Grants) -> Self {
        Self { now_ns: 0, real: grants.clock.then(Instant::now) }
    }

    fn advance(&mut self) -> u64 {
        let passed_ns = match &mut self.real {
            Some(last) => {
                let now = Instant::now();
                let passed = now.duration_since(std::mem::replace(last, now));
                u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
            }
            None => 1_000,
        };
        self.now_ns = self.now_ns.saturating_add(passed_ns);
        self.now_ns
    }
}

impl HasData for VirtualClock {
    type Data<'a> = ClockView<'a>;
}

pub(super) struct ClockView<'a> {
    pub(super) clock: &'a mut VirtualClock,
    pub(super) table: &'a mut ResourceTable,
}

struct Passed;

#[wasmtime_wasi::async_trait]
impl Pollable for Passed {
    async fn ready(&mut self) {}
}

impl monotonic_clock::Host for ClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.advance())
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
