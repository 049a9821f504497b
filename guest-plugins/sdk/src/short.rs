//! Work on short byte strings, such as keys: word by word, where the general routines of a component would call the
//! host or go byte by byte.

const WORD: usize = size_of::<u64>();

/// Returns whether two byte strings are the same.
#[inline]
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() <= 2 * WORD {
        return (first_word(a) ^ first_word(b)) | (last_word(a) ^ last_word(b)) == 0;
    }
    let words = a.chunks_exact(WORD).zip(b.chunks_exact(WORD));
    words.fold(last_word(a) ^ last_word(b), |difference, (a, b)| difference | (first_word(a) ^ first_word(b))) == 0
}

/// Returns a hash of a byte string: the same on every run and every machine. All its bits are good.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut rest = bytes;
    while rest.len() > 2 * WORD {
        hash = mix(hash, first_word(rest));
        rest = &rest[WORD..];
    }
    hash_words(hash, first_word(rest), last_word(rest))
}

/// Returns the hash of a byte string of up to 16 bytes of which the length and both ends are known.
#[inline]
pub(crate) fn hash_words(length: u64, first: u64, last: u64) -> u64 {
    mix(mix(mix(length, first), last), length)
}

/// 64-bit multiplications are one instruction in a component; the wider ones of common hashes are a function call.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ hash >> 32
}

/// Returns the first and the last 8 bytes, or twice all there are, as integers.
#[inline]
pub(crate) fn ends(bytes: &[u8]) -> (u64, u64) {
    (first_word(bytes), last_word(bytes))
}

/// Appends a byte string.
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
            // The two overlap where there are fewer than 8 bytes, and say the same there.
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

    /// Every length up to 40, at every place of a buffer.
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
