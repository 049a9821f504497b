//! All arithmetic of the benchmark: medians and ratios.

use crate::{child::Cost, workload::Workload};

/// Everything measured of one workload.
pub(crate) struct Figures {
    pub(crate) workload: Workload,
    pub(crate) input_bytes: u64,
    pub(crate) native: Vec<Cost>,
    pub(crate) host: Vec<Cost>,
}

impl Figures {
    /// Returns etl-host's median wall time over the native program's.
    pub(crate) fn wall_ratio(&self) -> f64 {
        wall_seconds(&self.host) / wall_seconds(&self.native)
    }

    /// Returns the same of processor time.
    pub(crate) fn cpu_ratio(&self) -> f64 {
        cpu_seconds(&self.host) / cpu_seconds(&self.native)
    }

    /// Returns the processor time of etl-host for so many bytes of input.
    pub(crate) fn host_cpu_micros_per(&self, bytes: u64) -> f64 {
        cpu_seconds(&self.host) * 1e6 * bytes as f64 / self.input_bytes as f64
    }
}

pub(crate) fn wall_seconds(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.wall.as_secs_f64()))
}

fn cpu_seconds(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.cpu.as_secs_f64()))
}

/// Returns the most memory that any of the runs had, in MiB.
pub(crate) fn peak_mib(costs: &[Cost]) -> u64 {
    costs.iter().map(|cost| cost.peak_bytes.div_ceil(1 << 20)).max().unwrap_or(0)
}

/// Returns the middle value; of an even number of values, the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}
