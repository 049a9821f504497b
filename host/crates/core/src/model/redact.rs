//! Redaction: taking out of a text what must not be shown.
//!
//! Owns how a secret is found, however it is written. Which values are secrets is `pipeline`'s business.

use std::{borrow::Cow, cmp::Reverse, fmt, ops::Range};

use aho_corasick::AhoCorasick;

/// A function that removes secrets from a text. Every text that is printed or kept passes through one.
pub type Redact = Box<dyn Fn(&str) -> String + Send>;

/// Shortest text that is masked, in characters. Shorter ones would be found inside ordinary words.
pub const MASKED_CHARACTERS_MIN: usize = 4;

/// The mark that messages have where a text was cut.
pub const CUT: char = '…';

/// Returns text of at most `bytes_max` bytes as it is, and the beginning of a longer one, with the mark [`CUT`].
pub fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    let begin = &text[..text.floor_char_boundary(bytes_max)];
    if begin.len() < text.len() { format!("{begin}{CUT}").into() } else { begin.into() }
}

/// The values that are taken out of texts, each with the name that is shown instead. The default takes out nothing.
/// Clones share the values.
#[derive(Clone, Default)]
pub struct Mask {
    /// The texts that `finder` finds, each with the name that it is replaced by.
    texts: Vec<(String, String)>,
    finder: Option<AhoCorasick>,
}

impl Mask {
    /// Makes the mask of these names and values. Of a value with several lines, each line is masked, too. Values and
    /// lines of less than 4 characters are not masked.
    pub fn new<'v>(values: impl IntoIterator<Item = (&'v str, &'v str)>) -> Self {
        let pieces = |(name, value): (&'v str, &'v str)| {
            let texts = [value].into_iter().chain(value.lines().map(str::trim));
            let texts = texts.filter(|text| text.chars().count() >= MASKED_CHARACTERS_MIN);
            texts.map(move |text| (name.to_owned(), text.to_owned()))
        };
        let texts: Vec<(String, String)> = values.into_iter().flat_map(pieces).collect();
        // Building fails only for more text than a process can have in its environment.
        let finder = if texts.is_empty() { None } else { AhoCorasick::new(texts.iter().map(|(_, text)| text)).ok() };
        Self { texts, finder }
    }

    /// Returns `text` with every value replaced by its `${NAME}`, whether it is written as it is, with escapes as in
    /// JSON, or percent-encoded as in URLs. Of values that overlap, the longest gives its name to all.
    ///
    /// A text is masked before it is cut. Where that cannot be, it ends with the mark [`CUT`], before which the
    /// beginning of a value is found, too.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(finder) = &self.finder else { return Cow::Borrowed(text) };
        let mut found: Vec<(Range<usize>, usize)> = views(text).flat_map(|view| view.find(finder)).collect();
        found.extend(text.match_indices(CUT).filter_map(|(at, _)| self.begun(&text[..at])));
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|(range, _)| (range.start, Reverse(range.end)));
        let mut found = found.into_iter().peekable();
        let (mut masked, mut done) = (String::new(), 0);
        while let Some((longest, mut value)) = found.next() {
            let (mut end, mut length) = (longest.end, longest.len());
            while let Some((next, other)) = found.next_if(|(next, _)| next.start < end) {
                end = end.max(next.end);
                if next.len() > length {
                    (length, value) = (next.len(), other);
                }
            }
            masked.push_str(&text[done..longest.start]);
            masked.push_str(&format!("${{{}}}", self.texts[value].0));
            done = end;
        }
        Cow::Owned(masked + &text[done..])
    }

    /// Returns the place at the end of a text at which a value begins, and which value: the one of which there is most.
    fn begun(&self, text: &str) -> Option<(Range<usize>, usize)> {
        let begun = |(value, (_, of)): (usize, &(String, String))| {
            let ends = of.char_indices().skip(MASKED_CHARACTERS_MIN).map(|(end, _)| end);
            let length = ends.filter(|end| text.ends_with(&of[..*end])).max()?;
            Some((text.len() - length..text.len(), value))
        };
        self.texts.iter().enumerate().filter_map(begun).min_by_key(|(range, _)| range.start)
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts.iter().map(|(name, _)| name)).finish()
    }
}

/// A text as one of its readers would understand it.
struct View<'t> {
    bytes: Cow<'t, [u8]>,
    /// Where each byte, and the end, begins in the text; absent when the bytes are the text's own.
    starts: Option<Vec<usize>>,
}

impl View<'_> {
    /// Returns the places in the text at which values stand, and which values.
    fn find(self, finder: &AhoCorasick) -> Vec<(Range<usize>, usize)> {
        let start = |byte: usize| self.starts.as_ref().map_or(byte, |starts| starts[byte]);
        let found = finder.find_overlapping_iter(&self.bytes);
        found.map(|found| (start(found.start())..start(found.end()), found.pattern().as_usize())).collect()
    }
}

/// Returns a text as it is, percent-decoded, with `+` for spaces too, and without the escapes of string literals.
fn views(text: &str) -> impl Iterator<Item = View<'_>> {
    let plain = View { bytes: Cow::Borrowed(text.as_bytes()), starts: None };
    let url = text.contains('%').then(|| decoded(text, percent));
    let form = text.contains('+').then(|| decoded(text, |rest| percent(rest).or_else(|| plus(rest))));
    let literal = text.contains('\\').then(|| decoded(text, escape));
    [Some(plain), url, form, literal].into_iter().flatten()
}

/// Bytes that a code in a text stands for, their number, and the length of the code.
type Code = ([u8; 4], usize, usize);

/// Returns a text in which each code that `read` finds at the start of the rest is replaced by what it stands for.
fn decoded(text: &str, read: impl Fn(&str) -> Option<Code>) -> View<'static> {
    let (mut bytes, mut starts, mut at) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1), 0);
    while let Some(next) = text[at..].chars().next() {
        let (code, count, length) = read(&text[at..]).unwrap_or_else(|| {
            let length = next.len_utf8();
            (utf8(next), length, length)
        });
        bytes.extend_from_slice(&code[..count]);
        starts.extend(std::iter::repeat_n(at, count));
        at += length;
    }
    starts.push(at);
    View { bytes: Cow::Owned(bytes), starts: Some(starts) }
}

fn utf8(character: char) -> [u8; 4] {
    let mut bytes = [0; 4];
    character.encode_utf8(&mut bytes);
    bytes
}

fn percent(text: &str) -> Option<Code> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    Some(([u8::from_str_radix(digits, 16).ok()?, 0, 0, 0], 1, 3))
}

fn plus(text: &str) -> Option<Code> {
    text.starts_with('+').then_some((utf8(' '), 1, 1))
}

/// Reads the escape at the start of a text, in the languages that plugins and messages are written in.
fn escape(text: &str) -> Option<Code> {
    let code = text.strip_prefix('\\')?;
    let kind = code.chars().next()?;
    let (character, length) = match kind {
        '"' | '\'' | '\\' | '/' => (kind, 2),
        'n' => ('\n', 2),
        'r' => ('\r', 2),
        't' => ('\t', 2),
        'b' => ('\x08', 2),
        'f' => ('\x0c', 2),
        '0' => ('\0', 2),
        'x' => (char::from_u32(hexadecimal(code.get(1..3)?)?)?, 4),
        'u' if code[1..].starts_with('{') => {
            let (digits, _) = code[2..].split_once('}')?;
            (char::from_u32(hexadecimal(digits)?)?, 4 + digits.len())
        }
        'u' => utf16(text)?,
        _ => return None,
    };
    Some((utf8(character), character.len_utf8(), length))
}

/// Reads `\uXXXX`, or two of them that are one character.
fn utf16(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::try_from(hexadecimal(digits)?).ok()
    };
    let first = unit(0)?;
    let units = [Some(first), unit(6)].into_iter().flatten();
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, 6 * character.len_utf16()))
}

fn hexadecimal(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_of_texts_and_the_longest_of_those_that_overlap_names_them() {
        let mask = Mask::new([("KEY", "hunter2"), ("LONG", "hunter2000"), ("END", "2000-end"), ("SHORT", "abc")]);
        assert_eq!(mask.apply("hunter2 and hunter2000, abc"), "${KEY} and ${LONG}, abc");
        assert_eq!(mask.apply("hunter2hunter2"), "${KEY}${KEY}");
        assert_eq!(mask.apply("hunter2000-end."), "${LONG}.", "nothing of the second is left");
        assert!(matches!(mask.apply("nothing here"), Cow::Borrowed("nothing here")));
        assert!(matches!(Mask::default().apply("hunter2"), Cow::Borrowed("hunter2")));
        assert!(!format!("{mask:?}").contains("hunter2"));
    }

    #[test]
    fn a_value_is_found_however_it_is_written() {
        let value = "p\"ä s\\/😀\n%+";
        let mask = Mask::new([("KEY", value)]);
        for written in [
            value,
            "p\\\"ä s\\\\/😀\\n%+",
            "p\\\"\\u00e4 s\\\\\\/\\ud83d\\ude00\\n%+",
            "p\\\"\\u{e4} s\\\\/\\u{1f600}\\n%+",
            "p%22%C3%A4%20s%5C%2F%F0%9F%98%80%0A%25%2B",
            "p%22%c3%a4%20s%5c/%f0%9f%98%80%0a%25+",
            "p%22%C3%A4+s%5C%2F%F0%9F%98%80%0A%25%2B",
        ] {
            assert_eq!(mask.apply(&format!("<é{written}\\é>")), "<é${KEY}\\é>", "{written}");
        }
    }

    #[test]
    fn each_line_of_a_value_is_masked() {
        let mask = Mask::new([("KEY", "-----BEGIN\r\n  MIIEvQ==\r\n}\n-----END\n")]);
        assert_eq!(mask.apply("MIIEvQ== and -----END, }"), "${KEY} and ${KEY}, }");
        assert_eq!(mask.apply("a -----BEGIN\r\n  MIIEvQ==\r\n}\n-----END\n b"), "a ${KEY} b");
        assert_eq!(mask.apply("-----BEGIN\\nMIIEvQ==\\n-----END"), "${KEY}\\n${KEY}\\n${KEY}");
    }

    #[test]
    fn the_beginning_of_a_value_is_masked_where_a_text_was_cut() {
        let mask = Mask::new([("KEY", "correct-horse"), ("OTHER", "rect-angle")]);
        assert_eq!(mask.apply("`a correct-ho…`, `correct-`, `hor…`"), "`a ${KEY}…`, `correct-`, `hor…`");
        assert_eq!(mask.apply("correct-…"), "${KEY}…");
        assert_eq!(mask.apply("correct-horse…"), "${KEY}…");
    }

    #[test]
    fn codes_that_are_none_are_text() {
        let mask = Mask::new([("KEY", "hunter2")]);
        for text in ["%", "%é", "%zz hunter", "\\", "\\u", "\\uZZZZ\\u{}\\u{110000}\\x", "\\ud83d\\u0041", "é\\é%4é"]
        {
            assert_eq!(mask.apply(text), text);
        }
        assert_eq!(mask.apply("\\%hunter2%é\\u12"), "\\%${KEY}%é\\u12");
    }
}
