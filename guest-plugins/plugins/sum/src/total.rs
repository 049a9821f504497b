//! Totals: what the values of a column come to.

use std::cmp::Ordering;
use std::ops::{Add, Sub};

/// What the values of a column come to so far.
#[derive(Clone, Copy)]
pub(crate) enum Total {
    Null,
    Exact(Exact),
    Float(f64),
}

/// An integer that holds the sum of any number of 128-bit integers, in any order.
///
/// It is `high` times 2^64 plus `low`. Sums of both grow by 64 bits a value, so neither overflows.
#[derive(Clone, Copy)]
pub(crate) struct Exact {
    high: i128,
    low: i128,
}

const LOW_BITS: u32 = u64::BITS;

impl Exact {
    /// Returns the same number with the only `low` that is from 0 up to 2^64.
    fn normal(self) -> Self {
        Self { high: self.high + (self.low >> LOW_BITS), low: self.low & i128::from(u64::MAX) }
    }

    /// Returns the nearest number within limits.
    pub(crate) fn clamp_to(self, (smallest, largest): (i128, i128)) -> i128 {
        let inside = self.max(smallest.into()).min(largest.into()).normal();
        inside.high << LOW_BITS | inside.low
    }
}

impl From<i128> for Exact {
    #[inline]
    fn from(value: i128) -> Self {
        Self { high: value >> LOW_BITS, low: value & i128::from(u64::MAX) }
    }
}

impl Add for Exact {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self { high: self.high + other.high, low: self.low + other.low }
    }
}

impl Sub for Exact {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self { high: self.high - other.high, low: self.low - other.low }
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.normal(), other.normal());
        (a.high, a.low).cmp(&(b.high, b.low))
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Exact {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_the_largest_numbers_is_exact() {
        let limits = (i128::MIN, i128::MAX);
        let numbers = [i128::MAX, i128::MAX, i128::MIN, i128::MAX, i128::MIN, -5, i128::MIN, 7, -1, 1 << 64];
        let sum = |numbers: &[i128]| numbers.iter().map(|number| Exact::from(*number)).reduce(Add::add);
        let whole = sum(&numbers).expect("there are numbers");
        assert_eq!(whole.clamp_to(limits), (1 << 64) - 2);
        assert_eq!(sum(&numbers[..2]).expect("there are numbers").clamp_to(limits), i128::MAX);
        assert!(Exact::from(-1) < Exact::from(0) && Exact::from(i128::MIN) + Exact::from(-1) < i128::MIN.into());
        for number in numbers {
            assert_eq!(Exact::from(number).clamp_to(limits), number);
            assert_eq!((whole - Exact::from(number) + Exact::from(number)).clamp_to(limits), (1 << 64) - 2);
        }
    }
}
