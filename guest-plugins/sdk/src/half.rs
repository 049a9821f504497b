//! Floating-point numbers of 16 bits, which Rust cannot calculate with.

/// Returns the number with these bits.
#[inline]
pub(crate) fn read(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, bits >> 10 & 0x1f, u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // A number this small is so many times two to the power of -24.
        0 => (fraction as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (u32::from(exponent) + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// Returns the bits of the nearest number, the even one of two that are as near.
#[inline]
pub(crate) fn write(number: f32) -> u16 {
    let bits = number.to_bits();
    let (sign, magnitude) = ((bits >> 16 & 0x8000) as u16, bits & 0x7fff_ffff);
    let rounded = match magnitude {
        // Not a number; the highest bit of its fraction keeps it from being infinite.
        0x7f80_0001.. => 0x7e00 | (magnitude >> 13 & 0x3ff),
        0x477f_f000.. => 0x7c00,
        0x3880_0000.. => round(magnitude - (112 << 23), 13),
        0x3300_0000.. => round(magnitude & 0x7f_ffff | 0x80_0000, 126 - (magnitude >> 23)),
        _ => 0,
    };
    sign | rounded as u16
}

/// Divides by a power of two, and rounds to the nearest integer, the even one of two that are as near.
#[inline]
fn round(integer: u32, exponent: u32) -> u32 {
    (integer + (1 << (exponent - 1)) - 1 + (integer >> exponent & 1)) >> exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_16_bits_is_read_and_written() {
        for bits in 0..=u16::MAX {
            let number = read(bits);
            if number.is_nan() {
                assert!(read(write(number)).is_nan(), "{bits:#x}");
            } else {
                assert_eq!(write(number), bits, "{bits:#x}");
            }
        }
        assert_eq!([0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555].map(read), [1.0, -2.0, 65504.0, 5.9604645e-8, 0.33325195]);
    }

    #[test]
    fn a_number_between_two_becomes_the_nearest() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (f64::from(read(bits)), f64::from(read(bits + 1)));
            let middle = (low + high) / 2.0;
            let even = bits + bits % 2;
            assert_eq!(write(middle as f32), even, "{bits:#x}");
            assert_eq!(write((middle as f32).next_down()), bits, "{bits:#x}");
            assert_eq!(write((middle as f32).next_up()), bits + 1, "{bits:#x}");
        }
        assert_eq!([65519.99, 65520.0, f32::MAX, f32::INFINITY].map(write), [0x7bff, 0x7c00, 0x7c00, 0x7c00]);
    }
}
