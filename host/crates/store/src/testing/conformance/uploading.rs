//! Promises of uploads: objects of any size, written piece by piece.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::place::Place;
use crate::UPLOAD_PART_BYTES;

/// Sizes in bytes of objects of no part, of one and of many.
const SIZES: [usize; 4] = [0, 1_000, UPLOAD_PART_BYTES, 3 * UPLOAD_PART_BYTES + 1];

/// Returns bytes without a pattern that ends with a part.
pub(super) fn bytes(size: usize) -> Bytes {
    let pattern: Vec<u8> = (0..251).collect();
    let mut bytes = pattern.repeat(size / pattern.len() + 1);
    bytes.truncate(size);
    bytes.into()
}

pub(super) async fn an_upload_appears_whole_at_its_end(at: Place) {
    at.put("x", "before").await.expect("writes");
    for size in SIZES {
        let (written, before) = (bytes(size), at.get("x").await.expect("reads"));
        let mut unfinished = at.store.upload("x").expect("opens");
        // That a write fails shows when the upload ends, and this one never does.
        drop(unfinished.write_all(&written).await);
        assert!(at.get("x").await.expect("reads") == before, "{size} bytes are seen before their end");
        drop(unfinished);
        at.upload("x", &written).await.expect("writes");
        assert!(at.get("x").await.expect("reads").as_ref() == Some(&written), "{size} bytes differ");
    }
}

pub(super) async fn an_upload_tells_its_size(at: Place) {
    for size in SIZES {
        let (key, written) = (format!("deep/er/{size}"), bytes(size));
        assert_eq!(at.upload_on_thread(&key, &written).await.expect("writes"), size as u64);
        assert!(at.get(&key).await.expect("reads").as_ref() == Some(&written), "{size} bytes differ");
    }
}

pub(super) async fn a_dropped_upload_leaves_nothing(at: Place) {
    for size in SIZES {
        at.drop_upload("deep/er/x", &bytes(size)).await.expect("writes");
        assert!(!at.exists("deep/er/x").await.expect("looks"), "{size} bytes are there");
        assert_eq!(at.list_keys("").await.expect("lists"), [""; 0], "{size} bytes are there");
    }
}
