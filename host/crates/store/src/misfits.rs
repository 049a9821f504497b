//! Misfits: keys in cloud stores that the client library cannot name.
//!
//! The library takes keys for paths: it cuts off a slash at the end, and gives up a whole listing for a key with an
//! empty part. So such keys are marked in the answer of the store, before the library reads it. The library takes the
//! mark for a name, and [`key_of`] reads the key from it.

use std::{borrow::Cow, fmt::Write};

use object_store::path::Path;

use super::xml::Document;

/// The paths to the keys in the listings of S3 and GCS, and of Azure.
const KEYS: [&str; 2] = ["Contents/Key", "Blobs/Blob/Name"];

/// Start of a mark, in a character that Unicode leaves to private use. The key follows, as hexadecimal digits.
const MARK: &str = "\u{f8ff}misfit-";

/// Returns a listing with its misfits marked, or `None` if it has none.
pub(super) fn mark(listing: &Document<'_>) -> Option<String> {
    let misfits = KEYS.iter().flat_map(|path| listing.all(path)).filter(|(_, key)| is_misfit(key));
    let (mut marked, mut end) = (String::new(), 0);
    for (place, key) in misfits {
        marked.push_str(&listing.text[end..place.start]);
        marked.push_str(&mark_of(&key));
        end = place.end;
    }
    (end > 0).then(|| marked + &listing.text[end..])
}

/// Returns whether the library cannot name a key.
pub(super) fn is_misfit(key: &str) -> bool {
    Path::parse(key).map_or(true, |path| path.as_ref() != key)
}

fn mark_of(key: &str) -> String {
    let mut mark = MARK.to_owned();
    key.bytes().for_each(|byte| _ = write!(mark, "{byte:02x}"));
    mark
}

/// Returns the key that a path stands for, if it is a mark.
pub(super) fn key_of(path: &Path) -> Option<String> {
    let digits = path.as_ref().strip_prefix(MARK)?;
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

/// Returns what makes a key a misfit, for messages.
pub(super) fn flaw(key: &str) -> Cow<'static, str> {
    if key.ends_with('/') {
        "ends with `/`".into()
    } else if key.starts_with('/') || key.contains("//") {
        "has an empty part".into()
    } else if let Some(letter) = key.chars().find(|letter| letter.is_control()) {
        format!("holds the control character {letter:?}").into()
    } else {
        "has the part `.` or `..`".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misfits_are_marked_and_nothing_else() {
        let listing = |key: &str| format!("<L><Prefix>a//</Prefix><Contents><Key>{key}</Key></Contents></L>");
        for (escaped, key, flaw_of) in [
            ("a/", "a/", "ends with `/`"),
            ("a//&amp;b", "a//&b", "has an empty part"),
            ("/a", "/a", "has an empty part"),
            ("a/./b", "a/./b", "has the part `.` or `..`"),
            ("a&#x9;b", "a\tb", "holds the control character '\\t'"),
        ] {
            let text = listing(escaped);
            let document = Document::parse(text.as_bytes()).expect("well-formed");
            let marked = mark(&document).expect("has a misfit");
            assert_eq!(marked, listing(&mark_of(key)));
            assert_eq!(key_of(&Path::parse(mark_of(key)).expect("a name")).as_deref(), Some(key));
            assert_eq!(flaw(key), flaw_of);
        }
        for fits in ["a", "a/b c/ü%20#x?[1]", "..dots..."] {
            assert!(mark(&Document::parse(listing(fits).as_bytes()).expect("well-formed")).is_none(), "{fits}");
            assert_eq!(key_of(&Path::from(fits)), None);
        }
    }
}
