//! Kinds of text: which types a value of CSV may be of, so that the narrowest that fits a column is found.
//!
//! A value is of a type only if nothing of how it is written would be lost. Numbers with leading zeros or a plus sign
//! are ids or phone numbers, and whole numbers that a double does not hold exactly are no `float64`.

use arrow_schema::Field;
use etl_core::model::types;

use crate::{numbers, plain};

/// All whole numbers up to this one are exact doubles.
const EXACT_MAX: u64 = 1 << 53;

/// Length of a date, and of what stands before the time in a timestamp.
const DATE_BYTES: usize = 10;

/// The types that values may be of, from the narrowest on, each with its bit.
const TYPES: [(u8, &str); 6] =
    [(1, "boolean"), (2, "int64"), (4, "float64"), (8, "date"), (16, "timestamp(us)"), (32, "timestamp(us, UTC)")];

/// A set of types that all values so far may be of, besides text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds(Option<u8>);

impl Kinds {
    /// Adds a value that is not null.
    pub(super) fn add(&mut self, text: &str) {
        self.0 = Some(self.0.unwrap_or(u8::MAX) & kinds(text));
    }

    /// Returns a field of the narrowest type: text, if there was no value or none fits.
    pub(super) fn field(self, name: &str) -> Field {
        let kinds = self.0.unwrap_or_default();
        field(name, TYPES.iter().find(|(bit, _)| kinds & bit != 0).map_or("text", |(_, written)| written))
    }
}

fn field(name: &str, written: &str) -> Field {
    types::parse(name, written).expect("the name of a type")
}

fn bit(wanted: &str) -> u8 {
    TYPES.iter().find(|(_, written)| *written == wanted).map_or(0, |(bit, _)| *bit)
}

fn kinds(text: &str) -> u8 {
    match text {
        "true" | "false" => bit("boolean"),
        "NaN" | "inf" | "-inf" => bit("float64"),
        _ => number(text) | date(text) | timestamp(text),
    }
}

fn number(text: &str) -> u8 {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let has_zeros = unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.as_bytes()[1].is_ascii_digit();
    if has_zeros || !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return 0;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<i64>() {
            Ok(value) if value.unsigned_abs() <= EXACT_MAX => bit("int64") | bit("float64"),
            Ok(_) => bit("int64"),
            Err(_) => 0,
        };
    }
    // `12e5` may be an id; programs write `1.2e6` or `1e+06`.
    let is_float = unsigned.contains(['.', '+', '-']) && numbers::float64(text).is_some();
    if is_float { bit("float64") } else { 0 }
}

fn date(text: &str) -> u8 {
    let is_date = text.len() == DATE_BYTES && begins_with_date(text);
    if is_date && plain::value(&field("", "date"), text).is_some() { bit("date") } else { 0 }
}

fn timestamp(text: &str) -> u8 {
    let Some(time) = text.get(DATE_BYTES..).filter(|_| begins_with_date(text)) else { return 0 };
    if !time.starts_with(['T', ' ']) {
        return 0;
    }
    let has_zone = time[1..].contains(|char: char| !char.is_ascii_digit() && !matches!(char, ':' | '.'));
    let written = if has_zone { "timestamp(us, UTC)" } else { "timestamp(us)" };
    if plain::value(&field("", written), text).is_some() { bit(written) } else { 0 }
}

/// Returns whether a text begins like `2024-02-29`.
fn begins_with_date(text: &str) -> bool {
    let is_right = |(at, byte): (usize, &u8)| if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() };
    text.len() >= DATE_BYTES && text.as_bytes()[..DATE_BYTES].iter().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use etl_core::model::types::type_name;

    use super::*;

    #[test]
    fn the_narrowest_type_that_loses_nothing_is_found() {
        for (values, expected) in [
            (&[][..], "text"),
            (&["true", "false"], "boolean"),
            (&["true", "1"], "text"),
            (&["1", "-7", "0", "9223372036854775807"], "int64"),
            (&["1", "2.50", "1e-05", ".5", "NaN", "-inf"], "float64"),
            (&["007"], "text"),
            (&["1", "02"], "text"),
            (&["-01.5"], "text"),
            (&["0.5", "0"], "float64"),
            (&["+41791234567"], "text"),
            (&["+1.5"], "text"),
            (&["12e5"], "text"),
            (&["1,5"], "text"),
            (&["9223372036854775808"], "text"),
            (&["9007199254740993", "1.5"], "text"),
            (&["9007199254740992", "1.5"], "float64"),
            (&["1.2.3"], "text"),
            (&["nan"], "text"),
            (&["1e999"], "text"),
            (&["2024-02-29"], "date"),
            (&["2023-02-29"], "text"),
            (&["20240229"], "int64"),
            (&["2024-02-29", "2024-02-29 10:00:00"], "text"),
            (&["2024-02-29 10:00:00", "2024-02-29T10:00:00.123456"], "timestamp(us)"),
            (&["2024-02-29T10:00:00.123456789"], "text"),
            (&["2024-02-29T10:00:00Z", "2024-02-29 10:00:00+02:00"], "timestamp(us, UTC)"),
            (&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"], "text"),
            (&["2024-02-29Tnoon"], "text"),
            (&["10:00:00"], "text"),
            (&["Bern"], "text"),
        ] {
            let mut kinds = Kinds::default();
            values.iter().for_each(|value| kinds.add(value));
            assert_eq!(type_name(&kinds.field("f")), expected, "{values:?}");
        }
    }
}
