//! Promises of listings, and of what else is known of a prefix.

use futures::{StreamExt, TryStreamExt};

use super::place::Place;
use crate::Listed;

/// Number of objects that no store lists in one page.
const MANY: usize = 1_100;

/// In the order of their bytes, in which `/` lies between other characters.
pub(super) async fn keys_are_listed_in_order(at: Place) {
    let keys = ["B", "a-b", "a/b", "a/c/d", "a0", "a1/b", "b", "ü"];
    for key in keys.iter().rev() {
        at.put(key, "1").await.expect("writes");
    }
    assert_eq!(at.list_keys("").await.expect("lists"), keys);
}

pub(super) async fn a_listing_holds_what_is_below_the_prefix_and_no_more(at: Place) {
    for key in ["run/a", "run/deep/er", "run2/b", "runs", "x/run/c"] {
        at.put(key, "1").await.expect("writes");
    }
    for (prefix, keys) in [
        ("run", &["run/a", "run/deep/er"][..]),
        ("run/", &["run/a", "run/deep/er"]),
        ("run/deep", &["run/deep/er"]),
        ("run/a", &[]),
        ("ru", &[]),
        ("nothing/here", &[]),
    ] {
        assert_eq!(at.list_keys(prefix).await.expect("lists"), keys, "`{prefix}`");
    }
}

pub(super) async fn a_listing_is_complete_however_long(at: Place) {
    let name = |number: usize| format!("{number:04}");
    let puts = (0..MANY).map(|number| {
        let at = &at;
        async move { at.put(&format!("{}/x", name(number)), "x".repeat(number % 10)).await }
    });
    futures::stream::iter(puts).buffer_unordered(16).try_collect::<()>().await.expect("writes");
    let mut listed: Vec<Listed> = at.list("").await.expect("lists");
    listed.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let listed: Vec<(String, u64)> = listed.into_iter().map(|found| (found.key, found.size)).collect();
    let expected: Vec<(String, u64)> =
        (0..MANY).map(|number| (format!("{}/x", name(number)), number as u64 % 10)).collect();
    assert!(listed == expected, "{} of {MANY} objects, or others", listed.len());
    let prefixes = at.list_prefixes("").await.expect("lists");
    assert!(prefixes == (0..MANY).map(name).collect::<Vec<_>>(), "{} of {MANY} prefixes, or others", prefixes.len());
}

pub(super) async fn prefixes_are_the_next_parts_of_longer_keys(at: Place) {
    for key in ["top", "run-2/x", "run/b/x", "run/a c/deep/er", "run/a c/y", "run/object"] {
        at.put(key, "1").await.expect("writes");
    }
    for (prefix, names) in
        [("", &["run", "run-2"][..]), ("run", &["a c", "b"]), ("run/a c", &["deep"]), ("run/b", &[]), ("ru", &[])]
    {
        assert_eq!(at.list_prefixes(prefix).await.expect("lists"), names, "`{prefix}`");
    }
}

pub(super) async fn a_parent_is_one_level_up(at: Place) {
    at.put("x", "1").await.expect("writes");
    assert!(at.store.prefix_exists().await.expect("looks"));
    let (parent, key) = at.parent();
    assert!(parent.store.prefix_exists().await.expect("looks"));
    assert!(parent.list_prefixes("").await.expect("lists").contains(&key));
    assert_eq!(parent.list_keys(&key).await.expect("lists"), [format!("{key}/x")]);
    assert_eq!(parent.get(&format!("{key}/x")).await.expect("reads").as_deref(), Some(&b"1"[..]));
}

pub(super) async fn tidying_up_touches_no_object(at: Place) {
    let keys = ["run", "runs/#/x", "runs/a/part.json#x1", "runs/a/x"];
    for key in keys {
        at.put(key, "").await.expect("writes");
    }
    for prefix in ["runs/a", "runs", "runs/a/x", "nothing"] {
        at.store.remove_empty_directory(prefix).await;
        at.store.sweep(prefix, None).await;
    }
    assert_eq!(at.list_keys("").await.expect("lists"), keys);
}
