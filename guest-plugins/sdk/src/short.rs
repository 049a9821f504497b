//! Functions for short byte strings, such as keys. They work word by word, where the general routines of a component
//! would call the host or go byte by byte.

use std::ops::Range;

const WORD: usize = size_of::<u64>();

/// A byte string of up to 32 bytes, as integers.
///
/// A string of up to 16 bytes is a pair of integers: its first byte is the lowest byte, and zeros follow its last byte.
/// A longer string is its first two words and its last two words, which may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) length: u32,
    pub(crate) words: [u64; 4],
}

impl Short {
    /// Largest length of a short byte string.
    pub(crate) const BYTES_MAX: usize = 4 * WORD;
    /// Largest length of a byte string that is a pair of integers.
    pub(crate) const PAIR: usize = 2 * WORD;

    /// Converts a byte string; `None` if it is longer than `BYTES_MAX`.
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let length = bytes.len();
        let words = match (bytes.first_chunk::<{ Self::PAIR }>(), bytes.last_chunk::<{ Self::PAIR }>()) {
            (Some(first), Some(last)) => match length {
                Self::PAIR => [first_word(first), last_word(first), 0, 0],
                ..=Self::BYTES_MAX => [first_word(first), last_word(first), first_word(last), last_word(last)],
                _ => return None,
            },
            // The two words overlap; the shift drops the bytes that the first word already has.
            _ if length > WORD => [first_word(bytes), last_word(bytes) >> (8 * (Self::PAIR - length)), 0, 0],
            _ => [first_word(bytes), 0, 0, 0],
        };
        Some(Self { length: length as u32, words })
    }

    /// Converts a part of `bytes`, with one read and without a branch on its length. Returns `None` if the part is
    /// longer than 16 bytes, or if `bytes` has fewer than 16 bytes from the part's start on.
    #[inline]
    pub(crate) fn part(bytes: &[u8], part: &Range<usize>) -> Option<Self> {
        let length = part.end.checked_sub(part.start).filter(|length| *length <= Self::PAIR)?;
        let bytes: &[u8; Self::PAIR] = bytes.get(part.start..)?.first_chunk()?;
        let first = first_word(bytes) & low_bytes(length.min(WORD));
        let second = last_word(bytes) & low_bytes(length.saturating_sub(WORD));
        Some(Self { length: length as u32, words: [first, second, 0, 0] })
    }

    #[inline]
    pub(crate) fn is_pair(self) -> bool {
        self.length as usize <= Self::PAIR
    }

    /// Returns whether `other` is the same byte string. Both must have the same length and be longer than a pair.
    #[inline]
    pub(crate) fn is(self, other: &[u8]) -> bool {
        // The lengths are known to be equal. `new` would check the length again; counting lines took a sixth longer.
        match (other.first_chunk::<{ Self::PAIR }>(), other.last_chunk::<{ Self::PAIR }>()) {
            (Some(first), Some(last)) => {
                [first_word(first), last_word(first), first_word(last), last_word(last)] == self.words
            }
            _ => false,
        }
    }

    /// Appends the byte string to `to`.
    pub(crate) fn append_to(self, to: &mut Vec<u8>) {
        let bytes = self.words.map(u64::to_le_bytes);
        let bytes = bytes.as_flattened();
        let length = self.length as usize;
        to.extend_from_slice(&bytes[..length.min(Self::PAIR)]);
        to.extend_from_slice(&bytes[bytes.len() - length.saturating_sub(Self::PAIR)..]);
    }

    #[inline]
    pub(crate) fn is_ascii(self) -> bool {
        self.words.into_iter().fold(0, |all, word| all | word) & NOT_ASCII == 0
    }

    /// Returns a hash of the byte string, as good as that of [`hash`] but not the same.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        let [first, second, third, fourth] = self.words;
        let hash = mix(mix(u64::from(self.length), first), second);
        if self.is_pair() { hash } else { mix(mix(hash, third), fourth) }
    }
}

/// Returns an integer in which the given number of lowest bytes, up to 8, are all ones.
#[inline]
fn low_bytes(bytes: usize) -> u64 {
    u64::MAX.checked_shr(u64::BITS - 8 * bytes as u32).unwrap_or(0)
}

/// The bits that no ASCII character has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// Returns whether two byte strings are the same.
#[inline]
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && {
        let words = whole_words(a).zip(whole_words(b));
        words.fold(last_word(a) ^ last_word(b), |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

/// Number of bytes that are searched word by word. For bytes further on, a call of `memchr` takes less time.
const SEARCHED_BYTES: usize = 4 * WORD;

/// Returns the position of the first byte that equals `byte`.
#[inline]
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let near = bytes.get(..SEARCHED_BYTES).unwrap_or(bytes);
    let words = near.chunks_exact(WORD);
    let last = words.remainder();
    for (word, start) in words.zip((0..).step_by(WORD)) {
        if let Some(at) = find_in_word(first_word(word), byte) {
            return Some(start + at);
        }
    }
    if near.len() < bytes.len() {
        return memchr::memchr(byte, &bytes[near.len()..]).map(|at| near.len() + at);
    }
    let at = find_in_word(few(last), byte).filter(|at| *at < last.len())?;
    Some(near.len() - last.len() + at)
}

/// Returns the position of the first byte of a word, counted from the lowest, that equals `byte`.
#[inline]
fn find_in_word(word: u64, byte: u8) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zero = word ^ u64::from(byte).wrapping_mul(LOW);
    // The lowest bit set is correct; the bits above it may be wrong.
    let found = zero.wrapping_sub(LOW) & !zero & NOT_ASCII;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Returns whether all bytes are ASCII characters.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    whole_words(bytes).fold(last_word(bytes), |all, word| all | word) & NOT_ASCII == 0
}

/// Returns a hash of a byte string: the same on every run and every machine, and with all bits well mixed.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    whole_words(bytes).chain([last_word(bytes)]).fold(bytes.len() as u64, mix)
}

/// Mixes a word into a hash. A 64-bit multiplication is one instruction in a component; the wider multiplications of
/// common hashes are function calls.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ hash >> 32
}

/// Returns the whole words at the start of a byte string, as integers.
#[inline]
fn whole_words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(WORD).map(first_word)
}

/// Appends a byte string to `to`.
#[inline]
pub(crate) fn append(to: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > 4 * WORD {
        to.extend_from_slice(bytes);
        return;
    }
    let end = to.len() + bytes.len();
    let whole = bytes.chunks_exact(WORD);
    let rest = whole.remainder();
    whole.for_each(|chunk| to.extend_from_slice(&first_word(chunk).to_le_bytes()));
    to.extend_from_slice(&few(rest).to_le_bytes());
    to.truncate(end);
}

/// Returns the first 8 bytes, or all there are, as an integer.
#[inline]
fn first_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or_else(|| few(bytes), |bytes| u64::from_le_bytes(*bytes))
}

/// Returns the last 8 bytes, or all there are, as an integer.
#[inline]
fn last_word(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or_else(|| few(bytes), |bytes| u64::from_le_bytes(*bytes))
}

/// Returns fewer than 8 bytes as an integer.
#[inline]
fn few(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            // With fewer than 8 bytes the two integers overlap, and are equal where they do.
            let last = u64::from(u32::from_le_bytes(*last));
            u64::from(u32::from_le_bytes(*first)) | last << (8 * (bytes.len() - 4))
        }
        _ => match *bytes {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, ..] => u64::from(u32::from_le_bytes([a, b, c, 0])),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a byte string of every length from 0 to 39.
    fn strings() -> impl Iterator<Item = Vec<u8>> {
        (0..40).map(|length| (0..length).map(|n| (n * 7 + 1) as u8).collect())
    }

    #[test]
    fn strings_are_equal_when_every_byte_is() {
        for string in strings() {
            assert!(equal(&string, &string.clone()));
            for position in 0..string.len() {
                let mut other = string.clone();
                other[position] ^= 0x80;
                assert!(!equal(&string, &other), "length {}, byte {position}", string.len());
            }
            assert!(!equal(&string, &[&string, &[0][..]].concat()));
        }
    }

    #[test]
    fn a_short_string_is_one_when_every_byte_is() {
        for string in strings().filter(|string| (Short::PAIR + 1..=Short::BYTES_MAX).contains(&string.len())) {
            let short = Short::new(&string).expect("it is short");
            assert!(short.is(&string));
            for position in 0..string.len() {
                let mut other = string.clone();
                other[position] ^= 0x80;
                assert!(!short.is(&other), "length {}, byte {position}", string.len());
            }
        }
    }

    #[test]
    fn a_hash_takes_in_every_byte_and_the_length() {
        for string in strings() {
            let of_string = hash(&string);
            for position in 0..string.len() {
                let mut other = string.clone();
                other[position] ^= 1;
                assert_ne!(hash(&other), of_string, "length {}, byte {position}", string.len());
            }
            assert_ne!(hash(&[&string, &[0][..]].concat()), of_string);
        }
    }

    #[test]
    fn what_is_appended_is_all_there() {
        let mut all = vec![];
        strings().for_each(|string| append(&mut all, &string));
        assert_eq!(all, strings().flatten().collect::<Vec<u8>>());
    }
}
