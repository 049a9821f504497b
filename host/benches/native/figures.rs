//! All arithmetic of the benchmark: medians, ratios and shares.

use crate::{
    child::Cost,
    sides::Pair,
    times::{KINDS, Times},
    workload::{FILE_BYTES, Workload},
};

/// All measurements of one workload.
pub(crate) struct Figures {
    pub(crate) workload: Workload,
    pub(crate) input_bytes: u64,
    pub(crate) runs: Vec<Pair>,
}

/// One of the two programs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Native,
    Host,
}

impl Figures {
    /// Returns the median wall time in seconds.
    pub(crate) fn wall(&self, side: Side) -> f64 {
        self.median(side, |cost| cost.wall.as_secs_f64())
    }

    /// Returns the ratio of etl-host's median wall time to the native program's.
    pub(crate) fn wall_ratio(&self) -> f64 {
        self.wall(Side::Host) / self.wall(Side::Native)
    }

    /// Returns the ratio of etl-host's median processor time to the native program's.
    pub(crate) fn cpu_ratio(&self) -> f64 {
        self.cpu(Side::Host) / self.cpu(Side::Native)
    }

    /// Returns etl-host's processor time for each file of [`Workload::Files`], in microseconds.
    pub(crate) fn cpu_micros_per_file(&self) -> f64 {
        self.cpu(Side::Host) * 1e6 / (self.input_bytes / FILE_BYTES) as f64
    }

    /// Returns the largest peak memory of any run, in MiB.
    pub(crate) fn peak_mib(&self, side: Side) -> u64 {
        self.costs(side).map(|cost| cost.peak_bytes.div_ceil(1 << 20)).max().unwrap_or(0)
    }

    /// Returns the share of each kind of work in etl-host's time over all runs, in percent.
    pub(crate) fn shares(&self) -> [f64; KINDS.len()] {
        let sum = |kind: usize| self.runs.iter().map(|Pair { times: Times(times), .. }| times[kind]).sum::<u64>();
        let sums: [u64; KINDS.len()] = std::array::from_fn(sum);
        let all = sums.iter().sum::<u64>().max(1);
        sums.map(|sum| 100.0 * sum as f64 / all as f64)
    }

    fn cpu(&self, side: Side) -> f64 {
        self.median(side, |cost| cost.cpu.as_secs_f64())
    }

    fn median(&self, side: Side, value: impl Fn(&Cost) -> f64) -> f64 {
        median(self.costs(side).map(value).collect())
    }

    fn costs(&self, side: Side) -> impl Iterator<Item = &Cost> {
        self.runs.iter().map(move |pair| match side {
            Side::Native => &pair.native,
            Side::Host => &pair.host,
        })
    }
}

/// Returns the middle value; for an even number of values, the mean of the two middle ones.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}
