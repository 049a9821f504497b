//! Defaults and allowed ranges of the keys of `pipeline.toml`.

use std::{thread, time::Duration};

use etl_format::{RECORD_BYTES, RECORD_BYTES_MAX};

use super::units::{Period, Size};

/// Default of a key that is left out, and the smallest and largest value it may be given.
#[derive(Clone, Copy)]
pub(super) struct Bounds<T> {
    pub default: T,
    pub min: T,
    pub max: T,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const MAX_RECORD: Bounds<Size> = size(RECORD_BYTES, KIB, RECORD_BYTES_MAX);
pub(super) const TARGET_SIZE: Bounds<Size> = size(64 * MIB, 1, TIB);
pub(super) const MEMORY: Bounds<Size> = size(256 * MIB, 64 * KIB, 4 * GIB);
pub(super) const OUTPUT: Bounds<Size> = size(16 * GIB, 1, 1024 * TIB);
pub(super) const LOG: Bounds<Size> = size(MIB, 0, GIB);
pub(super) const SHUFFLE_MEMORY: Bounds<Size> = size(64 * MIB, MIB, TIB);
pub(super) const SCRATCH_SPACE: Bounds<Size> = size(100 * GIB, MIB, 1024 * TIB);
pub(super) const TIMEOUT: Bounds<Period> = period(Duration::from_secs(300), MILLISECOND, DAY);
pub(super) const BATCH_TIMEOUT: Bounds<Period> = period(MINUTE, MILLISECOND, DAY);
pub(super) const GRACE: Bounds<Period> = period(Duration::from_secs(5), Duration::ZERO, DAY);
pub(super) const COMPILE_MEMORY: Bounds<Size> = size(GIB, 16 * MIB, 64 * GIB);
pub(super) const COMPILE_TIMEOUT: Bounds<Period> = period(Duration::from_secs(300), MILLISECOND, DAY);
pub(super) const INTERVAL: Bounds<Period> = period(SECOND, Duration::ZERO, DAY);
pub(super) const MULTIPLIER: Bounds<f64> = Bounds { default: 2.0, min: 1.0, max: 100.0 };
pub(super) const ATTEMPTS: Bounds<i64> = Bounds { default: 3, min: 1, max: 100 };
pub(super) const PARTITIONS: Bounds<i64> = Bounds { default: 1, min: 1, max: 4096 };
pub(super) const OPEN_PARTS: Bounds<i64> = Bounds { default: 32, min: 1, max: 1024 };
pub(super) const PART_ROWS: Bounds<i64> = Bounds { default: i64::MAX, min: 1, max: i64::MAX };
pub(super) const PART_SIZE: Bounds<Size> = size(u64::MAX, KIB, TIB);
pub(super) const MAX_REJECTS: Bounds<i64> = Bounds { default: 0, min: 0, max: i64::MAX };
pub(super) const ROW_GROUP_ROWS: Bounds<i64> = Bounds { default: MIB as i64, min: 1, max: 1 << 30 };
pub(super) const ROW_GROUP_SIZE: Bounds<Size> = size(64 * MIB, 64 * KIB, 4 * GIB);
pub(super) const MAX_OUTPUT: Bounds<Size> = size(TIB, 1, 1024 * 1024 * TIB);
pub(super) const RUN_STORE: &str = "runs/";

/// Returns the bounds of `run.memory`. A machine with more cores runs more tasks at a time by default, which take more
/// memory.
pub(super) fn run_memory() -> Bounds<Size> {
    let cores = u64::try_from(concurrency().default).unwrap_or(1);
    size((2 * GIB).max(cores * 512 * MIB), 64 * MIB, 1024 * TIB)
}

/// Returns the bounds of `run.concurrency`. The default is the number of cores.
pub(super) fn concurrency() -> Bounds<i64> {
    let max = 1024;
    let cores = thread::available_parallelism().ok().and_then(|cores| i64::try_from(cores.get()).ok());
    Bounds { default: cores.unwrap_or(1).min(max), min: 1, max }
}

const fn size(default: u64, min: u64, max: u64) -> Bounds<Size> {
    Bounds { default: Size(default), min: Size(min), max: Size(max) }
}

const fn period(default: Duration, min: Duration, max: Duration) -> Bounds<Period> {
    Bounds { default: Period(default), min: Period(min), max: Period(max) }
}
