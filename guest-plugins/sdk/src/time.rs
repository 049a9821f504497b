//! Dates, times and spans of time, as columns hold them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::Unit;

const DAY_SECONDS: i128 = 24 * 60 * 60;
const NANOS: i128 = 1_000_000_000;

/// A day of the Gregorian calendar, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    days: i32,
}

impl Date {
    /// Creates a date from the number of days since 1970-01-01.
    pub const fn from_days(days: i32) -> Self {
        Self { days }
    }

    /// Creates a date from year, month (from 1) and day (from 1); `None` if there is no such day.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        // Years that begin in March: the leap day is the last one.
        let shifted = i64::from(year) - i64::from(month <= 2);
        let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
        let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let date = Self { days: i32::try_from(days).ok()? };
        (date.ymd() == (i64::from(year), month, day)).then_some(date)
    }

    /// Returns the number of days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.days
    }

    /// Returns year, month (from 1) and day (from 1).
    pub fn ymd(self) -> (i64, u32, u32) {
        let days = i64::from(self.days) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let (month, day) = ((shifted + 2) % 12 + 1, of_year - (153 * shifted + 2) / 5 + 1);
        (era * 400 + year_of_era + i64::from(month <= 2), month as u32, day as u32)
    }
}

/// Writes the date as `2026-11-28`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Values are compared by the time that they are, so 1 s equals 1000 ms.
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            value: i64,
            unit: Unit,
        }

        impl $name {
            /// Creates a value from a number of units.
            pub const fn new(value: i64, unit: Unit) -> Self {
                Self { value, unit }
            }

            /// Creates a value from seconds.
            pub const fn from_seconds(value: i64) -> Self {
                Self::new(value, Unit::Second)
            }

            /// Creates a value from milliseconds.
            pub const fn from_millis(value: i64) -> Self {
                Self::new(value, Unit::Milli)
            }

            /// Creates a value from microseconds.
            pub const fn from_micros(value: i64) -> Self {
                Self::new(value, Unit::Micro)
            }

            /// Creates a value from nanoseconds.
            pub const fn from_nanos(value: i64) -> Self {
                Self::new(value, Unit::Nano)
            }

            /// Returns the number of units.
            pub const fn value(self) -> i64 {
                self.value
            }

            /// Returns the unit that is counted.
            pub const fn unit(self) -> Unit {
                self.unit
            }

            /// Returns whole seconds, rounded down.
            pub const fn as_seconds(self) -> i64 {
                self.value.div_euclid(self.unit.per_second())
            }

            /// Returns whole milliseconds, rounded down. Any value fits.
            pub const fn as_millis(self) -> i128 {
                self.count(Unit::Milli)
            }

            /// Returns whole microseconds, rounded down. Any value fits.
            pub const fn as_micros(self) -> i128 {
                self.count(Unit::Micro)
            }

            /// Returns nanoseconds. Any value fits.
            pub const fn as_nanos(self) -> i128 {
                self.count(Unit::Nano)
            }

            /// Returns the value in another unit, rounded down; `None` if it does not fit.
            #[inline]
            pub fn to_unit(self, unit: Unit) -> Option<Self> {
                if unit == self.unit {
                    return Some(self);
                }
                Some(Self { value: self.count(unit).try_into().ok()?, unit })
            }

            const fn count(self, unit: Unit) -> i128 {
                (self.value as i128 * unit.per_second() as i128).div_euclid(self.unit.per_second() as i128)
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_nanos().cmp(&other.as_nanos())
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_nanos() == other.as_nanos()
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_nanos().hash(state);
            }
        }
    };
}

counted! {
    /// A point in time, counted from 1970-01-01T00:00:00. Its time zone, if any, is part of the column's type.
    Timestamp
}

counted! {
    /// A time of day, counted from midnight.
    Time
}

counted! {
    /// A span of time.
    Duration
}

impl Timestamp {
    /// Returns the day in which the point lies; `None` if it is too far away.
    pub fn date(self) -> Option<Date> {
        i32::try_from(i128::from(self.as_seconds()).div_euclid(DAY_SECONDS)).ok().map(Date::from_days)
    }

    /// Returns the time of day.
    pub const fn time(self) -> Time {
        Time { value: self.value.rem_euclid(DAY_SECONDS as i64 * self.unit.per_second()), unit: self.unit }
    }
}

/// Writes the point as `2026-11-28T08:30:00`, with as many digits behind the seconds as the unit has.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => write!(f, "{date}T{}", self.time()),
            None => write!(f, "{}{}", self.value, self.unit),
        }
    }
}

/// Writes the time as `08:30:00`, with as many digits behind the seconds as the unit has.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.as_seconds();
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        let fraction = self.as_nanos().rem_euclid(NANOS);
        match self.unit {
            Unit::Second => Ok(()),
            Unit::Milli => write!(f, ".{:03}", fraction / 1_000_000),
            Unit::Micro => write!(f, ".{:06}", fraction / 1_000),
            Unit::Nano => write!(f, ".{fraction:09}"),
        }
    }
}

/// Writes the number and the unit: `1500ms`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_785, "2026-11-28"),
            (-719_468, "0000-03-01"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
        ];
        for (days, text) in days {
            assert_eq!(Date::from_days(days).to_string(), text);
        }
        for days in (-1_000_000..1_000_000).step_by(7) {
            let (year, month, day) = Date::from_days(days).ymd();
            assert_eq!(Date::from_ymd(year as i32, month, day), Some(Date::from_days(days)));
        }
        let none = [(2026, 2, 29), (2026, 0, 1), (2026, 13, 1), (2026, 4, 31), (2026, 1, 0), (i32::MAX, 1, 1)];
        none.into_iter().for_each(|(year, month, day)| assert_eq!(Date::from_ymd(year, month, day), None));
    }

    #[test]
    fn values_of_other_units_are_compared_by_time() {
        assert_eq!(Timestamp::from_seconds(1), Timestamp::from_nanos(1_000_000_000));
        assert!(Duration::from_millis(1_001) > Duration::from_seconds(1));
        assert_eq!(Timestamp::from_micros(-1).as_millis(), -1);
        assert_eq!(Timestamp::from_seconds(i64::MAX).as_nanos(), i128::from(i64::MAX) * NANOS);
        assert_eq!(Timestamp::from_seconds(i64::MAX).to_unit(Unit::Milli), None);
        assert_eq!(Timestamp::from_millis(1_500).to_unit(Unit::Second).map(Timestamp::value), Some(1));
    }

    #[test]
    fn points_in_time_are_written_with_the_digits_of_their_unit() {
        assert_eq!(Timestamp::from_seconds(1_795_854_600).to_string(), "2026-11-28T08:30:00");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999");
        assert_eq!(Timestamp::from_nanos(1).to_string(), "1970-01-01T00:00:00.000000001");
        assert_eq!(Timestamp::from_seconds(i64::MAX).to_string(), "9223372036854775807s");
        assert_eq!(
            (Time::from_micros(61_000_001).to_string(), Duration::from_millis(5).to_string()),
            ("00:01:01.000001".to_owned(), "5ms".to_owned())
        );
    }
}
