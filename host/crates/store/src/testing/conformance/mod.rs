//! The promises that every store keeps, tested on any [`Store`].
//!
//! Owns a test for each promise, by the name of the promise. The tests of this crate run them on memory, on local disk
//! and on stores that fail on purpose; the tests of the host run them on an S3 server. A new kind of store is right
//! when [`keeps_all`] passes on it.

use std::panic::AssertUnwindSafe;

use futures::{FutureExt, future::BoxFuture};

use self::place::Place;
use crate::Store;

mod creating;
mod listing;
mod naming;
mod pending;
mod place;
mod probing;
mod reading;
mod uploading;
mod writing;

/// A promise of [`Store`] that holds in every kind of store.
struct Promise {
    /// The promise, as a sentence.
    name: &'static str,
    /// Panics if the store of the place breaks the promise.
    test: fn(Place) -> BoxFuture<'static, ()>,
}

/// Makes promises of the functions that test them.
macro_rules! promises {
    ($($module:ident::$name:ident,)*) => {
        [$(Promise { name: stringify!($name), test: |at| $module::$name(at).boxed() }),*]
    };
}

/// All promises. Those of probes come last: a probe that finds out that a store cannot create changes how
/// [`Store::create`] works.
const PROMISES: [Promise; 36] = promises![
    reading::what_is_not_there_is_none,
    reading::a_directory_is_no_object,
    reading::stat_tells_the_size_and_the_version,
    reading::a_range_holds_the_bytes_asked_for,
    reading::a_range_past_the_end_is_of_another_version,
    reading::a_range_of_another_version_is_refused,
    reading::a_range_of_a_deleted_object_is_refused,
    reading::advice_changes_nothing,
    writing::what_is_put_is_read_back,
    writing::a_put_replaces_the_whole_object,
    writing::readers_see_the_old_object_or_the_new_one,
    writing::deleting_twice_is_deleting_once,
    naming::odd_names_are_keys_like_any_other,
    naming::names_that_look_alike_are_different_keys,
    naming::a_key_that_is_no_path_is_refused,
    creating::of_creators_one_after_another_the_first_wins,
    creating::of_creators_at_the_same_time_one_wins_and_the_others_learn_who,
    creating::what_was_deleted_can_be_created_again,
    pending::a_pending_object_appears_whole_when_it_is_completed,
    pending::completing_twice_is_completing_once,
    pending::a_completed_object_replaces_the_whole_object,
    pending::a_discarded_object_never_appears,
    pending::what_is_neither_pending_nor_there_is_lost,
    pending::an_object_of_another_size_is_not_taken_for_the_completed_one,
    pending::a_writer_that_is_dropped_leaves_nothing,
    listing::keys_are_listed_in_order,
    listing::a_listing_holds_what_is_below_the_prefix_and_no_more,
    listing::a_listing_is_complete_however_long,
    listing::prefixes_are_the_next_parts_of_longer_keys,
    listing::a_parent_is_one_level_up,
    listing::tidying_up_touches_no_object,
    uploading::an_upload_appears_whole_at_its_end,
    uploading::an_upload_tells_its_size,
    uploading::a_dropped_upload_leaves_nothing,
    probing::a_probe_leaves_no_object,
    probing::a_probe_finds_that_creators_are_told_apart,
];

/// Tests all promises on a store, which has to be empty and is not empty afterwards. On a runtime with several threads,
/// callers use the store at the same time.
///
/// # Panics
/// With the names of the promises that the store breaks. What was wrong is printed before.
pub async fn keeps_all(store: &Store) {
    let broken = broken(store, 1).await;
    assert!(broken.is_empty(), "`{}` breaks promises: {broken:?}", store.name());
}

/// Tests all promises on a store, and returns the names of those that it breaks. An operation that fails in passing is
/// done again, up to `tries` times in all, as a task is. So a store that fails sometimes keeps what it promises.
pub async fn broken(store: &Store, tries: u32) -> Vec<&'static str> {
    let mut broken = Vec::new();
    for Promise { name, test } in PROMISES {
        let tested = AssertUnwindSafe(test(Place::new(store, name, tries))).catch_unwind().await;
        broken.extend(tested.is_err().then_some(name));
    }
    broken
}

/// Returns the names of all promises.
pub fn promises() -> Vec<&'static str> {
    PROMISES.iter().map(|promise| promise.name).collect()
}
