//! Promises of the probes that a run begins with.

use super::place::Place;
use crate::Creates;

/// Unless the probe fails: then its object may be left.
pub(super) async fn a_probe_leaves_no_object(at: Place) {
    for prefix in ["", "run/x"] {
        let probe = async || {
            let before = at.store.list_keys("").await?;
            at.store.probe_writable("sink", prefix, "5f3a").await?;
            Ok(before)
        };
        let before = at.patiently(probe).await.expect("is writable");
        assert_eq!(at.list_keys("").await.expect("lists"), before);
    }
}

/// And leaves no object either.
pub(super) async fn a_probe_finds_that_creators_are_told_apart(at: Place) {
    for prefix in ["", "run/x"] {
        let probe = async || {
            let before = at.store.list_keys("").await?;
            Ok((at.store.probe_creates("run store", prefix, "5f3a").await?, before))
        };
        let (creates, before) = at.patiently(probe).await.expect("is writable");
        assert_eq!(creates, Creates::Once);
        assert_eq!(at.list_keys("").await.expect("lists"), before);
    }
}
