//! Numbers, sizes and times in a form for people, and foreign text made safe to print.

use std::time::{Duration, UNIX_EPOCH};

use bytesize::ByteSize;

/// Maximum number of characters printed of one foreign text.
const CHARACTERS_MAX: usize = 4000;

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

/// Returns foreign text made safe for a terminal: control characters are escaped, lines after the first are indented,
/// and the text is cut after 4,000 characters.
pub fn printable(text: &str) -> String {
    let mut safe = String::new();
    for (position, character) in text.trim_end().chars().enumerate() {
        match character {
            _ if position == CHARACTERS_MAX => {
                safe.push('…');
                break;
            }
            '\n' => safe.push_str("\n  "),
            '\t' => safe.push('\t'),
            character if character.is_control() => safe.extend(character.escape_default()),
            character => safe.push(character),
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
        assert_eq!(printable(&"x".repeat(5000)).chars().count(), CHARACTERS_MAX + 1);
    }
}
