//! The usual duration of a stage's attempts, from which follows when an attempt is far slower than the others.

use std::time::Duration;

/// Number of attempts that must have succeeded before the usual duration is known.
const ENDED_MIN: usize = 3;

/// An attempt that takes this many times the median duration of the others is far slower.
const TIMES_MEDIAN: u32 = 3;

/// An attempt shorter than this is never far slower: a second attempt would cost about as much.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// The durations of the attempts that have succeeded, sorted.
#[derive(Default)]
pub(super) struct Peers {
    durations: Vec<Duration>,
}

impl Peers {
    /// Adds the duration of an attempt that has succeeded.
    pub(super) fn add(&mut self, duration: Duration) {
        let place = self.durations.partition_point(|other| *other <= duration);
        self.durations.insert(place, duration);
    }

    /// Returns how long an attempt may take before it is far slower than the others; `None` when too few have succeeded
    /// to tell.
    pub(super) fn patience(&self) -> Option<Duration> {
        let median = self.durations.get(self.durations.len() / 2).filter(|_| self.durations.len() >= ENDED_MIN)?;
        Some(median.saturating_mul(TIMES_MEDIAN).max(PATIENCE_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_slower_is_a_multiple_of_the_median_and_not_a_moment() {
        let patience = |seconds: &[f64]| {
            let mut peers = Peers::default();
            seconds.iter().for_each(|seconds| peers.add(Duration::from_secs_f64(*seconds)));
            peers.patience().map(|patience| patience.as_secs_f64())
        };
        assert_eq!(patience(&[2.0, 9.0]), None, "too few to tell");
        assert_eq!(patience(&[9.0, 1.0, 2.0]), Some(6.0));
        assert_eq!(patience(&[100.0, 4.0, 1.0, 2.0, 3.0]), Some(9.0));
        assert_eq!(patience(&[0.001, 0.001, 0.001]), Some(1.0));
    }
}
