//! Numbers, sizes and times in a form for people, and foreign text made safe to print.

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use bytesize::ByteSize;

/// Maximum number of characters printed of one foreign text.
const CHARACTERS_MAX: usize = 4000;

/// Number of characters printed of the end of a foreign text that is longer, because an error ends with its cause.
const END_CHARACTERS: usize = 1000;

/// Returns a number with its thousands separated by commas: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns a number of things: `1 shard`, `1,234 shards`.
pub fn counted(number: u64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {thing}{ending}", count(number))
}

/// Returns a number of bytes in a suitable unit: `34.5 MiB`.
pub fn bytes(number: u64) -> String {
    ByteSize::b(number).display().iec().to_string()
}

/// Returns a duration in suitable units: `300ms`, `12.3s`, `2m 05s`, `1h 02m`.
pub fn duration(duration_ms: u64) -> String {
    let seconds = duration_ms / 1000;
    match seconds {
        0 => format!("{duration_ms}ms"),
        1..60 => format!("{seconds}.{}s", duration_ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Returns a duration with few digits: `850ns`, `1.2µs`, `34.0ms`.
pub fn short(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    match time.as_nanos() {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{:.1}µs", nanoseconds / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", nanoseconds / 1e6),
        _ => format!("{:.1}s", nanoseconds / 1e9),
    }
}

/// Returns a time given in milliseconds since the Unix epoch, in UTC: `2026-11-22T16:30:00Z`.
pub fn time(at_ms: u64) -> String {
    // Clamp to the last second of the year 9999: later times have no RFC 3339 form.
    let at_ms = at_ms.min(253_402_300_799_000);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string()
}

/// Returns a text in which nothing drives a terminal, hides, or changes the order in which the rest is shown: control
/// characters except line ends and tabs are escaped, and so are characters that cannot be seen.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmless = |character: char| matches!(character, '\n' | '\t') || is_seen(character);
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    for character in text.chars() {
        if is_harmless(character) { safe.push(character) } else { safe.extend(character.escape_default()) }
    }
    Cow::Owned(safe)
}

/// Returns whether a character can be seen, and has no effect on others: it is neither a control character nor one that
/// sets the direction of text, joins or varies its neighbours, fills or tags. `report/html/page.js` has the same list.
fn is_seen(character: char) -> bool {
    let unseen = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    );
    !unseen && !character.is_control()
}

/// Returns foreign text made safe for a terminal: characters that [`harmless`] escapes are escaped, lines after the
/// first are indented, and of a text of more than 4,000 characters, those before the last 1,000 are cut out.
pub fn printable(text: &str) -> String {
    let text = text.trim_end();
    let length = text.chars().count();
    let (begin, end) = match length.checked_sub(CHARACTERS_MAX) {
        None | Some(0) => (length, length),
        Some(_) => (CHARACTERS_MAX - END_CHARACTERS, length - END_CHARACTERS),
    };
    let mut safe = String::new();
    for (position, character) in text.chars().enumerate() {
        match character {
            _ if position == begin && begin < end => safe.push('…'),
            _ if (begin..end).contains(&position) => {}
            '\n' => safe.push_str("\n  "),
            '\t' => safe.push('\t'),
            character if is_seen(character) => safe.push(character),
            character => safe.extend(character.escape_default()),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 12, 123, 1234, 123_456, 1_234_567];
        assert_eq!(numbers.map(count), ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
        assert_eq!([0, 1, 2000].map(|n| counted(n, "shard")), ["0 shards", "1 shard", "2,000 shards"]);
    }

    #[test]
    fn times_are_short() {
        let times = [0, 349, 59_999, 65_000, 3_600_000, 3_725_000];
        assert_eq!(times.map(duration), ["0ms", "349ms", "59.9s", "1m 05s", "1h 00m", "1h 02m"]);
        assert_eq!([1_795_365_000_000, u64::MAX].map(time), ["2026-11-22T16:30:00Z", "9999-12-31T23:59:59Z"]);
        assert_eq!([0, 1536, 36_175_872].map(bytes), ["0 B", "1.5 KiB", "34.5 MiB"]);
    }

    #[test]
    fn times_have_few_digits() {
        let times = [0, 850, 1_234, 34_000_000, 2_500_000_000].map(Duration::from_nanos);
        assert_eq!(times.map(short), ["0ns", "850ns", "1.2µs", "34.0ms", "2.5s"]);
    }

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\u{9b}c\n"), "a\\u{1b}[2Jb\\r\\u{9b}c");
        assert_eq!(printable("one\ntwo\n"), "one\n  two");
        for unseen in ["\u{61c}", "\u{200b}", "\u{202e}", "\u{2063}", "\u{2066}", "\u{feff}", "\u{fe0f}", "\u{e0041}"] {
            let escaped = unseen.escape_unicode().to_string();
            assert_eq!(printable(&format!("a{unseen}b")), format!("a{escaped}b"));
            assert_eq!(harmless(&format!("a\n\tb{unseen}\n")), format!("a\n\tb{escaped}\n"));
        }
        let seen = "Zürich, Ελλάδα, 東京, עברית, ✓ … ━╸─\n\tπ";
        assert!(matches!(harmless(seen), Cow::Borrowed(text) if text == seen));
    }

    #[test]
    fn a_long_text_is_cut_before_its_end() {
        let long = printable(&format!("begin {} the cause", "x".repeat(5000)));
        assert_eq!(long.chars().count(), CHARACTERS_MAX + 1);
        assert!(long.starts_with("begin xx") && long.contains("xx…xx") && long.ends_with("xx the cause"), "{long}");
        assert_eq!(printable(&"x".repeat(CHARACTERS_MAX)), "x".repeat(CHARACTERS_MAX));
    }
}
