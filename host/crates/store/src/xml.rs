//! The documents in which cloud stores answer, as far as the host looks into them.

use std::{borrow::Cow, ops::Range};

use quick_xml::{Reader, escape, events::Event};

/// Maximum depth of elements. No answer of a store is nearly as deep.
const DEPTH_MAX: usize = 16;

/// An XML document: its root, and its elements that hold no others.
pub(super) struct Document<'a> {
    /// The document, without a byte order mark.
    pub(super) text: &'a str,
    /// Name of the root.
    pub(super) root: &'a str,
    leaves: Vec<Leaf>,
}

/// An element that holds no other element.
struct Leaf {
    /// The names that lead to it from the root: `Contents/Key`. Empty for the root.
    path: String,
    /// Place in the document of what it holds.
    place: Range<usize>,
}

/// An element around the place where a document is being read.
struct Open<'a> {
    name: &'a str,
    /// Place where the tag ends.
    start: usize,
    is_leaf: bool,
}

impl<'a> Document<'a> {
    /// Reads a document. Returns `None` if it is not well-formed, ends before its root does, or is deeper than
    /// [`DEPTH_MAX`].
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let (mut open, mut root, mut leaves) = (Vec::<Open<'_>>::new(), None, Vec::new());
        loop {
            let before = usize::try_from(reader.buffer_position()).ok()?;
            let event = reader.read_event().ok()?;
            let after = usize::try_from(reader.buffer_position()).ok()?;
            match event {
                Event::Start(_) => {
                    let is_second_root = open.is_empty() && root.is_some();
                    if is_second_root || open.len() == DEPTH_MAX {
                        return None;
                    }
                    let name = name(&text[before..after]);
                    root = root.or(Some(name));
                    open.last_mut().into_iter().for_each(|parent| parent.is_leaf = false);
                    open.push(Open { name, start: after, is_leaf: true });
                }
                Event::End(_) => leaves.extend(close(&mut open, before)),
                Event::Eof => return open.is_empty().then_some(Self { text, root: root?, leaves }),
                _ => {}
            }
        }
    }

    /// Returns what the first element at a path holds: `Contents/Key`.
    pub(super) fn get(&self, path: &str) -> Option<Cow<'a, str>> {
        self.all(path).next().map(|(_, text)| text)
    }

    /// Returns what each element at a path holds, and its place in the document.
    pub(super) fn all(&self, path: &str) -> impl Iterator<Item = (Range<usize>, Cow<'a, str>)> {
        let text = self.text;
        self.leaves.iter().filter(move |leaf| leaf.path == path).map(move |leaf| {
            let held = &text[leaf.place.clone()];
            (leaf.place.clone(), escape::unescape(held).unwrap_or(Cow::Borrowed(held)))
        })
    }
}

/// Closes the innermost element. Returns it if it holds no other.
fn close(open: &mut Vec<Open<'_>>, end: usize) -> Option<Leaf> {
    let closed = open.pop().filter(|element| element.is_leaf)?;
    let mut path: Vec<&str> = open.iter().skip(1).map(|element| element.name).collect();
    path.extend((!open.is_empty()).then_some(closed.name));
    Some(Leaf { path: path.join("/"), place: closed.start..end })
}

/// Returns the name in a tag, without the prefix of its name space.
fn name(tag: &str) -> &str {
    let inner = tag.trim_start_matches('<');
    let name = inner.split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

/// Returns the code of an error document: `NoSuchKey`.
pub(super) fn code(body: &str) -> Option<String> {
    let document = Document::parse(body.as_bytes())?;
    let code = document.get("Code").or_else(|| document.get("Error/Code"));
    code.filter(|_| document.root.starts_with("Error")).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_path_and_place() {
        let text = "\u{feff}<?xml version=\"1.0\"?>\n <a:List xmlns:a=\"x\">\n<E/><C><Key>a&amp;b</Key></C><C><Key/></C>\
                    <C><Key></Key></C></a:List>";
        let document = Document::parse(text.as_bytes()).expect("well-formed");
        assert_eq!(document.root, "List");
        let found: Vec<_> = document.all("C/Key").map(|(at, text)| (&document.text[at], text.into_owned())).collect();
        assert_eq!(found, [("a&amp;b", "a&b".to_owned()), ("", String::new()), ("", String::new())]);
        assert_eq!(document.get("Key"), None);
    }

    #[test]
    fn what_is_no_whole_document_is_none() {
        for text in ["", " ", "<?xml version=\"1.0\"?>\n", "text", "<a><b></a>", "<a><b>x</b>", "<a/><b/>", "\u{1}"] {
            assert!(Document::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(Document::parse(b"<a>\xff</a>").is_none());
        let nested = |depth| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(Document::parse(nested(DEPTH_MAX).as_bytes()).is_some());
        assert!(Document::parse(nested(DEPTH_MAX + 1).as_bytes()).is_none());
    }

    #[test]
    fn the_code_of_an_error_is_no_text_that_looks_like_one() {
        let error = "<Error><Key>&lt;Code&gt;NoSuchBucket&lt;/Code&gt;</Key><Code>NoSuchKey</Code></Error>";
        assert_eq!(code(error).as_deref(), Some("NoSuchKey"));
        let of_a_login = "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>";
        assert_eq!(code(of_a_login).as_deref(), Some("ExpiredToken"));
        assert_eq!(code("<List><Code>x</Code></List>"), None);
        assert_eq!(code("Code: NoSuchBucket"), None);
    }
}
