//! Fan-in: how many sorted runs are merged at once.
//!
//! Owns the choice of the runs that are merged together. It depends on the runs alone, so every machine makes the same
//! one, and the order of the merged rows does not depend on it.

use std::iter::Peekable;

/// Limits on a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanIn {
    /// Number of runs that are merged at once, at least 2.
    pub runs: usize,
    /// Memory in bytes for the batches and keys of these runs. Two runs are merged in any case, because fewer would
    /// lead nowhere.
    pub bytes: u64,
}

/// Returns the memory in bytes that a run takes in a merge if its largest batch has `batch_bytes`: the batch, and its
/// keys in encoded form, which is at most an eighth longer than the keys.
pub const fn merged_bytes(batch_bytes: u64) -> u64 {
    batch_bytes.saturating_mul(9) / 4
}

impl FanIn {
    /// Takes the runs that are merged next. `batch_bytes` returns the size of a run's largest batch.
    pub(super) fn take<T>(
        self,
        runs: &mut Peekable<impl Iterator<Item = T>>,
        batch_bytes: impl Fn(&T) -> u64,
    ) -> Vec<T> {
        let (mut taken, mut bytes) = (Vec::new(), 0_u64);
        while taken.len() < self.runs.max(2) {
            let with = |run: &T| bytes.saturating_add(merged_bytes(batch_bytes(run)));
            let Some(run) = runs.next_if(|run| taken.len() < 2 || with(run) <= self.bytes) else { break };
            bytes = with(&run);
            taken.push(run);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(fan_in: FanIn, batch_bytes: &[u64]) -> Vec<Vec<u64>> {
        let mut runs = batch_bytes.iter().copied().peekable();
        std::iter::from_fn(|| Some(fan_in.take(&mut runs, |bytes| *bytes)).filter(|taken| !taken.is_empty())).collect()
    }

    #[test]
    fn as_many_runs_are_merged_as_fit_the_memory_and_at_least_two() {
        let fan_in = FanIn { runs: 4, bytes: 90 };
        assert_eq!(groups(fan_in, &[1; 6]), [vec![1; 4], vec![1; 2]]);
        assert_eq!(groups(fan_in, &[10, 20, 10, 20, 20]), [vec![10, 20, 10], vec![20, 20]]);
        assert_eq!(groups(fan_in, &[u64::MAX, 90, 1, 1, 1, 90]), [vec![u64::MAX, 90], vec![1, 1, 1], vec![90]]);
        assert_eq!(groups(FanIn { runs: 0, bytes: 0 }, &[1, 1, 1]), [vec![1, 1], vec![1]]);
    }
}
