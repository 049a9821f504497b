//! Sizes and durations as they are written in `pipeline.toml`: `64MiB`, `1GB`, `500ms`, `5m`.

use std::{fmt, time::Duration};

use bytesize::ByteSize;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// A number of bytes, written as a whole number or as text with a unit. Displays in the largest unit that divides it
/// evenly; of those, binary units come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct Size(pub u64);

/// A span of time, written as text with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct Period(pub Duration);

const UNITS: [(u64, &str); 8] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
    (1_000_000_000_000, "TB"),
    (1_000_000_000, "GB"),
    (1_000_000, "MB"),
    (1_000, "KB"),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None if self.0 == 1 => f.write_str("1 byte"),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Visitor for a value that is written as a whole number or as text.
pub(super) struct Written<T> {
    /// Expected value, as messages describe it.
    pub expected: &'static str,
    pub number: fn(u64) -> Option<T>,
    pub text: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        let read = u64::try_from(value).ok().and_then(self.number);
        read.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        (self.text)(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written {
            expected: "a size such as `64MiB` or `1GB`, or a whole number of bytes",
            number: |bytes| Some(Self(bytes)),
            text: |text| text.parse::<ByteSize>().ok().map(|size| Self(size.as_u64())),
        })
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written {
            expected: "a duration such as `30s`, `5m` or `500ms`",
            number: |_| None,
            text: |text| humantime::parse_duration(text).ok().map(Self),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: impl Into<toml::Value>) -> Result<T, String> {
        value.into().try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        for (written, bytes) in
            [("64MiB", 64 << 20), ("1GB", 1_000_000_000), ("10 KiB", 10_240), ("1.5KiB", 1536), ("12", 12)]
        {
            assert_eq!(read::<Size>(written), Ok(Size(bytes)), "{written}");
        }
        assert_eq!(read::<Size>(4096), Ok(Size(4096)));
        for wrong in ["", "MiB", "64 lots", "-1KiB", "1e3"] {
            assert!(read::<Size>(wrong).is_err(), "`{wrong}` was accepted");
        }
        assert!(read::<Size>(-1).is_err());
        assert!(read::<Size>(1.5).is_err());
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(read::<Period>("500ms"), Ok(Period(Duration::from_millis(500))));
        assert_eq!(read::<Period>("1m 30s"), Ok(Period(Duration::from_secs(90))));
        assert!(read::<Period>("30").is_err());
        assert!(read::<Period>(30).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_size_reads_back_as_it_was_shown(bytes in 0_u64..1 << 50, unit in 0_usize..4) {
            let size = Size(bytes >> (unit * 10) << (unit * 10));
            let shown = size.to_string().replace(" bytes", "");
            prop_assert_eq!(read::<Size>(shown), Ok(size));
        }
    }
}
