//! Promises of the probes that a run begins with.

use super::place::Place;
use crate::Creates;

/// Not even if an earlier probe of the process has failed.
pub(super) async fn a_probe_leaves_no_object(at: Place) {
    for prefix in ["", "run/x"] {
        at.patiently(|| at.store.probe_writable("sink", prefix, "5f3a")).await.expect("is writable");
        assert_eq!(at.list_keys("").await.expect("lists"), [""; 0]);
    }
}

/// And leaves no object either.
pub(super) async fn a_probe_finds_that_creators_are_told_apart(at: Place) {
    for prefix in ["", "run/x"] {
        let creates = at.patiently(|| at.store.probe_creates("run store", prefix, "5f3a")).await;
        assert_eq!(creates.expect("is writable"), Creates::Once);
        assert_eq!(at.list_keys("").await.expect("lists"), [""; 0]);
    }
}
