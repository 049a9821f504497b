//! Promises of reading: whole objects, ranges of a version, sizes.

use std::slice;

use etl_core::model::{error::ErrorKind, object::Version};

use super::place::Place;
use crate::Listed;

fn version(found: &Listed) -> Version<'_> {
    Version { size: found.size, e_tag: found.e_tag.as_deref() }
}

pub(super) async fn what_is_not_there_is_none(at: Place) {
    for key in ["x", "deep/er/x"] {
        assert_eq!(at.get(key).await.expect("reads"), None);
        assert_eq!(at.stat(key).await.expect("looks"), None);
        assert!(!at.exists(key).await.expect("looks"));
    }
}

pub(super) async fn a_directory_is_no_object(at: Place) {
    at.put("deep/er/x", "1").await.expect("writes");
    for key in ["deep", "deep/er"] {
        assert_eq!(at.get(key).await.expect("reads"), None);
        assert_eq!(at.stat(key).await.expect("looks"), None);
        assert!(!at.exists(key).await.expect("looks"));
    }
}

/// A listing says the same of the object.
pub(super) async fn stat_tells_the_size_and_the_version(at: Place) {
    at.put("x", "one").await.expect("writes");
    let one = at.stat("x").await.expect("looks").expect("is there");
    assert_eq!((one.key.as_str(), one.size), ("x", 3));
    assert!(at.exists("x").await.expect("looks"));
    assert_eq!(at.list("").await.expect("lists"), slice::from_ref(&one));
    assert_eq!(at.stat("x").await.expect("looks").as_ref(), Some(&one));
    at.put("x", "two").await.expect("writes");
    let two = at.stat("x").await.expect("looks").expect("is there");
    assert!(one.e_tag.is_none() || one.e_tag != two.e_tag, "{one:?} and {two:?}");
}

pub(super) async fn a_range_holds_the_bytes_asked_for(at: Place) {
    at.put("x", "0123456789").await.expect("writes");
    let found = at.stat("x").await.expect("looks").expect("is there");
    let of_size = Version { size: found.size, e_tag: None };
    for of in [None, Some(of_size), Some(version(&found))] {
        for (range, bytes) in
            [(2..5, "234"), (0..1, "0"), (9..10, "9"), (0..10, "0123456789"), (5..5, ""), (10..10, "")]
        {
            assert_eq!(at.get_range("x", range, of).await.expect("reads"), bytes);
        }
    }
}

pub(super) async fn a_range_past_the_end_is_of_another_version(at: Place) {
    at.put("empty", "").await.expect("writes");
    assert_eq!(at.get_range("empty", 0..0, None).await.expect("reads"), "");
    at.put("x", "0123456789").await.expect("writes");
    let found = at.stat("x").await.expect("looks").expect("is there");
    for (key, range, of) in [
        ("x", 8..12, Some(version(&found))),
        ("x", 8..12, None),
        ("x", 10..12, None),
        ("x", 11..12, None),
        ("x", 11..11, None),
        ("x", 0..0, Some(Version { size: 9, e_tag: None })),
        ("empty", 0..1, None),
    ] {
        let error = at.get_range(key, range.clone(), of).await.expect_err("is of another size");
        assert_eq!(error.kind(), ErrorKind::Changed, "{range:?} of {of:?}: {error}");
    }
}

pub(super) async fn a_range_of_another_version_is_refused(at: Place) {
    at.put("x", "0123456789").await.expect("writes");
    for size in [9, 11] {
        let error = at.get_range("x", 2..5, Some(Version { size, e_tag: None })).await.expect_err("is of another size");
        assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    }
    let found = at.stat("x").await.expect("looks").expect("is there");
    let of_equal_size = found.e_tag.is_some().then_some("other text");
    for other in ["another version"].into_iter().chain(of_equal_size) {
        at.put("x", other).await.expect("writes");
        for range in [2..5, 0..0] {
            let error = at.get_range("x", range, Some(version(&found))).await.expect_err("has changed");
            assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
            let expected = format!("object `x` of `{}` changed since the run was planned", at.store.name());
            assert_eq!(error.to_string(), expected);
        }
    }
}

pub(super) async fn a_range_of_a_deleted_object_is_refused(at: Place) {
    at.put("x", "0123456789").await.expect("writes");
    let found = at.stat("x").await.expect("looks").expect("is there");
    at.delete("x").await.expect("deletes");
    for (range, of) in [(2..5, None), (2..5, Some(version(&found))), (0..0, Some(version(&found)))] {
        let error = at.get_range("x", range, of).await.expect_err("is gone");
        assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
        let expected = format!("object `x` of `{}` was deleted since the run was planned", at.store.name());
        assert_eq!(error.to_string(), expected);
    }
}

#[expect(clippy::reversed_empty_ranges, reason = "the store takes any advice")]
pub(super) async fn advice_changes_nothing(at: Place) {
    at.put("x", "0123456789").await.expect("writes");
    for (key, range) in [("x", 2..5), ("x", 5..5), ("x", 5..2), ("x", 8..u64::MAX), ("nothing", 0..1), ("", 0..1)] {
        at.store.advise(key, range);
    }
    assert_eq!(at.get("x").await.expect("reads").as_deref(), Some(&b"0123456789"[..]));
}
