//! Reads JSON by projection: one walk over an object, which reads the wanted fields and skips the others.

use anyhow::{Context, Result};
use memchr::memchr2;

/// Returns the values of the named top-level fields of an object, as written. If a field occurs twice, the last value
/// counts. Names with escapes are not recognised.
pub(crate) fn project<'a, const N: usize>(line: &'a [u8], names: [&[u8]; N]) -> Result<[Option<&'a [u8]>; N]> {
    walk(line, names).with_context(|| format!("this is not a JSON object: {}", String::from_utf8_lossy(line)))
}

fn walk<'a, const N: usize>(line: &'a [u8], names: [&[u8]; N]) -> Option<[Option<&'a [u8]>; N]> {
    let mut found = [None; N];
    let mut position = after(line, 0, b'{')?;
    if after(line, position, b'}').is_some() {
        return Some(found);
    }
    loop {
        let name = space(line, position);
        let end = string_end(line, name)?;
        let value = space(line, after(line, end, b':')?);
        position = value_end(line, value)?;
        let name = &line[name + 1..end - 1];
        if let Some(wanted) = names.iter().position(|wanted| *wanted == name) {
            found[wanted] = Some(&line[value..position]);
        }
        match after(line, position, b',') {
            Some(next) => position = next,
            None => return after(line, position, b'}').map(|_| found),
        }
    }
}

/// Returns the position after `byte`, which must come next, apart from white space.
fn after(line: &[u8], position: usize, byte: u8) -> Option<usize> {
    let position = space(line, position);
    (*line.get(position)? == byte).then_some(position + 1)
}

fn space(line: &[u8], mut position: usize) -> usize {
    while matches!(line.get(position), Some(b' ' | b'\t' | b'\r')) {
        position += 1;
    }
    position
}

/// Returns the position after the string that starts here.
fn string_end(line: &[u8], start: usize) -> Option<usize> {
    let mut position = after(line, start, b'"')?;
    loop {
        position += memchr2(b'"', b'\\', line.get(position..)?)?;
        match line[position] {
            b'"' => return Some(position + 1),
            _ => position += 2,
        }
    }
}

/// Returns the position after the value that starts here.
fn value_end(line: &[u8], start: usize) -> Option<usize> {
    match line.get(start)? {
        b'"' => string_end(line, start),
        b'{' | b'[' => nested_end(line, start),
        _ => {
            let length = line[start..].iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\r'));
            Some(start + length?)
        }
    }
}

fn nested_end(line: &[u8], start: usize) -> Option<usize> {
    let (mut position, mut depth) = (start, 0);
    loop {
        match line.get(position)? {
            b'"' => position = string_end(line, position)? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        position += 1;
        if depth == 0 {
            return Some(position);
        }
    }
}

/// Returns the value of a whole number.
pub(crate) fn integer(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        // The value is built as a negative number, since the smallest i64 has no positive counterpart.
        if digit > 9 { None } else { value.checked_mul(10)?.checked_sub(digit.into()) }
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}
