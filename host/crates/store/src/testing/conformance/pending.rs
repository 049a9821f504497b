//! Promises of pending objects: written as a whole, and visible only when they are completed.

use super::{place::Place, uploading::bytes};
use crate::UPLOAD_PART_BYTES;

/// Sizes in bytes of objects of no part, of one and of several.
const SIZES: [usize; 4] = [0, 1_000, UPLOAD_PART_BYTES, 2 * UPLOAD_PART_BYTES + 1];

pub(super) async fn a_pending_object_appears_whole_when_it_is_completed(at: Place) {
    for size in SIZES {
        let (key, written) = (format!("deep/er/{size}"), bytes(size));
        let pending = at.write_pending(&key, "staged/a", &written).await.expect("writes");
        assert_eq!(at.get(&key).await.expect("reads"), None, "{size} bytes are seen before their time");
        let found = at.complete(&key, &pending, size as u64).await.expect("completes").expect("is there");
        assert_eq!((found.key.as_str(), found.size), (key.as_str(), size as u64));
        assert!(at.get(&key).await.expect("reads").as_ref() == Some(&written), "{size} bytes differ");
        assert_eq!(at.list_keys("staged").await.expect("lists"), [""; 0]);
    }
}

pub(super) async fn completing_twice_is_completing_once(at: Place) {
    let written = bytes(1_000);
    let pending = at.write_pending("x", "staged/a", &written).await.expect("writes");
    for _ in 0..2 {
        let found = at.complete("x", &pending, 1_000).await.expect("completes, or was completed");
        assert!(found.is_some());
        assert!(at.get("x").await.expect("reads").as_ref() == Some(&written));
    }
}

pub(super) async fn a_completed_object_replaces_the_whole_object(at: Place) {
    at.put("x", "something of another size").await.expect("writes");
    let pending = at.write_pending("x", "staged/a", &bytes(10)).await.expect("writes");
    assert!(at.complete("x", &pending, 10).await.expect("completes").is_some());
    assert!(at.get("x").await.expect("reads").as_ref() == Some(&bytes(10)));
}

pub(super) async fn a_discarded_object_never_appears(at: Place) {
    for size in SIZES.into_iter().skip(1) {
        let pending = at.write_pending("x", "staged/a", &bytes(size)).await.expect("writes");
        for _ in 0..2 {
            at.discard("x", &pending).await.expect("discards, or was discarded");
        }
        assert_eq!(at.complete("x", &pending, size as u64).await.expect("there is nothing"), None);
        assert_eq!(at.list_keys("").await.expect("lists"), [""; 0]);
    }
}

pub(super) async fn what_is_neither_pending_nor_there_is_lost(at: Place) {
    let pending = at.write_pending("x", "staged/a", &bytes(10)).await.expect("writes");
    assert!(at.complete("x", &pending, 10).await.expect("completes").is_some());
    at.delete("x").await.expect("deletes");
    assert_eq!(at.complete("x", &pending, 10).await.expect("it is nowhere"), None);
}

pub(super) async fn an_object_of_another_size_is_not_taken_for_the_completed_one(at: Place) {
    let pending = at.write_pending("x", "staged/a", &bytes(10)).await.expect("writes");
    assert_eq!(at.complete("x", &pending, 11).await.expect("it is another"), None);
}

pub(super) async fn a_writer_that_is_dropped_leaves_nothing(at: Place) {
    for size in SIZES {
        at.drop_pending("x", "staged/a", &bytes(size)).await.expect("writes");
        assert_eq!(at.list_keys("").await.expect("lists"), [""; 0], "{size} bytes are there");
    }
}
