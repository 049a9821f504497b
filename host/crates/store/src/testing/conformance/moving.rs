//! Promises of copying and renaming objects within a store.

use etl_core::model::error::ErrorKind;

use super::place::Place;

/// What happens to one of the two objects does not happen to the other, even if both are the same file.
pub(super) async fn a_copy_is_an_object_of_its_own(at: Place) {
    at.put("from", "one").await.expect("writes");
    at.copy("from", "deep/er/to").await.expect("copies");
    at.copy("from", "deep/er/to").await.expect("copies again");
    at.put("from", "two").await.expect("writes");
    assert_eq!(at.get("deep/er/to").await.expect("reads").as_deref(), Some(&b"one"[..]));
    at.delete("deep/er/to").await.expect("deletes");
    assert_eq!(at.get("from").await.expect("reads").as_deref(), Some(&b"two"[..]));
}

pub(super) async fn a_copy_replaces_the_whole_object(at: Place) {
    at.put("from", "one").await.expect("writes");
    at.put("to", "something longer").await.expect("writes");
    at.copy("from", "to").await.expect("copies");
    for key in ["from", "to"] {
        assert_eq!(at.get(key).await.expect("reads").as_deref(), Some(&b"one"[..]), "{key}");
    }
}

pub(super) async fn a_copy_of_nothing_is_refused(at: Place) {
    at.put("to", "one").await.expect("writes");
    let error = at.copy("from", "to").await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    assert_eq!(error.to_string(), format!("`from` is gone from `{}`", at.store.name()));
    assert_eq!(at.get("to").await.expect("reads").as_deref(), Some(&b"one"[..]));
}

pub(super) async fn renaming_twice_is_renaming_once(at: Place) {
    at.put("from", "one").await.expect("writes");
    for _ in 0..2 {
        at.rename("from", "deep/er/to").await.expect("renames, or was renamed");
        assert_eq!(at.get("from").await.expect("reads"), None);
        assert_eq!(at.get("deep/er/to").await.expect("reads").as_deref(), Some(&b"one"[..]));
    }
}

pub(super) async fn a_rename_replaces_the_whole_object(at: Place) {
    at.put("from", "one").await.expect("writes");
    at.put("to", "something longer").await.expect("writes");
    at.rename("from", "to").await.expect("renames");
    assert_eq!(at.get("from").await.expect("reads"), None);
    assert_eq!(at.get("to").await.expect("reads").as_deref(), Some(&b"one"[..]));
}

/// Done once and not patiently, because the error cannot be told from one that may pass.
pub(super) async fn a_rename_of_nothing_is_refused(at: Place) {
    let error = at.store.rename("from", "to").await.expect_err("neither is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!at.exists("to").await.expect("looks"));
}
