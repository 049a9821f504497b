//! Reads dates and times from text.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::{Date, Time, Timestamp, Unit};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A text that is no date or time of the form that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTime;

impl fmt::Display for NotTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a date (`2026-11-28`), a time (`09:30:00`) nor both (`2026-11-28T09:30:00Z`)")
    }
}

impl Error for NotTime {}

/// Reads a date such as `2026-11-28`.
impl FromStr for Date {
    type Err = NotTime;

    fn from_str(text: &str) -> Result<Self, NotTime> {
        let (year, rest) = text.split_once('-').ok_or(NotTime)?;
        let (month, day) = rest.split_once('-').ok_or(NotTime)?;
        let year = i32::try_from(digits(year, 4)?).map_err(|_| NotTime)?;
        Self::from_ymd(year, digits(month, 2)?, digits(day, 2)?).ok_or(NotTime)
    }
}

/// Reads a time of day such as `09:30:00` or `09:30:00.25`, with up to nine digits behind the point.
impl FromStr for Time {
    type Err = NotTime;

    fn from_str(text: &str) -> Result<Self, NotTime> {
        let (seconds, fraction) = text.split_once('.').map_or((text, None), |(seconds, rest)| (seconds, Some(rest)));
        let mut parts = seconds.split(':').map(|part| digits(part, 2));
        let (Some(hour), Some(minute), Some(second), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotTime);
        };
        let (hour, minute, second) = (hour?, minute?, second?);
        if hour > 23 || minute > 59 || second > 59 {
            return Err(NotTime);
        }
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        let Some(fraction) = fraction else { return Ok(Self::from_seconds(seconds)) };
        let unit = unit_of(fraction.len())?;
        let zeros = unit.per_second() / 10_i64.pow(fraction.len() as u32);
        let fraction = i64::from(digits(fraction, fraction.len())?) * zeros;
        Ok(Self::new(seconds * unit.per_second() + fraction, unit))
    }
}

/// Reads a point in time as RFC 3339 writes it: `2026-11-28T09:30:00Z`, `2026-11-28 10:30:00.25+01:00`.
impl FromStr for Timestamp {
    type Err = NotTime;

    fn from_str(text: &str) -> Result<Self, NotTime> {
        let (date, time) = text.split_once(['T', 't', ' ']).ok_or(NotTime)?;
        let (time, offset) = match time.strip_suffix(['Z', 'z']) {
            Some(time) => (time, 0),
            None => offset(time)?,
        };
        let (date, time): (Date, Time) = (date.parse()?, time.parse()?);
        let seconds = i64::from(date.days()) * DAY_SECONDS - offset;
        let per_second = time.unit().per_second();
        let value = seconds.checked_mul(per_second).and_then(|value| value.checked_add(time.value()));
        Ok(Self::new(value.ok_or(NotTime)?, time.unit()))
    }
}

/// Cuts the offset off a time, and returns both, the offset in seconds.
fn offset(text: &str) -> Result<(&str, i64), NotTime> {
    let at = text.rfind(['+', '-']).ok_or(NotTime)?;
    let (hours, minutes) = text[at + 1..].split_once(':').ok_or(NotTime)?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return Err(NotTime);
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    Ok((&text[..at], if text[at..].starts_with('-') { -seconds } else { seconds }))
}

/// Returns the coarsest unit that holds this many digits behind the point.
const fn unit_of(digits: usize) -> Result<Unit, NotTime> {
    Ok(match digits {
        1..=3 => Unit::Milli,
        4..=6 => Unit::Micro,
        7..=9 => Unit::Nano,
        _ => return Err(NotTime),
    })
}

/// Reads a number of exactly this many digits, at most nine.
fn digits(text: &str, count: usize) -> Result<u32, NotTime> {
    if text.len() != count || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotTime);
    }
    text.parse().map_err(|_| NotTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read() {
        assert_eq!("2026-11-28".parse(), Ok(Date::from_ymd(2026, 11, 28).expect("a day")));
        assert_eq!("00:00:01".parse(), Ok(Time::from_seconds(1)));
        assert_eq!("23:59:59.000001".parse(), Ok(Time::from_micros(86_399_000_001)));
        assert_eq!("00:00:00.5".parse(), Ok(Time::from_millis(500)));
        assert_eq!("1970-01-02T00:00:00Z".parse(), Ok(Timestamp::from_seconds(86_400)));
        assert_eq!("1970-01-01 01:00:00.123456789+01:00".parse(), Ok(Timestamp::from_nanos(123_456_789)));
        assert_eq!("1969-12-31t23:30:00-00:30".parse(), Ok(Timestamp::from_seconds(0)));
    }

    #[test]
    fn what_is_no_date_or_time_is_refused() {
        for text in ["", "2026-02-29", "2026-1-1", "26-01-01", "+2026-01-01", "2026-01-01-", "2026-13-01"] {
            assert_eq!(text.parse::<Date>(), Err(NotTime), "{text}");
        }
        for text in ["24:00:00", "12:60:00", "12:00", "12:00:00.", "12:00:00.1234567890", "12:00:00:00", "12:00:0é"] {
            assert_eq!(text.parse::<Time>(), Err(NotTime), "{text}");
        }
        for text in ["2026-01-01T00:00:00", "2026-01-01", "2026-01-01T00:00:00+1:00", "9999-01-01T00:00:00.1234567Z"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotTime), "{text}");
        }
    }
}
