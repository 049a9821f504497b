//! The promises of every store, on stores that fail in passing, lose answers, or do what no store may do.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use etl_store::{Store, testing::conformance};
use object_store::{Error, Result};

use crate::{
    faulty::{Faults, Faulty, TROUBLE, from_faulty},
    hooked::{Hook, Hooked, Write},
};

/// Percentage of the requests that fail in passing.
const PERCENT: u64 = 20;

/// Number of tries of one operation. None fails this often by chance.
const TRIES: u32 = 500;

/// Returns an empty store with these faults in front of it.
fn faulty(faults: &Arc<Faults>, stale: bool, rotten: Option<&'static str>) -> Store {
    let faulty = Faulty { inner: Arc::default(), faults: Arc::clone(faults), stale, rotten };
    from_faulty(faulty)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_in_passing_keeps_all_promises() {
    for seed in 1..=3 {
        let faults = Faults::new(seed, PERCENT);
        let broken = conformance::broken(&faulty(&faults, false, None), TRIES).await;
        assert_eq!(broken, [""; 0], "seed {seed}");
        assert!(faults.injected.load(Relaxed) > 100, "hardly anything went wrong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_in_passing_in_the_middle_of_uploads_keeps_all_promises() {
    for seed in 1..=3 {
        let hooked = Hooked::new(Arc::into_inner(Faults::new(seed, PERCENT)).expect("no other reference is left"));
        let broken = conformance::broken(&hooked.below("sink"), TRIES).await;
        assert_eq!(broken, [""; 0], "seed {seed}");
        assert!(hooked.hook.injected.load(Relaxed) > 100, "hardly anything went wrong");
    }
}

/// Loses the answer to every write that has worked.
#[derive(Debug)]
struct Lossy;

#[async_trait::async_trait]
impl Hook for Lossy {
    async fn after(&self, _: &Write, worked: bool) -> Result<()> {
        if worked { Err(Error::Generic { store: "S3", source: TROUBLE[2].into() }) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_store_that_loses_every_answer_breaks_only_promises_of_what_is_not_looked_up_afterwards() {
    // Copies and parts of uploads. Whole objects that were put or created are read back.
    let expected = [
        "odd_names_are_keys_like_any_other",
        "a_pending_object_appears_whole_when_it_is_completed",
        "completing_twice_is_completing_once",
        "a_completed_object_replaces_the_whole_object",
        "a_discarded_object_never_appears",
        "what_is_neither_pending_nor_there_is_lost",
        "an_object_of_another_size_is_not_taken_for_the_completed_one",
        "a_writer_that_is_dropped_leaves_nothing",
        "an_upload_appears_whole_at_its_end",
        "an_upload_tells_its_size",
        "a_dropped_upload_leaves_nothing",
    ];
    assert_eq!(conformance::broken(&Hooked::new(Lossy).below("sink"), 1).await, expected);
}

#[tokio::test]
async fn a_store_with_stale_listings_breaks_only_promises_of_listings() {
    let of_listings = [
        "stat_tells_the_size_and_the_version",
        "odd_names_are_keys_like_any_other",
        "keys_are_listed_in_order",
        "a_listing_holds_what_is_below_the_prefix_and_no_more",
        "a_listing_is_complete_however_long",
        "a_parent_is_one_level_up",
        "tidying_up_touches_no_object",
    ];
    for seed in 1.. {
        let broken = conformance::broken(&faulty(&Faults::new(seed, PERCENT), true, None), TRIES).await;
        assert!(broken.iter().all(|name| of_listings.contains(name)), "seed {seed}: {broken:?}");
        if !broken.is_empty() {
            break;
        }
    }
}

#[tokio::test]
async fn a_store_whose_bytes_change_is_found_out() {
    let broken = conformance::broken(&faulty(&Faults::new(0, 0), false, Some("")), 1).await;
    assert!(broken.contains(&"what_is_put_is_read_back"), "{broken:?}");
}
