//! Promises of keys: which names are keys, and which keys are different.

use etl_core::model::error::ErrorKind;

use super::place::Place;

const ODD: [&str; 12] = [
    "a b/ü%20#x?[1]{,}~*&'\"\\.txt",
    " both ends ",
    "%",
    "+plus + plus",
    "-dash",
    "..dots...",
    ".hidden/.file",
    "<Key>&amp;</Key>",
    "date=2024-01-01T00:00:00Z/@^`|!$();:,",
    "日本語/🙀",
    "s3:bucket",
    "x#1.json",
];

/// Keys that are the same to a store that decodes, trims, folds or normalises names.
const ALIKE: [[&str; 2]; 6] =
    [["a%2Fb", "a/b"], ["%41", "A"], ["c+d", "c d"], ["e", "e "], ["\u{e9}", "e\u{301}"], ["%25", "%"]];

pub(super) async fn odd_names_are_keys_like_any_other(at: Place) {
    let long = ["long"; 50].join("-");
    let mut names: Vec<String> = ODD.iter().copied().chain([long.as_str()]).map(str::to_owned).collect();
    names.sort_unstable();
    for name in &names {
        at.put(name, name.clone()).await.expect("writes");
    }
    assert_eq!(at.list_keys("").await.expect("lists"), names);
    for name in &names {
        assert_eq!(at.get(name).await.expect("reads").as_deref(), Some(name.as_bytes()));
        assert_eq!(at.get_range(name, 0..1, None).await.expect("reads"), name.as_bytes()[..1]);
        at.delete(name).await.expect("deletes");
        let (key, bytes) = (format!("completed/{name}"), name.clone().into());
        let pending = at.write_pending(&key, &format!("staged/{name}"), &bytes).await.expect("writes");
        assert!(at.complete(&key, &pending, bytes.len() as u64).await.expect("completes").is_some());
        assert_eq!(at.list_keys(&format!("completed/{name}")).await.expect("lists"), [""; 0]);
    }
    let expected: Vec<String> = names.iter().map(|name| format!("completed/{name}")).collect();
    assert_eq!(at.list_keys("").await.expect("lists"), expected);
    for (key, name) in expected.iter().zip(&names) {
        assert_eq!(at.get(key).await.expect("reads").as_deref(), Some(name.as_bytes()));
        at.delete(key).await.expect("deletes");
    }
    assert_eq!(at.list_keys("").await.expect("lists"), [""; 0]);
}

pub(super) async fn names_that_look_alike_are_different_keys(at: Place) {
    for [key, other] in ALIKE {
        at.put(key, "one").await.expect("writes");
        assert_eq!(at.get(other).await.expect("reads"), None, "`{other}` is not `{key}`");
        at.delete(other).await.expect("deletes nothing");
        assert!(at.exists(key).await.expect("looks"), "`{other}` is not `{key}`");
        at.delete(key).await.expect("deletes");
    }
}

pub(super) async fn a_key_that_is_no_path_is_refused(at: Place) {
    for key in ["a//b", ".", "..", "a/../b", "./a", "a\nb", "a\0b", "\u{7f}"] {
        let errors = [
            at.get(key).await.err(),
            at.get_range(key, 0..1, None).await.err(),
            at.stat(key).await.err(),
            at.put(key, "x").await.err(),
            at.create(key, "x").await.err(),
            at.upload(key, b"x").await.err(),
            at.upload_on_thread(key, &"x".into()).await.err(),
            at.delete(key).await.err(),
            at.write_pending(key, key, &"x".into()).await.err(),
            at.list(key).await.err(),
            at.list_prefixes(key).await.err(),
        ];
        for error in errors {
            let error = error.unwrap_or_else(|| panic!("{key:?} was taken"));
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains("not a valid object name"), "{error}");
        }
    }
}
