//! Converts bytes to text.

use std::str::Utf8Error;

use crate::short;

/// Returns the bytes as text, as [`str::from_utf8`] does, but several times as fast where all of them are ASCII.
///
/// # Errors
/// When the bytes are not UTF-8; the error says where.
#[inline]
pub fn text(bytes: &[u8]) -> Result<&str, Utf8Error> {
    if short::is_ascii(bytes) {
        #[expect(
            unsafe_code,
            reason = "a second check of the same bytes takes most of the time that simple plugins need"
        )]
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { str::from_utf8_unchecked(bytes) });
    }
    str::from_utf8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_is_utf8_wherever_other_characters_are() {
        for length in 0..40 {
            assert_eq!(text(&vec![b'x'; length]), Ok("x".repeat(length).as_str()));
            for position in 0..length {
                for other in ["é", "€", "😀", "\u{7f}", "\0"] {
                    let with = format!("{}{other}{}", "x".repeat(position), "y".repeat(length - position));
                    assert_eq!(text(with.as_bytes()), Ok(with.as_str()));
                }
                for byte in 0x80..=0xff {
                    let mut bytes = vec![b'x'; length];
                    bytes[position] = byte;
                    assert_eq!(text(&bytes), str::from_utf8(&bytes));
                    assert!(text(&bytes).is_err());
                }
            }
        }
    }
}
