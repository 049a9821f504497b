//! Numbers as decimal text: the values they stand for, which are exact or refused.

/// Number of bytes up to which a number is short: its digits fit 64 bits.
const SHORT_BYTES: usize = 19;

/// The largest power of ten that fits 128 bits.
const SCALE_MAX: i64 = 38;

/// Returns the int64 that a decimal text stands for exactly, however it is written: `7`, `7.0`, `70e-1`. `None` if
/// there is no such int64. Never goes by way of a double.
pub(crate) fn int64(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| scaled_int64(text))
}

fn scaled_int64(text: &str) -> Option<i64> {
    scaled(text, 0).and_then(|value| i64::try_from(value).ok())
}

/// Returns the number that a decimal text stands for, times ten to the power of `scale`. `None` if the text is no number,
/// or the product is not whole or does not fit 128 bits.
pub(crate) fn scaled(text: &str, scale: i64) -> Option<i128> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |unsigned| (-1, unsigned));
    if let Some(value) = short_scaled(unsigned, scale) {
        return Some(sign * value);
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return exponent.parse::<f64>().ok().map(|_| 0);
    }
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?.checked_add(scale)?;
    let scale = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.pow(u32::try_from(scale).ok().filter(|_| scale <= SCALE_MAX)?);
    significant.parse::<i128>().ok()?.checked_mul(power)?.checked_mul(sign)
}

/// As [`scaled`], for a text of a few digits, perhaps with a point in between, that needs no more of them than `scale`
/// behind the point. Almost all numbers are such.
fn short_scaled(text: &str, scale: i64) -> Option<i128> {
    if text.len() > SHORT_BYTES {
        return None;
    }
    let (mut value, mut point) = (0_u64, None);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => value = 10 * value + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let (digits, fraction) = point.map_or((text.len(), 0), |at| (text.len() - 1, text.len() - 1 - at));
    let zeros = usize::try_from(scale).ok()?.checked_sub(fraction)?;
    (digits > 0 && zeros <= SHORT_BYTES).then(|| i128::from(value) * 10_i128.pow(zeros as u32))
}

/// Returns the double nearest to a decimal text, or the one that `NaN` or `inf` stands for. `None` if the text is no
/// number, or if a number comes out as an infinity, or as zero without being zero.
pub(crate) fn float64(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let mantissa = || text.split(['e', 'E']).next().unwrap_or_default().bytes();
    let is_lost = match value {
        0.0 => mantissa().any(|byte| matches!(byte, b'1'..=b'9')),
        _ => value.is_infinite() && mantissa().any(|byte| byte.is_ascii_digit()),
    };
    (!is_lost).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_number_is_exact_however_it_is_written() {
        for (text, expected) in [
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("-9007199254740993.0", -9_007_199_254_740_993),
            ("9.007199254740993e15", 9_007_199_254_740_993),
            ("9007199254740994.0", 9_007_199_254_740_994),
            ("922337203685477580.7E+1", i64::MAX),
            ("-9223372036854775808.00", i64::MIN),
            ("1e3", 1000),
            ("3.0", 3),
            ("-0.0", 0),
            ("0e-999", 0),
            ("70e-1", 7),
            ("007", 7),
            ("-00", 0),
        ] {
            assert_eq!(int64(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_number_that_no_int64_equals_is_none() {
        for text in [
            "0.99999999999999999999",
            "3.0000000000000001",
            "1e-400",
            "9223372036854775808",
            "-9223372036854775808.1",
            "1e19",
            "1e999999999999999999999",
            "",
            "-",
            ".",
            "e5",
            "1e",
            "0e",
            "--1",
            "1.-5",
            "0x10",
            "NaN",
        ] {
            assert_eq!(int64(text), None, "{text}");
        }
    }

    #[test]
    fn a_double_is_the_nearest_one_and_never_lost() {
        assert_eq!(float64("0.1"), Some(0.1));
        assert_eq!(float64("-0.0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert_eq!(float64("0e-400"), Some(0.0));
        assert_eq!(float64("5e-324"), Some(f64::from_bits(1)));
        assert_eq!(float64("inf"), Some(f64::INFINITY));
        assert!(float64("NaN").is_some_and(f64::is_nan));
        for text in ["1e-400", "-1e-400", "1e400", "-1e400", "x", ""] {
            assert_eq!(float64(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_int64_survives_any_shift_of_its_point(value: i64, shift in 0..25_usize, zeros in 0..5_usize) {
            let digits = format!("{:0>25}{}", value.unsigned_abs(), "0".repeat(zeros));
            let point = digits.len() - zeros - shift;
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{}e{shift}", &digits[..point], &digits[point..]);
            prop_assert_eq!(int64(&text), Some(value), "{}", text);
            let other = format!("{sign}{}.{}1e{shift}", &digits[..point], &digits[point..]);
            prop_assert_eq!(int64(&other), None, "{}", other);
        }

        #[test]
        fn a_number_is_the_same_with_an_exponent_and_without(text in "-?[0-9]{0,21}\\.?[0-9]{0,4}", scale in -2..25_i64) {
            prop_assert_eq!(scaled(&text, scale), scaled(&format!("{text}e0"), scale));
        }

        #[test]
        fn a_double_comes_back_from_its_text(value: f64) {
            prop_assert_eq!(float64(&value.to_string()).map(|value| value.to_string()), Some(value.to_string()));
        }
    }
}
