//! Tolerance for failed shards: how many may fail for good before the run fails, as a number or as a share.

use serde::{Deserialize, Deserializer};

use super::units::Written;

/// Number of millionths in one percent.
const MILLIONTHS: f64 = 10_000.0;

/// How many shards a run may leave out because they failed for good. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// A fixed number of shards.
    Shards(u64),
    /// A share of the plan's shards, in millionths.
    Millionths(u32),
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Shards(0)
    }
}

impl Tolerance {
    /// Returns how many of `shards` shards may fail. A share is rounded down.
    pub fn of(self, shards: u32) -> u32 {
        match self {
            Self::Shards(count) => u32::try_from(count).unwrap_or(u32::MAX),
            // The share is at most 100 %, so the quotient is at most `shards` and fits.
            Self::Millionths(share) => (u64::from(shards) * u64::from(share) / 1_000_000) as u32,
        }
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written {
            expected: "a number of shards, such as `5`, or a share of them, such as `1%`",
            number: |shards| Some(Self::Shards(shards)),
            text: |text| {
                let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
                (0.0..=100.0).contains(&percent).then(|| Self::Millionths((percent * MILLIONTHS).round() as u32))
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: impl Into<toml::Value>) -> Result<Tolerance, String> {
        value.into().try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn a_number_is_taken_as_it_is_and_a_share_is_rounded_down() {
        assert_eq!(read(5).expect("a number").of(3), 5);
        for (share, shards, tolerated) in
            [("1%", 99, 0), ("1%", 100, 1), ("29 %", 100, 29), ("0.5%", 1000, 5), ("100%", 7, 7), ("0%", 9, 0)]
        {
            assert_eq!(read(share).expect(share).of(shards), tolerated, "{share} of {shards}");
        }
        assert_eq!(Tolerance::default().of(1_000_000), 0);
    }

    #[test]
    fn what_is_neither_is_refused_with_the_choices() {
        for wrong in ["", "5", "%", "-1%", "100.1%", "NaN%", "many"] {
            let message = read(wrong).expect_err(wrong);
            assert!(message.contains("such as `5`, or a share of them, such as `1%`"), "{message}");
        }
        assert!(read(-1).is_err());
        assert!(read(1.5).is_err());
    }
}
