//! Misfits: keys in cloud stores that the client library cannot name.
//!
//! The library takes keys for paths: it cuts off a slash at the end, and gives up a whole listing for a key with an
//! empty part. So such keys are marked in the answer of the store, before the library reads it. The library takes the
//! mark for a name, and [`key_of`] reads the key from it.

use std::{borrow::Cow, fmt::Write, ops::Range};

use object_store::path::Path;

use super::xml::Document;

/// Start of a mark, in a character that Unicode leaves to private use. The key follows, as hexadecimal digits.
const MARK: &str = "\u{f8ff}misfit-";

/// Returns a listing of S3, GCS or Azure with its misfits marked, or `None` if it has none.
pub(super) fn mark(listing: &Document<'_>) -> Option<String> {
    // A key that looks like a mark is marked, too, so that it is read as what it is.
    let marked_keys = keys(listing).filter(|(_, key)| is_misfit(key) || key.starts_with(MARK));
    let (mut marked, mut end) = (String::new(), 0);
    for (place, key) in marked_keys {
        marked.push_str(&listing.text[end..place.start]);
        marked.push_str(&mark_of(&key));
        end = place.end;
    }
    (end > 0).then(|| marked + &listing.text[end..])
}

/// Returns the keys in a listing, and their places.
pub(super) fn keys<'a>(listing: &Document<'a>) -> impl Iterator<Item = (Range<usize>, Cow<'a, str>)> {
    listing.all(match listing.root {
        "EnumerationResults" => "Blobs/Blob/Name",
        _ => "Contents/Key",
    })
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

/// Returns the key that a path stands for: the path itself, unless it is a mark.
pub(super) fn key_of(path: &Path) -> Cow<'_, str> {
    unmarked(path.as_ref()).map_or(Cow::Borrowed(path.as_ref()), Cow::Owned)
}

fn unmarked(mark: &str) -> Option<String> {
    let digits = mark.strip_prefix(MARK)?;
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
            assert_eq!(key_of(&Path::parse(mark_of(key)).expect("a name")), key);
            assert_eq!(flaw(key), flaw_of);
        }
        let azure = |name: &str| {
            format!("<EnumerationResults><Blobs><Blob><Name>{name}</Name></Blob></Blobs></EnumerationResults>")
        };
        let marked = mark(&Document::parse(azure("a//b").as_bytes()).expect("well-formed"));
        assert_eq!(marked, Some(azure(&mark_of("a//b"))));
        for fits in ["a", "a/b c/ü%20#x?[1]", "..dots..."] {
            assert!(mark(&Document::parse(listing(fits).as_bytes()).expect("well-formed")).is_none(), "{fits}");
            assert_eq!(key_of(&Path::parse(fits).expect("a path")), fits);
        }
    }
}
