//! Cuts lines into fields.

use memchr::memmem::Finder;

use crate::short;

/// The text between the fields of a line. Quotes have no meaning.
///
/// ```
/// # use etl_plugin::Separator;
/// let comma = Separator::new(",").expect("it is not empty");
/// assert!(comma.fields(b"a,,c").eq([&b"a"[..], b"", b"c"]));
/// assert_eq!(comma.fields(b"").count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Separator {
    finder: Finder<'static>,
    /// The separator, if it is a single byte.
    byte: Option<u8>,
}

impl Separator {
    /// Creates a separator from a text; `None` if the text is empty.
    pub fn new(text: &str) -> Option<Self> {
        let byte = match text.as_bytes() {
            [] => return None,
            [byte] => Some(*byte),
            _ => None,
        };
        Some(Self { finder: Finder::new(text).into_owned(), byte })
    }

    /// Returns the fields of a line, in order. There is at least one.
    #[inline]
    pub const fn fields<'s, 'a>(&'s self, line: &'a [u8]) -> Fields<'s, 'a> {
        Fields { separator: self, rest: Some(line) }
    }

    #[inline]
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match self.byte {
            Some(byte) => short::find(bytes, byte),
            None => self.finder.find(bytes),
        }
    }
}

/// The fields of a line, from [`Separator::fields`].
#[derive(Clone, Debug)]
pub struct Fields<'s, 'a> {
    separator: &'s Separator,
    /// The part of the line that is not cut yet; `None` after the last field.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'_, 'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = self.separator.find(rest);
        self.rest = end.map(|end| &rest[end + self.separator.finder.needle().len()..]);
        Some(end.map_or(rest, |end| &rest[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_text_that_is_cut() {
        let parts = ["", "a", "bc", "thirteen byte", "a field of more than forty bytes, as there are, too"];
        for separator in [";", "\0", "::", "é"] {
            let cut = Separator::new(separator).expect("it is not empty");
            for count in 1..5 {
                for first in 0..parts.len() {
                    let fields: Vec<&str> = parts.iter().cycle().skip(first).take(count).copied().collect();
                    let line = fields.join(separator);
                    assert!(cut.fields(line.as_bytes()).eq(fields.iter().map(|field| field.as_bytes())), "`{line}`");
                }
            }
        }
    }

    #[test]
    fn a_separator_is_found_wherever_it_is() {
        let comma = Separator::new(",").expect("it is not empty");
        for length in 0..50 {
            for at in 0..length {
                let mut line = vec![0xff; length];
                line[at] = b',';
                assert!(comma.fields(&line).map(<[u8]>::len).eq([at, length - at - 1]), "byte {at} of {length}");
            }
        }
    }

    #[test]
    fn nothing_is_no_separator() {
        assert!(Separator::new("").is_none());
    }
}
