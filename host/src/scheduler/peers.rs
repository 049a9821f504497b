//! What is usual among the attempts of a stage, and so what is far slower.

use std::time::Duration;

/// How many attempts must have ended to tell what is usual.
const ENDED_MIN: usize = 3;

/// How many times as long as half of the others take is far slower.
const TIMES_MEDIAN: u32 = 3;

/// What is never too long: a second attempt costs about as much.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// How long those attempts took that have succeeded, in order.
#[derive(Default)]
pub(super) struct Peers {
    durations: Vec<Duration>,
}

impl Peers {
    /// Adds an attempt.
    pub(super) fn add(&mut self, duration: Duration) {
        let place = self.durations.partition_point(|other| *other <= duration);
        self.durations.insert(place, duration);
    }

    /// Returns how long an attempt may take before it is far slower than the others; `None` as long as nobody can tell.
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
