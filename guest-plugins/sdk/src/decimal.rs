//! Exact decimal numbers.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// An exact decimal number: `unscaled` divided by ten to the power of `scale`.
///
/// Arithmetic is exact, and `None` where a result does not fit. Numbers are compared by value, so 1.5 equals 1.50.
///
/// ```
/// # use etl_plugin::Decimal;
/// let price: Decimal = "19.90".parse()?;
/// assert_eq!(price, Decimal::new(1990, 2));
/// assert_eq!(price.checked_mul(3.into()).map(|total| total.to_string()).as_deref(), Some("59.70"));
/// # Ok::<(), etl_plugin::NotDecimal>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Decimal {
    /// The number without its point, in two parts: an `i128` would make every cell half as large again.
    high: i64,
    low: u64,
    scale: i8,
}

impl Decimal {
    /// Creates a number from its digits and the number of digits behind the point.
    #[inline]
    pub const fn new(unscaled: i128, scale: i8) -> Self {
        Self { high: (unscaled >> u64::BITS) as i64, low: unscaled as u64, scale }
    }

    /// Returns the number without its point: 1990 for 19.90.
    #[inline]
    pub const fn unscaled(self) -> i128 {
        (self.high as i128) << u64::BITS | self.low as i128
    }

    /// Returns the number of digits behind the point.
    pub const fn scale(self) -> i8 {
        self.scale
    }

    /// Returns the same value with another number of digits behind the point; `None` if that is not possible exactly.
    #[inline]
    pub fn rescale(self, scale: i8) -> Option<Self> {
        let unscaled = match scale.cmp(&self.scale) {
            Ordering::Equal => self.unscaled(),
            _ if self.unscaled() == 0 => 0,
            Ordering::Greater => self.unscaled().checked_mul(power(self.scale.abs_diff(scale))?)?,
            Ordering::Less => {
                let power = power(self.scale.abs_diff(scale))?;
                (self.unscaled() % power == 0).then(|| self.unscaled() / power)?
            }
        };
        Some(Self::new(unscaled, scale))
    }

    /// Returns the sum, with the digits behind the point of the number that has more.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let unscaled = self.rescale(scale)?.unscaled().checked_add(other.rescale(scale)?.unscaled())?;
        Some(Self::new(unscaled, scale))
    }

    /// Returns the difference, with the digits behind the point of the number that has more.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    /// Returns the product, with the digits behind the point of both numbers.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let unscaled = self.unscaled().checked_mul(other.unscaled())?;
        Some(Self::new(unscaled, self.scale.checked_add(other.scale)?))
    }

    /// Returns the number with the opposite sign.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self::new(self.unscaled().checked_neg()?, self.scale))
    }

    /// Returns whether the number has at most this many digits, those behind the point included.
    #[inline]
    pub fn fits(self, precision: u8) -> bool {
        power(precision).is_none_or(|power| self.unscaled().unsigned_abs() < power.unsigned_abs())
    }

    /// Returns the nearest floating-point number.
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().expect("a decimal number is written as floating-point numbers are")
    }

    /// Returns digits and scale without zeros at the end, which are the same for all numbers of one value.
    fn normal(self) -> (i128, i8) {
        let (mut unscaled, mut scale) = (self.unscaled(), self.scale);
        if unscaled == 0 {
            return (0, 0);
        }
        while unscaled % 10 == 0 && scale > i8::MIN {
            (unscaled, scale) = (unscaled / 10, scale - 1);
        }
        (unscaled, scale)
    }
}

/// Returns a power of ten; `None` if it has more than 39 digits.
#[inline]
const fn power(exponent: u8) -> Option<i128> {
    10_i128.checked_pow(exponent as u32)
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale {
            return self.unscaled().cmp(&other.unscaled());
        }
        let signs = self.unscaled().signum().cmp(&other.unscaled().signum());
        signs.then_with(|| {
            let scale = self.scale.max(other.scale);
            match (self.rescale(scale), other.rescale(scale)) {
                (Some(a), Some(b)) => a.unscaled().cmp(&b.unscaled()),
                // A number that does not fit is the larger one, away from zero.
                (None, _) => self.unscaled().cmp(&0),
                (_, None) => 0.cmp(&other.unscaled()),
            }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal().hash(state);
    }
}

impl<I: Into<i64>> From<I> for Decimal {
    fn from(integer: I) -> Self {
        Self::new(integer.into().into(), 0)
    }
}

/// Writes the number with all digits behind its point: `19.90`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let behind = usize::from(self.scale.max(0).unsigned_abs());
        let mut digits = format!("{:0>1$}", self.unscaled().unsigned_abs(), behind + 1);
        if behind > 0 {
            digits.insert(digits.len() - behind, '.');
        } else if self.unscaled() != 0 {
            digits.extend((self.scale..0).map(|_| '0'));
        }
        f.pad_integral(self.unscaled() >= 0, "", &digits)
    }
}

/// The error of a text that is not a decimal number, or has more digits than fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDecimal(());

impl fmt::Display for NotDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a decimal number of up to 38 digits")
    }
}

impl std::error::Error for NotDecimal {}

/// Reads a sign, digits and a point: `-19.90`, `.5`, `1990`. The digits behind the point are the scale.
impl FromStr for Decimal {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] | digits => (false, digits),
        };
        let (mut unscaled, mut scale, mut any) = (0_i128, None, false);
        for byte in digits {
            match (byte, &mut scale) {
                (b'.', None) => scale = Some(0_i8),
                (b'0'..=b'9', _) => {
                    let digit = i128::from(byte - b'0');
                    let with_digit = unscaled.checked_mul(10).and_then(|tens| tens.checked_add(digit));
                    (unscaled, any) = (with_digit.ok_or(NotDecimal(()))?, true);
                    scale = scale.map_or(Ok(None), |scale| scale.checked_add(1).map(Some).ok_or(NotDecimal(())))?;
                }
                _ => return Err(NotDecimal(())),
            }
        }
        let number = Self::new(if negative { -unscaled } else { unscaled }, scale.unwrap_or(0));
        if any && number.fits(38) { Ok(number) } else { Err(NotDecimal(())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap_or_else(|_| panic!("`{text}` is a decimal number"))
    }

    #[test]
    fn a_number_is_written_as_it_was_read() {
        for text in ["0", "0.00", "19.90", "-0.05", "-1", "99999999999999999999999999999999999999"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!((decimal(".5").to_string(), decimal("+7.").to_string()), ("0.5".to_owned(), "7".to_owned()));
        assert_eq!(Decimal::new(12, -3).to_string(), "12000");
        assert_eq!(format!("{:>8}|{:+}", decimal("-1.5"), decimal("2")), "    -1.5|+2");
        for text in ["", "-", ".", "1.2.3", "1e3", " 1", "1,5", "100000000000000000000000000000000000000"] {
            assert_eq!(text.parse::<Decimal>(), Err(NotDecimal(())), "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let largest = Decimal::new(i128::MAX, 0);
        assert_eq!(decimal("1.5"), decimal("1.50"));
        assert_eq!(Decimal::new(0, 9), Decimal::new(0, -9));
        let sorted =
            [Decimal::new(-i128::MAX, 0), decimal("-1.51"), decimal("-1.5"), decimal("0.001"), 2.into(), largest];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} and {b}");
            }
        }
        let hash = |number: Decimal| {
            let mut state = std::hash::DefaultHasher::new();
            number.hash(&mut state);
            state.finish()
        };
        assert_eq!(hash(decimal("1.5")), hash(decimal("1.500")));
        assert_eq!(hash(Decimal::new(0, 3)), hash(Decimal::new(0, 0)));
    }

    #[test]
    fn arithmetic_is_exact_or_nothing() {
        assert_eq!(decimal("0.1").checked_add(decimal("0.25")).map(|sum| sum.to_string()).as_deref(), Some("0.35"));
        assert_eq!(decimal("1").checked_sub(decimal("0.001")), Some(decimal("0.999")));
        assert_eq!(decimal("1.5").checked_mul(decimal("-0.5")), Some(decimal("-0.75")));
        assert_eq!(decimal("1.50").rescale(1), Some(decimal("1.5")));
        assert_eq!(decimal("1.55").rescale(1), None);
        let largest = Decimal::new(i128::MAX, 0);
        assert_eq!(
            (largest.checked_add(1.into()), largest.checked_mul(2.into()), largest.rescale(1)),
            (None, None, None)
        );
        assert!(decimal("99.99").fits(4) && !decimal("99.99").fits(3) && largest.fits(39));
        assert_eq!(decimal("-0.1").to_f64(), -0.1);
    }
}
