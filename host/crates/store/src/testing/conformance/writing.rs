//! Promises of writing an object in one piece, and of deleting it.

use super::place::Place;

pub(super) async fn what_is_put_is_read_back(at: Place) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for (key, bytes) in [("empty", &[][..]), ("text", b"one"), ("deep/er/bytes", &every_byte)] {
        at.put(key, bytes.to_vec()).await.expect("writes");
        assert_eq!(at.get(key).await.expect("reads").as_deref(), Some(bytes), "{key}");
        assert_eq!(at.stat(key).await.expect("looks").map(|found| found.size), Some(bytes.len() as u64), "{key}");
    }
}

pub(super) async fn a_put_replaces_the_whole_object(at: Place) {
    for bytes in ["one", "something longer", "", "x"] {
        at.put("x", bytes).await.expect("writes");
        assert_eq!(at.get("x").await.expect("reads").as_deref(), Some(bytes.as_bytes()));
    }
}

pub(super) async fn readers_see_the_old_object_or_the_new_one(at: Place) {
    let versions = [vec![b'a'; 100_000], vec![b'b'; 300_000]];
    at.put("x", versions[0].clone()).await.expect("writes");
    let (writer, written) = (at.clone(), versions.clone());
    let writes = tokio::spawn(async move {
        for version in written.into_iter().cycle().take(20) {
            writer.put("x", version).await.expect("writes");
        }
    });
    while !writes.is_finished() {
        let found = at.get("x").await.expect("reads").expect("is there");
        assert!(versions.iter().any(|version| *version == found), "{} bytes of both", found.len());
        tokio::task::yield_now().await;
    }
    writes.await.expect("no panic");
}

pub(super) async fn deleting_twice_is_deleting_once(at: Place) {
    at.put("x", "1").await.expect("writes");
    at.put("xy", "2").await.expect("writes");
    at.delete("x").await.expect("deletes");
    at.delete("x").await.expect("deletes what is not there");
    at.delete("deep/er/x").await.expect("deletes what never was there");
    assert!(!at.exists("x").await.expect("looks"));
    assert!(at.exists("xy").await.expect("looks"));
}
